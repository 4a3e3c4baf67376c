"""Files of several beamlines, each format behind one small reader, read as rocking scans."""

from analysis.readers.arrays import read_array
from analysis.readers.open import READERS, describe, read_scans
from analysis.readers.scan import FrameSource, Given, MeasuredScan, ReadError, read_given

__all__ = [
    "READERS",
    "FrameSource",
    "Given",
    "MeasuredScan",
    "ReadError",
    "describe",
    "read_array",
    "read_given",
    "read_scans",
]
