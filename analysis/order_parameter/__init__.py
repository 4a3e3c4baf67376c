"""Gauge-fixed uncentred PCA order parameter."""

from analysis.order_parameter.estimator import (
    CircularOrderParameter,
    OrderParameter,
    block_bootstrap,
    follow_phases,
    repeat_error,
    seed_spread,
)
from analysis.order_parameter.gauge import (
    GRID,
    TWIN_MARGIN,
    beside,
    bragg_shift,
    fix_gauge,
    into_gauge,
    ramp_spacing,
)
from analysis.order_parameter.selection import counting
from analysis.order_parameter.series import analyse_series, phase_differences
from analysis.order_parameter.transition import best_fit, fit_transition

__all__ = [
    "GRID",
    "TWIN_MARGIN",
    "CircularOrderParameter",
    "OrderParameter",
    "analyse_series",
    "beside",
    "best_fit",
    "bragg_shift",
    "counting",
    "block_bootstrap",
    "fit_transition",
    "fix_gauge",
    "follow_phases",
    "into_gauge",
    "phase_differences",
    "ramp_spacing",
    "repeat_error",
    "seed_spread",
]
