"""Files of several beamlines, each format behind one small reader, read as rocking scans."""

from analysis.readers.open import READERS, describe, read_scans
from analysis.readers.scan import FrameSource, Given, MeasuredScan, ReadError, read_given
from analysis.readers.spec import white_field

__all__ = [
    "READERS",
    "FrameSource",
    "Given",
    "MeasuredScan",
    "ReadError",
    "describe",
    "read_given",
    "read_scans",
    "white_field",
]
