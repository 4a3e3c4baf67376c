"""Find the Bragg peak, put it on one chip of the detector, and follow it as it drifts with temperature.

Convention of You (1999), doi:10.1107/S0021889899001223: x up, y along the beam, z = x × y. A pixel at
p = ((row − row0)·pitch, distance, (column − column0)·pitch) on the arm is at NU(gam)·DELTA(delta)·p in the
laboratory.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import asin, atan2, cos, degrees, hypot, inf, isfinite, nan, radians, sin, sqrt
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from vo2_plans.protocols import BeamlineLike, Readings, value_of
from vo2_plans.rocking import measure
from vo2_plans.run_metadata import EtaWindow, SeriesPlace, new_series_uid, start_metadata


@dataclass
class RockingCurve:
    """Counts of the peak and its place on the detector, at each eta.

    Points without a reading (a dry run, a point whose reading was lost in a rewind) leave no trace.

    Parameters
    ----------
    detector : str
        Name of the detector, which begins the keys of its readings.
    """

    detector: str
    eta: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    pixels: list[tuple[float, float]] = field(default_factory=list)

    def add(self, eta: float, readings: Readings) -> None:
        """Keep one point's readings."""
        row, column, counts = (
            value_of(readings, f"{self.detector}_{key}") for key in ("peak_row", "peak_column", "peak_total")
        )
        if isfinite(counts) and isfinite(row) and isfinite(column):
            self.eta.append(value_of(readings, "eta") if "eta" in readings else eta)
            self.counts.append(counts)
            self.pixels.append((row, column))

    @property
    def has_peak(self) -> bool:
        """Whether at least one point rose above the background."""
        return bool(self.eta) and max(self.counts) > 0

    def maximum(self) -> float:
        """Return the eta with most counts, degrees."""
        return self.eta[self.counts.index(max(self.counts))]

    def _weights(self) -> list[float]:
        """Return counts above a tenth of the maximum: flanks must not decide where the centre is."""
        floor = 0.1 * max(self.counts)
        return [max(0.0, counts - floor) for counts in self.counts]

    def centre(self) -> float:
        """Return the centre of mass in eta, degrees."""
        return _mean(self.eta, self._weights())

    def pixel(self) -> tuple[float, float]:
        """Return row and column of the peak, averaged over the curve by counts."""
        weights = self._weights()
        return _mean([row for row, _ in self.pixels], weights), _mean(
            [col for _, col in self.pixels], weights
        )


def _mean(values: list[float], weights: list[float]) -> float:
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / total if total > 0 else nan


Vector = tuple[float, float, float]
Pixel = tuple[float, float]


