"""Which crystals are run: classes, their targets, and the order in which seeds are spent on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.phasing.benchmark.generator import BenchmarkPattern, benchmark_pattern


@dataclass(frozen=True)
class BenchmarkClass:
    """One class of crystals and the share of them that must be found.

    Parameters
    ----------
    name : str
    turns : float
        Peak-to-peak phase in units of π.
    photons : tuple of float
        At the peak; taken in turn.
    detector : bool
    target : float
        Least share of crystals with an overlap above 0.95.
    """

    name: str
    turns: float
    photons: tuple[float, ...]
    detector: bool
    target: float


def _classes() -> tuple[BenchmarkClass, ...]:
    kinds = (
        (2, (1e5, 1e6), "2π, 1e5–1e6", 0.99),
        (3, (1e4, 1e5, 1e6), "3π, 1e4–1e6", 0.95),
        (4, (1e4, 1e5, 1e6), "4π, 1e4–1e6", 0.85),
    )
    return tuple(
        BenchmarkClass(f"{label}, {'detector' if detector else 'plain'}", turns, photons, detector, target)
        for turns, photons, label, target in kinds
        for detector in (False, True)
    )


CLASSES = _classes()
"""Phase × photons, as point samples and as a detector measures them."""


@dataclass(frozen=True)
class Case:
    """One crystal to run: a seed, its class, and the photons at the peak."""

    seed: int
    kind: BenchmarkClass
    photons: float

    def pattern(self) -> BenchmarkPattern:
        """Make the pattern."""
        return benchmark_pattern(
            self.seed,
            peak_to_peak=self.kind.turns * np.pi,
            photons=self.photons,
            detector=self.kind.detector,
        )


def chosen_classes(words: str | None) -> tuple[BenchmarkClass, ...]:
    """Return the classes whose name holds any of the ``words`` (commas between), all where none are given."""
    wanted = [word.strip() for word in (words or "").split(",") if word.strip()]
    chosen = tuple(kind for kind in CLASSES if not wanted or any(word in kind.name for word in wanted))
    if not chosen:
        raise ValueError(f"the classes are {[kind.name for kind in CLASSES]!r}; none holds {words!r}")
    return chosen


def draw_cases(seeds: Sequence[int], count: int, classes: Sequence[BenchmarkClass] = CLASSES) -> list[Case]:
    """Return ``count`` cases, a seed each, classes in turn, so that a part of the list is balanced too."""
    if not 0 < count <= len(seeds):
        raise ValueError(f"between 1 and {len(seeds)} crystals can be drawn from these seeds; got {count!r}")
    cases = []
    for number in range(count):
        turn, which = divmod(number, len(classes))
        kind = classes[which]
        cases.append(Case(seeds[number], kind, kind.photons[turn % len(kind.photons)]))
    return cases
