"""The measurement itself: one run, the detector staged, point after point; the rocking scan made of it."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, Msg, MsgGenerator, RunEngineControlException

from vo2_plans.preflight import check_window
from vo2_plans.protocols import BeamlineLike, Readings, value_of
from vo2_plans.run_metadata import EtaWindow, SeriesPlace, new_series_uid, start_metadata
from vo2_plans.stop_rule import EarlyReader, Stopping, StopRule, Until

_MOVES, _EXPOSURE = "point-moves", "point-exposure"

OnPoint = Callable[[float, Readings], None]


def measure(
    beamline: BeamlineLike,
    positions: Iterable[float],
    *,
    exposure: float,
    temperature: float,
    md: dict[str, Any],
    on_point: OnPoint | None = None,
    stopping: Stopping | None = None,
) -> MsgGenerator[str | None]:
    """Measure a frame at each position of eta as one run; return the run's uid.

    The run is opened before the detector is staged, so that its start document names the frame file. Holding
    the temperature is part of every point, and so of what is repeated after a pause: if the sample has cooled
    meanwhile, the RunEngine waits for it to settle before it takes the point again.

    Parameters
    ----------
    beamline : BeamlineLike
    positions : iterable of float
        Eta, degrees.
    exposure : float
        Seconds per point.
    temperature : float
        Setpoint to hold, K.
    md : dict
        Start document.
    on_point : callable, optional
        Receives eta and the readings of each point.
    stopping : Stopping, optional
        Decides after each point whether the run ends there.
    """

    def points() -> MsgGenerator[None]:
        devices = point_devices(beamline)
        for number, eta in enumerate(positions, start=1):
            try:
                readings = yield from _take_point(beamline, devices, eta, temperature)
            except FailedStatus as failed:
                raise in_words(failed) from failed
            if on_point is not None:
                on_point(eta, readings)
            if stopping is not None and (yield from stopping.after(number)):
                return

    def run() -> MsgGenerator[None]:
        yield from bps.trigger_and_read(baseline_devices(beamline), name="baseline")
        yield from bpp.stage_wrapper(points(), [beamline.merlin])
        yield from bps.trigger_and_read(baseline_devices(beamline), name="baseline")
        # Closing a run clears no checkpoint: a pause just after it would replay the baseline without a run.
        yield from bps.checkpoint()

    yield from bps.checkpoint()
    yield from bps.mv(beamline.merlin.acquire_time, exposure)
    followed = bpp.subs_wrapper(_as_run(run(), md, stopping), {"all": [beamline.merlin.note_document]})
    return (yield from bpp.finalize_wrapper(followed, lambda: close_shutter(beamline)))


def _as_run(
    inside: MsgGenerator[None], md: dict[str, Any], stopping: Stopping | None
) -> MsgGenerator[str | None]:
    """Put a plan into a run; where a rule may end it, the stop document says why."""
    if stopping is None:
        return (yield from bpp.run_wrapper(inside, md=md))
    uid = yield from bps.open_run(md)
    stopping.run_uid = str(uid or "")

    def broken_off(error: Exception) -> MsgGenerator[None]:
        if isinstance(error, RunEngineControlException):
            yield from bps.close_run(exit_status=error.exit_status)  # type: ignore[attr-defined]
        else:
            yield from bps.close_run(exit_status="fail", reason=str(error))

    yield from bpp.contingency_wrapper(
        inside,
        except_plan=broken_off,
        else_plan=lambda: bps.close_run(reason=stopping.reason or None),
    )
    return uid


def _take_point(
    beamline: BeamlineLike, devices: list[Any], eta: float, temperature: float
) -> MsgGenerator[Readings]:
    """Move, expose, and bundle the readings into an event.

    Written in plain messages: each of Bluesky's plan stubs formats a stack trace when called, 5 ms a point.
    """
    yield Msg("checkpoint")
    yield Msg("set", beamline.heated_stage, temperature, group=_MOVES)
    yield Msg("set", beamline.diffractometer.eta, eta, group=_MOVES)
    yield Msg("wait", None, group=_MOVES)
    yield Msg("trigger", beamline.merlin, group=_EXPOSURE)
    yield Msg("wait", None, group=_EXPOSURE)
    yield Msg("create", None, name="primary")
    readings: dict[str, Mapping[str, Any]] = {}
    try:
        for device in devices:
            readings.update((yield Msg("read", device)) or {})
    except Exception:
        yield Msg("drop")  # else the baseline reading that ends the run finds this event still open
        raise
    yield Msg("save")
    return readings


def in_words(failed: FailedStatus) -> RuntimeError:
    """Return an error that says what a device has to say; Bluesky's own names the status object alone."""
    return RuntimeError(str(failed.__cause__ or failed))


