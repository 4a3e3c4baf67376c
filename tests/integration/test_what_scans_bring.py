"""What scans of a real beamline bring along, made as files of the simulated crystal, and reconstructed."""

from pathlib import Path

import numpy as np
import pytest

from analysis.phasing.registration import align
from profile_collection.session.one_scan import reconstruct_file
from profile_collection.twin.config import DetectorConfig, TwinConfig
from profile_collection.twin.crystal import crystal
from profile_collection.twin.diffraction import Diffraction, photons_per_intensity
from profile_collection.twin.geometry import Pose
from profile_collection.twin.truth import TruthRecord, truth_objects

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REGION = (209, 305, 209, 305)
CONFIG = TwinConfig(detector=DetectorConfig(roi=REGION))
MU, ETA, CHI, PHI = CONFIG.mount.angles
POSE = Pose(MU, CHI, PHI, delta=2 * CONFIG.mount.theta, gam=0.0, energy=CONFIG.mount.energy)
GEOMETRY = f"""
instrument = "Diamond I16"
energy = {CONFIG.mount.energy}
distance = {CONFIG.detector.distance}
pixel_size = {CONFIG.detector.pixel_size}
centre = [{257 - REGION[0]}, {257 - REGION[2]}]
axis = "eta"
temperature = 320.0
[positions]
mu = {MU}
chi = {CHI}
phi = {PHI}
delta = {POSE.delta}
gam = 0.0
"""

STEPS = (
    "800 534 551 538 426 443 641 425 444 531 425 532 449 533 640 443 428 533 550 425 644 319 549 639 426 "
    "549 319 532 554 424 533 550 426 533 551 427 537 533 444 639 429 444 533 425 557 426 534 535 446 536 "
    "641 338 534 538 445 534 535 426 550 412"
)
"""1e-5 degrees between the 61 angles of an eta_fly scan of I16 (1109527)."""


def patterns(angles):
    """Return the expected counts at ``angles`` (n,), degrees: (n, rows, columns)."""
    state = crystal(CONFIG.crystal).state(320.0)
    return Diffraction(CONFIG, state, POSE).intensity(angles) * photons_per_intensity(CONFIG)


def reconstructed(folder, expected, angles):
    """Write counts of what is expected as a file, and reconstruct it."""
    counts = np.random.default_rng(5).poisson(expected + CONFIG.detector.background).astype(np.uint32)
    np.savez(folder / "scan.npz", counts=counts, angles=angles)
    (folder / "scan.toml").write_text(GEOMETRY, encoding="utf-8")
    return reconstruct_file(folder / "scan.npz", geometry=folder / "scan.toml").best


def overlap(result, angles, folder: Path):
    """Return the overlap of an object with the true one at the voxels of an even scan of ``angles``."""
    TruthRecord("", 0, 320.0, POSE, angles, CONFIG).write(folder / "truth.json")
    crop = (
        slice(first, first + size)
        for first, size in zip(result.parameters["crop_origin"], result.object.shape, strict=True)
    )
    return align(result.object, truth_objects(folder / "truth.json", *crop)["monoclinic"]).overlap


def test_angles_that_fall_and_stray_as_those_of_a_real_scan(tmp_path):
    angles = np.concatenate([[0.0], np.cumsum([1e-5 * int(step) for step in STEPS.split()])])
    angles = (ETA + angles - np.median(angles))[::-1]
    result = reconstructed(tmp_path, patterns(angles), angles)
    assert any("angles stray up to 0.5" in note and "interpolated" in note for note in result.notes)
    assert result.trusted
    even = np.polyval(np.polyfit(np.arange(60), angles[:-1], 1), np.arange(61))  # the last one is far off
    assert overlap(result, even, tmp_path) >= 0.98


def test_a_second_crystal_beside_the_first_and_a_background_that_grows(tmp_path):
    """The other peak lies beyond the crop; the background is 30 times what it was at the end."""
    angles = ETA + 0.01 * (np.arange(81) - 40)
    expected = 0.05 * patterns(angles)
    expected += 0.3 * np.roll(expected, (8, 40), axis=(0, 1))
    expected += np.linspace(0.1, 3.0, len(angles))[:, None, None]
    result = reconstructed(tmp_path, expected, angles)
    assert any("the background changes along the scan, from 0." in note for note in result.notes)
    assert any("another peak, of 30% of the counts, lies at point 49" in note for note in result.notes)
    assert result.trusted
    assert overlap(result, angles, tmp_path) >= 0.98
