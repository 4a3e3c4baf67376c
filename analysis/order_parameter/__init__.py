"""Gauge-fixed uncentred PCA order parameter."""

from analysis.order_parameter.bragg_shift import bragg_shift, ramp_spacing
from analysis.order_parameter.circular import CircularOrderParameter, follow_phases
from analysis.order_parameter.estimator import OrderParameter
from analysis.order_parameter.fit import best_fit
from analysis.order_parameter.gauge import GRID, TWIN_MARGIN, Gauge, fix_gauge, into_gauge
from analysis.order_parameter.series import analyse_series, phase_differences
from analysis.order_parameter.series_result import SeriesResult
from analysis.order_parameter.spread import block_bootstrap, seed_spread
from analysis.order_parameter.transition import Transition, fit_transition

__all__ = [
    "GRID",
    "TWIN_MARGIN",
    "CircularOrderParameter",
    "Gauge",
    "OrderParameter",
    "SeriesResult",
    "Transition",
    "analyse_series",
    "best_fit",
    "bragg_shift",
    "block_bootstrap",
    "fit_transition",
    "fix_gauge",
    "follow_phases",
    "into_gauge",
    "phase_differences",
    "ramp_spacing",
    "seed_spread",
]
