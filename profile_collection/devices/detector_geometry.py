"""Where the detector stands and which of its pixels are read."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DetectorGeometry:
    """What the start document says about the detector.

    Attributes
    ----------
    distance_mm, pixel_size_mm : float
        Sample-detector distance and pixel pitch.
    shape : tuple of int
        Rows and columns of the full detector.
    roi : tuple of int
        (first row, end row, first column, end column) of what is read out.
    bad_pixel : list, optional
        (row, column) pairs known to be unusable.
    """

    distance_mm: float
    pixel_size_mm: float
    shape: tuple[int, int]
    roi: tuple[int, int, int, int]
    bad_pixel: Sequence[tuple[int, int]] | None = None

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.roi[1] - self.roi[0], self.roi[3] - self.roi[2]
