"""Raw frames to a centred, masked, normalised crop."""

from analysis.preprocessing.prepare import prepare_scan
from analysis.preprocessing.prepared import WRAPS, PreparedScan, autocorrelation_wrap

__all__ = ["WRAPS", "PreparedScan", "autocorrelation_wrap", "prepare_scan"]
