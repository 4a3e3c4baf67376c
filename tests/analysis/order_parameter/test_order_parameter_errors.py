"""Error bars of the order parameter, its transition model, and phases on the circle."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import ndimage
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from analysis.order_parameter import (
    CircularOrderParameter,
    OrderParameter,
    analyse_series,
    block_bootstrap,
    fit_transition,
    follow_phases,
)
from analysis.order_parameter.estimator import block_grams
from analysis.order_parameter.transition import step
from analysis.phasing.registration import twin
from analysis.results import read_order_parameter, read_series, write_series


@parametrize_with_checks([OrderParameter(), OrderParameter(n_components=2), CircularOrderParameter()])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", [OrderParameter, CircularOrderParameter])
def test_nothing_is_known_before_a_fit_and_fits_return_the_estimator(kind):
    rows = np.random.default_rng(0).normal(size=(4, 30))
    empty = kind()
    with pytest.raises(NotFittedError):
        empty.transform(rows)
    with pytest.raises(NotFittedError):
        _ = empty.components_
    assert not [name for name in vars(empty) if name.endswith("_")]
    assert empty.fit(rows) is empty
    assert clone(empty.set_params(n_components=3)).get_params() == {"n_components": 3}


def test_the_block_products_add_up_to_the_gram_matrix():
    rng = np.random.default_rng(1)
    places = np.argwhere(rng.random((9, 10, 11)) > 0.4)
    rows = rng.normal(size=(5, len(places)))
    grams = block_grams(rows, places, 4)
    assert len(grams) == 3 * 3 * 3
    np.testing.assert_allclose(grams.sum(axis=0), rows @ rows.T, atol=1e-10)
    assert len(block_grams(rows, places, 1)) == len(places)


def test_the_bootstrap_knows_how_far_other_crystals_would_scatter():
    """Draw many crystals of one law: the bootstrap of one must tell the scatter over all."""
    rng = np.random.default_rng(2)
    places = np.argwhere(np.ones((12, 12, 12), bool))
    block = (places // 4) @ [100, 10, 1]
    names = np.unique(block)
    means = -np.array([0.0, 1, 2, 3, 4])[:, None]

    def crystal():
        coarse = 1 + 0.3 * rng.normal(size=len(names))  # what voxels of one block share
        return means * coarse[np.searchsorted(names, block)] + 0.3 * rng.normal(size=(5, len(places)))

    orders = [OrderParameter().fit(crystal()).order_parameter_ for _ in range(120)]
    told = [block_bootstrap(crystal(), places, np.ones(5, bool)) for _ in range(12)]
    scatter = np.std(orders, axis=0)[1:]
    assert np.mean(told, axis=0)[1:] == pytest.approx(scatter, rel=0.3)
    alone = np.mean([block_bootstrap(crystal(), places, np.ones(5, bool), block=1) for _ in range(4)], axis=0)
    assert alone[-1] < 0.5 * scatter[-1]


def test_the_bootstrap_is_repeatable_and_zero_where_there_is_nothing():
    places = np.argwhere(np.ones((8, 8, 8), bool))
    rows = np.random.default_rng(3).normal(size=(3, 512)) * [[0], [1], [1]]
    first = block_bootstrap(rows, places, np.ones(3, bool))
    np.testing.assert_array_equal(first, block_bootstrap(rows, places, np.ones(3, bool)))
    assert first[0] == 0
    assert (first[1:] > 0).all()
    assert block_bootstrap(np.zeros((1, 512)), places, np.ones(1, bool)) == [0]


def test_a_step_comes_back_with_errors_that_hold():
    rng = np.random.default_rng(4)
    at = np.linspace(320, 360, 13)
    fits = [fit_transition(at, step(at, 338.0, 4.0, -100, 2) + rng.normal(0, 2, 13)) for _ in range(30)]
    assert np.mean([one.t_c for one in fits]) == pytest.approx(338, abs=0.1)
    assert np.mean([one.width for one in fits]) == pytest.approx(4, abs=0.2)
    for name in ("t_c", "width", "amplitude", "baseline"):
        scatter = np.std([getattr(one, name) for one in fits])
        assert np.mean([getattr(one, f"{name}_error") for one in fits]) == pytest.approx(scatter, rel=0.5)
    assert fits[0](np.array([338.0])) == pytest.approx(fits[0].baseline + fits[0].amplitude / 2, abs=5)


def test_a_step_sharper_than_the_temperatures_has_no_width_of_its_own():
    at = np.arange(320.0, 366, 5)
    noise = np.random.default_rng(5).normal(0, 1, 10)
    found = fit_transition(at, np.where(at < 333, 0.0, -100) + noise)
    assert 330 <= found.t_c <= 335
    assert found.width == pytest.approx(2.5)
    assert found.width_error is None
    assert 0 < found.t_c_error < 5


@pytest.mark.parametrize(
    ("at", "values", "words"),
    [
        (np.arange(4.0), np.arange(4.0), "at least 5 temperatures; heating has 4"),
        (np.repeat([320.0, 330, 340, 350], 2), np.arange(8.0), "heating has 4"),
        (np.arange(6.0), np.zeros(6), "does not change on heating"),
        (np.linspace(320, 365, 10), np.random.default_rng(1).normal(size=10), "no better than a constant"),
    ],
)
def test_no_step_is_fitted_to_what_has_none(at, values, words):
    with pytest.raises(ValueError, match=words):
        fit_transition(at, values)


@pytest.fixture(scope="module")
def growing():
    """Return a pattern that grows to 1.3 π at its strongest, as phases that wrap: (12, 4000) rad."""
    pattern = ndimage.gaussian_filter1d(np.random.default_rng(6).normal(size=4000), 20, mode="wrap")
    pattern /= np.abs(pattern).max()
    true = np.linspace(0, 1.3 * np.pi, 12)[:, None] * pattern
    return np.angle(np.exp(1j * true))


def test_past_pi_the_linear_order_parameter_breaks_and_the_circular_one_goes_on():
    true = np.linspace(0, 1.1 * np.pi, 26)[:, None] * np.linspace(0, 1, 500)
    wrapped = np.angle(np.exp(1j * true))
    linear = OrderParameter().fit(wrapped).order_parameter_
    circular = CircularOrderParameter().fit(wrapped).order_parameter_
    assert (np.diff(circular) < 0).all()
    assert (np.diff(linear) > 0.05 * np.ptp(linear)).any()


def test_phases_that_are_followed_keep_their_turns():
    """Three turns at the strongest voxel, some voxels missing for a while, and one row of rubbish."""
    rng = np.random.default_rng(7)
    true = np.linspace(0, 6 * np.pi, 30)[:, None] * np.linspace(-0.4, 1, 600)
    valid = np.ones(true.shape, bool)
    valid[12:15, 100:200] = False
    wrapped = np.where(valid, np.angle(np.exp(1j * true)), 0)
    wrapped[20] = rng.uniform(-3, 3, 600)
    anchors = np.arange(30) != 20
    path = np.arange(30.0)
    order = rng.permutation(30)
    followed = follow_phases(
        wrapped[order], valid[order], path[order], int(np.argmin(order)), anchors[order]
    )[np.argsort(order)]
    kept = valid.copy()
    kept[20] = False
    np.testing.assert_allclose(followed[kept], true[kept], atol=1e-9)
    assert not followed[~valid].any()
    orders = OrderParameter().fit(followed[anchors]).order_parameter_
    full = valid.all(axis=1)[anchors]
    assert (np.diff(orders[full]) < 0).all()
    assert (np.diff(OrderParameter().fit(wrapped[anchors]).order_parameter_[full]) > 0).any()


def test_phases_are_followed_to_either_side_of_the_reference():
    true = np.linspace(-3, 4, 15)[:, None] * np.linspace(0.5, 1.5, 40)
    true -= true[6]
    followed = follow_phases(
        np.angle(np.exp(1j * true)), np.ones(true.shape, bool), np.arange(15.0), 6, np.ones(15, bool)
    )
    np.testing.assert_allclose(followed, true, atol=1e-9)


def test_on_the_circle_small_phases_are_the_linear_order_parameter(growing):
    small = 0.02 * growing / np.abs(growing).max()
    linear = OrderParameter().fit(small).order_parameter_
    circular = CircularOrderParameter().fit(small).order_parameter_
    np.testing.assert_allclose(circular, linear, atol=1e-3 * np.abs(linear).max())


def test_on_the_circle_a_turn_more_is_nothing_and_missing_voxels_stay_out(growing):
    turned = growing + 2 * np.pi * (np.arange(4000) % 3 - 1)
    turned[:, ::7] = growing[:, ::7] = 0
    fitted = CircularOrderParameter().fit(growing)
    np.testing.assert_allclose(
        CircularOrderParameter().fit(turned).order_parameter_, fitted.order_parameter_, atol=1e-9
    )
    assert fitted.n_features_in_ == 4000
    assert fitted.components_.shape == (12, 8000)
    assert np.abs(fitted.components_[0].reshape(2, 4000)[:, ::7]).max() == 0


def noisy(result, seed, **changes):
    """Return the result as another seed might have left it: phase noise, a twin, an offset."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=result.object.shape), 1.0)
    array = result.object * np.exp(1j * (0.15 * noise / noise.std() + seed))
    array = twin(array) if seed % 2 else array
    return dataclasses.replace(result, object=array.astype(np.complex64), seed=seed, **changes)


