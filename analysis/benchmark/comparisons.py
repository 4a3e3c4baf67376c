"""The same patterns phased from different starts: with and without the network, and from several seeds.

Policies of starts are compared on benchmark crystals, seeds on one measured rocking scan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy import ndimage

from analysis.benchmark.generator import Case
from analysis.benchmark.judge import overlap_with_truth
from analysis.phasing import reconstruct
from analysis.phasing.config import DEFAULT, TrustConfig
from analysis.phasing.counting import least_bend, lone_share, not_counted, not_poisson
from analysis.phasing.network.pretrained import load_pretrained
from analysis.phasing.pattern import Pattern
from analysis.phasing.reconstruction import Reconstruction, checked_pattern, from_guesses, from_network
from analysis.phasing.registration import align
from analysis.phasing.starts import Guesses

POLICIES = ("no network", "network, not fine-tuned", "network, fine-tuned at last")
"""Where the starts of a search come from; the last is what `reconstruct` does."""

ALONE = {"the network alone": 0, "the network, transfer learning": DEFAULT.transfer.epochs}
"""Without a search (``reconstruct(…, method="network")``), and the epochs of transfer learning."""


@dataclass(frozen=True)
class Outcome:
    """One crystal under one policy.

    Parameters
    ----------
    policy : str
    seed, kind : int, str
        Of the case.
    overlap : float
        With the truth.
    trusted : bool
    iterations : int
        On the coarsest level.
    cpu_seconds : float
    """

    policy: str
    seed: int
    kind: str
    overlap: float
    trusted: bool
    iterations: int
    cpu_seconds: float


def compare(cases: Sequence[Case], policies: Sequence[str] = (*ALONE, *POLICIES)) -> Iterator[Outcome]:
    """Phase each of ``cases`` under each of ``policies``, same seed, in turn: `ALONE` without a search."""
    for case in cases:
        made = case.pattern()
        pattern = checked_pattern(made.counts, **made.arguments())
        for policy in policies:
            began = time.process_time()
            found = _phased(pattern, policy, case.seed)
            used = time.process_time() - began
            reached = overlap_with_truth(found, made)
            yield Outcome(policy, case.seed, case.kind.name, reached, found.trusted, found.iterations, used)


def _phased(pattern: Pattern, policy: str, seed: int) -> Reconstruction:
    if policy == POLICIES[0]:
        return from_guesses(pattern, (), seed)
    pretrained = load_pretrained()
    if policy in ALONE:
        epochs = replace(DEFAULT.transfer, epochs=ALONE[policy])
        return from_network(pretrained, pattern, seed, config=replace(DEFAULT, transfer=epochs))
    guesses = Guesses(pretrained, pattern, seed, transfer=policy == POLICIES[2])
    return from_guesses(pattern, guesses, seed, pretrained.hash)


MADE: dict[str, Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]] = {
    "counts": lambda c, rng: c,
    "counts, a tenth of them": lambda c, rng: rng.binomial(c.astype(np.int64), 0.1),
    "counts, a hundredth of them": lambda c, rng: rng.binomial(c.astype(np.int64), 0.01),
    "counts with a background of 0.5": lambda c, rng: c + rng.poisson(0.5, c.shape),
    "counts with a background of 15": lambda c, rng: c + rng.poisson(15.0, c.shape),
    "1 subtracted, cut at 0": lambda c, rng: np.maximum(c - 1, 0),
    "a background of 0.5 subtracted, cut at 0": lambda c, rng: np.maximum(
        c + rng.poisson(0.5, c.shape) - 0.5, 0
    ),
    "a background of 2 subtracted, cut at 0": lambda c, rng: np.maximum(c + rng.poisson(2.0, c.shape) - 2, 0),
    "a background of 5 subtracted, cut at 0": lambda c, rng: np.maximum(c + rng.poisson(5.0, c.shape) - 5, 0),
    "a background of 20 subtracted, cut at 0": lambda c, rng: np.maximum(
        c + rng.poisson(20.0, c.shape) - 20, 0
    ),
    "times 0.7": lambda c, rng: 0.7 * c,
    "times 1.3": lambda c, rng: 1.3 * c,
    "times 1.3, rounded": lambda c, rng: np.rint(1.3 * c),
    "times 0.9, rounded": lambda c, rng: np.rint(0.9 * c),
    "times 0.7, rounded": lambda c, rng: np.rint(0.7 * c),
    "2 and less set to 0": lambda c, rng: np.where(c <= 2, 0, c),
    "square roots": lambda c, rng: np.sqrt(c),
    "logarithms, log(1 + counts)": lambda c, rng: np.log1p(c),
    "over 30": lambda c, rng: c / 30,
    "over 30, rounded": lambda c, rng: np.rint(c / 30),
    "over the largest": lambda c, rng: c / c.max(),
    "over the monitor of each frame": lambda c, rng: c / rng.normal(1, 0.02, (len(c), 1, 1)),
    "over a flat field": lambda c, rng: c / rng.normal(1, 0.1, (1, *c.shape[1:])),
    "smoothed, σ 0.7 voxels": lambda c, rng: ndimage.gaussian_filter(c, 0.7),
    "mean of 3³ voxels": lambda c, rng: ndimage.uniform_filter(c, 3),
    "half a voxel on, linearly": lambda c, rng: ndimage.shift(c, 0.5, order=1),
    "half a voxel on, by splines, cut at 0": lambda c, rng: np.maximum(ndimage.shift(c, 0.5, order=3), 0),
    "by splines, rounded": lambda c, rng: np.maximum(np.rint(ndimage.shift(c, 0.5, order=3)), 0),
}
"""What people hand over for counts, made of counts."""


def counts_table(cases: Sequence[Case], limits: TrustConfig = DEFAULT.trust) -> Table:
    """Return of `MADE` of each of ``cases`` the share of lone neighbours (`counting.lone_share`).

    Beside it their least bends (`counting.least_bend`), and the share that is found to be no counts by
    anything that is asked.
    """
    found: dict[str, list[float]] = {name: [] for name in MADE}
    bends: dict[str, list[float]] = {name: [] for name in MADE}
    refuted: dict[str, list[bool]] = {name: [] for name in MADE}
    for case in cases:
        made = case.pattern()
        counts = np.asarray(made.counts, np.float64)
        for name, change in MADE.items():
            given = change(counts, np.random.default_rng(case.seed))
            share = lone_share(given, made.mask, limits)
            found[name] += [] if share is None else [share]
            bends[name].append(least_bend(given, made.mask, limits))
            words = (*not_counted(given, made.mask, limits), *not_poisson(given, made.mask, limits))
            refuted[name].append(bool(words))
    limit = limits.most_lone
    table = Table("what is given", "of", "least", "median", "most", f"above {limit:g}", "bends", "no counts")
    for name, values in found.items():
        beyond = f"{np.mean([v > limit for v in values]):.1%}" if values else "–"
        least, median, most = (f"{q:.3f}" for q in np.quantile(values or [np.nan], [0, 0.5, 1]))
        bent = f"{min(bends[name], default=np.nan):.2f}–{max(bends[name], default=np.nan):.2f}"
        no_counts = f"{np.mean(refuted[name]):.1%}" if cases else "–"
        table.add_row(name, f"{len(values)} of {len(cases)}", least, median, most, beyond, bent, no_counts)
    return table


CHI_SQUARED, AGREEING = 0.015, 0.98
"""Largest χ² and least overlap between any two seeds that are wanted."""


@dataclass(frozen=True)
class MeasuredRow:
    """What one seed came to; ``overlap`` is the least with a seed before it, NaN for the first."""

    seed: int
    chi_squared: float
    noise_ratio: float
    agreement: float
    trusted: bool
    overlap: float
    cpu_seconds: float

    @property
    def passed(self) -> bool:
        """Whether it is trusted, explains the counts and agrees with the seeds before it."""
        return self.trusted and self.chi_squared <= CHI_SQUARED and not self.overlap < AGREEING


def around_peak(counts: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    """Cut ``shape`` voxels out of (points, rows, cols) counts, the brightest at index n // 2.

    Raises
    ------
    ValueError
        So much was not measured about the peak.
    """
    peak = np.unravel_index(int(np.argmax(counts)), counts.shape)
    first = [int(p) - n // 2 for p, n in zip(peak, shape, strict=True)]
    if min(first) < 0 or any(a + n > m for a, n, m in zip(first, shape, counts.shape, strict=True)):
        raise ValueError(
            f"a crop of {shape} about the peak at {tuple(map(int, peak))} must lie in the {counts.shape} "
            "voxels measured; choose a smaller one with --crop"
        )
    return counts[tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))]


def measured_rows(
    counts: NDArray[Any], shape: tuple[int, int, int], seeds: Sequence[int]
) -> Iterator[MeasuredRow]:
    """Phase the crop of ``shape`` about the peak from each seed, and compare it with those before."""
    crop = around_peak(counts, shape)
    objects: list[NDArray[np.complex64]] = []
    for seed in seeds:
        began = time.process_time()
        found = reconstruct(crop, seed=seed)
        used = time.process_time() - began
        least = min((align(found.object, other).overlap for other in objects), default=float("nan"))
        objects.append(found.object)
        yield MeasuredRow(
            seed, found.chi_squared, found.noise_ratio, found.agreement, found.trusted, least, used
        )


def measured_table(rows: Sequence[MeasuredRow], shape: tuple[int, int, int]) -> Table:
    """Return the rows as a table."""
    table = Table(title=f"{shape}: trusted, χ² at most {CHI_SQUARED}, seeds alike to {AGREEING}")
    names = ("seed", "χ²", "noise ratio", "agreement", "least overlap", "trusted", "CPU s", "")
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            str(row.seed),
            f"{row.chi_squared:.4f}",
            f"{row.noise_ratio:.2f}",
            f"{row.agreement:.4f}",
            "" if np.isnan(row.overlap) else f"{row.overlap:.4f}",
            "yes" if row.trusted else "NO",
            f"{row.cpu_seconds:.0f}",
            "[green]✓[/]" if row.passed else "[red]✗[/]",
        )
    return table
