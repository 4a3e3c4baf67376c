"""Closed-form angles of the detector arm."""

import numpy as np
import pytest

from profile_collection.twin.config import DetectorConfig
from profile_collection.twin.geometry import Pose, pixel_q
from vo2_plans.alignment import Arm

ARM = Arm(1310.0, 0.055, (515, 515), (256, 257, 258))


@pytest.mark.parametrize("pixel", [(257, 257), (128, 128), (3.5, 400.25)])
@pytest.mark.parametrize("angles", [(24.8075, 0.0), (25.1, 0.34), (60.0, -4.0)])
def test_a_ray_comes_back_to_its_pixel(pixel, angles):
    ray = ARM.ray(pixel, delta=angles[0], gam=angles[1])
    assert np.linalg.norm(ray) == pytest.approx(1)
    assert ARM.angles(ray, pixel) == pytest.approx(angles)


def test_moving_a_ray_to_another_pixel():
    """Solved angles, put into the forward formula, let the ray hit the wanted pixel."""
    ray = ARM.ray((200.0, 310.0), delta=24.9, gam=0.1)
    delta, gam = ARM.angles(ray, (128.0, 128.0))
    assert ARM.ray((128.0, 128.0), delta=delta, gam=gam) == pytest.approx(ray)


def test_rows_grow_with_delta_and_columns_with_gam():
    middle = np.array(ARM.ray((257, 257), delta=24.8, gam=0.0))
    assert ARM.ray((257, 257), delta=24.9, gam=0.0)[0] > middle[0]
    assert ARM.ray((300, 257), delta=24.8, gam=0.0)[0] > middle[0]
    assert ARM.ray((257, 257), delta=24.8, gam=0.1)[2] > middle[2]
    assert ARM.ray((257, 300), delta=24.8, gam=0.0)[2] > middle[2]


@pytest.mark.parametrize("pixel", [(257.0, 257.0), (128.0, 128.0), (10.0, 500.0)])
def test_agrees_with_the_twins_own_geometry(pixel):
    """Written twice, independently: here as a ray, there as a momentum transfer."""
    pose = Pose(mu=0, chi=90, phi=0, delta=25.1, gam=0.34, energy=9.0)
    q = pixel_q(DetectorConfig(), pose, np.array(pixel[0]), np.array(pixel[1]))
    k = 2 * np.pi * 9.0 / 12.398419843320026
    np.testing.assert_allclose(
        k * (np.array(ARM.ray(pixel, delta=25.1, gam=0.34)) - [0, 1, 0]), q, atol=1e-12
    )


def test_unreachable_rays_say_so():
    with pytest.raises(ValueError, match="no position of the arm lets the ray"):
        ARM.angles((1.0, 0.0, 0.0), (257.0, 0.0))


def test_chips_and_gaps():
    assert ARM.chip_centre == (128.0, 128.0)
    assert ARM.distance_to_gap((128, 128)) == pytest.approx(127.5)
    assert ARM.distance_to_gap((128, 250)) == pytest.approx(5.5)
    assert ARM.distance_to_gap((257, 100)) < 0


def test_a_single_chip_has_no_gap_and_its_own_middle():
    timepix = Arm(500.0, 0.055, (256, 256))
    assert timepix.chip_centre == (127.5, 127.5)
    assert timepix.distance_to_gap((128, 128)) == float("inf")
