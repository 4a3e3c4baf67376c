"""Raw frames to a centred, masked, normalised crop."""

from analysis.preprocessing.defects import hidden_voxels
from analysis.preprocessing.prepare import prepare_scan
from analysis.preprocessing.prepared import WRAPS, PreparedScan, autocorrelation_wrap

__all__ = ["WRAPS", "PreparedScan", "autocorrelation_wrap", "hidden_voxels", "prepare_scan"]
