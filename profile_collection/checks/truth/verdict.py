"""What a simulated series must reach, each requirement with the number that decides it, and all as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from profile_collection.checks.truth.comparison import TruthReport, TruthRow

MUCH_RUTILE = 0.30
"""Rutile fraction above which less is required."""

OVERLAP, OVERLAP_MUCH_RUTILE = 0.97, 0.95
SIGMA, SIGMA_MUCH_RUTILE = 0.10, 0.15
CORRELATION, DEVIATION = 0.99, 0.05
D_SPACING = 1e-4
MISSING = 0.05

CERTAIN, NONE = 0.05, 0.005
"""Rutile fractions from which missing density must be seen, and up to which none may be."""

SEEN = 0.02
"""Missing fraction that counts as seen."""


@dataclass(frozen=True)
class Verdict:
    """One requirement.

    Attributes
    ----------
    requirement, found : str
        In words, with the numbers.
    passed : bool
    """

    requirement: str
    found: str
    passed: bool


def verdicts(report: TruthReport) -> tuple[Verdict, ...]:
    """Return every requirement on a report, passed or not."""
    little = [row for row in report.rows if row.rutile_fraction <= MUCH_RUTILE]
    much = [row for row in report.rows if row.rutile_fraction > MUCH_RUTILE]
    found = []
    for rows, where, overlap, sigma in (
        (little, "rutile ≤ 30 %", OVERLAP, SIGMA),
        (much, "rutile > 30 %", OVERLAP_MUCH_RUTILE, SIGMA_MUCH_RUTILE),
    ):
        if rows:
            found += [_overlap(rows, where, overlap), _sigma(rows, where, sigma)]
    return (*found, *_order(report), _d_spacing(report.rows), _missing(report.rows), _places(report.rows))


def _overlap(rows: list[TruthRow], where: str, limit: float) -> Verdict:
    worst = min(rows, key=lambda row: row.overlap)
    return Verdict(
        f"overlap with the truth ≥ {limit:.2f} where {where}",
        f"{worst.overlap:.4f} at {worst.label}",
        worst.overlap >= limit,
    )


def _sigma(rows: list[TruthRow], where: str, limit: float) -> Verdict:
    deviations = [
        (found / true - 1, percent, row.label)
        for row in rows
        for percent, found, true in (
            (90, row.strain_sigma_90, row.true_strain_sigma_90),
            (95, row.strain_sigma_95, row.true_strain_sigma_95),
        )
    ]
    value, percent, label = max(deviations, key=lambda one: abs(one[0]))
    return Verdict(
        f"strain σ at 90 and 95 % within {100 * limit:.0f} % where {where}",
        f"{100 * value:+.1f} % at {label}, {percent} %",
        abs(value) <= limit,
    )


def _order(report: TruthReport) -> list[Verdict]:
    """Return the two on the order parameter; with fewer than three temperatures there is no correlation."""
    found = []
    if len(report.rows) > 2:
        correlation = report.correlation
        found.append(
            Verdict(
                f"order parameter's correlation with the true one ≥ {CORRELATION}",
                f"{correlation:.5f}",
                correlation >= CORRELATION,
            )
        )
    if len(report.rows) > 1:
        found.append(
            Verdict(
                f"its largest deviation ≤ {100 * DEVIATION:.0f} % of its range",
                f"{100 * report.deviation:.2f} %",
                report.deviation <= DEVIATION,
            )
        )
    return found


def _d_spacing(rows: Iterable[TruthRow]) -> Verdict:
    worst = max(rows, key=lambda row: abs(row.d_deviation))
    return Verdict(
        f"d-spacing within {D_SPACING:.0e} relative",
        f"{worst.d_deviation:+.1e} at {worst.label}",
        abs(worst.d_deviation) <= D_SPACING,
    )


def _missing(rows: Iterable[TruthRow]) -> Verdict:
    """Judge against the true object by the same steps and against the rutile volume, whichever is worse."""

    def distance(row: TruthRow) -> float:
        return max(
            (row.missing - row.true_missing, row.missing - row.rutile_fraction),
            key=abs,
        )

    worst = max(rows, key=lambda row: abs(distance(row)))
    return Verdict(
        f"missing density within {100 * MISSING:.0f} points of the true one and of the rutile volume",
        f"{100 * distance(worst):+.1f} points at {worst.label}",
        abs(distance(worst)) <= MISSING,
    )


def _places(rows: Iterable[TruthRow]) -> Verdict:
    """Judge where density is missing; between the two limits, at the onset, either answer is right."""
    rules: tuple[tuple[Callable[[TruthRow], bool], str], ...] = (
        (lambda row: row.rutile_fraction >= CERTAIN and row.missing < SEEN, "overlooked at"),
        (lambda row: row.rutile_fraction <= NONE and row.missing >= SEEN, "imagined at"),
    )
    rows = tuple(rows)
    wrong = [f"{words} {row.label}" for rule, words in rules for row in rows if rule(row)]
    seen = [row.label for row in rows if row.missing >= SEEN]
    return Verdict(
        "missing density at the right temperatures",
        ", ".join(wrong) or (f"from {seen[0]} on" if seen else "none, as is true"),
        not wrong,
    )


HEADER = (
    "    T / K  trusted  overlap  ceiling   strain σ / 1e-4: 90 % (true)  95 % (true)"
    "    d / Å (true)        rel. diff.  missing (true)  valid   M1   M2    R       O / rad (true)"
)


def table_lines(report: TruthReport) -> list[str]:
    """Return a header, a line per temperature, and how the order parameter follows the true one."""
    return [
        HEADER,
        *(_line(row) for row in report.rows),
        f"order parameter: correlation with the true one {report.correlation:.4f}, "
        f"largest deviation {100 * report.deviation:.1f} % of its range",
    ]


def _line(row: TruthRow) -> str:
    ceiling = "      –" if row.ceiling is None else f"{row.ceiling:7.4f}"
    cooling = "c" if row.label.endswith("cooling") else " "
    return (
        f"{row.setpoint:8g}{cooling}  {'yes' if row.trusted else 'NO':>6}  {row.overlap:7.4f}  {ceiling}"
        f"   {1e4 * row.strain_sigma_90:20.3f} ({1e4 * row.true_strain_sigma_90:.3f})"
        f"  {1e4 * row.strain_sigma_95:.3f} ({1e4 * row.true_strain_sigma_95:.3f})"
        f"  {row.d_spacing:.6f} ({row.true_d_spacing:.6f})  {row.d_deviation:+.1e}"
        f"  {row.missing:7.3f} ({row.true_missing:.3f})  {row.valid:.3f}"
        f"  {row.m1_fraction:.2f}  {row.m2_fraction:.2f}  {row.rutile_fraction:.2f}"
        f"  {row.order:8.2f} ({row.true_order:.2f})"
    )


def verdict_lines(verdicts: Iterable[Verdict]) -> list[str]:
    """Return a line per requirement, ``pass`` or ``FAIL`` first."""
    return [
        f"{'pass' if verdict.passed else 'FAIL'}  {verdict.requirement}: {verdict.found}"
        for verdict in verdicts
    ]
