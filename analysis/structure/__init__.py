"""Displacement, strain and their statistics, surface and bulk, isosurfaces, domains, missing density."""

from analysis.structure.displacement import Displacement, displacement, phase_vortices
from analysis.structure.domains import (
    KINDS,
    NEUTRAL_BAND,
    SMALLEST_ISLAND,
    Domain,
    Domains,
    Island,
    find_domains,
    find_islands,
)
from analysis.structure.isosurface import (
    MISSING_BELOW,
    amplitude_level,
    isosurface,
    missing_fraction,
    present,
)
from analysis.structure.missing import HALF, Missing, missing_density
from analysis.structure.rutile import RUTILE_STRAIN, Rutile, find_rutile, rutile_offset
from analysis.structure.statistics import PERCENTS, statistics_inside, strain_statistics, strain_table
from analysis.structure.strain_field import Strain, phase_slope, strain, strain_per_step
from analysis.structure.summary import structure_summary
from analysis.structure.surface import RegionStrain, SurfaceBulk, depth_below_surface, surface_and_bulk

__all__ = [
    "HALF",
    "KINDS",
    "MISSING_BELOW",
    "NEUTRAL_BAND",
    "PERCENTS",
    "RUTILE_STRAIN",
    "SMALLEST_ISLAND",
    "Displacement",
    "Domain",
    "Domains",
    "Island",
    "Missing",
    "RegionStrain",
    "Rutile",
    "Strain",
    "SurfaceBulk",
    "amplitude_level",
    "depth_below_surface",
    "displacement",
    "find_domains",
    "find_islands",
    "find_rutile",
    "isosurface",
    "missing_density",
    "missing_fraction",
    "phase_slope",
    "phase_vortices",
    "present",
    "rutile_offset",
    "statistics_inside",
    "strain",
    "strain_per_step",
    "strain_statistics",
    "strain_table",
    "structure_summary",
    "surface_and_bulk",
]
