from dataclasses import replace

import numpy as np
import pytest

from analysis.unit_cells import VO2_M1, VO2_RUTILE, bragg_angle
from profile_collection.twin import TwinConfig
from profile_collection.twin.geometry import (
    Pose,
    about_x,
    about_z,
    bragg_pixel,
    crystal_axes,
    crystal_to_lab,
    pixel_q,
)

D_M1, D_RUTILE = VO2_M1.d_spacing((0, 1, 1)), VO2_RUTILE.d_spacing((1, 1, 0))

CONFIG = TwinConfig()
TWO_THETA = 2 * bragg_angle(D_M1, 9.0)
NOMINAL = Pose(0.0, 90.0, 0.0, TWO_THETA, 0.0, 9.0)


def q_at(pose, row, column):
    return pixel_q(CONFIG.detector, pose, np.array(row, dtype=float), np.array(column, dtype=float))


def test_nominal_mount_puts_m1_on_the_middle_of_the_detector():
    length = 2 * np.pi / D_M1
    q = crystal_to_lab(CONFIG.mount, *CONFIG.mount.angles) @ [0, length, 0]
    np.testing.assert_allclose(q_at(NOMINAL, 257, 257), q, atol=1e-12)
    assert bragg_pixel(CONFIG.detector, NOMINAL, q) == pytest.approx((257, 257), abs=1e-6)
    assert length == pytest.approx(1.9594, abs=5e-5)


def test_sampling_is_that_of_the_experiment():
    q = q_at(NOMINAL, 257, 257)
    assert np.linalg.norm(q_at(NOMINAL, 257, 258) - q) == pytest.approx(1.915e-4, abs=2e-7)
    stepped = (
        crystal_to_lab(CONFIG.mount, 0, 17.81, 90, 0) @ crystal_to_lab(CONFIG.mount, 0, 17.8, 90, 0).T @ q
    )
    assert np.linalg.norm(stepped - q) == pytest.approx(3.420e-4, abs=2e-7)


def test_row_grows_with_delta_and_column_with_gam():
    pixel = np.degrees(np.arctan(0.055 / 1310))
    moved = replace(NOMINAL, delta=TWO_THETA + 10 * pixel)
    np.testing.assert_allclose(q_at(moved, 247, 257), q_at(NOMINAL, 257, 257), atol=1e-9)
    in_plane = Pose(0.0, 90.0, 0.0, 0.0, 10 * pixel, 9.0)
    np.testing.assert_allclose(q_at(in_plane, 257, 247), [0, 0, 0], atol=1e-9)
    assert q_at(replace(NOMINAL, gam=1.0), 257, 257)[2] > 0


def test_crystal_axes_are_right_handed_and_eta_tilts_q_towards_x():
    axes = crystal_axes(CONFIG.mount)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    np.testing.assert_allclose(about_z(90) @ [0, 1, 0], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(about_x(90) @ [0, 1, 0], [0, 0, 1], atol=1e-12)


def test_bragg_pixel_does_not_move_along_the_rocking_curve():
    length = 2 * np.pi / D_RUTILE
    pixels = [
        bragg_pixel(CONFIG.detector, NOMINAL, crystal_to_lab(CONFIG.mount, 0, eta, 90, 0) @ [0, length, 0])
        for eta in (17.0, 17.8, 18.6)
    ]
    np.testing.assert_allclose(pixels, [pixels[1]] * 3, atol=1e-6)
    lower = 2 * np.radians(bragg_angle(D_M1, 9.0) - bragg_angle(D_RUTILE, 9.0))
    assert pixels[1][0] == pytest.approx(257 - np.tan(lower) * 1310 / 0.055, abs=0.01)


def test_a_mount_error_moves_the_peak():
    tilted = replace(CONFIG.mount, error=(0.0, 0.02, 0.0))
    q = crystal_to_lab(tilted, *tilted.angles) @ [0, 2 * np.pi / D_M1, 0]
    assert abs(q[2]) == pytest.approx(1.9594 * np.radians(0.02) * np.cos(np.radians(12.404)), rel=1e-3)
