"""The training set: blocks of simulated patterns, each a pure function of (seed, block number).

From a complex density to what a detector counts, with all that spoils it, and the matching truth.

Seeds: training uses `TRAINING_SEED` and up (1000 to 1999), validation `VALIDATION_SEED` and up (2000 to
2999). Judging and benchmarks must use neither; they have their own generator and their own seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from analysis.phasing.network.crystals import FIELD_OF_VIEW, CrystalConfig, random_crystal
from analysis.phasing.network.model import orient

SIZE = 32


@dataclass(frozen=True)
class DetectorConfig:
    """What spoils the simulated patterns.

    Parameters
    ----------
    photons : tuple of float
        Range of the expected counts in the brightest voxel; drawn log-uniformly.
    blur_share : float
        Share of patterns with a pixel of finite width or partial coherence (both blur the intensity).
    max_coherence_blur : float
        Largest standard deviation of the coherence blur, voxels.
    background_share, max_background : float
        Share of patterns with a flat background, and its largest value in counts per voxel.
    gap_share, dead_share : float
        Shares of patterns with an unmeasured slab, and with dead detector pixels.
    off_centre : float
        Standard deviation of the distance between the centre of mass of the pattern and q = 0, voxels.
    """

    photons: tuple[float, float] = (1e3, 1e6)
    blur_share: float = 0.5
    max_coherence_blur: float = 0.35
    background_share: float = 0.5
    max_background: float = 0.3
    gap_share: float = 0.15
    dead_share: float = 0.2
    off_centre: float = 0.7


@dataclass(frozen=True)
class Pattern:
    """One training example; every tensor is (32, 32, 32), q = 0 and the object's centre at index 16.

    Parameters
    ----------
    counts : float32 tensor
        Measured counts; 0 where not measured.
    mask : bool tensor
        True where NOT measured.
    truth : complex64 tensor
        The band-limited object, amplitude about 1 inside; its squared amplitude is centred on its mass.
    modulus : float32 tensor
        Noiseless, unblurred square root of the intensity, in the units of `counts`.
    """

    counts: torch.Tensor
    mask: torch.Tensor
    truth: torch.Tensor
    modulus: torch.Tensor


def simulate(
    density: torch.Tensor, rng: np.random.Generator, config: DetectorConfig | None = None
) -> Pattern:
    """Diffract a complex density (cube of at most 48 voxels, complex64) and detect it."""
    config = config or DetectorConfig()
    amplitude = band_limited_amplitude(density, rng.normal(0, config.off_centre, 3).clip(-2, 2))
    truth = torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(amplitude)))
    intensity = _blurred(truth, rng, config) if rng.random() < config.blur_share else _squared(amplitude)
    low, high = np.log(config.photons)
    scale = float(np.exp(rng.uniform(low, high)) / intensity.max())
    background = 0.0
    if rng.random() < config.background_share:
        background = float(config.max_background * 10 ** rng.uniform(-2, 0))
    expected = (intensity * scale).clamp_min(0) + background
    counts = torch.from_numpy(rng.poisson(expected.numpy()).astype(np.float32))
    mask = unmeasured(rng, config)
    counts[mask] = 0
    return Pattern(counts, mask, truth * (SIZE / FIELD_OF_VIEW) ** 3, amplitude.abs() * scale**0.5)


def band_limited_amplitude(density: torch.Tensor, offset: np.ndarray) -> torch.Tensor:
    """Complex amplitude in the central 32 voxels of q, (32, 32, 32) complex64, q = 0 at index 16.

    The object is moved to its centre of mass (sub-voxel, a ramp in q) and the pattern's centre of mass to
    `offset` voxels from q = 0 (a ramp of the object's phase).
    """
    weight = _squared(density)
    index = torch.arange(density.shape[0], dtype=torch.float32)
    centre, ramp = [], torch.zeros(())
    for axis in range(3):
        profile = weight.sum(dim=[a for a in range(3) if a != axis])
        centre.append(float((profile * index).sum() / profile.sum()))
        here, there = density.narrow(axis, 0, len(index) - 1), density.narrow(axis, 1, len(index) - 1)
        slope = float(torch.angle((there * here.conj()).sum()))
        slope -= 2 * np.pi * float(offset[axis]) / FIELD_OF_VIEW
        ramp = ramp - slope * index.view([-1 if a == axis else 1 for a in range(3)])
    spectrum = torch.fft.fftn(density * torch.polar(torch.ones(()), ramp), s=(FIELD_OF_VIEW,) * 3)
    start = (FIELD_OF_VIEW - SIZE) // 2
    spectrum = torch.fft.fftshift(spectrum)[(slice(start, start + SIZE),) * 3]
    q = torch.arange(SIZE, dtype=torch.float32) - SIZE // 2
    shifts = [torch.polar(torch.ones(SIZE), 2 * np.pi * c / FIELD_OF_VIEW * q) for c in centre]
    return spectrum * (shifts[0][:, None, None] * shifts[1][:, None] * shifts[2])


def _blurred(truth: torch.Tensor, rng: np.random.Generator, config: DetectorConfig) -> torch.Tensor:
    """Intensity integrated over the voxel and blurred by partial coherence, (32, 32, 32) float32.

    On a grid twice as fine in q, three points with weights (v, 1 - 2 v, v) x 2 have the variance v / 2 of the
    kernel; for a full pixel (variance 1/12) this is Simpson's rule.
    """
    padded = torch.zeros((2 * SIZE,) * 3, dtype=torch.complex64)
    padded[(slice(SIZE // 2, SIZE // 2 + SIZE),) * 3] = truth
    fine = _squared(torch.fft.fftn(torch.fft.ifftshift(padded)))
    full_pixel, coherence = rng.random() < 0.7, rng.random() < 0.6
    for axis in range(3):
        width = 1.0 if full_pixel else rng.uniform(0, 1)
        sigma = rng.uniform(0, config.max_coherence_blur) if coherence else 0.0
        wing = 2 * (width**2 / 12 + sigma**2)
        odd, even = _every_second(fine, axis, 1), _every_second(fine, axis, 0)
        fine = (1 - 2 * wing) * even + wing * (odd + odd.roll(1, axis))
    return torch.fft.fftshift(fine)


def _squared(amplitude: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(amplitude).square().sum(-1)


def _every_second(array: torch.Tensor, axis: int, start: int) -> torch.Tensor:
    index = [slice(None)] * 3
    index[axis] = slice(start, None, 2)
    return array[tuple(index)]


def unmeasured(rng: np.random.Generator, config: DetectorConfig) -> torch.Tensor:
    """Draw a mask (32, 32, 32) bool: a detector gap off the centre, dead pixels (lines along axis 0)."""
    mask = torch.zeros((SIZE,) * 3, dtype=torch.bool)
    if rng.random() < config.gap_share:
        axis, width = int(rng.integers(0, 3)), int(rng.integers(1, 4))
        distance = int(rng.integers(4, SIZE // 2 - 3)) * int(rng.choice([-1, 1]))
        mask.narrow(axis, SIZE // 2 + distance, width)[...] = True
    if rng.random() < config.dead_share:
        for _ in range(int(rng.integers(1, 6))):
            row, column = rng.integers(0, SIZE, 2)
            mask[:, int(row), int(column)] = True
    return mask


TRAINING_SEED = 1000
VALIDATION_SEED = 2000


@dataclass(frozen=True)
class TrainingSetConfig:
    """What is simulated: crystals, detector, and the seed of the whole set."""

    seed: int = TRAINING_SEED
    crystal: CrystalConfig = field(default_factory=CrystalConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)


@dataclass(frozen=True)
class Batch:
    """Stacked patterns, each tensor (n, 32, 32, 32); see `patterns.Pattern` for their meaning."""

    counts: torch.Tensor
    mask: torch.Tensor
    truth: torch.Tensor
    modulus: torch.Tensor

    def __len__(self) -> int:
        return len(self.counts)

    def pick(self, index: np.ndarray | slice) -> Batch:
        """Select examples."""
        return Batch(self.counts[index], self.mask[index], self.truth[index], self.modulus[index])

    def oriented(self, orientation: int) -> Batch:
        """Apply one of the 48 axis permutations and reflections to patterns and objects together."""
        parts = (self.counts, self.mask, self.truth, self.modulus)
        return Batch(*(orient(part, orientation).contiguous() for part in parts))

    def to(self, device: torch.device) -> Batch:
        """Move to a device."""
        return Batch(*(part.to(device) for part in (self.counts, self.mask, self.truth, self.modulus)))


def simulate_block(config: TrainingSetConfig, block: int, size: int) -> Batch:
    """Simulate block number `block` of `size` patterns; the same arguments give the same patterns."""
    rng = np.random.default_rng([config.seed, block])
    patterns = [simulate(random_crystal(rng, config.crystal), rng, config.detector) for _ in range(size)]
    names = ("counts", "mask", "truth", "modulus")
    return Batch(*(torch.stack([getattr(pattern, name) for pattern in patterns]) for name in names))
