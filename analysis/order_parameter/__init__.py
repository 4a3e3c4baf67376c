"""Gauge-fixed uncentred PCA order parameter."""

from analysis.order_parameter.series_result import SeriesResult

__all__ = ["SeriesResult"]
