"""Geometry of one rocking scan: the instrument's angles and detector, reduced to what q needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.geometry.diffractometer import (
    Matrix,
    Vectors,
    about_x,
    detector_rotation,
    rocking_axis,
    rotation,
    scattering_vectors,
)
from analysis.unit_cells import UnitCell

CHIP = 256
"""Pixels along the side of one Medipix chip."""

CHIP_GAP = 3
"""Pixels without a sensor between two chips of a QuadMerlin."""


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
        Plane spacing of the reflection, if known: separates it from a neighbouring peak.
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


def chip_gaps(size: int) -> tuple[int, ...]:
    """Return the rows (or columns) without a sensor on a Merlin of ``size`` pixels: 515 = 256 + 3 + 256."""
    return tuple(range(CHIP, CHIP + CHIP_GAP)) if size == 2 * CHIP + CHIP_GAP else ()


def i16_geometry(start: Mapping[str, Any], angles: Mapping[str, float]) -> ScanGeometry:
    """Return the geometry of an I16 rocking scan from its run's metadata.

    Parameters
    ----------
    start : mapping
        Start document: ``energy`` keV, ``detector`` {distance_mm, pixel_size_mm, shape, roi, saturation},
        ``scan`` {axis}, and optionally ``reflection``, ``lattice``, ``crystal_size_nm``.
    angles : mapping of str to float, degrees
        mu, eta, chi, phi, delta, gam as they stood (the scanned one near the middle of its range).
    """
    for name in ("energy", "detector", "scan"):
        if name not in start:
            raise ValueError(f"the start document must hold {name!r} to know q; it holds {sorted(start)!r}")
    missing = [name for name in ("mu", "eta", "chi", "phi", "delta", "gam") if name not in angles]
    if missing:
        raise ValueError(f"six angles are needed to know q; {missing!r} are not in {sorted(angles)!r}")
    detector = start["detector"]
    rows, cols = (int(number) for number in detector["shape"])
    size = start.get("crystal_size_nm") or detector.get("crystal_size_nm")
    return ScanGeometry(
        energy=float(start["energy"]),
        distance=float(detector["distance_mm"]),
        pixel_size=float(detector["pixel_size_mm"]),
        arm=detector_rotation(angles["delta"], angles["gam"]),
        axis=rocking_axis(start["scan"]["axis"], mu=angles["mu"], eta=angles["eta"], chi=angles["chi"]),
        centre=((rows - 1) / 2, (cols - 1) / 2),
        shape=(rows, cols),
        roi=_region(detector.get("roi"), rows, cols),
        gaps=chip_gaps(rows) if rows == cols else (),
        saturation=float(detector.get("saturation") or np.inf),
        expected_d=_expected_spacing(start),
        crystal_size=(float(size[0]), float(size[1]), float(size[2])) if size else None,
        instrument="Diamond I16",
        angles=dict(angles),
    )


def aps_34idc_geometry(
    *,
    delta: float,
    gamma: float,
    energy: float,
    distance: float,
    pixel_size: float,
    shape: tuple[int, int],
    centre: tuple[float, float] | None = None,
    row_sign: int = -1,
    col_sign: int = 1,
    expected_d: float | None = None,
) -> ScanGeometry:
    """Return the geometry of an APS 34-ID-C scan of theta, in the frame of You 1999.

    34-ID-C counts x outboard, y up, z along the beam; these are z, x, y here. The arm turns by ``delta``
    about the vertical and then rises by ``gamma``; theta turns the sample about the vertical, chi and phi
    ride on it and do not matter for q. Rows of its Timepix run downward and columns outboard, as the
    published instrument tables of the cohere package have it; another mounting is said by the two signs.

    Parameters
    ----------
    delta, gamma : float, degrees
        In-plane and vertical angle of the detector arm.
    energy : float, keV
    distance, pixel_size : float, mm
    shape : tuple of int
        (rows, columns) of the frames.
    centre : tuple of float, pixels, optional
        (row, column) the arm points to; the middle of the frames by default.
    row_sign, col_sign : {1, -1}
        1 where rows grow upward, columns outboard.
    expected_d : float, Å, optional
        As in `ScanGeometry`.
    """
    vertical = np.array([1.0, 0.0, 0.0])
    arm = about_x(delta) @ rotation([0, 0, -1], gamma)
    return ScanGeometry(
        energy=energy,
        distance=distance,
        pixel_size=pixel_size,
        arm=arm * np.array([row_sign, 1.0, col_sign]),
        axis=vertical,
        centre=centre or ((shape[0] - 1) / 2, (shape[1] - 1) / 2),
        shape=shape,
        roi=(0, shape[0], 0, shape[1]),
        expected_d=expected_d,
        instrument="APS 34-ID-C",
        angles={"delta": delta, "gamma": gamma},
    )


def _region(roi: Any, rows: int, cols: int) -> tuple[int, int, int, int]:
    if roi is None:
        return 0, rows, 0, cols
    row0, row1, col0, col1 = (int(number) for number in roi)
    return row0, row1, col0, col1


def _expected_spacing(start: Mapping[str, Any]) -> float | None:
    lattice, reflection = start.get("lattice"), start.get("reflection")
    if not lattice or reflection is None:
        return None
    cell = UnitCell(**{name: float(value) for name, value in lattice.items()})
    return cell.d_spacing((int(reflection[0]), int(reflection[1]), int(reflection[2])))