@pytest.fixture(scope="module")
def repeated(hot_series):
    """Return two temperatures; the second has two more seeds, one of them twinned, and one not trusted."""
    last = hot_series[1]
    extra = [noisy(last, 1), noisy(last, 2), noisy(last, 3, trusted=False)]
    return [*hot_series[:2], *extra]


def test_the_spread_over_seeds_is_that_of_the_trusted_results_of_one_scan(repeated, hot_series):
    alone, series = analyse_series(hot_series[:2]), analyse_series(repeated)
    np.testing.assert_array_equal(series.order.parameter, alone.order.parameter)
    assert list(series.order.seeds) == [1, 3]
    assert np.isnan(series.order.seed_spread[0])
    # Noise of 0.15 rad that is independent from voxel to voxel moves a projection by about as much.
    assert 0 < series.order.seed_spread[1] < 0.05 * np.ptp(series.order.parameter)
    assert series.order.spread[1] == series.order.seed_spread[1]
    assert np.isnan(series.scans.resolution[0])
    assert 50 < series.scans.resolution[1] < 400
    assert series.order.spread[0] == series.order.bootstrap_error[0]
    assert series.order.bootstrap_error[0] == 0
    assert series.order.bootstrap_error[1] > 0
    shuffled = analyse_series([repeated[row] for row in (4, 3, 0, 2, 1)])
    np.testing.assert_array_equal(shuffled.order.parameter, series.order.parameter)
    np.testing.assert_array_equal(shuffled.order.seed_spread, series.order.seed_spread)