@dataclass(frozen=True)
class Arm:
    """The flat detector on the arm.

    Attributes
    ----------
    distance, pitch : float, mm
    shape : tuple of int, pixels
        Rows and columns.
    gaps : tuple of int
        Rows and columns (the same numbers) between its chips, which hold no sensor.
    """

    distance: float
    pitch: float
    shape: tuple[int, int]
    gaps: tuple[int, ...] = ()

    @classmethod
    def from_metadata(cls, detector: Mapping[str, Any]) -> "Arm":
        """Return the arm that a start document's `detector` describes."""
        rows, columns = detector["shape"]
        return cls(
            float(detector["distance_mm"]),
            float(detector["pixel_size_mm"]),
            (int(rows), int(columns)),
            tuple(int(number) for number in detector.get("gaps", ())),
        )

    @property
    def middle(self) -> Pixel:
        """The pixel (row, column) in the middle of the detector."""
        return (self.shape[0] - 1) / 2, (self.shape[1] - 1) / 2

    @property
    def chip_centre(self) -> Pixel:
        """Where a peak is put: the centre of the first of 2 × 2 chips, (128, 128) of 515 × 515, or of one."""
        return (self.gaps[0] / 2, self.gaps[0] / 2) if self.gaps else self.middle

    def distance_to_gap(self, pixel: Pixel) -> float:
        """Return how many pixels lie between a pixel and the nearest gap; infinity where there is none.

        Negative in a gap.
        """
        return min((abs(place - gap) - 0.5 for place in pixel for gap in self.gaps), default=inf)

    def pixel_position(self, pixel: Pixel) -> Vector:
        """Return arm coordinates in mm of a pixel (row, column), fractions allowed."""
        row, column = pixel
        return (
            (row - self.middle[0]) * self.pitch,
            self.distance,
            (column - self.middle[1]) * self.pitch,
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


_log = logging.getLogger(__name__)

GAP_MARGIN = 20.0
"""A peak must keep this many pixels from the gaps between the chips."""

DRIFT_ALLOWED = 3.0
"""Pixels by which the peak may miss its aim before the detector is moved."""

TRACKING_HALF_WIDTH = 25.0
"""Pixels around the aim in which the drifting peak is followed; the rutile peak is 45 away and stays out."""


@dataclass(frozen=True)
class Alignment:
    """Where the peak is: eta in degrees, (row, column) on the detector; NaN pixels where nothing was read."""

    eta: float
    pixel: Pixel


def locate_reflection(
    beamline: BeamlineLike,
    place: SeriesPlace | None = None,
    *,
    exposure: float = 1.0,
    reach: float = 0.6,
    coarse_step: float = 0.1,
    fine_step: float = 0.02,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Alignment]:
    """Find the reflection, centre it in eta and on one chip of the detector.

    Parameters
    ----------
    beamline : BeamlineLike
    place : SeriesPlace, optional
        The series the alignment belongs to; on its own it is one at the present setpoint.
    exposure : float
        Seconds per point.
    reach : float
        Degrees searched on either side of the nominal eta.
    coarse_step, fine_step : float
        Degrees; the fine scan covers one coarse step on either side of the coarse maximum.
    md : mapping, optional
        Goes into the start documents.
    """
    place = place or SeriesPlace(new_series_uid(), 0, 1, float(beamline.heated_stage.setpoint))
    reflection = beamline.reflection
    nominal = beamline.diffractometer.forward(*reflection)
    arm = Arm.from_metadata(beamline.metadata()["detector"])
    aim = arm.chip_centre
    yield from _move_to(beamline, nominal, arm, aim)
    yield from _search_around(beamline, aim, 0.0)
    align = _Aligner(beamline, place, exposure, "locate_reflection", md)
    coarse = yield from align.scan(nominal.eta, reach, coarse_step)
    eta = coarse.maximum() if coarse.has_peak else nominal.eta
    found = yield from _centre(align, arm, aim, eta, reach=coarse_step, step=fine_step)
    if isfinite(found.pixel[0]):
        check_clear_of_gaps(found.pixel, arm)
    elif align.saw_frames:
        raise RuntimeError(
            f"reflection {reflection!r} was not found within {reach:g}° of eta = {nominal.eta:.3f}°: "
            "no region of the detector is above the background. Check sample, shutter, attenuator and UB."
        )
    yield from bps.mv(beamline.diffractometer.eta, found.eta)
    return found


def recentre(
    beamline: BeamlineLike,
    place: SeriesPlace,
    previous: Alignment,
    *,
    exposure: float = 1.0,
    reach: float = 0.1,
    step: float = 0.02,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Alignment]:
    """Follow the peak from where it was; move the detector if it drifted by more than a few pixels.

    Only the surroundings of the aim are looked at, so that rutile, 45 pixels away, is not taken for the peak.
    Where no peak is seen the previous alignment stays, with a warning.
    """
    arm = Arm.from_metadata(beamline.metadata()["detector"])
    aim = arm.chip_centre
    yield from _search_around(beamline, aim, TRACKING_HALF_WIDTH)
    align = _Aligner(beamline, place, exposure, "recentre", md)
    curve = yield from align.scan(previous.eta, reach, step)
    if not curve.has_peak:
        if align.saw_frames:
            _log.warning(
                "No peak at %g K within %g° of eta %.3f°: kept.", place.temperature, reach, previous.eta
            )
        return previous
    pixel = curve.pixel()
    if hypot(pixel[0] - aim[0], pixel[1] - aim[1]) > DRIFT_ALLOWED:
        yield from _move_peak(beamline, arm, pixel, aim)
        pixel = aim
    check_clear_of_gaps(pixel, arm)
    return Alignment(curve.centre(), pixel)


def check_clear_of_gaps(pixel: Pixel, arm: Arm) -> None:
    """Raise `RuntimeError`, in words, if a peak lies too near a gap or off the detector."""
    row, column = pixel
    on_detector = 0 <= row < arm.shape[0] and 0 <= column < arm.shape[1]
    if not on_detector or arm.distance_to_gap(pixel) < GAP_MARGIN:
        raise RuntimeError(
            f"the peak must lie on a chip, at least {GAP_MARGIN:g} pixels from a gap; it is at "
            f"row {row:.1f}, column {column:.1f}. Move delta and gam to put it on the centre of a chip."
        )


class _Aligner:
    """Runs short rocking scans with purpose "align"."""

    def __init__(
        self,
        beamline: BeamlineLike,
        place: SeriesPlace,
        exposure: float,
        plan_name: str,
        md: Mapping[str, Any] | None,
    ):
        self.beamline, self.place = beamline, place
        self.exposure, self.plan_name, self.md = exposure, plan_name, md
        self.saw_frames = False

    def scan(self, centre: float, reach: float, step: float) -> MsgGenerator[RockingCurve]:
        """Measure a curve of ± `reach` degrees around `centre`."""
        half = round(reach / step)
        centre = round(centre, 3)
        ends = round(centre - half * step, 6), round(centre + half * step, 6)
        window = EtaWindow(*ends, step, self.exposure)
        curve = RockingCurve(self.beamline.merlin.name)

        def on_point(eta: float, readings: Any) -> None:
            self.saw_frames = self.saw_frames or f"{self.beamline.merlin.name}_total" in readings
            curve.add(eta, readings)

        yield from measure(
            self.beamline,
            window.positions(),
            exposure=self.exposure,
            temperature=self.place.temperature,
            md=start_metadata(
                self.beamline,
                self.place,
                plan_name=self.plan_name,
                purpose="align",
                window=window,
                md=self.md,
            ),
            on_point=on_point,
        )
        return curve


def _centre(
    align: _Aligner, arm: Arm, aim: Pixel, eta: float, *, reach: float, step: float, attempts: int = 3
) -> MsgGenerator[Alignment]:
    """Scan finely and move the detector until the peak is where it shall be."""
    pixel: Pixel = (float("nan"), float("nan"))
    for _ in range(attempts):
        curve = yield from align.scan(eta, reach, step)
        if not curve.has_peak:
            return Alignment(eta, pixel)
        eta, pixel = curve.centre(), curve.pixel()
        if hypot(pixel[0] - aim[0], pixel[1] - aim[1]) <= DRIFT_ALLOWED:
            break
        yield from _move_peak(align.beamline, arm, pixel, aim)
    return Alignment(eta, pixel)


def _move_to(beamline: BeamlineLike, nominal: Any, arm: Arm, aim: Pixel) -> MsgGenerator[None]:
    """Go to the nominal angles, with the arm offset that brings the nominal peak to the aim."""
    delta, gam = arm.angles(arm.ray(arm.middle, delta=nominal.delta, gam=nominal.gam), aim)
    circles = beamline.diffractometer
    moves: list[Any] = []
    for axis in ("mu", "eta", "chi", "phi"):
        moves += [getattr(circles, axis), getattr(nominal, axis)]
    yield from bps.checkpoint()
    yield from bps.mv(*moves, circles.delta, delta, circles.gam, gam)


def _move_peak(beamline: BeamlineLike, arm: Arm, pixel: Pixel, aim: Pixel) -> MsgGenerator[None]:
    """Move the arm so that what is at `pixel` now comes to `aim`."""
    circles = beamline.diffractometer
    delta, gam = arm.angles(arm.ray(pixel, delta=circles.delta.position, gam=circles.gam.position), aim)
    yield from bps.checkpoint()
    yield from bps.mv(circles.delta, delta, circles.gam, gam)


def _search_around(beamline: BeamlineLike, pixel: Pixel, half_width: float) -> MsgGenerator[None]:
    """Tell the detector where to look for the peak; half_width 0 means everywhere."""
    merlin = beamline.merlin
    yield from bps.mv(
        merlin.search_row, pixel[0], merlin.search_column, pixel[1], merlin.search_half_width, half_width
    )
