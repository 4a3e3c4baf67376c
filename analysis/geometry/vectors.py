"""Geometry of any flat detector on any circles, from vectors; and as plain numbers for a document.

Axes of circles are written as in xrayutilities, "x+" or "y-": the direction about which a positive angle
turns, right-handed. Frames: "you" is x up, y along the beam (You 1999, doi:10.1107/S0021889899001223); "cxi"
is y up, z along the beam, x = y × z (Maia 2012, doi:10.1038/nmeth.2110). Results are in "you".
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from analysis.geometry.diffractometer import BEAM, Matrix, rotation
from analysis.geometry.scan import ScanGeometry

FRAMES: Mapping[str, Matrix] = {
    "you": np.eye(3),
    "cxi": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
    "nexus": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}
"""(3, 3) matrices that turn vectors of a frame into "you". "nexus" is I16's: x up, z along the beam."""

Circle = tuple[str, float]
"""Axis and angle in degrees."""


def direction(axis: str, frame: str) -> Matrix:
    """Return the unit vector (3,) of an ``axis`` such as "x+" in the frame "you"."""
    if len(axis) != 2 or axis[0] not in "xyz" or axis[1] not in "+-":
        raise ValueError(f"an axis is one of x, y, z and a sign, as 'x+' or 'y-'; got {axis!r}")
    unit = np.zeros(3)
    unit["xyz".index(axis[0])] = 1.0 if axis[1] == "+" else -1.0
    return np.asarray(FRAMES[frame] @ unit)


def turned(circles: Sequence[Circle], frame: str) -> Matrix:
    """Return the rotation (3, 3) of ``circles``, the outermost first."""
    whole = np.eye(3)
    for axis, angle in circles:
        whole = whole @ rotation(direction(axis, frame), angle)
    return whole


def circle_arm(circles: Sequence[Circle], rows: str, columns: str, frame: str) -> Matrix:
    """Return `ScanGeometry.arm` of a detector on ``circles`` whose rows and columns grow along two axes."""
    at_zero = np.stack([direction(rows, frame), BEAM, direction(columns, frame)], axis=1)
    return turned(circles, frame) @ at_zero


def circle_axis(outer: Sequence[Circle], axis: str, frame: str) -> Matrix:
    """Return the direction (3,) about which the sample turns on ``axis``, which ``outer`` circles carry."""
    return turned(outer, frame) @ direction(axis, frame)


def pixel_geometry(
    *,
    origin: ArrayLike,
    row: ArrayLike,
    column: ArrayLike,
    centre: tuple[float, float],
    axis: ArrayLike,
    energy: float,
    shape: tuple[int, int],
    frame: str = "you",
    **others: Any,
) -> ScanGeometry:
    """Return the geometry of a detector that is known by where its pixels are.

    Parameters
    ----------
    origin : array_like, (3,) float, mm
        From the sample to the middle of pixel (0, 0).
    row, column : array_like, (3,) float, mm
        From a pixel to the one in the next row, and in the next column; of one length.
    centre : tuple of float, pixels
        (row, column) that distances are given for, usually the direct beam's pixel when the arm is at zero.
    axis : array_like, (3,) float
        Direction about which the sample turns, right-handed.
    energy : float, keV
    shape : tuple of int
        (rows, columns) of the frames.
    frame : str
        That the vectors are in; one of `FRAMES`.
    **others
        Further fields of `ScanGeometry`.
    """
    turn = FRAMES[frame]
    down, along = (turn @ np.asarray(vector, dtype=float) for vector in (row, column))
    pixel, other = float(np.linalg.norm(down)), float(np.linalg.norm(along))
    if not np.isclose(pixel, other, rtol=1e-3):
        raise ValueError(f"square pixels are required; rows are {pixel:g} mm apart, columns {other:g} mm")
    middle = turn @ np.asarray(origin, dtype=float) + centre[0] * down + centre[1] * along
    distance = float(np.linalg.norm(middle))
    return ScanGeometry(
        energy=energy,
        distance=distance,
        pixel_size=pixel,
        arm=np.stack([down / pixel, middle / distance, along / other], axis=1),
        axis=turn @ np.asarray(axis, dtype=float),
        centre=centre,
        shape=shape,
        roi=(0, shape[0], 0, shape[1]),
        **others,
    )


def geometry_document(geometry: ScanGeometry) -> dict[str, Any]:
    """Return a geometry as plain numbers, lists and strings, for JSON; infinity becomes None."""
    found: dict[str, Any] = {}
    for field in fields(geometry):
        value = getattr(geometry, field.name)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        elif isinstance(value, Mapping):
            value = dict(value)
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, float) and not np.isfinite(value):
            value = None
        found[field.name] = value
    return found


def geometry_of_document(document: Mapping[str, Any]) -> ScanGeometry:
    """Return the geometry that `geometry_document` wrote."""
    values = dict(document)
    for name in ("arm", "axis"):
        values[name] = np.asarray(values[name], dtype=float)
    for name in ("centre", "shape", "roi", "gaps", "crystal_size"):
        if values.get(name) is not None:
            values[name] = tuple(values[name])
    if values.get("saturation") is None:
        values["saturation"] = float("inf")
    return ScanGeometry(**values)


def two_theta(geometry: ScanGeometry, row: float, column: float) -> float:
    """Return the scattering angle of a pixel, degrees."""
    q = geometry.lab_q(row, column)
    sine = float(-(q / np.linalg.norm(q)) @ BEAM)
    return float(2 * np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0))))