def test_the_record_has_all_that_a_report_draws_and_reads_older_ones(repeated, tmp_path):
    series = analyse_series(repeated, expected=4)
    write_series(tmp_path, series)
    record = read_series(tmp_path)
    assert record["final"] is False
    row = record["temperatures"][1]
    assert row["seeds"] == 3
    assert row["seed_spread_rad"] == series.order.seed_spread[1]
    assert row["bootstrap_error_rad"] == series.order.bootstrap_error[1]
    assert row["circular_order_parameter"] == series.order.circular[1]
    assert row["followed_order_parameter_rad"] == series.order.followed[1]
    assert row["branch"] == "heating"
    assert row["provisional"] is True
    assert record["temperatures"][0]["seed_spread_rad"] is None
    assert record["transitions"] == []
    assert set(record["fit_curve"]["branch"]) == {"heating"}
    assert read_order_parameter(tmp_path)[1]["near_wrap_fraction"] == series.order.near_wrap[1]
    del record["transitions"], record["fit_curve"]["branch"], record["temperatures"][1]["seeds"]
    (tmp_path / "series.json").write_text(json.dumps(record))
    old = read_series(tmp_path)
    assert old["temperatures"][1]["seeds"] is None
    assert old["transitions"] == []
    assert old["fit_curve"]["branch"] == ["heating"] * 200
    with pytest.raises(FileNotFoundError, match=r"series\.json is required"):
        read_series(tmp_path / "none")


def test_each_branch_has_its_own_step_and_curve(hot_series):
    cold = dataclasses.replace(hot_series[3], branch="cooling", run_uid="cold", series_index=6)
    series = analyse_series([*hot_series, cold])
    assert [one.branch for one in series.fit.transitions] == ["heating"]
    assert 325 < series.fit.transitions[0].t_c < 340
    assert list(series.scans.legs) == [0] * 6 + [1]
    assert (np.diff(series.fit.curve[0][series.fit.curve_legs == 0]) > 0).all()
    assert (np.diff(series.fit.curve[0][series.fit.curve_legs == 1]) < 0).all()


def test_a_scan_without_a_temperature_stands_at_its_setpoint(hot_series):
    lost = dataclasses.replace(hot_series[1], temperature=float("nan"))
    series = analyse_series([hot_series[0], lost])
    assert series.scans.temperatures[1] == 325
    assert np.isfinite(series.fit.values).all()
    assert "no temperature was recorded at 325 K" in series.notes[0]


def test_volumes_of_different_shapes_are_refused_in_words(crystal, make_crystal, make_scan):
    other = make_crystal((48, 64, 64))
    with pytest.raises(ValueError, match=r"only be compared in one q-volume; .*analyse all scans with one"):
        analyse_series([make_scan(crystal), make_scan(other, 325.0)])


def test_missing_voxels_given_as_nan_are_refused_in_words(crystal, make_scan):
    holed = crystal.astype(np.complex64)
    holed[30, 30, 30:33] = np.nan
    with pytest.raises(ValueError, match="3 voxels are NaN or infinite: reconstruct again"):
        make_scan(holed, support=np.ones(holed.shape, bool))
    for kind in (OrderParameter, CircularOrderParameter):
        with pytest.raises(ValueError, match="NaN"):
            kind().fit([[0.0, 1.0], [np.nan, 1.0]])
