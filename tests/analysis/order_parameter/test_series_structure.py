import numpy as np
import pytest

from analysis.geometry import reciprocal_steps
from analysis.order_parameter import analyse_series, bragg_shift, fix_gauge
from analysis.order_parameter.two_objects import without_ramp
from analysis.phasing.registration import twin
from analysis.results import read_order_parameter, read_series, write_series
from analysis.structure import Domain


@pytest.fixture(scope="module")
def pair(crystal, make_scan):
    """Return 320 K and a 345 K that lost 44 % of its voxels and whose peak moved, twinned at that."""
    ramp = np.array([0.02, -0.05, 0.01])
    gone = np.indices(crystal.shape)[1] > 33
    hot = without_ramp(crystal, -ramp, 0.4) * np.where(gone, 0.12, 1.0)
    scans = [make_scan(crystal, 320.0, d_spacing_error=3e-6), make_scan(twin(hot), 345.0)]
    return scans, ramp


def test_the_ramp_that_was_taken_out_is_the_shift_of_the_bragg_peak(pair):
    scans, ramp = pair
    gauge = fix_gauge(scans, 0)
    first = scans[0]
    # A ramp of 2π/n per voxel is one step of q.
    steps = reciprocal_steps(first.voxel_basis, first.object.shape)
    moved = steps @ (ramp * np.array(first.object.shape) / (2 * np.pi))
    expected = np.linalg.norm(first.q_vector + moved) - np.linalg.norm(first.q_vector)
    assert abs(expected) > 4e-5
    np.testing.assert_allclose(bragg_shift(scans, gauge), [0, expected], atol=2e-8)


def test_the_shift_does_not_depend_on_where_the_crop_was_cut(crystal, make_scan):
    """A crop one row further on moves q_vector by a step and the object's ramp back by it."""
    first = make_scan(crystal, 320.0)
    step = reciprocal_steps(first.voxel_basis, crystal.shape)[:, 1]
    ramp = np.array([0, 2 * np.pi / 64, 0])
    later = make_scan(without_ramp(crystal, ramp, 0.0), 325.0, q_vector=first.q_vector + step)
    shift = bragg_shift([first, later], fix_gauge([first, later], 0))
    np.testing.assert_allclose(shift, 0, atol=1e-9)


def test_the_series_stores_domains_and_both_spacings(pair, tmp_path):
    scans, _ = pair
    series = analyse_series(scans, expected=2)
    missing = [found.fractions["missing"] for found in series.structure.domains]
    lost = series.structure.domains[1].labels == Domain.MISSING
    assert missing[0] == 0
    assert missing[1] == pytest.approx(0.44, abs=0.02)
    assert series.structure.domains[1].false_alarm_rate < 0.01
    assert not lost[~series.gauge.support].any()
    write_series(tmp_path, series)
    rows, record = read_order_parameter(tmp_path), read_series(tmp_path)
    assert rows[1]["missing_fraction"] == pytest.approx(missing[1])
    assert rows[0]["d_spacing_error_angstrom"] == 3e-6
    assert rows[1]["d_spacing_ramp_angstrom"] == pytest.approx(series.lattice.d_spacing_ramp[1])
    assert rows[1]["d_spacing_ramp_angstrom"] > rows[0]["d_spacing_angstrom"] + 5e-5
    assert record["temperatures"][1]["missing_false_alarm_rate"] < 0.01
    assert record["temperatures"][1]["d_spacing_error_angstrom"] is None
    islands = record["structure"][1]["domains"]["islands"]["missing"]
    assert islands["count"] == 1
    assert islands["volumes_nm3"][0] == pytest.approx(
        lost.sum() * abs(np.linalg.det(series.gauge.basis)), rel=0.02
    )
    shells = record["structure"][1]["surface_bulk"]
    assert shells["surface"]["voxels"] + shells["bulk"]["voxels"] <= (series.gauge.support & ~lost).sum()
    assert rows[1]["surface_strain_sigma"] == shells["surface"]["sigma"]
