"""A simulated series' results beside the simulation's truth, which nothing else of this software reads."""

from profile_collection.truth.ceiling import ceilings
from profile_collection.truth.compare import compare_with_truth
from profile_collection.truth.report import TruthReport, TruthRow
from profile_collection.truth.table import table_lines, verdict_lines
from profile_collection.truth.verdict import Verdict, verdicts
from profile_collection.truth.wide import RutileRow, compare_rutile, rutile_lines, rutile_verdicts

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
