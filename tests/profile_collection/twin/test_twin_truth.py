import json
from dataclasses import replace

import numpy as np
import pytest

from analysis.unit_cells import VO2_M1, VO2_RUTILE, bragg_angle
from profile_collection.twin import (
    Clock,
    CrystalConfig,
    DetectorConfig,
    ThermalConfig,
    Twin,
    TwinConfig,
    truth_objects,
)

ETAS = np.round(17.8 + 0.01 * np.arange(-40, 41), 5)
CONFIG = TwinConfig(
    crystal=CrystalConfig(size=(500.0, 700.0, 800.0)),
    detector=DetectorConfig(roi=(150, 350, 200, 310), quadrature=1, blur=0),
    thermal=ThermalConfig(start=350.0, fluctuation=0.0),
    threads=1,
)

D_M1, D_RUTILE = VO2_M1.d_spacing((0, 1, 1)), VO2_RUTILE.d_spacing((1, 1, 0))


def truth_of(tmp_path, config, frames, rows, columns):
    twin = Twin(config, Clock())
    twin.write_truth(tmp_path / "truth.json", "uid", ETAS)
    return twin, truth_objects(tmp_path / "truth.json", frames, rows, columns)


def forward(item):
    return np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(item)))) ** 2


def test_the_truth_predicts_the_noiseless_point_sampled_frames(tmp_path):
    frames, rows, columns = slice(20, 61), slice(80, 133), slice(31, 84)
    twin, truth = truth_of(tmp_path, CONFIG, frames, rows, columns)
    measured = []
    for eta in ETAS[frames]:
        twin.set_axis("eta", float(eta))
        measured.append(twin.noiseless()[rows, columns])
    measured = np.stack(measured)
    assert truth["full"].shape == measured.shape == truth["rutile"].shape
    assert np.abs(forward(truth["full"]) - measured).max() < 1e-4 * measured.max()
    # At 350 K a third is rutile: the non-rutile density alone must not explain the frames.
    assert np.abs(forward(truth["monoclinic"]) - measured).max() > 1e-3 * measured.max()


def test_the_truth_is_the_crystal_with_phi_as_minus_its_argument(tmp_path):
    config = replace(CONFIG, thermal=ThermalConfig(start=320.0, fluctuation=0.0))
    _, truth = truth_of(tmp_path, config, slice(8, 72), slice(75, 139), slice(25, 89))
    expected = truth["support"] * np.exp(-1j * truth["phase"])

    def overlap(a, b):
        return abs(np.vdot(a, b)) / np.linalg.norm(a) / np.linalg.norm(b)

    assert overlap(truth["monoclinic"], expected) > 0.97
    assert overlap(truth["monoclinic"].conj(), expected) < 0.7
    assert np.linalg.norm(truth["voxel_basis"], axis=0) == pytest.approx((29, 52, 51), abs=1)
    assert np.linalg.norm(truth["q_vector"]) == pytest.approx(1.9594, abs=5e-4)


def test_rutile_is_missing_from_the_m1_band_and_full_in_a_wide_crop(tmp_path):
    columns = slice(41, 73)
    _, band = truth_of(tmp_path, CONFIG, slice(8, 72), slice(75, 139), columns)
    _, wide = truth_of(tmp_path, CONFIG, slice(8, 72), slice(23, 191), columns)

    def ratio(truth):
        amplitude, inside = np.abs(truth["full"]), truth["support"] > 0.95
        rutile, matrix = inside & (truth["rutile"] > 0.97), inside & (truth["rutile"] < 0.03)
        assert min(rutile.sum(), matrix.sum()) > 10
        return amplitude[rutile].mean() / amplitude[matrix].mean()

    assert ratio(band) < 0.25
    assert ratio(wide) > 0.8


def test_a_rutile_only_crystal_is_strained_by_plus_0_0043(tmp_path):
    flat = replace(CONFIG.crystal, displacement=0.0, rutile_fraction=1.0)
    config = replace(CONFIG, crystal=flat, thermal=ThermalConfig(start=320.0, fluctuation=0.0))
    _, truth = truth_of(tmp_path, config, slice(8, 72), slice(23, 191), slice(41, 73))
    item, inside = truth["full"], truth["support"] > 0.95
    slope = []
    for axis in range(3):
        step = np.roll(item, -1, axis) * item.conj()
        slope.append(-np.angle(step[inside & np.roll(inside, -1, axis)].sum()))
    gradient = np.linalg.solve(truth["voxel_basis"].T, slope)
    q = truth["q_vector"]
    strain = gradient @ q / np.linalg.norm(q) / (10 * 2 * np.pi / D_M1)
    assert strain == pytest.approx(1 - D_M1 / D_RUTILE, rel=0.01)
    assert strain == pytest.approx(0.0043, abs=5e-5)
    power = forward(item).sum(axis=(0, 2))
    lower = np.tan(2 * np.radians(bragg_angle(D_M1, 9) - bragg_angle(D_RUTILE, 9))) * 1310 / 0.055
    assert int(np.argmax(power)) - (257 - 150 - 23) == pytest.approx(-lower, abs=1.1)
    assert np.abs(truth["monoclinic"]).max() < 1e-3 * np.abs(item).max()


def test_a_crop_may_reach_beyond_the_scan(tmp_path):
    rows, columns = slice(90, 122), slice(40, 72)
    _, inside = truth_of(tmp_path, CONFIG, slice(0, 20), rows, columns)
    _, beyond = truth_of(tmp_path, CONFIG, slice(-5, 20), rows, columns)
    np.testing.assert_allclose(
        np.abs(beyond["amplitude"][5:]),
        np.abs(inside["amplitude"]),
        atol=1e-5 * np.abs(inside["amplitude"]).max(),
    )


def test_the_file_is_small_and_refused_if_not_ours(tmp_path):
    twin, path = Twin(CONFIG, Clock()), tmp_path / "deep" / "truth.json"
    twin.state()
    twin.write_truth(path, "uid", ETAS)
    assert path.stat().st_size < 20_000
    assert json.loads(path.read_text())["run_uid"] == "uid"
    other = tmp_path / "other.json"
    other.write_text('{"format": "something"}')
    with pytest.raises(ValueError, match=r"other\.json must be a file of the twin's write_truth"):
        truth_objects(other, slice(0, 8), slice(0, 8), slice(0, 8))
    with pytest.raises(ValueError, match="row_slice must have a start"):
        truth_objects(path, slice(0, 8), slice(None), slice(0, 8))
    with pytest.raises(ValueError, match="at least two finite positions"):
        twin.write_truth(path, "uid", [17.8])
