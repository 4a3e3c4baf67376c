"""Rows of a phasing benchmark as tables for the console."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from rich.table import Table

from analysis.benchmark.comparisons import POLICIES, Outcome
from analysis.benchmark.generator import CLASSES, MEASURED, BenchmarkClass
from analysis.benchmark.judge import RIGHT, Row, Share, Summary, is_right, share, summarise

OVERLAP_TARGET, SECONDS_TARGET = 0.99, 3.0
"""Least median overlap and most median CPU seconds that are wanted."""

DATA = ("plain", "detector", "measured")
"""How patterns are measured."""

TRUSTED_RIGHT_TARGET, RIGHT_DISTRUSTED_TARGET = 0.97, 0.10
"""Least share of right results among trusted ones, most of distrusted ones among right ones."""


def quality_table(rows: Sequence[Row]) -> Table:
    """Return success, overlap and seconds of each class, beside target and baseline."""
    table = Table(
        title=f"Phasing on {len(rows)} crystals; success is an overlap above {RIGHT}, with 95 % intervals"
    )
    for name in ("class (phase, photons, data)", "success", "target", "median overlap", "CPU s"):
        table.add_column(name, justify="left" if name.startswith("class") else "right")
    for name in ("baseline success", "overlap", "CPU s"):
        table.add_column(name, justify="right", style="dim")
    for kind in (*CLASSES, MEASURED):
        chosen = [row for row in rows if row.kind == kind.name]
        if chosen:
            table.add_row(kind.name, *_quality_cells(summarise(chosen), kind))
    table.add_section()
    whole = summarise(rows)
    table.add_row("all", *_quality_cells(whole, None))
    table.caption = drawn(rows)
    return table


def drawn(rows: Sequence[Row]) -> str:
    """Return what share of the drawn crystals the patterns could not hold, by the phase in units of π."""
    parts = []
    for turns in sorted({row.turns for row in rows}):
        draws = sum(row.draws for row in rows if row.turns == turns)
        kept = sum(1 for row in rows if row.turns == turns)
        parts.append(f"{1 - kept / draws:.0%} of {draws} at {turns:g}π")
    return f"crystals that their pattern can hold; drawn and rejected before any search: {', '.join(parts)}"


def _quality_cells(found: Summary, kind: BenchmarkClass | None) -> list[str]:
    return [
        str(found.success),
        f"≥ {kind.target:.0%} {_met(found.success.value >= kind.target)}" if kind else "",
        f"{found.overlap:.4f} {_met(found.overlap >= OVERLAP_TARGET)}",
        f"{found.cpu_seconds:.1f} {_met(found.cpu_seconds <= SECONDS_TARGET)}",
        str(found.baseline_success),
        _number(found.baseline_overlap, 3),
        _number(found.baseline_cpu_seconds, 1),
    ]


def trust_table(rows: Sequence[Row]) -> Table:
    """Return how far trust can be trusted, for each kind of data and for all."""
    table = Table(title="Trust")
    for name in ("data", "n", "trusted", "right among trusted (≥ 97 %)", "distrusted among right (≤ 10 %)"):
        table.add_column(name, justify="left" if name == "data" else "right")
    groups = [(data, [r for r in rows if r.data == data]) for data in DATA]
    for name, chosen in [*groups, ("all", list(rows))]:
        if chosen:
            found = summarise(chosen)
            table.add_row(name, str(len(chosen)), str(found.trusted), *_trust_cells(found))
    return table


def _trust_cells(found: Summary) -> list[str]:
    right, lost = found.trusted_right, found.right_distrusted
    return [
        f"{right} {_met(right.value >= TRUSTED_RIGHT_TARGET)}" if right.total else "–",
        f"{lost} {_met(lost.value <= RIGHT_DISTRUSTED_TARGET)}" if lost.total else "–",
    ]


def photon_table(rows: Sequence[Row]) -> Table:
    """Return success by phase and photons, point samples and detector frames together."""
    photons = sorted({row.photons for row in rows})
    table = Table(title="Success by photons at the peak")
    table.add_column("phase")
    for number in photons:
        table.add_column(f"{number:.0e}".replace("e+0", "e"), justify="right")
    for turns in sorted({row.turns for row in rows}):
        cells = [_success(rows, turns, number) for number in photons]
        table.add_row(f"{turns:g}π", *(str(cell) for cell in cells))
    return table


def _success(rows: Iterable[Row], turns: float, photons: float) -> Share:
    return share([r for r in rows if (r.turns, r.photons) == (turns, photons)], is_right)


def evidence_table(rows: Sequence[Row]) -> Table:
    """Return what right and wrong results look like to the judge of trust: least, median and largest."""
    table = Table(title="Evidence: least, median and largest")
    names = ("data", "result", "n", "agreement", "noise ratio", "compactness", "oversampling", "voxels")
    for name in names:
        table.add_column(name, justify="left" if name in ("data", "result") else "right")
    for data in DATA:
        for right in (True, False):
            chosen = [r for r in rows if r.data == data and is_right(r) == right]
            if chosen:
                measured = [
                    [r.agreement for r in chosen],
                    [r.noise_ratio for r in chosen],
                    [r.compactness for r in chosen],
                    [r.oversampling for r in chosen],
                    [r.effective_voxels for r in chosen],
                ]
                table.add_row(
                    data,
                    "right" if right else "wrong",
                    str(len(chosen)),
                    *(_quantiles(values) for values in measured),
                )
    return table


def _quantiles(values: Sequence[float]) -> str:
    return " ".join(f"{x:.2f}" for x in np.quantile(values, [0, 0.5, 1]))


def _number(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def _met(met: bool) -> str:
    return "[green]✓[/]" if met else "[red]✗[/]"


def starts_table(outcomes: Sequence[Outcome]) -> Table:
    """Return success, trust and cost of the network alone and of each policy, on the same crystals.

    The last column is the CPU seconds of a right object (those of all crystals over the number of right ones)
    over the same without the network, with the middle 95 % of that ratio where the crystals are drawn again
    with replacement; of a draw without a right one half a right one is assumed.
    """
    table = Table(title=f"Where starts come from; success is an overlap above {RIGHT}, with 95 % intervals")
    for name in (
        "starts",
        "success",
        "trusted",
        "median overlap",
        "median iterations",
        "CPU s: median",
        "mean",
        "a right one",
        "of that without network",
    ):
        table.add_column(name, justify="left" if name == "starts" else "right")
    for policy in dict.fromkeys(outcome.policy for outcome in outcomes):
        chosen = [outcome for outcome in outcomes if outcome.policy == policy]
        seconds = [outcome.cpu_seconds for outcome in chosen]
        table.add_row(
            policy,
            str(Share(sum(outcome.overlap > RIGHT for outcome in chosen), len(chosen))),
            str(Share(sum(outcome.trusted for outcome in chosen), len(chosen))),
            f"{np.median([outcome.overlap for outcome in chosen]):.4f}",
            f"{np.median([outcome.iterations for outcome in chosen]):.0f}",
            f"{np.median(seconds):.1f}",
            f"{np.mean(seconds):.1f}",
            f"{_a_right_one(chosen):.1f}",
            _beside(chosen, [outcome for outcome in outcomes if outcome.policy == POLICIES[0]]),
        )
    return table


def _a_right_one(outcomes: Sequence[Outcome]) -> float:
    """Return the CPU seconds of all over the number of right ones, ∞ of none."""
    right = sum(outcome.overlap > RIGHT for outcome in outcomes)
    return sum(outcome.cpu_seconds for outcome in outcomes) / right if right else float("inf")


def _beside(chosen: Sequence[Outcome], without: Sequence[Outcome], draws: int = 2000) -> str:
    """Return how `_a_right_one` of the two compares, with the middle 95 % of resampled crystals."""
    if chosen is without or not without or chosen[0].policy == without[0].policy:
        return ""
    if [one.seed for one in chosen] != [one.seed for one in without]:
        raise ValueError("both policies must have phased the same crystals, in the same order")
    rng = np.random.default_rng(0)
    taken = rng.integers(len(chosen), size=(draws, len(chosen)))
    costs = []
    for outcomes in (chosen, without):
        right = np.array([one.overlap > RIGHT for one in outcomes], float)[taken].sum(axis=1)
        spent = np.array([one.cpu_seconds for one in outcomes])[taken].sum(axis=1)
        costs.append(spent / np.maximum(right, 0.5))
    low, high = np.quantile(costs[0] / costs[1], [0.025, 0.975])
    return f"{_a_right_one(chosen) / _a_right_one(without):.2f} ({low:.2f}–{high:.2f})"
