"""Which of the stored results make up a series, one for each place in it, and the way the sample went."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.results import ScanResult

SAME_SETPOINT = 0.5
"""Setpoints closer than this, K, are one temperature."""


@dataclass(frozen=True)
class Selection:
    """The results that count.

    Attributes
    ----------
    chosen : tuple of ScanResult
        One for each place in the series, in the order in which they were measured.
    repeats : tuple of tuple of ScanResult
        For each of them, trusted reconstructions of the same scan from other seeds.
    notes : tuple of str
        What was left out or stood in.
    """

    chosen: tuple[ScanResult, ...]
    repeats: tuple[tuple[ScanResult, ...], ...]
    notes: tuple[str, ...]


def counting(results: Iterable[ScanResult]) -> tuple[ScanResult, ...]:
    """Return what counts of ``results``, one for each place in the series (``series_index``), in its order.

    Of several attempts at one place it is the last trusted one, else the last; of several analyses of one
    scan the last trusted one, else the last; of several seeds the lowest trusted one, else the lowest.
    """
    best: dict[int, ScanResult] = {}
    for result in sorted(results, key=_standing):
        best[result.series_index] = result
    return tuple(best[index] for index in sorted(best))


def select(results: Sequence[ScanResult]) -> Selection:
    """Return what counts of ``results`` (`counting`), with the other seeds of the same scans.

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
    chosen = counting(results)
    repeats = tuple(_other_seeds(one, results) for one in chosen)
    dropped = len({result.run_uid for result in results}) - len(chosen)
    notes = [f"{dropped} other attempts were left out"] if dropped else []
    notes += [
        f"no temperature was recorded at {one.label}: its setpoint stands in"
        for one in chosen
        if not np.isfinite(one.temperature)
    ]
    return Selection(tuple(_with_temperature(one) for one in chosen), repeats, tuple(notes))


def reference_row(chosen: Sequence[ScanResult], reference: float) -> tuple[int, bool]:
    """Return the row of the reference, and whether it is the one that was asked for and trusted.

    It is the first trusted scan at the reference temperature, on whichever branch that was measured; where
    there is none the nearest trusted one stands in, from the heating branch if there is a choice.

    Parameters
    ----------
    chosen : sequence of ScanResult
    reference : float, K
        Setpoint.
    """

    def preference(row: int) -> tuple[bool, float, bool, int]:
        result = chosen[row]
        distance = abs(result.temperature_setpoint - reference)
        near = 0.0 if distance < SAME_SETPOINT else distance
        return not result.trusted, near, bool(near) and result.branch == "cooling", row

    first = min(range(len(chosen)), key=preference)
    result = chosen[first]
    return first, result.trusted and abs(result.temperature_setpoint - reference) < SAME_SETPOINT


def sample_path(chosen: Sequence[ScanResult]) -> NDArray[np.float64]:
    """Return each scan's place on the way that the sample went, (n,) float64, K.

    The setpoints' steps are summed up, up or down alike, from the first temperature on, and each scan's
    temperature is counted from its setpoint. On a heating series it is the temperature.

    Parameters
    ----------
    chosen : sequence of ScanResult
        In the order in which they were measured.
    """
    setpoints = np.array([one.temperature_setpoint for one in chosen])
    travelled = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(setpoints)))])
    upward = np.array([-1.0 if one.branch == "cooling" else 1.0 for one in chosen])
    off = np.array([one.temperature for one in chosen]) - setpoints
    return np.asarray(setpoints[0] + travelled + upward * off)


def legs(chosen: Sequence[ScanResult]) -> NDArray[np.int64]:
    """Return the number of each scan's leg, (n,) int64: a new one begins where the sample turns.

    It also begins where a setpoint contradicts the branch: between two heating scans, the second of them
    colder, the sample was cooled.
    """
    numbers = [0]
    for before, after in zip(chosen[:-1], chosen[1:], strict=True):
        step = after.temperature_setpoint - before.temperature_setpoint
        against = step > 0 if after.branch == "cooling" else step < 0
        numbers.append(numbers[-1] + (after.branch != before.branch or against))
    return np.array(numbers, dtype=np.int64)


def repeated_rows(chosen: Sequence[ScanResult]) -> list[list[int]]:
    """Return the rows that are repeats of each other: measured one after the other at one setpoint.

    A temperature that the sample comes back to is no repeat: between, it has gone through the transition.
    """
    groups: list[list[int]] = []
    for row, one in enumerate(chosen):
        before = chosen[row - 1] if row else None
        if before is not None and abs(one.temperature_setpoint - before.temperature_setpoint) < SAME_SETPOINT:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [group for group in groups if len(group) > 1]


def _standing(result: ScanResult) -> tuple[bool, int, str, int, int]:
    return result.trusted, result.attempt, result.run_uid, result.analysis, -result.seed


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
