"""Phasing measured on crystals that no training ever saw: a second generator, a baseline, and the judge."""

from analysis.phasing.benchmark.cases import CLASSES, BenchmarkClass, Case, draw_cases
from analysis.phasing.benchmark.generator import BenchmarkPattern, benchmark_pattern
from analysis.phasing.benchmark.seeds import CALIBRATION_SEEDS, JUDGING_SEEDS

__all__ = [
    "CALIBRATION_SEEDS",
    "CLASSES",
    "JUDGING_SEEDS",
    "BenchmarkClass",
    "BenchmarkPattern",
    "Case",
    "benchmark_pattern",
    "draw_cases",
]