def close_shutter(beamline: BeamlineLike) -> MsgGenerator[None]:
    """Close the shutter, whatever happened."""
    yield from bps.abs_set(beamline.beam.shutter, "closed", wait=True)


def point_devices(beamline: BeamlineLike) -> list[Any]:
    """Return what is read at each point; the detector last, so that its document goes out with the event."""
    beam = beamline.beam
    return [
        beamline.diffractometer.eta,
        beamline.heated_stage,
        beam.rc,
        beam.ic1monitor,
        beam.transmission,
        beamline.merlin,
    ]


def baseline_devices(beamline: BeamlineLike) -> list[Any]:
    """Return what is read before and after each run."""
    circles, stage, merlin = beamline.diffractometer, beamline.heated_stage, beamline.merlin
    angles = [getattr(circles, axis) for axis in ("mu", "eta", "chi", "phi", "delta", "gam")]
    sample = [stage.sx, stage.sy, stage.sz]
    return [*angles, *sample, beamline.beam.en, merlin.acquire_time, merlin.counter_depth]


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
    window: EtaWindow,
    *,
    place: SeriesPlace | None = None,
    md: Mapping[str, Any] | None = None,
    after_point: Callable[[], None] | None = None,
    on_point: OnPoint | None = None,
    until: str | Mapping[str, Any] | StopRule | Until | None = None,
    early: EarlyReader | None = None,
    rest: bool = False,
) -> MsgGenerator[str | None]:
    """Rock eta through the reflection with one frame per step; return the run's uid.

    Parameters
    ----------
    beamline : BeamlineLike
    window : EtaWindow
        Positions and exposure; a mapping that `EtaWindow.of` takes will do.
    place : SeriesPlace, optional
        The scan's place in a series; on its own it is a series of one at the present setpoint.
    md : mapping, optional
        Goes into the start document.
    after_point : callable, optional
        Called after each point; what it raises ends the scan.
    on_point : callable, optional
        Receives eta and the readings of each point.
    until : str, mapping, StopRule or Until, optional
        "trusted" ends the scan when `StopRule` says so; it has `scan.num` points at most, `scan.least` at
        least. The decision is an event in the stream ``decisions``, and the stop document's reason. By
        default the scan is whole.
    early : EarlyReader, optional
        Tells what early results are published; without one the scan goes to its end.
    rest : bool
        Whether to measure the rest of the range although the scan is known, for a second lattice's peak.
    """
    window = EtaWindow.of(window)
    check_window(beamline, window)
    ending = until if isinstance(until, Until) else Until.of(until, early, rest=rest)
    if ending is not None and place is None:
        _log.warning("%s", ending.given_up(beamline.metadata(), window))
    place = place or SeriesPlace(new_series_uid(), 0, 1, float(beamline.heated_stage.setpoint))
    document = start_metadata(
        beamline,
        place,
        plan_name="rocking_scan",
        purpose="rocking",
        window=window,
        md=md,
    )
    if ending is not None:
        document["scan"] = {**document["scan"], "least": ending.rule.least(window.num)}
        document["stop_rule"] = {**ending.rule.as_metadata(), "rest": ending.rest}
    watch = SaturationWatch(f"{beamline.merlin.name}_peak_max", float(document["detector"]["saturation"]))

    def look(eta: float, readings: Readings) -> None:
        watch.look(eta, readings)
        if on_point is not None:
            on_point(eta, readings)
        if after_point is not None:
            after_point()

    uid = yield from measure(
        beamline,
        window.positions(),
        exposure=window.exposure,
        temperature=place.temperature,
        md=document,
        on_point=look,
        stopping=None if ending is None else Stopping(ending, window.num),
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
