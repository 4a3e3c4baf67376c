"""Geometry of one rocking scan: the instrument's angles and detector, reduced to what q needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from analysis.geometry.diffractometer import Matrix, Vectors, rotation, scattering_vectors

UNITS = {
    "energy": ("keV", 1.0, 200.0, {1e-3: "eV"}),
    "distance": ("mm", 20.0, 100_000.0, {1e3: "m"}),
    "pixel_size": ("mm", 1e-3, 1.0, {1e-3: "µm", 1e3: "m"}),
}
"""Unit of each number, the range in which it can be (X-rays that diffract, arms and pixels that exist), and
what it is multiplied by where it was given in another unit."""


def check_units(**given: float) -> None:
    """Refuse an energy, a distance or a pixel size that is impossible, and name the unit it seems to be in.

    Parameters
    ----------
    **given : float
        ``energy`` in keV, ``distance`` and ``pixel_size`` in mm.

    Raises
    ------
    ValueError
        One is no positive number, or far out of range.
    """
    for name, value in given.items():
        unit, least, most, others = UNITS[name]
        if not np.isfinite(value) or value <= 0:
            raise ValueError(f"{name} must be a positive number of {unit}; got {value!r}")
        if least <= value <= most:
            continue
        for factor, other in others.items():
            if least <= value * factor <= most:
                raise ValueError(
                    f"{name} must be in {unit}; {value:g} seems to be in {other}, a factor of 1000 off: give "
                    f"{value * factor:g}"
                )
        raise ValueError(f"{name} must lie in {least:g} … {most:g} {unit}; got {value!r}")


@dataclass(frozen=True, kw_only=True)
class ScanGeometry:
    """A rocking scan seen by its detector.

    Scattering vectors are given in the laboratory frame (You 1999) as the crystal stands at ``reference``: a
    frame at another angle is turned back to it, so that all frames share one reciprocal space.

    Attributes
    ----------
    energy : float, keV
    distance, pixel_size : float, mm
    arm : ndarray, (3, 3) float64
        Columns: laboratory directions of increasing row, of the arm, of increasing column.
    axis : ndarray, (3,) float64
        Laboratory direction about which the sample turns, right-handed, as the rocking angle increases.
    centre : tuple of float, pixels
        (row, column) that the arm points to.
    shape : tuple of int
        (rows, columns) of the whole detector.
    roi : tuple of int
        (row0, row1, col0, col1) of the frames within the detector.
    gaps : tuple of int
        Rows and columns (the same numbers) of the detector that hold no sensor.
    saturation : float, counts
        Counts in one exposure from which a pixel no longer counts right.
    expected_d : float or None, Å
        Plane spacing of the reflection, if known.
    neighbour_d : float or None, Å
        That of another lattice's reflection which lies beside it and must not be taken for it.
    crystal_size : tuple of float or None, nm
        Extent along (rocking, row, column), if known beforehand.
    instrument : str
        Name of the instrument.
    angles : mapping of str to float, degrees
        The circles as they stood, for the record.
    """

    energy: float
    distance: float
    pixel_size: float
    arm: Matrix
    axis: Matrix
    centre: tuple[float, float]
    shape: tuple[int, int]
    roi: tuple[int, int, int, int]
    gaps: tuple[int, ...] = ()
    saturation: float = np.inf
    expected_d: float | None = None
    neighbour_d: float | None = None
    crystal_size: tuple[float, float, float] | None = None
    instrument: str = ""
    angles: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a region outside the detector and lengths that are not positive."""
        row0, row1, col0, col1 = self.roi
        if not (0 <= row0 < row1 <= self.shape[0] and 0 <= col0 < col1 <= self.shape[1]):
            raise ValueError(
                f"roi must be (row0, row1, col0, col1) inside a detector of {self.shape!r}; got {self.roi!r}"
            )
        check_units(energy=self.energy, distance=self.distance, pixel_size=self.pixel_size)

    def lab_q(self, rows: ArrayLike, cols: ArrayLike) -> Vectors:
        """Return kf − ki (…, 3) Å⁻¹ of pixels, numbered on the whole detector."""
        return scattering_vectors(
            rows,
            cols,
            arm=self.arm,
            energy=self.energy,
            distance=self.distance,
            pixel_size=self.pixel_size,
            centre=self.centre,
        )

    def q(self, angle: float, rows: ArrayLike, cols: ArrayLike, *, reference: float) -> Vectors:
        """Return q (…, 3) Å⁻¹ at rocking ``angle``, as the crystal stands at ``reference``, degrees."""
        back = rotation(self.axis, reference - angle)
        return self.lab_q(rows, cols) @ back.T

    def steps(self, row: float, col: float, step: float) -> Matrix:
        """Return the q steps at a pixel, (3, 3) Å⁻¹, columns along (rocking, row, column) index.

        Parameters
        ----------
        row, col : float, pixels
            Pixel on the whole detector, usually the peak.
        step : float, degrees
            Rocking angle from one frame to the next, with its sign.
        """
        along_rocking = self.q(0.5 * step, row, col, reference=0) - self.q(-0.5 * step, row, col, reference=0)
        along_row = self.lab_q(row + 0.5, col) - self.lab_q(row - 0.5, col)
        along_col = self.lab_q(row, col + 0.5) - self.lab_q(row, col - 0.5)
        return np.stack([along_rocking, along_row, along_col], axis=1)
