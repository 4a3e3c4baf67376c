"""Result files: HDF5 written atomically and read back."""

from analysis.results.atomic import replacing
from analysis.results.scan_file import read_scan, write_scan
from analysis.results.scan_result import ScanResult
from analysis.results.series_file import read_order_parameter, read_series, write_series

__all__ = [
    "ScanResult",
    "read_order_parameter",
    "read_scan",
    "read_series",
    "replacing",
    "write_scan",
    "write_series",
]
