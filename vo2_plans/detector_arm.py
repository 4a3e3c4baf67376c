"""Where the detector arm must stand so that a given ray hits a given pixel, in closed form.

Convention of You (1999), doi:10.1107/S0021889899001223: x up, y along the beam, z = x × y. A pixel at
p = ((row − row0)·pitch, distance, (column − column0)·pitch) on the arm is at NU(gam)·DELTA(delta)·p in the
laboratory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import asin, atan2, cos, degrees, hypot, radians, sin, sqrt
from typing import Any

Vector = tuple[float, float, float]
Pixel = tuple[float, float]


@dataclass(frozen=True)
class Arm:
    """The flat detector on the arm: distance and pixel pitch in mm, shape (rows, columns) in pixels."""

    distance: float
    pitch: float
    shape: tuple[int, int]

    @classmethod
    def from_metadata(cls, detector: Mapping[str, Any]) -> "Arm":
        """Return the arm that a start document's `detector` describes."""
        rows, columns = detector["shape"]
        return cls(
            float(detector["distance_mm"]), float(detector["pixel_size_mm"]), (int(rows), int(columns))
        )

    def pixel_position(self, pixel: Pixel) -> Vector:
        """Return arm coordinates in mm of a pixel (row, column), fractions allowed."""
        row, column = pixel
        return (
            (row - (self.shape[0] - 1) / 2) * self.pitch,
            self.distance,
            (column - (self.shape[1] - 1) / 2) * self.pitch,
        )

    def ray(self, pixel: Pixel, *, delta: float, gam: float) -> Vector:
        """Return the unit vector from the sample to a pixel when the arm stands at delta, gam (degrees)."""
        p1, p2, p3 = self.pixel_position(pixel)
        d, g = radians(delta), radians(gam)
        v1, v2 = cos(d) * p1 + sin(d) * p2, -sin(d) * p1 + cos(d) * p2
        length = sqrt(p1**2 + p2**2 + p3**2)
        return v1 / length, (cos(g) * v2 - sin(g) * p3) / length, (sin(g) * v2 + cos(g) * p3) / length

    def angles(self, ray: Vector, pixel: Pixel) -> tuple[float, float]:
        """Return delta, gam (degrees) at which the ray (unit vector) hits the pixel."""
        p1, p2, p3 = self.pixel_position(pixel)
        length, radius = sqrt(p1**2 + p2**2 + p3**2), hypot(p1, p2)
        sine = length * ray[0] / radius
        if abs(sine) > 1:
            raise ValueError(
                f"no position of the arm lets the ray {ray!r} hit pixel {pixel!r}. Choose another pixel."
            )
        delta = asin(sine) - atan2(p1, p2)
        v2 = sqrt(radius**2 - (length * ray[0]) ** 2)
        gam = atan2(ray[2], ray[1]) - atan2(p3, v2)
        return degrees(delta), degrees(gam)


def chip_centre(shape: tuple[int, int]) -> Pixel:
    """Return the pixel at the centre of the first of 2 × 2 chips, (128, 128) for 515 × 515."""
    return (shape[0] // 2 - 1) / 2, (shape[1] // 2 - 1) / 2


def distance_to_gap(pixel: Pixel, shape: tuple[int, int], gap: int = 3) -> float:
    """Return how many pixels lie between a pixel (row, column) and the cross gap between the chips."""
    return min(
        abs(position - (length - 1) / 2) - gap / 2 for position, length in zip(pixel, shape, strict=True)
    )
