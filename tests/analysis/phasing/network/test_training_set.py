import numpy as np
import pytest
import torch

from analysis.phasing.network import training_data
from analysis.phasing.network.crystals import (
    BOX,
    FIELD_OF_VIEW,
    CrystalConfig,
    fit_to_extent,
    polyhedron,
    random_crystal,
)
from analysis.phasing.network.model import ORIENTATIONS, orient, orient_back, twin
from analysis.phasing.network.training_data import (
    TRAINING_SEED,
    VALIDATION_SEED,
    DetectorConfig,
    TrainingSetConfig,
    band_limited_amplitude,
    simulate,
    simulate_block,
)

CLEAN = DetectorConfig(
    photons=(1e6, 1e6), blur_share=0, background_share=0, gap_share=0, dead_share=0, off_centre=0
)
CUBE = (np.concatenate([np.eye(3), -np.eye(3)]), np.ones(6))


def modulus(obj: torch.Tensor) -> torch.Tensor:
    return torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(obj))).abs()


def test_a_block_is_a_function_of_seed_and_number():
    config = TrainingSetConfig()
    one, same = simulate_block(config, 3, 2), simulate_block(config, 3, 2)
    other, held_out = (
        simulate_block(config, 4, 2),
        simulate_block(TrainingSetConfig(seed=VALIDATION_SEED), 3, 2),
    )
    assert torch.equal(one.counts, same.counts)
    assert torch.equal(one.truth, same.truth)
    assert not torch.equal(one.counts, other.counts)
    assert not torch.equal(one.counts, held_out.counts)
    assert TRAINING_SEED != VALIDATION_SEED


def test_the_polyhedron_spans_the_extents_asked_for():
    extent = np.array([0.6, 0.3, 0.15])
    density = polyhedron(*fit_to_extent(*CUBE, extent), edge=1.0)
    for axis, wanted in enumerate(extent):
        profile = density.amax(dim=[a for a in range(3) if a != axis])
        assert float(profile.sum()) == pytest.approx(wanted * FIELD_OF_VIEW, abs=0.6)
    assert float(density.sum()) == pytest.approx(np.prod(extent) * FIELD_OF_VIEW**3, rel=0.05)


def test_crystals_stay_in_their_box_and_below_the_phase_asked_for():
    rng = np.random.default_rng(VALIDATION_SEED)
    config = CrystalConfig(domain_share=0, missing_share=0, max_phase=np.pi)
    for _ in range(5):
        crystal = random_crystal(rng, config)
        inside = crystal.abs() > 0.6
        assert crystal.shape == (BOX,) * 3
        assert 8 < int(inside.sum()) < (0.67 * FIELD_OF_VIEW) ** 3
        assert float(crystal.angle()[inside].abs().max()) <= np.pi + 1e-3
        steps = torch.angle(crystal[1:] * crystal[:-1].conj())[inside[1:] & inside[:-1]]
        assert float(steps.abs().max()) <= config.max_gradient + 1e-4


def test_marginal_crystals_fill_the_box_as_the_papers_crystal_does():
    rng = np.random.default_rng(VALIDATION_SEED + 1)
    config = CrystalConfig(marginal_share=1, domain_share=0, missing_share=0)
    for _ in range(5):
        inside = random_crystal(rng, config).abs() > 0.3
        for axis in range(3):
            occupied = inside.movedim(axis, 0).flatten(1).any(dim=1)
            assert 0.44 < float(occupied.sum()) / FIELD_OF_VIEW < 0.70


def test_a_uniform_box_diffracts_as_the_sinc_product_of_theory():
    # 12 voxels wide in a field of view of 48: zeros of the sinc at every fourth voxel of q.
    density = torch.zeros((BOX,) * 3, dtype=torch.complex64)
    density[12:24, 12:24, 12:24] = 1
    amplitude = band_limited_amplitude(density, np.zeros(3))
    q = np.arange(-16, 16) / FIELD_OF_VIEW
    dirichlet = np.where(q == 0, 12, np.sin(np.pi * q * 12) / np.sin(np.pi * np.where(q == 0, 0.5, q)))
    expected = dirichlet[:, None, None] * dirichlet[:, None] * dirichlet
    np.testing.assert_allclose(amplitude.real.numpy(), expected, atol=2e-3)
    np.testing.assert_allclose(amplitude.imag.numpy(), 0, atol=2e-3)


