"""The diffractometer: names, UB from two reflections, and refusing a UB that contradicts Bragg's law."""

import dataclasses

import numpy as np
import pytest

from analysis import unit_cells
from profile_collection.devices.diffractometer import (
    HC,
    Lattice,
    OrientationReflection,
    check_orientation,
    orient,
    rotation_matrices,
    simulated_mount,
    ub_matrix,
)

VO2_M1 = Lattice(**dataclasses.asdict(unit_cells.VO2_M1))
MOUNT = simulated_mount(VO2_M1, 9.0, eta=17.8, first=(0, 1, 1))


def test_axes_have_plain_names_in_documents(beamline):
    axes = ["mu", "eta", "chi", "phi", "delta", "gam"]
    assert [list(getattr(beamline.diffractometer, axis).read()) for axis in axes] == [[axis] for axis in axes]


def test_lattice_is_the_one_the_analysis_knows():
    np.testing.assert_allclose(VO2_M1.b_matrix(), unit_cells.VO2_M1.b_matrix(), atol=1e-12)
    assert VO2_M1.bragg_angle((0, 1, 1), 9.0) == pytest.approx(12.404, abs=5e-4)


def test_angles_of_the_reflection(beamline):
    angles = beamline.diffractometer.forward(0, 1, 1)
    assert angles.eta == pytest.approx(17.8, abs=1e-3)
    assert angles.chi == pytest.approx(90, abs=1e-3)
    assert angles.delta == pytest.approx(24.807, abs=1e-3)
    assert (angles.mu, angles.phi, angles.gam) == pytest.approx((0, 0, 0), abs=1e-3)


@pytest.mark.parametrize("number", [0, 1])
def test_ub_puts_both_reflections_into_diffraction(beamline, number):
    """Z·UB·h = kf − ki of You (1999) at the angles where each reflection was found."""
    found = MOUNT[number]
    q = rotation_matrices(found.angles) @ np.array(ub_matrix(beamline.diffractometer)) @ found.hkl
    theta = np.radians(found.angles["delta"] / 2)
    k = 2 * np.pi * 9.0 / HC
    np.testing.assert_allclose(
        q, 2 * k * np.sin(theta) * np.array([np.cos(theta), -np.sin(theta), 0]), atol=1e-4
    )


def test_a_sample_without_its_ub_is_refused(beamline):
    """hklpy2's own trap: add_sample leaves UB as it was, and forward answers all the same."""
    diffractometer = beamline.diffractometer
    diffractometer.add_sample("other", **dataclasses.asdict(VO2_M1))
    with pytest.raises(ValueError, match=r"UB is wrong: delta of \(0, 1, 1\) must be 24\.80\d\d"):
        check_orientation(diffractometer, VO2_M1, MOUNT[0], energy=9.0)


def test_a_lattice_that_contradicts_the_detector_angle_is_refused(beamline):
    """Reflections are given as found; a check against another lattice must fail."""
    stretched = dataclasses.replace(VO2_M1, b=VO2_M1.b * 1.01)
    with pytest.raises(ValueError, match="UB is wrong: delta"):
        check_orientation(beamline.diffractometer, stretched, MOUNT[0], energy=9.0)


def test_reflections_that_do_not_fit_the_mode_are_refused(beamline):
    first, second = MOUNT
    turned = OrientationReflection(first.hkl, {**first.angles, "eta": 20.0, "chi": 60.0, "phi": 40.0})
    with pytest.raises(ValueError, match="UB is wrong: .* was at eta"):
        orient(beamline.diffractometer, VO2_M1, (turned, second), energy=9.0)


def test_a_reflection_out_of_reach_says_why():
    with pytest.raises(ValueError, match="cannot be reached at 2.0 keV"):
        VO2_M1.bragg_angle((0, 2, 2), 2.0)
