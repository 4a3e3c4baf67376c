from dataclasses import replace

import numpy as np
import pytest

from analysis.unit_cells import VO2_M1, VO2_RUTILE, bragg_angle
from profile_collection.twin import CrystalConfig, DetectorConfig, TwinConfig
from profile_collection.twin.crystal import crystal
from profile_collection.twin.diffraction import Diffraction, blurred
from profile_collection.twin.geometry import Pose, pixel_q

D_M1, D_RUTILE = VO2_M1.d_spacing((0, 1, 1)), VO2_RUTILE.d_spacing((1, 1, 0))

POSE = Pose(0.0, 90.0, 0.0, 2 * bragg_angle(D_M1, 9.0), 0.0, 9.0)


def peak_position(crystal_config, region, etas, temperature=320.0):
    """Centre of mass (eta, row, column) of the point-sampled intensity."""
    config = TwinConfig(crystal=crystal_config, detector=DetectorConfig(quadrature=1, blur=0), threads=1)
    scan = Diffraction(config, crystal(crystal_config).state(temperature), POSE, region).intensity(etas)
    axes = np.meshgrid(etas, np.arange(*region[:2]), np.arange(*region[2:]), indexing="ij")
    return np.array([(scan * a).sum() for a in axes]) / scan.sum()


def test_a_rutile_only_crystal_obeys_bragg():
    m1 = CrystalConfig(size=(600.0, 700.0, 500.0), displacement=0, rutile_fraction=0.0)
    rutile = replace(m1, rutile_fraction=1.0)
    etas = 17.8 + 0.01 * np.arange(-24.0, 25.0)
    theta_m1, theta_r = bragg_angle(D_M1, 9.0), bragg_angle(D_RUTILE, 9.0)
    rows = 1310 / 0.055 * np.tan(np.radians(2 * (theta_m1 - theta_r)))
    at_m1 = peak_position(m1, (227, 288, 227, 288), etas)
    at_rutile = peak_position(rutile, (182, 243, 227, 288), etas - (theta_m1 - theta_r))
    assert rows == pytest.approx(45, abs=0.6)
    steps, along_rows, along_columns = (at_m1 - at_rutile) / np.array([0.01, 1, 1])
    assert steps == pytest.approx((theta_m1 - theta_r) / 0.01, abs=0.03)
    assert steps == pytest.approx(5.4, abs=0.1)
    assert along_rows == pytest.approx(rows, abs=0.15)
    assert along_columns == pytest.approx(0, abs=0.05)


def test_thermal_expansion_moves_the_peak():
    flat = CrystalConfig(size=(600.0, 700.0, 500.0), displacement=0, rutile_fraction=0.0, m2_fraction=0.0)
    etas = 17.8 + 0.01 * np.arange(-24.0, 25.0)
    moved = np.diff([peak_position(flat, (222, 283, 227, 288), etas, t) for t in (320.0, 365.0)], axis=0)[0]
    theta = np.radians(bragg_angle(D_M1, 9.0))
    strain = 1.5e-5 * 45
    assert moved[0] == pytest.approx(-np.degrees(np.tan(theta) * strain), abs=3e-4)
    assert moved[1] == pytest.approx(-2 * np.tan(theta) * strain * 1310 / 0.055, abs=0.15)
    assert moved[2] == pytest.approx(0, abs=0.01)


def test_pixel_area_against_a_fine_sum():
    """Fringes of a 1.8 µm side are 1.8 pixels wide: the nodes must still integrate them."""
    config = TwinConfig(
        crystal=CrystalConfig(size=(200.0, 400.0, 1800.0)), detector=DetectorConfig(blur=0), threads=1
    )
    state, region, etas = crystal(config.crystal).state(320.0), (247, 267, 237, 277), np.array([17.8, 17.82])
    rows, columns = np.mgrid[247:267, 237:277].astype(float)
    scatterer = Diffraction(config, state, POSE, region).scatterer
    fine = np.zeros((2, *rows.shape))
    steps = (np.arange(8) + 0.5) / 8 - 0.5
    for a in steps:
        for b in steps:
            q_lab = pixel_q(config.detector, POSE, rows + a, columns + b)
            for i, eta in enumerate(etas):
                q = q_lab @ POSE.lab_to_crystal(config.mount, eta).T
                fine[i] += np.abs(scatterer.amplitude(q)) ** 2 / 64

    def error(nodes):
        detector = replace(config.detector, quadrature=nodes)
        return np.abs(
            Diffraction(replace(config, detector=detector), state, POSE, region).intensity(etas) - fine
        ).max()

    assert error(1) > 0.03 * fine.max()
    assert error(2) < 0.01 * fine.max()
    assert error(3) < 0.005 * fine.max()


def test_single_samples_only_far_from_the_peak():
    config = TwinConfig(crystal=CrystalConfig(size=(200.0, 250.0, 300.0)), threads=1)
    frame = Diffraction(config, crystal(config.crystal).state(320.0), POSE)
    assert frame.samples.near.sum() == 193**2
    assert frame.samples.near[257, 257]
    assert frame.points_per_frame == 515**2 + 3 * 193**2


def test_the_blur_is_a_gaussian_of_that_width():
    sigma = 0.3
    rows, columns = np.mgrid[:64, :80].astype(float)
    wide = 2.0
    spot = np.exp(-((rows - 30) ** 2 + (columns - 41) ** 2) / (2 * wide**2))
    broader = wide**2 + sigma**2
    expected = wide**2 / broader * np.exp(-((rows - 30) ** 2 + (columns - 41) ** 2) / (2 * broader))
    np.testing.assert_allclose(blurred(spot.astype(np.float32), sigma), expected, atol=1e-5)
