import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD

from analysis.order_parameter import OrderParameter, analyse_series, best_fit
from analysis.phasing.registration import twin
from analysis.results import read_order_parameter, write_series


@pytest.fixture(scope="module")
def phases():
    """Return a falling and two small patterns over ten temperatures, the first row 0, (10, 4000) rad."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(3, 4000))
    weights = np.stack(
        [-(np.linspace(0, 2, 10) ** 1.5), np.sin(np.arange(10)), 0.3 * np.cos(np.arange(10)) - 0.3]
    )
    return weights.T @ patterns + 0.01 * rng.normal(size=(10, 4000)) * (np.arange(10) > 0)[:, None]


@pytest.fixture(scope="module")
def analysed(hot_series):
    return analyse_series(hot_series, expected=len(hot_series))


def test_equal_to_truncated_svd(phases):
    ours = OrderParameter(n_components=4).fit(phases)
    theirs = TruncatedSVD(4, algorithm="arpack", random_state=0).fit(phases)
    np.testing.assert_allclose(ours.eigenvalues_[:4], theirs.singular_values_**2, rtol=1e-8)
    turned = np.sign((ours.components_ * theirs.components_).sum(axis=1))[:, None]
    np.testing.assert_allclose(ours.components_, turned * theirs.components_, atol=1e-8)
    np.testing.assert_allclose(
        ours.scores_, theirs.transform(phases) * turned.T, atol=1e-8 * np.abs(ours.scores_).max()
    )


def test_scores_are_projections_and_the_reference_is_zero(phases):
    fitted = OrderParameter().fit(phases)
    np.testing.assert_allclose(fitted.order_parameter_, phases @ fitted.components_[0], atol=1e-9)
    np.testing.assert_allclose(fitted.transform(phases), fitted.scores_, atol=1e-9)
    assert abs(fitted.order_parameter_[0]) < 1e-9
    assert fitted.explained_ratio_.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.linalg.norm(fitted.components_[:5], axis=1), 1)
    assert fitted.eigenvalues_.sum() == pytest.approx((phases**2).sum())


def test_it_is_not_mean_centred():
    rows = np.array([[1.0, 1, 1, 1], [2, 2, 2, 2]])
    assert OrderParameter().fit(rows).eigenvalues_ == pytest.approx([20, 0])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_order_parameter_drops_whatever_the_sign_of_the_phase(phases, sign):
    order_parameter = OrderParameter().fit(sign * phases).order_parameter_
    assert order_parameter[-1] == order_parameter.min() < 0


def test_it_keeps_the_estimators_contract(phases):
    assert clone(OrderParameter(n_components=2)).get_params() == {"n_components": 2}
    fitted = OrderParameter(n_components=2)
    assert fitted.fit_transform(phases).shape == (10, 2)
    assert fitted.n_features_in_ == 4000
    with pytest.raises(ValueError, match="NaN"):
        OrderParameter().fit(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="features"):
        fitted.transform(np.zeros((1, 3)))


def test_one_temperature_and_identical_ones_have_order_parameter_zero(crystal, make_scan):
    single = analyse_series([make_scan(crystal)])
    assert single.order.parameter == pytest.approx([0])
    assert single.fit.values == pytest.approx([0])
    assert single.final
    np.testing.assert_array_equal(single.order.explained_ratio, [0])


def test_a_scan_on_its_own_waits_for_no_reference(crystal, make_scan):
    alone = analyse_series([make_scan(crystal, 295.0)], expected=1)
    assert alone.final
    assert not alone.notes


def test_a_series_has_its_reference_at_zero_and_drops(analysed):
    assert analysed.order.parameter[0] == pytest.approx(0, abs=1e-6)
    assert analysed.order.parameter[1:].max() < 0
    assert analysed.reference == "320 K"
    assert analysed.trusted.all()
    assert analysed.final
    np.testing.assert_array_equal(analysed.scans.setpoints, 320 + 5 * np.arange(6))
    np.testing.assert_allclose(analysed.fit.residual, analysed.order.parameter - analysed.fit.values)
    np.testing.assert_allclose(analysed.fit.errors, np.abs(analysed.fit.residual))
    assert analysed.order.valid_fraction[0] == 1
    np.testing.assert_allclose(1 - analysed.order.valid_fraction[3:], [0.13, 0.26, 0.39], atol=0.06)


def test_the_order_of_arrival_does_not_matter(hot_series, analysed):
    shuffled = [hot_series[row] for row in (3, 0, 5, 1, 4, 2)]
    again = analyse_series(shuffled, expected=6)
    np.testing.assert_array_equal(again.order.parameter, analysed.order.parameter)
    assert again.scans.run_uids == analysed.scans.run_uids


def test_twins_and_offsets_do_not_matter(hot_series, analysed):
    disguised = [
        dataclasses.replace(result, object=(twin(result.object) * np.exp(1j * row)).astype(np.complex64))
        if row in (2, 3, 5)
        else result
        for row, result in enumerate(hot_series)
    ]
    again = analyse_series(disguised)
    scale = np.ptp(analysed.order.parameter)
    np.testing.assert_allclose(again.order.parameter, analysed.order.parameter, atol=2e-3 * scale)


def test_untrusted_temperatures_have_no_say(hot_series):
    rng = np.random.default_rng(1)
    rubbish = ndimage.gaussian_filter(rng.normal(size=(64, 64, 64)), 2) * np.abs(hot_series[2].object)
    spoiled = list(hot_series)
    spoiled[2] = dataclasses.replace(
        spoiled[2], object=rubbish.astype(np.complex64), trusted=False, reasons=("noise ratio 3.1",)
    )
    with_it, without = analyse_series(spoiled), analyse_series(spoiled[:2] + spoiled[3:])
    others = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(with_it.order.parameter[others], without.order.parameter, atol=1e-6)
    np.testing.assert_allclose(with_it.fit.values[others], without.fit.values, atol=1e-6)
    assert not with_it.trusted[2]
    assert "noise ratio 3.1" in with_it.reasons[2]
    assert not with_it.reasons[3]


def test_everything_waits_for_a_trusted_reference(hot_series):
    late = analyse_series(hot_series[1:])
    assert late.provisional.all()
    assert not late.final
    assert late.reference == "325 K"
    assert "no trusted reference at 320 K yet: 325 K stands in" in late.unsettled[-1]
    assert late.trusted.all()
    assert not any(late.reasons)  # the series' statement, nothing against a row
    first = dataclasses.replace(hot_series[0], trusted=False)
    assert analyse_series([first, *hot_series[1:3]]).provisional.all()


def test_a_running_series_is_provisional(hot_series):
    running = analyse_series(hot_series[:3], expected=6)
    assert running.provisional.all()
    assert "3 of 6" in running.notes[-1]
    assert running.unsettled == running.notes[-1:]
    assert not any(running.reasons)


def test_the_last_trusted_attempt_counts(hot_series):
    bad = dataclasses.replace(hot_series[1], attempt=2, trusted=False, run_uid="later")
    good = dataclasses.replace(hot_series[1], attempt=3, run_uid="third")
    series = analyse_series([hot_series[0], hot_series[1], bad, good])
    assert series.scans.run_uids == (hot_series[0].run_uid, "third")
    assert series.scans.attempts == (1, 3)
    assert "2 other attempts" in series.notes[0]
    assert analyse_series([hot_series[0], hot_series[1], bad]).scans.attempts == (1, 1)


def test_branches_are_kept_apart(hot_series):
    cooling = dataclasses.replace(hot_series[1], branch="cooling", run_uid="cold", series_index=6)
    series = analyse_series([*hot_series[:3], cooling])
    assert series.scans.branches == ("heating", "heating", "heating", "cooling")
    assert series.scans.labels[-1] == "325 K cooling"
    assert series.order.parameter[-1] == pytest.approx(series.order.parameter[1], rel=0.02)


def test_repeats_have_a_row_each_and_an_error_that_covers_their_scatter(crystal, make_scan):
    rng = np.random.default_rng(4)
    scans = []
    for index in range(3):
        noise = ndimage.gaussian_filter(rng.normal(size=crystal.shape), 1.0)
        array = crystal * np.exp(0.1j * noise / noise.std())
        scans.append(make_scan(array, series_index=index, run_uid=f"{index}-repeat"))
    series = analyse_series(scans, expected=3)
    assert series.scans.labels == ("320 K", "320 K (2)", "320 K (3)")
    assert series.final
    parameter, error = series.order.parameter, series.order.spread
    assert parameter[0] == error[0] == 0
    # Nothing changed, so the truth is 0: the component has followed the noise, and the error says so.
    assert series.order.bootstrap_error.max() < 0.2 * np.abs(parameter).max()
    assert (np.abs(parameter[1:]) < 2 * error[1:]).all()
    assert np.std(parameter, ddof=1) <= error[1]


def test_cycles_are_legs_and_a_temperature_that_comes_again_is_no_repeat(hot_series):
    hot, again = (
        dataclasses.replace(hot_series[row], series_index=index, branch=branch, run_uid=f"{index}-cycle")
        for row, index, branch in ((0, 2, "cooling"), (4, 3, "heating"))
    )
    first = dataclasses.replace(hot_series[4], series_index=1)
    series = analyse_series([again, hot, first, hot_series[0]])
    assert series.scans.labels == ("320 K", "340 K", "320 K cooling", "340 K (2)")
    assert list(series.scans.legs) == [0, 0, 1, 2]
    assert [series.scans.leg_name(leg) for leg in range(3)] == ["heating", "cooling", "heating 2"]
    np.testing.assert_allclose(series.scans.path, [320.01, 340.01, 359.99, 380.01])
    assert np.isnan(series.order.repeat_error).all()
    np.testing.assert_allclose(series.order.parameter[[1, 2]], series.order.parameter[[3, 0]], atol=0.1)
    assert np.abs(series.fit.residual).max() < 1e-6


def test_the_reference_is_found_on_the_cooling_branch(hot_series):
    cooled = [
        dataclasses.replace(hot_series[row], series_index=index, branch="cooling" if index else "heating")
        for index, row in enumerate((5, 3, 0))
    ]
    series = analyse_series(cooled, expected=3)
    assert series.reference == "320 K cooling"
    assert series.final
    assert series.gauge.reference == 2
    assert series.order.parameter[2] == 0
    assert series.structure.domains[0].fractions["missing"] > 0.3


def test_unusable_series_are_refused_in_words(hot_series):
    with pytest.raises(ValueError, match="at least one scan result"):
        analyse_series([])
    with pytest.raises(ValueError, match="must be of one series"):
        analyse_series([hot_series[0], dataclasses.replace(hot_series[1], series_uid="other")])


def test_table_and_record_come_back(analysed, tmp_path):
    table, record = write_series(tmp_path, analysed)
    rows = read_order_parameter(tmp_path)
    assert [row["setpoint_K"] for row in rows] == list(analysed.scans.setpoints)
    assert [row["order_parameter_rad"] for row in rows] == list(analysed.order.parameter)
    assert all(row["trusted"] is True for row in rows)
    assert table.read_text().startswith("series_index,temperature_K,temperature_sigma_K,")
    assert '"final": true' in record.read_text()


def test_best_fit_is_exact_on_what_it_can_draw_and_smooths_noise():
    few = np.array([320.0, 325, 330, 335])
    np.testing.assert_allclose(best_fit(few, (few - 322) ** 2)(few), (few - 322) ** 2, atol=1e-8)
    two = np.array([320.0, 365])
    np.testing.assert_allclose(best_fit(two, two)(np.array([340.0])), 340)
    np.testing.assert_allclose(best_fit(two[:1], np.array([3.0]))(few), 3)
    many = np.linspace(320, 365, 30)
    true = -100 / (1 + np.exp(-(many - 340) / 4))
    noisy = true + np.random.default_rng(0).normal(0, 8, 30)
    assert np.std(best_fit(many, noisy)(many) - true) < 0.6 * np.std(noisy - true)
    branches = np.array([320.0, 325, 330, 335, 340, 340.1, 345, 350])
    assert np.isfinite(best_fit(branches, np.arange(8.0))(branches)).all()
