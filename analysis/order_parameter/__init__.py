"""Gauge-fixed uncentred PCA order parameter."""

from analysis.order_parameter.estimator import OrderParameter
from analysis.order_parameter.fit import best_fit
from analysis.order_parameter.gauge import GRID, TWIN_MARGIN, Gauge, fix_gauge
from analysis.order_parameter.series import analyse_series, phase_differences
from analysis.order_parameter.series_result import SeriesResult

__all__ = [
    "GRID",
    "TWIN_MARGIN",
    "Gauge",
    "OrderParameter",
    "SeriesResult",
    "analyse_series",
    "best_fit",
    "fix_gauge",
    "phase_differences",
]
