"""The training set: blocks of simulated patterns, each a pure function of (seed, block number).

Seeds: training uses `TRAINING_SEED` and up (1000 to 1999), validation `VALIDATION_SEED` and up (2000 to
2999). Judging and benchmarks must use neither; they have their own generator and their own seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from analysis.phasing.crystals import CrystalConfig, random_crystal
from analysis.phasing.orientations import orient
from analysis.phasing.patterns import DetectorConfig, simulate

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
