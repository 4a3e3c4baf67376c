"""What is found and kept: one scan, one series, and their files, written atomically and read back."""

from analysis.results.aligned import AlignedObjects, read_aligned, write_aligned
from analysis.results.atomic import replacing
from analysis.results.crystal_parts import Domain, Domains, Island, RegionStrain, SurfaceBulk
from analysis.results.scan import ScanResult, Transfer, numbered_labels
from analysis.results.scan_file import read_scan, read_started, write_scan
from analysis.results.series import (
    Fit,
    Gauge,
    Lattice,
    Order,
    SeriesResult,
    SeriesScans,
    Structure,
    Transition,
)
from analysis.results.series_files import error_bar, read_order_parameter, read_series, write_series

__all__ = [
    "AlignedObjects",
    "Domain",
    "Domains",
    "Fit",
    "Gauge",
    "Island",
    "Lattice",
    "Order",
    "RegionStrain",
    "ScanResult",
    "SeriesResult",
    "SeriesScans",
    "Structure",
    "SurfaceBulk",
    "Transfer",
    "Transition",
    "error_bar",
    "numbered_labels",
    "read_aligned",
    "read_order_parameter",
    "read_scan",
    "read_started",
    "read_series",
    "replacing",
    "write_aligned",
    "write_scan",
    "write_series",
]
