"""Phasing measured on crystals that no training ever saw: a second generator, a baseline, and the judge."""

from analysis.benchmark.generator import (
    CALIBRATION_SEEDS,
    CLASSES,
    JUDGING_SEEDS,
    BenchmarkClass,
    BenchmarkPattern,
    Case,
    benchmark_pattern,
    draw_cases,
)

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
