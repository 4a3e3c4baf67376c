"""The measurement itself: one three-dimensional diffraction pattern by rocking eta."""

import logging
from collections.abc import Mapping
from typing import Any

from bluesky.utils import MsgGenerator

from vo2_plans.preflight import check_window
from vo2_plans.protocols import BeamlineLike, Readings, value_of
from vo2_plans.run_metadata import HKL, SeriesPlace, new_series_uid, start_metadata
from vo2_plans.scan import measure
from vo2_plans.scan_window import EtaWindow

_log = logging.getLogger(__name__)


class SaturationWatch:
    """Counts the points whose brightest pixel, hot ones aside, has reached the counter's end.

    Parameters
    ----------
    key : str
        Of the reading that says how bright it is.
    saturation : float
        Largest count that a pixel can hold.
    """

    def __init__(self, key: str, saturation: float):
        self.key, self.saturation, self.points = key, saturation, 0

    def look(self, _eta: float, readings: Readings) -> None:
        """Look at one point's readings."""
        self.points += value_of(readings, self.key) >= self.saturation


def rocking_scan(
    beamline: BeamlineLike,
    *,
    eta_start: float = 16.7,
    eta_stop: float = 18.9,
    eta_step: float = 0.01,
    exposure: float = 30.0,
    place: SeriesPlace | None = None,
    reflection: HKL = (0, 1, 1),
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[str | None]:
    """Rock eta through the reflection with one frame per step; return the run's uid.

    Parameters
    ----------
    beamline : BeamlineLike
    eta_start, eta_stop, eta_step : float
        Degrees; both ends are measured: 221 points as given.
    exposure : float
        Seconds per point.
    place : SeriesPlace, optional
        The scan's place in a series; on its own it is a series of one at the present setpoint.
    reflection : tuple of int
        Miller indices, for the start document.
    md : mapping, optional
        Goes into the start document.
    """
    window = EtaWindow(eta_start, eta_stop, eta_step, exposure)
    check_window(beamline, window)
    place = place or SeriesPlace(new_series_uid(), 0, 1, float(beamline.heated_stage.setpoint))
    document = start_metadata(
        beamline,
        place,
        plan_name="rocking_scan",
        purpose="rocking",
        window=window,
        reflection=reflection,
        md=md,
    )
    watch = SaturationWatch(f"{beamline.merlin.name}_peak_max", float(document["detector"]["saturation"]))
    uid = yield from measure(
        beamline,
        window.positions(),
        exposure=exposure,
        temperature=place.temperature,
        md=document,
        on_point=watch.look,
    )
    if watch.points:
        _log.warning(
            "%d of %d points at %g K are saturated (%s counts and more): they are left out of the phasing. "
            "Lower the transmission or shorten the exposure.",
            watch.points,
            window.num,
            place.temperature,
            f"{watch.saturation:.0f}",
        )
    return uid
