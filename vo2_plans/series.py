"""The experiment: a rocking scan at each temperature, through the phase transition, begun or gone on with."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import FailedStatus, MsgGenerator

from vo2_plans.alignment import Alignment, locate_reflection, recentre
from vo2_plans.attenuation import attenuate
from vo2_plans.preflight import preflight
from vo2_plans.protocols import BeamlineLike
from vo2_plans.rocking import in_words, rocking_scan
from vo2_plans.run_metadata import Branch, EtaWindow, SeriesPlace, branch_of, new_series_uid
from vo2_plans.scan_guard import check_mode, guarded_scan
from vo2_plans.steering import Steering, TemperatureSkippedError
from vo2_plans.stop_rule import EarlyReader, StopRule, Until

Temperatures = float | str | Iterable[float]


def setpoints(given: Temperatures) -> list[float]:
    """Return the temperatures that a person gave, in their order, K.

    Parameters
    ----------
    given : float, str or iterable of float
        One temperature; a text with commas between; a list, an array of one axis, a generator.

    Raises
    ------
    ValueError
        It has no order (a set), more than one axis, or holds something that is no number.

    Examples
    --------
    >>> setpoints(320), setpoints("320,335"), setpoints(range(320, 331, 5))
    ([320.0], [320.0, 335.0], [320.0, 325.0, 330.0])
    """
    wanted = "temperatures must be numbers of K in the order of measurement, as 320,335 or [320, 335]"
    if isinstance(given, str):
        values: list[Any] = [word for word in given.replace(";", ",").split(",") if word.strip()]
    elif isinstance(given, Set | Mapping):
        raise ValueError(f"{wanted}; got {given!r}, which has no order: give a list")
    elif isinstance(given, Iterable) and getattr(given, "ndim", 1) != 0:
        values = list(given)
    else:
        values = [given]
    try:
        if any(isinstance(value, bool) for value in values):
            raise TypeError
        return [float(value) for value in values]
    except (TypeError, ValueError):
        raise ValueError(f"{wanted}; got {given!r}") from None


def series_name(given: str | int) -> str:
    """Return the uid of a series as a person gave it; -1, as number or text, stands for the last one.

    Raises
    ------
    ValueError
        It is neither a text nor -1.
    """
    if isinstance(given, str) and given.strip():
        return given.strip()
    if given == -1 and not isinstance(given, bool):
        return "-1"
    raise ValueError(f"a series is named by its uid (text), or -1 for the last one; got {given!r}")


def call_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `temperature_series` is called with, from what a start document has as `series_plan`."""
    left = dict(arguments)
    ends = {name: left.pop(f"eta_{name}") for name in ("start", "stop", "step")}
    window = EtaWindow.of({**ends, "exposure": left.pop("exposure")})
    left.pop("reflection", None)  # series begun earlier name it here; the beamline knows it
    return {**left, "window": window}


def setup_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a start document, or of a beamline's metadata, must not change within a series."""
    detector = metadata.get("detector", {})
    return {
        "sample": metadata.get("sample"),
        "reflection": list(metadata.get("reflection", ())),
        **{key: list(detector[key]) for key in ("shape", "roi") if key in detector},
    }


@dataclass(frozen=True)
class SeriesProgress:
    """A series as far as it has come; a new one has only its uid.

    Attributes
    ----------
    series_uid : str
    arguments : mapping
        What `temperature_series` was called with, as the start documents have it under `series_plan`.
    complete : mapping
        Place in the series to the uid of its complete scan.
    attempts : mapping
        Place in the series to the number of its last attempt, complete or not.
    branches : mapping
        Place in the series to the branch it was begun on.
    setup : mapping
        What must be the same when it goes on: `sample`, `reflection`, and the detector's `shape` and `roi`.
    pose : mapping
        Diffractometer axis to degrees in the last complete scan, `eta` at the middle of its curve; empty
        where none is known. The peak is followed from there: searched for anew, above the transition, it
        might be rutile's.
    decisions : mapping
        Place in the series to what was decided for it, where each temperature is a decision
        (`vo2_plans.adaptive_series`).
    """

    series_uid: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    complete: Mapping[int, str] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)
    branches: Mapping[int, Branch] = field(default_factory=dict)
    setup: Mapping[str, Any] = field(default_factory=dict)
    pose: Mapping[str, float] = field(default_factory=dict)
    decisions: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def check_setup(self, metadata: Mapping[str, Any]) -> None:
        """Raise `ValueError`, in words, where the beamline's `metadata` is not that of the series."""
        now = setup_of(metadata)
        changed = [key for key, value in self.setup.items() if value != now.get(key)]
        if changed:
            told = "; ".join(f"{key} was {self.setup[key]!r} and is {now.get(key)!r}" for key in changed)
            raise ValueError(
                f"the series {self.series_uid} goes on only with the sample, reflection and detector region "
                f"it was begun with: {told}. Open the session as it was then (--quick, --experiment, "
                "VO2_SAMPLE)"
            )

    def left(self, temperatures: Sequence[float]) -> list[float]:
        """Return the temperatures that are still to be measured, K."""
        return [value for index, value in enumerate(temperatures) if index not in self.complete]

    def place(self, temperatures: Sequence[float], index: int, present: float) -> SeriesPlace:
        """Return the place of the next scan at temperature `index`; the stage stood at `present` K."""
        return SeriesPlace(
            self.series_uid,
            index,
            len(temperatures),
            float(temperatures[index]),
            self.branches.get(index) or branch_of(temperatures, index, present),
            self.attempts.get(index, 0) + 1,
        )