def test_truth_explains_the_noiseless_pattern_and_noise_is_poisson():
    rng = np.random.default_rng(VALIDATION_SEED + 2)
    pattern = simulate(random_crystal(rng), rng, CLEAN)
    predicted = modulus(pattern.truth)
    predicted *= (predicted * pattern.modulus).sum() / predicted.square().sum()
    torch.testing.assert_close(predicted, pattern.modulus, rtol=1e-3, atol=1e-2)
    assert float(pattern.modulus.max() ** 2) == pytest.approx(1e6, rel=1e-3)
    expected = pattern.modulus**2
    bright = expected > 30
    pulls = ((pattern.counts - expected) / expected.sqrt())[bright]
    assert float(pulls.std()) == pytest.approx(1, abs=0.1)
    assert not bool(pattern.mask.any())


def test_the_object_is_centred_on_its_mass():
    rng = np.random.default_rng(VALIDATION_SEED + 3)
    weight = simulate(random_crystal(rng), rng, CLEAN).truth.abs() ** 2
    for axis in range(3):
        profile = weight.sum(dim=[a for a in range(3) if a != axis])
        assert float((profile * torch.arange(32)).sum() / profile.sum()) == pytest.approx(16, abs=0.15)


def test_a_full_pixel_blurs_as_a_fine_sum_over_its_area():
    rng = np.random.default_rng(VALIDATION_SEED + 4)
    density = random_crystal(rng, CrystalConfig(size_range=(0.3, 0.5), max_phase=2.0))
    amplitude = band_limited_amplitude(density, np.zeros(3))
    truth = torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(amplitude)))
    blurred = blurred_full_pixel(truth)
    # Brute force: the mean of the intensity over 5^3 points of each voxel's volume.
    position = (torch.arange(32) - 16) / 32
    total = torch.zeros_like(blurred)
    offsets = (np.arange(5) - 2) / 5
    for a in offsets:
        for b in offsets:
            for c in offsets:
                ramp = a * position[:, None, None] + b * position[:, None] + c * position
                total += modulus(truth * torch.exp(-2j * np.pi * ramp)) ** 2 / 125
    error = float((blurred - total).abs().sum() / total.sum())
    assert error < 0.02
    sharp = modulus(truth) ** 2
    assert float((sharp - total).abs().sum() / total.sum()) > 3 * error


def blurred_full_pixel(truth: torch.Tensor) -> torch.Tensor:
    class FullPixel:
        """Stands in for the generator: full pixel (first draw), no coherence blur (second draw)."""

        def __init__(self):
            self.draws = iter([0.0, 1.0])

        def random(self):
            return next(self.draws)

    return training_data._blurred(truth, FullPixel(), DetectorConfig())


def test_unmeasured_voxels_are_zero_and_flagged():
    rng = np.random.default_rng(VALIDATION_SEED + 5)
    config = DetectorConfig(gap_share=1, dead_share=1, background_share=1, max_background=5)
    pattern = simulate(random_crystal(rng), rng, config)
    assert 0 < int(pattern.mask.sum()) < 32**3 / 4
    assert float(pattern.counts[pattern.mask].abs().max()) == 0
    assert not bool(pattern.mask[16, 16, 16])


@pytest.mark.parametrize("number", [0, 1, 17, 30, 47])
def test_orientations_undo_and_turn_pattern_and_object_together(number):
    rng = np.random.default_rng(number)
    obj = torch.from_numpy(rng.normal(size=(8, 8, 8)) + 1j * rng.normal(size=(8, 8, 8)))
    turned = orient(obj, number)
    torch.testing.assert_close(orient_back(turned, number), obj)
    torch.testing.assert_close(modulus(turned), orient(modulus(obj), number))


def test_the_48_orientations_differ():
    obj = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 4, 4)))
    images = {tuple(orient(obj, number).flatten().tolist()) for number in range(len(ORIENTATIONS))}
    assert len(images) == 48


def test_the_twin_has_the_same_intensity():
    rng = np.random.default_rng(1)
    obj = torch.from_numpy(rng.normal(size=(8, 8, 8)) + 1j * rng.normal(size=(8, 8, 8)))
    torch.testing.assert_close(modulus(twin(obj)), modulus(obj))
    assert float((twin(obj) - obj).abs().max()) > 0.1
