"""The report as lines of text."""

from __future__ import annotations

from collections.abc import Iterable

from profile_collection.truth.report import TruthReport, TruthRow
from profile_collection.truth.verdict import Verdict

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
