"""Which of the stored results make up a series: one per temperature and branch, and its other seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.results import ScanResult


@dataclass(frozen=True)
class Selection:
    """The results that count.

    Attributes
    ----------
    chosen : tuple of ScanResult
        One per temperature and branch, heating first, by rising setpoint.
    repeats : tuple of tuple of ScanResult
        For each of them, trusted reconstructions of the same scan from other seeds.
    notes : tuple of str
        What was left out or stood in.
    """

    chosen: tuple[ScanResult, ...]
    repeats: tuple[tuple[ScanResult, ...], ...]
    notes: tuple[str, ...]


def select(results: Sequence[ScanResult]) -> Selection:
    """Return what counts of ``results``; of several attempts the last trusted one, of its seeds the lowest.

    Raises
    ------
    ValueError
        There are none, or they are of several series.
    """
    if not results:
        raise ValueError("at least one scan result is required for an order parameter; got none")
    series = sorted({result.series_uid for result in results})
    if len(series) > 1:
        raise ValueError(f"the results must be of one series; got {series!r}: analyse them apart")
    best: dict[tuple[str, float], ScanResult] = {}
    for result in sorted(results, key=_standing):
        best[result.branch, result.temperature_setpoint] = result
    chosen = sorted(best.values(), key=lambda one: (one.branch == "cooling", one.temperature_setpoint))
    repeats = tuple(_other_seeds(one, results) for one in chosen)
    dropped = len({result.run_uid for result in results}) - len(chosen)
    notes = [f"{dropped} earlier attempts were left out"] if dropped else []
    notes += [
        f"no temperature was recorded at {one.label}: its setpoint stands in"
        for one in chosen
        if not np.isfinite(one.temperature)
    ]
    return Selection(tuple(_with_temperature(one) for one in chosen), repeats, tuple(notes))


def reference_row(chosen: Sequence[ScanResult], reference: float) -> tuple[int, bool]:
    """Return the row of the reference, and whether it is the one that was asked for and trusted.

    Parameters
    ----------
    chosen : sequence of ScanResult
    reference : float, K
        Setpoint, on the heating branch.
    """

    def preference(row: int) -> tuple[bool, bool, float, int]:
        result = chosen[row]
        distance = abs(result.temperature_setpoint - reference)
        return not result.trusted, result.branch == "cooling", distance, row

    first = min(range(len(chosen)), key=preference)
    result = chosen[first]
    found = (
        result.trusted and result.branch == "heating" and abs(result.temperature_setpoint - reference) < 0.5
    )
    return first, found


def _standing(result: ScanResult) -> tuple[bool, int, str, int]:
    return result.trusted, result.attempt, result.run_uid, -result.seed


def _other_seeds(one: ScanResult, results: Sequence[ScanResult]) -> tuple[ScanResult, ...]:
    same = {
        other.seed: other
        for other in results
        if other.run_uid == one.run_uid and other.seed != one.seed and other.trusted
    }
    return tuple(same[seed] for seed in sorted(same))


def _with_temperature(result: ScanResult) -> ScanResult:
    """Return the result with its setpoint where the sensors gave nothing."""
    if np.isfinite(result.temperature):
        return result
    return replace(result, temperature=result.temperature_setpoint)
