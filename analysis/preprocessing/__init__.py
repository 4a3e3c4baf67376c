"""Raw frames to a centred, masked, normalised crop."""

from analysis.preprocessing.prepare import prepare_scan
from analysis.preprocessing.prepared import PreparedScan
from analysis.preprocessing.wrapping import autocorrelation_wrap

__all__ = ["PreparedScan", "autocorrelation_wrap", "prepare_scan"]
