import numpy as np
import pytest
from scipy import ndimage

from analysis.order_parameter import TWIN_MARGIN, fix_gauge
from analysis.order_parameter.two_objects import refine_origin, relative_ramp, without_ramp
from analysis.phasing.registration import shift, twin
from analysis.structure import isosurface, lost


def disguised(array, *, twinned=False, by=(0, 0, 0), ramp=(0, 0, 0), phase=0.0):
    """Return the same crystal as another start of phase retrieval might give it."""
    array = without_ramp(shift(array, np.array(by, dtype=float)), -np.array(ramp, dtype=float), -phase)
    return twin(array) if twinned else array


def holed(array, fraction):
    """Return ``array`` without one contiguous side, ``fraction`` of its voxels."""
    place = np.argwhere(np.abs(array) > 0)
    along = place @ np.array([0.5, 1.0, -0.7])
    result = array.copy()
    result[tuple(place[along > np.quantile(along, 1 - fraction)].T)] = 0
    return result


def banded(array):
    """Return an object that fades out before the edge of its band, as a pattern does within its crop."""
    return ndimage.gaussian_filter(array.real, 0.7) + 1j * ndimage.gaussian_filter(array.imag, 0.7)


def worst_phase(aligned, reference, used):
    return np.abs(np.angle(aligned * np.conj(reference)))[used].max()


DISGUISES = [
    {"phase": 2.0},
    {"by": (3.3, -2.6, 1.7)},
    {"ramp": (0.03, -0.05, 0.04)},
    {"twinned": True},
    {"twinned": True, "by": (-1.4, 2.2, 0.5), "ramp": (-0.04, 0.02, 0.03), "phase": -1.1},
]


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_copies_come_back_to_a_thousandth_of_a_radian(crystal, make_scan, disguise, missing):
    copy = disguised(holed(crystal, missing), **disguise)
    gauge = fix_gauge([make_scan(crystal, 320.0), make_scan(copy, 325.0)], 0)
    kept = np.abs(holed(crystal, missing)) > 0.1
    assert worst_phase(gauge.aligned[1], gauge.aligned[0], kept) < 1e-3
    assert gauge.twinned[1] == disguise.get("twinned", False)
    assert gauge.margin[1] > 4 * TWIN_MARGIN
    assert gauge.decided.all()


def test_the_reference_keeps_its_place_and_loses_only_its_mean(crystal, make_scan):
    gauge = fix_gauge([make_scan(disguised(crystal, ramp=(0.02, -0.03, 0.01), phase=1.0))], 0)
    plain = fix_gauge([make_scan(crystal)], 0)
    assert worst_phase(gauge.aligned[0], plain.aligned[0], np.abs(crystal) > 0.1) < 1e-3
    np.testing.assert_allclose(np.abs(gauge.aligned[0]), np.abs(crystal), atol=1e-4)
    assert gauge.q_axis == 1


def test_the_gauge_is_carried_by_neighbours_where_the_reference_no_longer_helps(hot_series, replaced):
    rng = np.random.default_rng(8)
    hidden = []
    for result in hot_series:
        array = result.object
        if result is not hot_series[0]:
            by, phase = rng.uniform(-1, 1, 3), rng.uniform(-3, 3)
            array = disguised(array, twinned=bool(rng.integers(2)), by=by, phase=phase)
        hidden.append(replaced(result, object=array.astype(np.complex64)))
    plain, found = fix_gauge(hot_series, 0), fix_gauge(hidden, 0)
    assert any(found.twinned)
    inside = plain.support & (np.abs(plain.aligned).min(axis=0) > 0.5)
    for row in range(len(hot_series)):
        assert worst_phase(found.aligned[row], plain.aligned[row], inside) < 2e-3, row
    assert found.neighbour == (0, 0, 1, 2, 3, 4)


def test_nobody_is_aligned_to_an_untrusted_neighbour(hot_series, replaced):
    rng = np.random.default_rng(1)
    rubbish = (rng.normal(size=(64, 64, 64)) + 0j).astype(np.complex64)
    results = list(hot_series)
    results[3] = replaced(results[3], object=rubbish, trusted=False)
    gauge = fix_gauge(results, 0)
    assert gauge.neighbour[4:] == (2, 4)


