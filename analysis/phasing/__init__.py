"""Phase retrieval: training set, network, transfer, iterative engine, metrics."""

from analysis.phasing.reconstruction import Reconstruction, from_truth, reconstruct

__all__ = ["Reconstruction", "from_truth", "reconstruct"]