_log = logging.getLogger(__name__)

_SOAKS = 3  # a soak is repeated this often where the temperature has left the tolerance meanwhile


def temperature_series(
    beamline: BeamlineLike,
    temperatures: Temperatures,
    window: EtaWindow,
    *,
    align_exposure: float = 1.0,
    locate: bool = True,
    pre_expose: bool = True,
    undersampled: bool = False,
    series_uid: str | None = None,
    progress: SeriesProgress | None = None,
    steering: Steering | None = None,
    guard: str = "",
    until: str | Mapping[str, Any] | StopRule | None = None,
    early: EarlyReader | None = None,
    rest: bool = False,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[tuple[str | None, ...]]:
    """At each temperature: soak, follow the drifting peak, rock eta. Return the rocking scans' uids.

    The arguments go into every start document as `series_plan`, so that a series can be resumed by its uid.

    Parameters
    ----------
    beamline : BeamlineLike
    temperatures : float or iterable of float
        Setpoints in the order in which they are measured, K (`setpoints`).
    window : EtaWindow
        Positions and exposure; a mapping that `EtaWindow.of` takes will do. The window keeps its width and
        step; its centre follows the peak by whole steps.
    align_exposure : float
        Seconds per point of the alignment scans.
    locate : bool
        Whether to search for the reflection first; without it the peak is expected where the axes are, at the
        window's centre.
    pre_expose : bool
        Whether a short exposure at the peak decides, at each temperature, how much the beam is attenuated.
    undersampled : bool
        Whether a crystal too coarsely sampled to be phased is measured all the same (`vo2_plans.sampling`).
    series_uid : str, optional
        A new one is made otherwise.
    progress : SeriesProgress, optional
        Goes on with this series: complete scans are left alone, others are begun as their next attempt, and
        the peak is followed from where the last complete one had it.
    steering : Steering, optional
        Receives what a person wants changed while the series is paused.
    guard : str, optional
        Whether each scan is looked at once it is measured: "flag" says what is wrong with it, "mend" also
        measures once more where that would help (`vo2_plans.scan_guard`).
    until, early, rest
        As for `rocking_scan`: by which rule each scan may end, and whose word it takes.
    md : mapping, optional
        Goes into every start document.
    """
    temperatures, window = setpoints(temperatures), EtaWindow.of(window)
    done = progress or SeriesProgress(series_uid or new_series_uid())
    done.check_setup(beamline.metadata())
    left = done.left(temperatures)
    if done.complete and not left:
        _log.warning("The series %s is complete: nothing is left to measure.", done.series_uid)
        return tuple(done.complete[index] for index in sorted(done.complete))
    checked = preflight(beamline, left, window, align_exposure=align_exposure, undersampled=undersampled)
    for warning in checked.warnings:
        _log.warning("%s", warning)
    present = float(beamline.heated_stage.setpoint)
    if guard:
        check_mode(guard)
    ending = Until.of(until, early, rest=rest)
    if guard and ending is not None:
        raise ValueError(
            f"guard={guard!r} looks for wings that are cut off, and until={ending.rule.name!r} cuts one off "
            "where it is known: give one of them"
        )
    how = SeriesSettings(window, align_exposure, locate, pre_expose, guard, ending)
    how.say_what_is_given_up(beamline)
    asked = how.as_metadata(temperatures) | ({"undersampled": True} if undersampled else {})
    md = {"series_plan": asked, **(md or {})}
    nowhere = (float("nan"), float("nan"))
    found: Alignment | None = None if locate else Alignment(window.centre, nowhere)
    if done.pose:
        yield from return_to(beamline, done.pose)
        found = Alignment(done.pose["eta"], nowhere)
    uids: dict[int, str | None] = dict(done.complete)
    wishes = steering or Steering()
    for index in wishes.order(temperatures, [n for n in range(len(temperatures)) if n not in uids]):
        place = done.place(temperatures, index, present)
        done = replace(done, attempts={**done.attempts, index: place.attempt})
        try:
            uids[index], found = yield from measure_temperature(beamline, place, found, how, md, wishes)
        except TemperatureSkippedError:
            _log.warning("%g K is skipped; the series goes on.", place.temperature)
    if wishes.stop:
        _log.warning("The series ends here as asked; go on with it: vo2 series --resume %s", done.series_uid)
    return tuple(uids[index] for index in sorted(uids))


@dataclass(frozen=True)
class SeriesSettings:
    """What is the same at every temperature of a series; the arguments of `temperature_series`."""

    window: EtaWindow
    align_exposure: float
    locate: bool
    pre_expose: bool
    guard: str = ""
    until: Until | None = None

    def say_what_is_given_up(self, beamline: BeamlineLike) -> None:
        """Tell what scans that may end early may not measure, before anything moves."""
        if self.until is not None:
            _log.warning("%s", self.until.given_up(beamline.metadata(), self.window))

    def as_metadata(self, temperatures: Sequence[float]) -> dict[str, Any]:
        """Return what the start documents say under `series_plan`."""
        return {
            "temperatures": [float(temperature) for temperature in temperatures],
            **{f"eta_{name}": getattr(self.window, name) for name in ("start", "stop", "step")},
            "exposure": self.window.exposure,
            "align_exposure": self.align_exposure,
            "locate": self.locate,
            "pre_expose": self.pre_expose,
            **({"guard": self.guard} if self.guard else {}),
            **(self.until.as_metadata() if self.until else {}),
        }


def measure_temperature(
    beamline: BeamlineLike,
    place: SeriesPlace,
    found: Alignment | None,
    how: SeriesSettings,
    md: Mapping[str, Any],
    wishes: Steering,
) -> MsgGenerator[tuple[str | None, Alignment]]:
    """Soak, find the peak or follow it, rock eta; return the scan's uid and where the peak was."""
    _warn_of_hysteresis(beamline, place)
    yield from soak(beamline, place.temperature)
    wishes.heed_skip()
    options: dict[str, Any] = {"exposure": how.align_exposure, "md": md}
    if found is None:
        found = yield from locate_reflection(beamline, place, **options)
    else:
        found = yield from recentre(beamline, place, found, **options)
    window = how.window.centred_on(found.eta)
    decided = None
    if how.pre_expose:
        decided = yield from attenuate(
            beamline,
            place,
            eta=window.centre,
            exposure=window.exposure,
            pre_exposure=how.align_exposure,
            md=md,
        )
    attenuation = {"attenuation": decided.as_metadata()} if decided else {}
    options = {"md": {**md, **attenuation}, "after_point": wishes.heed_skip}
    centre = window.centre
    if how.guard:
        uid, centre = yield from guarded_scan(beamline, window, place, mode=how.guard, **options)
    else:
        uid = yield from rocking_scan(beamline, window, place=place, until=how.until, **options)
    return uid, replace(found, eta=centre)  # the next search begins on this scan's own positions


def return_to(beamline: BeamlineLike, pose: Mapping[str, float]) -> MsgGenerator[None]:
    """Go where the series' last complete scan was measured; controllers that restarted have forgotten it."""
    yield from bps.checkpoint()
    moves = [part for axis, angle in pose.items() for part in (getattr(beamline.diffractometer, axis), angle)]
    yield from bps.mv(*moves)


def _warn_of_hysteresis(beamline: BeamlineLike, place: SeriesPlace) -> None:
    """Say so where a resumed series comes to a temperature from the other side than its branch."""
    above = float(beamline.heated_stage.setpoint) - place.temperature
    if above > 0 if place.branch == "heating" else above < 0:
        _log.warning(
            "%g K belongs to the %s branch, and the stage comes from %g K: the transition has hysteresis. "
            "Go round by a temperature on the other side first if that matters.",
            place.temperature,
            place.branch,
            beamline.heated_stage.setpoint,
        )


def soak(beamline: BeamlineLike, temperature: float) -> MsgGenerator[None]:
    """Go to a temperature (K), wait until it has settled; look again, a pause may have come between."""
    stage = beamline.heated_stage
    for _ in range(_SOAKS):
        yield from bps.checkpoint()
        try:
            yield from bps.mv(stage, temperature)
        except FailedStatus as failed:
            raise in_words(failed) from failed
        reached = yield from bps.rd(stage.Tsample, default_value=float("nan"))
        if not isfinite(reached) or abs(reached - temperature) <= stage.tolerance.get():
            return
    raise RuntimeError(
        f"{stage.name} must stay within {stage.tolerance.get():g} K of {temperature:g} K, it is at "
        f"{reached:.2f} K after {_SOAKS} soaks. Check its regulation; the setpoint is kept."
    )
