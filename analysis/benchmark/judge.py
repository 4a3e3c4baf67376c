"""Run the cases of a benchmark, and what their rows say together.

A CSV row for each case as it finishes, so that an interrupted run continues; shares with intervals,
medians, and how far trust can be trusted.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from analysis.benchmark.baseline import plain_phasing
from analysis.benchmark.generator import BenchmarkPattern, Case
from analysis.phasing.projections import fixed_threads
from analysis.phasing.reconstruction import THREADS, Reconstruction, reconstruct
from analysis.phasing.registration import overlap
from analysis.phasing.trust import compactness, effective_voxels, oversampling


@dataclass(frozen=True)
class Row:
    """What came of one crystal.

    Parameters
    ----------
    seed, kind, turns, photons, detector : int, str, float, float, bool
        Of the case; ``kind`` is the name of its class, ``turns`` the phase in units of π.
    shape, field, coherence : str, str, float
        Of the crystal and its pattern.
    extent_0, extent_1, extent_2 : float
        Shares of the field of view that the crystal fills.
    draws : int
        Crystals drawn until the pattern could hold one.
    overlap : float
        With the truth, after twin, sub-voxel shift, ramp and global phase are removed.
    trusted, reasons : bool, str
    agreement, noise_ratio, chi_squared, compactness, oversampling, effective_voxels, filled : float
        What trust may rest on; the oversampling is the least of the three axes.
    origin, iterations : str, int
    cpu_seconds, wall_seconds : float
        Of one call of `reconstruct`.
    baseline_overlap, baseline_chi_squared, baseline_cpu_seconds, baseline_starts : float, float, float, int
        Of plain HIO, ER and shrink wrap with the same CPU seconds; 0 starts where it was not run.
    weights_hash : str
    """

    seed: int
    kind: str
    turns: float
    photons: float
    detector: bool
    shape: str
    field: str
    coherence: float
    extent_0: float
    extent_1: float
    extent_2: float
    draws: int
    overlap: float
    trusted: bool
    reasons: str
    agreement: float
    noise_ratio: float
    chi_squared: float
    compactness: float
    oversampling: float
    effective_voxels: float
    filled: float
    origin: str
    iterations: int
    cpu_seconds: float
    wall_seconds: float
    baseline_overlap: float
    baseline_chi_squared: float
    baseline_cpu_seconds: float
    baseline_starts: int
    weights_hash: str

    @property
    def data(self) -> str:
        """Return how the pattern was measured, the last word of its class: plain, detector or measured."""
        return self.kind.rsplit(", ", 1)[-1]


def judge(case: Case) -> Row:
    """Reconstruct one crystal and compare it with its truth."""
    pattern = case.pattern()
    began = time.process_time()
    found = reconstruct(pattern.counts, seed=case.seed, **pattern.arguments())
    used = time.process_time() - began
    return Row(
        seed=case.seed,
        kind=case.kind.name,
        turns=case.kind.turns,
        photons=case.photons,
        detector=pattern.detector,
        shape=pattern.shape,
        field=pattern.field,
        coherence=round(pattern.coherence, 4),
        extent_0=round(pattern.extent[0], 4),
        extent_1=round(pattern.extent[1], 4),
        extent_2=round(pattern.extent[2], 4),
        draws=pattern.draws,
        overlap=round(overlap_with_truth(found, pattern), 6),
        trusted=found.trusted,
        reasons="; ".join(found.reasons),
        agreement=round(found.agreement, 6),
        noise_ratio=round(found.noise_ratio, 6),
        chi_squared=round(found.chi_squared, 8),
        compactness=round(compactness(np.abs(found.object) ** 2, found.support), 6),
        oversampling=round(min(oversampling(found.object)), 4),
        effective_voxels=round(effective_voxels(np.abs(found.object) ** 2), 1),
        filled=round(float(found.support.sum() / (~pattern.mask).sum()), 4),
        origin=found.origin,
        iterations=found.iterations,
        cpu_seconds=round(used, 3),
        wall_seconds=round(found.seconds, 3),
        baseline_overlap=float("nan"),
        baseline_chi_squared=float("nan"),
        baseline_cpu_seconds=float("nan"),
        baseline_starts=0,
        weights_hash=found.weights_hash,
    )


def with_baseline(case: Case, row: Row) -> Row:
    """Return the ``row`` of ``case`` with what the baseline finds in as many CPU seconds."""
    pattern = case.pattern()
    with fixed_threads(THREADS):
        plain = plain_phasing(
            pattern.counts, pattern.mask, pattern.background, cpu_seconds=row.cpu_seconds, seed=case.seed
        )
    return replace(
        row,
        baseline_overlap=round(overlap(plain.object, pattern.truth), 6),
        baseline_chi_squared=round(plain.chi_squared, 8),
        baseline_cpu_seconds=round(plain.cpu_seconds, 3),
        baseline_starts=plain.starts,
    )


def overlap_with_truth(found: Reconstruction, pattern: BenchmarkPattern) -> float:
    """Return the overlap of what was found with the truth, 0 where nothing was."""
    return overlap(found.object, pattern.truth) if found.object.any() else 0.0


def run_cases(
    cases: Sequence[Case], path: Path, *, baseline: bool = True, workers: int = 1
) -> Iterator[tuple[Row, int]]:
    """Judge the cases that ``path`` holds no row of yet; yield each row and how many steps are still to come.

    First all reconstructions, then the baseline of each: what is interrupted has the more important half.

    Parameters
    ----------
    cases : sequence of Case
    path : Path
        CSV file; a row is appended as soon as its crystal is done, and again with its baseline.
    baseline : bool
    workers : int
        Processes; each is given `reconstruction.THREADS` threads.
    """
    rows = {(row.seed, row.kind): row for row in read_rows(path)}
    waiting = [case for case in cases if (case.seed, case.kind.name) not in rows]
    beside = sum(
        1
        for case in cases
        if (case.seed, case.kind.name) not in rows or not rows[case.seed, case.kind.name].baseline_starts
    )
    left = len(waiting) + (beside if baseline else 0)
    for row in _done(judge, [(case,) for case in waiting], workers):
        append_row(path, row)
        rows[row.seed, row.kind] = row
        left -= 1
        yield row, left
    if not baseline:
        return
    pairs = [(case, rows[case.seed, case.kind.name]) for case in cases]
    for row in _done(with_baseline, [pair for pair in pairs if not pair[1].baseline_starts], workers):
        append_row(path, row)
        left -= 1
        yield row, left


def _done(step: Callable[..., Row], tasks: Sequence[tuple[Any, ...]], workers: int) -> Iterator[Row]:
    """Yield ``step(*task)`` of each task as it finishes."""
    if workers < 2:
        yield from (step(*task) for task in tasks)
        return
    # Torch's threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(step, *task) for task in tasks]
        try:
            yield from (job.result() for job in as_completed(jobs))
        finally:
            pool.shutdown(cancel_futures=True)


def append_row(path: Path, row: Row) -> None:
    """Append ``row``, under a header where the file is new; refuse rows that other weights made."""
    before = read_rows(path)
    if before and before[-1].weights_hash != row.weights_hash:
        raise ValueError(
            f"{str(path)!r} holds rows of the weights {before[-1].weights_hash[:12]!r}, this one is of "
            f"{row.weights_hash[:12]!r}: give another file, one table is one software"
        )
    new = not path.is_file()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(row))


def read_rows(path: Path) -> list[Row]:
    """Return the last row of each crystal in a CSV file, none where there is no file yet."""
    if not path.is_file():
        return []
    names = [field.name for field in fields(Row)]
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != names:
            raise ValueError(
                f"a table of this benchmark has the columns {names!r}; {str(path)!r} has "
                f"{reader.fieldnames!r}: give another file"
            )
        rows = [_parsed(line) for line in reader]
    return list({(row.seed, row.kind): row for row in rows}.values())


def _parsed(line: dict[str, str]) -> Row:
    read: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": "True".__eq__}
    return Row(**{field.name: read[str(field.type)](line[field.name]) for field in fields(Row)})


RIGHT = 0.95
"""Overlap with the truth above which an object is right, here and in every other check."""


@dataclass(frozen=True)
class Share:
    """``hits`` of ``total``, with Clopper & Pearson's exact interval (1934, doi:10.1093/biomet/26.4.404)."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """Return the share, nan of nothing."""
        return self.hits / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Return the limits of the true share at 95 % confidence."""
        if not self.total:
            return 0.0, 1.0
        limits = binomtest(self.hits, self.total).proportion_ci(0.95, method="exact")
        return float(limits.low), float(limits.high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.hits}/{self.total} = {self.value:.1%} ({low:.0%}–{high:.0%})" if self.total else "–"


def share(rows: Sequence[Row], true: Callable[[Row], bool]) -> Share:
    """Count the rows of which something is true."""
    return Share(sum(1 for row in rows if true(row)), len(rows))


def is_right(row: Row) -> bool:
    """Whether the object was found."""
    return row.overlap > RIGHT


@dataclass(frozen=True)
class Summary:
    """A class, or several together.

    Parameters
    ----------
    success, baseline_success : Share
        Right objects; of the baseline, of the rows that ran it.
    overlap, baseline_overlap : float
        Medians.
    cpu_seconds, baseline_cpu_seconds : float
        Medians, of one reconstruction and of the baseline's starts together.
    trusted : Share
        Of all rows.
    trusted_right : Share
        Right ones among the trusted.
    right_distrusted : Share
        Distrusted ones among the right.
    """

    success: Share
    overlap: float
    cpu_seconds: float
    trusted: Share
    trusted_right: Share
    right_distrusted: Share
    baseline_success: Share
    baseline_overlap: float
    baseline_cpu_seconds: float


def summarise(rows: Sequence[Row]) -> Summary:
    """Summarise rows, any number of them."""
    beside = [row for row in rows if row.baseline_starts > 0]
    return Summary(
        success=share(rows, is_right),
        overlap=_median([row.overlap for row in rows]),
        cpu_seconds=_median([row.cpu_seconds for row in rows]),
        trusted=share(rows, lambda row: row.trusted),
        trusted_right=share([row for row in rows if row.trusted], is_right),
        right_distrusted=share([row for row in rows if is_right(row)], lambda row: not row.trusted),
        baseline_success=share(beside, lambda row: row.baseline_overlap > RIGHT),
        baseline_overlap=_median([row.baseline_overlap for row in beside]),
        baseline_cpu_seconds=_median([row.baseline_cpu_seconds for row in beside]),
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
