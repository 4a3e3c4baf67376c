"""Raw frames to a centred, masked, normalised crop."""

from analysis.preprocessing.defects import hidden_voxels
from analysis.preprocessing.prepare import LocatedScan, locate_scan, prepare_scan
from analysis.preprocessing.prepared import WRAPS, PreparedScan, autocorrelation_wrap
from analysis.preprocessing.thinning import Thinning, thinned

__all__ = [
    "WRAPS",
    "LocatedScan",
    "PreparedScan",
    "Thinning",
    "autocorrelation_wrap",
    "hidden_voxels",
    "locate_scan",
    "prepare_scan",
    "thinned",
]