def test_cooling_follows_on_the_hot_end_of_heating(hot_series, replaced):
    cooling = [
        replaced(result, branch="cooling", run_uid="c" + result.run_uid) for result in hot_series[4:2:-1]
    ]
    gauge = fix_gauge([*hot_series, *cooling], 0)
    assert gauge.neighbour[6:] == (5, 6)


def test_an_undecided_twin_is_said(make_scan):
    """A crystal with a centre of symmetry is its own twin: nobody can tell."""
    x, y, z = np.meshgrid(*[np.arange(64) - 32] * 3, indexing="ij")
    body = (np.abs(x) < 14) & (np.abs(y) < 12) & (np.abs(z) < 13)
    array = body * np.exp(1j * (0.2 * np.sin(y / 4) + 0.1 * np.sin(x / 3)))
    gauge = fix_gauge([make_scan(array, 320.0), make_scan(array, 325.0)], 0)
    assert gauge.margin[1] < TWIN_MARGIN
    assert not gauge.decided[1]


def test_origin_is_exact_without_the_missing_half(crystal):
    by = np.array([0.4, -0.3, 0.6])
    found = refine_origin(shift(holed(crystal, 0.45), by), crystal, isosurface(crystal, 95))
    np.testing.assert_allclose(found, -by, atol=2e-4)


@pytest.mark.parametrize("width", [0.7, 1.3])
def test_soft_edges_of_a_missing_half_do_not_draw_the_origin_along(crystal, width):
    """A domain wall and the band limit soften them; the start is where the complex overlap puts it."""
    kept = (np.abs(holed(crystal, 0.45)) > 0) | (np.abs(crystal) == 0)
    worn = crystal * np.maximum(ndimage.gaussian_filter(kept.astype(float), width), 0.13)
    by = np.array([0.5, 1.3, -0.9])
    found = refine_origin(shift(worn, by), crystal, isosurface(crystal, 95))
    np.testing.assert_allclose(found, -by, atol=0.01)


@pytest.mark.parametrize("disguise", [DISGUISES[2], DISGUISES[4]])
def test_copies_on_slanted_voxels_without_half_their_density_give_one_answer(crystal, make_scan, disguise):
    """As detector coordinates have them: disguised there, compared on the orthogonal grid."""
    kept = (np.abs(holed(crystal, 0.45)) > 0) | (np.abs(crystal) == 0)
    worn = crystal * np.maximum(ndimage.gaussian_filter(kept.astype(float), 1.2), 0.13)
    crystal, worn = banded(crystal), banded(worn)
    slanted = {"voxel_basis": np.array([[28.7, 0, 0], [6.3, 52.0, 0], [0, 0, 51.3]])}
    first = make_scan(crystal, 320.0, **slanted)
    plain = fix_gauge([first, make_scan(worn, 325.0, **slanted)], 0)
    found = fix_gauge([first, make_scan(disguised(worn, **disguise), 325.0, **slanted)], 0)
    used = plain.support & ~lost(plain.aligned[1], plain.aligned[0], plain.support)
    assert np.count_nonzero(used) < 0.6 * np.count_nonzero(plain.support)
    assert worst_phase(found.aligned[1], plain.aligned[1], used) < 1e-3
    assert np.quantile(np.abs(np.angle(found.aligned[1] * np.conj(found.aligned[0])))[used], 0.9) < 0.02
    assert found.decided[1]


def test_ramp_is_exact_on_few_voxels(crystal):
    used = np.zeros(crystal.shape, dtype=bool)
    used[20:40, 25:38, 30:36] = True
    used &= np.abs(crystal) > 0
    truth = np.array([0.11, -0.07, 0.4])
    ramp, phase = relative_ramp(without_ramp(crystal, -truth, -0.8), crystal, used)
    np.testing.assert_allclose(ramp, truth, atol=1e-7)
    assert phase == pytest.approx(0.8, abs=1e-6)


def test_crops_of_different_size_and_empty_series_are_refused(crystal, make_scan):
    with pytest.raises(ValueError, match="one q-volume"):
        fix_gauge([make_scan(crystal), make_scan(crystal[:32], 325.0)], 0)
    with pytest.raises(ValueError, match="at least one scan result"):
        fix_gauge([], 0)
