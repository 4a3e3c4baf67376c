"""Gauge-fixed uncentred PCA order parameter."""
