"""Strain along Q and its statistics, isosurfaces, missing density."""

from analysis.structure.isosurface import (
    MISSING_BELOW,
    amplitude_level,
    isosurface,
    missing_fraction,
    present,
)
from analysis.structure.statistics import PERCENTS, statistics_inside, strain_statistics, strain_table
from analysis.structure.strain_field import Strain, phase_slope, strain

__all__ = [
    "MISSING_BELOW",
    "PERCENTS",
    "Strain",
    "amplitude_level",
    "isosurface",
    "missing_fraction",
    "phase_slope",
    "present",
    "statistics_inside",
    "strain",
    "strain_statistics",
    "strain_table",
]
