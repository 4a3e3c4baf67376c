"""What benchmark rows say together: shares with intervals, medians, and how far trust can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from analysis.phasing.benchmark.judging import Row

SUCCESS = 0.95
"""Overlap above which an object is right."""


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
        low = 0.0 if self.hits == 0 else float(beta.ppf(0.025, self.hits, self.total - self.hits + 1))
        high = (
            1.0 if self.hits == self.total else float(beta.ppf(0.975, self.hits + 1, self.total - self.hits))
        )
        return low, high

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.hits}/{self.total} = {self.value:.1%} ({low:.0%}–{high:.0%})" if self.total else "–"


def share(rows: Sequence[Row], true: Callable[[Row], bool]) -> Share:
    """Count the rows of which something is true."""
    return Share(sum(1 for row in rows if true(row)), len(rows))


def is_right(row: Row) -> bool:
    """Whether the object was found."""
    return row.overlap > SUCCESS


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
        baseline_success=share(beside, lambda row: row.baseline_overlap > SUCCESS),
        baseline_overlap=_median([row.baseline_overlap for row in beside]),
        baseline_cpu_seconds=_median([row.baseline_cpu_seconds for row in beside]),
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
