"""A simulated series' results beside the simulation's truth, which nothing else of this software reads."""

from profile_collection.checks.truth.comparison import TruthReport, TruthRow, ceilings, compare_with_truth
from profile_collection.checks.truth.rutile import RutileRow, compare_rutile, rutile_lines, rutile_verdicts
from profile_collection.checks.truth.verdict import Verdict, table_lines, verdict_lines, verdicts

__all__ = [
    "RutileRow",
    "TruthReport",
    "TruthRow",
    "Verdict",
    "ceilings",
    "compare_rutile",
    "compare_with_truth",
    "rutile_lines",
    "rutile_verdicts",
    "table_lines",
    "verdict_lines",
    "verdicts",
]
