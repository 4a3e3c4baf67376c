"""A series that chooses its own temperatures from published results; every choice is a document."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite, nan
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from vo2_plans.alignment import Alignment
from vo2_plans.decisions import DecisionRecord, record_decision
from vo2_plans.preflight import preflight, scan_seconds
from vo2_plans.protocols import BeamlineLike
from vo2_plans.run_metadata import EtaWindow, SeriesPlace, new_series_uid
from vo2_plans.series import SeriesProgress, SeriesSettings, measure_temperature, return_to, soak
from vo2_plans.steering import Steering, TemperatureSkippedError
from vo2_plans.stop_rule import EarlyReader, StopRule, Until
from vo2_plans.temperature_rule import BRANCHES, FollowTheChange, TemperatureRange

if TYPE_CHECKING:
    from bluesky_adaptive.protocols import Optimizer

_log = logging.getLogger(__name__)

NAME = "adaptive_temperature_series"
"""Of the plan, in documents."""

POLL = 2.0
"""Seconds between two looks at the published results."""


@dataclass(frozen=True)
class OrderReading:
    """A published order parameter as a plan reads it.

    Attributes
    ----------
    index : int
        Place in the series.
    value, error : float, rad
    trusted : bool
    reason : str
        Why it is not trusted.
    """

    index: int
    value: float = nan
    error: float = nan
    trusted: bool = True
    reason: str = ""


class OrderParameterReader(Protocol):
    """Looks up what is published of a series; it returns at once, whatever there is."""

    def __call__(self, series_uid: str) -> Sequence[OrderReading]:
        """Return a reading for each scan that was analysed, or whose analysis failed (not trusted)."""
        ...


@dataclass(frozen=True)
class AdaptiveSettings:
    """What a person asks of an adaptive series.

    Attributes
    ----------
    start, stop : float
        Coldest and hottest temperature, K.
    min_step, max_step : float
        Between neighbouring temperatures, K.
    hours : float
        Beam time: exposures, read-out, settling and ramps; alignment and waiting are not counted.
    branches : str
        "heating" (never back), "heating,cooling", or "heating,heating": a coarse pass, back to the start
        without measuring, and a second pass that knows the first.
    patience : float
        Seconds that a choice waits for a result it depends on.
    """

    start: float
    stop: float
    min_step: float = 1.0
    max_step: float = 7.5
    hours: float = 18.9
    branches: str = "heating"
    patience: float = 600.0

    def range(self, beamline: BeamlineLike, window: EtaWindow) -> TemperatureRange:
        """Return what the beam time is enough for; raise `ValueError`, in words, where it is too little."""
        problems = [
            f"{name} must be a finite number of at least {least:g}, got {value!r}"
            for name, value, least in (("hours", self.hours, 0.0), ("patience", self.patience, 0.0))
            if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value) or value < least
        ]
        problems += window.problems()
        asked = self._range(0 if problems else scans_within(self, beamline, window))
        if problems := problems + asked.problems():
            raise ValueError("Nothing was moved: " + "; ".join(problems) + ".")
        return asked

    def _range(self, scans: int) -> TemperatureRange:
        return TemperatureRange(self.start, self.stop, self.min_step, self.max_step, scans, self.branches)


def scans_within(asked: AdaptiveSettings, beamline: BeamlineLike, window: EtaWindow) -> int:
    """Return how many scans the beam time is enough for, all ramps from the start on taken off first.

    It depends on nothing that changes while a series runs, so that one that is resumed decides alike.
    """
    passes = len(BRANCHES.get(asked.branches, ("heating",)))
    span = abs(asked.stop - asked.start) if isfinite(asked.stop - asked.start) else 0.0
    way = span * (3 if asked.branches == "heating,heating" else passes)
    ramps = way / float(beamline.heated_stage.ramp_rate.get()) * 60
    return max(0, int((asked.hours * 3600 - ramps) / scan_seconds(beamline, window)))


def adaptive_text(asked: AdaptiveSettings, beamline: BeamlineLike, window: EtaWindow) -> str:
    """Return what is fixed of such a series, its beam time, and its rule, as lines to be printed."""
    limits = asked.range(beamline, window)
    rule = FollowTheChange(limits)
    numbers = ", ".join(f"{name} {value:g}" for name, value in asdict(rule.settings).items())
    return "\n".join(
        [
            f"fixed: {limits.text()}; {limits.least} scans are needed at the largest steps",
            f"beam time: {asked.hours:g} h, {scan_seconds(beamline, window) / 3600:.2f} h for each scan; a "
            f"choice waits at most {asked.patience:g} s for a result",
            f"rule: {rule.name} ({numbers}); without results the temperatures are the following",
        ]
    )


def adaptive_call_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the plan is called with, from what a start document has as ``series_plan``."""
    left = {name: value for name, value in arguments.items() if name not in ("plan", "rule", "temperatures")}
    ends = {name: left.pop(f"eta_{name}") for name in ("start", "stop", "step")}
    window = EtaWindow.of({**ends, "exposure": left.pop("exposure")})
    names = AdaptiveSettings.__dataclass_fields__
    asked = AdaptiveSettings(**{name: left.pop(name) for name in names if name in left})
    return {**left, "asked": asked, "window": window}


def adaptive_temperature_series(
    beamline: BeamlineLike,
    asked: AdaptiveSettings,
    window: EtaWindow,
    *,
    reader: OrderParameterReader | None = None,
    optimizer: Optimizer | None = None,
    align_exposure: float = 1.0,
    locate: bool = True,
    pre_expose: bool = True,
    undersampled: bool = False,
    series_uid: str | None = None,
    progress: SeriesProgress | None = None,
    steering: Steering | None = None,
    until: str | Mapping[str, Any] | StopRule | None = None,
    early: EarlyReader | None = None,
    rest: bool = False,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[tuple[str | None, ...]]:
    """Measure a series whose next temperature is chosen from the order parameter published so far.

    Each choice is a run of its own with the stream ``decisions``: rule, inputs, choice and reason, the reason
    also in its stop document. The last one says why the series ends; ``series_size`` is a maximum.

    Parameters
    ----------
    beamline : BeamlineLike
    asked : AdaptiveSettings
    window : EtaWindow
    reader : OrderParameterReader, optional
        Without one no result ever comes, and the temperatures are those of the fixed grid.
    optimizer : Optimizer, optional
        Of bluesky-adaptive; `FollowTheChange` by default. It suggests ``temperature``, ``branch``,
        ``passage`` and ``reason``, or nothing at the end.
    align_exposure, locate, pre_expose, undersampled, series_uid, steering, until, early, rest, md
        As for `temperature_series`.
    progress : SeriesProgress, optional
        Goes on with this series: what was decided stays decided, what was measured stays measured.
    """
    window = EtaWindow.of(window)
    done = progress or SeriesProgress(series_uid or new_series_uid())
    done.check_setup(beamline.metadata())
    limits = asked.range(beamline, window)
    scale = (limits.stop - limits.start) / max(limits.scans - 1, 1)
    grid = [limits.start + n * scale for n in range(limits.scans)]
    checked = preflight(beamline, grid, window, align_exposure=align_exposure, undersampled=undersampled)
    for warning in checked.warnings:
        _log.warning("%s", warning)
    how = SeriesSettings(window, align_exposure, locate, pre_expose, until=Until.of(until, early, rest=rest))
    how.say_what_is_given_up(beamline)
    rule = FollowTheChange(limits)
    plan = {**how.as_metadata(grid), **asdict(asked), "plan": NAME, "rule": _rule(optimizer or rule, rule)}
    plan["temperatures"] = []  # each is a decision
    if undersampled:
        plan["undersampled"] = True
    series = _Series(
        beamline=beamline,
        how=how,
        optimizer=optimizer or rule,
        size=limits.scans,
        patience=asked.patience if reader is not None else 0.0,
        reader=reader or (lambda _: ()),
        md={"series_plan": plan, **(md or {})},
        wishes=steering or Steering(),
        done=done,
        start=limits.start,
    )
    return (yield from series.measure())


def _rule(optimizer: Any, rule: FollowTheChange) -> dict[str, Any]:
    if optimizer is rule:
        return {"name": rule.name, "text": rule.wanted.text(), **asdict(rule.settings)}
    return {"name": type(optimizer).__name__}


@dataclass
class _Series:
    """The series while it runs; what is the same for all its temperatures, and how far it has come."""

    beamline: BeamlineLike
    how: SeriesSettings
    optimizer: Any
    size: int
    patience: float
    reader: OrderParameterReader
    md: Mapping[str, Any]
    wishes: Steering
    done: SeriesProgress
    start: float
    choices: list[dict[str, Any]] = field(default_factory=list)
    given_up: set[int] = field(default_factory=set)

    def measure(self) -> MsgGenerator[tuple[str | None, ...]]:
        """Decide, measure, decide; return the rocking scans' uids."""
        done, nowhere = self.done, (nan, nan)
        found = None if self.how.locate else Alignment(self.how.window.centre, nowhere)
        if done.pose:
            yield from return_to(self.beamline, done.pose)
            found = Alignment(done.pose["eta"], nowhere)
        uids: dict[int, str | None] = dict(done.complete)
        while True:
            choice = yield from self._next()
            if choice["action"] != "measure":
                break
            self.choices.append(choice)
            index = int(choice["index"])
            if index in uids:
                continue
            yield from self._turn_round(choice)
            temperatures = [float(one["temperature"]) for one in self.choices]
            for n in self.wishes.order(temperatures, [index]):
                try:
                    uids[n], found = yield from self._temperature(n, found)
                except TemperatureSkippedError:
                    self.given_up.add(n)
                    _log.warning("%g K is skipped; the series goes on.", temperatures[n])
            if self.wishes.stop:
                yield from self._record(self._end("stopped", "stopped by hand after this scan"))
                _log.warning("The series ends as asked; go on: vo2 series --resume %s", done.series_uid)
                break
        return tuple(uids[index] for index in sorted(uids))

    def _temperature(self, index: int, found: Alignment | None) -> MsgGenerator[tuple[str | None, Alignment]]:
        attempt = self.done.attempts.get(index, 0) + 1
        self.done = replace(self.done, attempts={**self.done.attempts, index: attempt})
        place = self._place(self.choices[index], attempt)
        return (yield from measure_temperature(self.beamline, place, found, self.how, self.md, self.wishes))

    def _place(self, choice: Mapping[str, Any], attempt: int = 1) -> SeriesPlace:
        branch, temperature = choice["branch"], float(choice["temperature"])
        return SeriesPlace(
            self.done.series_uid, int(choice["index"]), self.size, temperature, branch, attempt
        )

    def _turn_round(self, choice: Mapping[str, Any]) -> MsgGenerator[None]:
        """Go back to the start first where a second heating pass begins: the transition has hysteresis."""
        before = self.choices[-2] if len(self.choices) > 1 else choice
        if choice["passage"] != before["passage"] and choice["branch"] == before["branch"]:
            yield from soak(self.beamline, self.start)

    def _next(self) -> MsgGenerator[dict[str, Any]]:
        """Return the next choice: the one on record where there is one, else a new one, put on record."""
        stored = self.done.decisions.get(len(self.choices))
        if stored is not None and stored["action"] == "measure":
            self.optimizer.ingest([_measured(stored, None)])
            return dict(stored)
        readings, waited = yield from self._read()
        suggested = list(self.optimizer.suggest(1))
        if suggested:
            choice = {
                "index": len(self.choices),
                "action": "measure",
                **{key: suggested[0][key] for key in ("temperature", "branch", "passage", "reason")},
                "fallback": bool(suggested[0].get("fallback", False)),
            }
        else:
            stops = getattr(self.optimizer, "should_stop", lambda: (True, None))
            choice = self._end("end", stops()[1] or "the rule suggests no further temperature")
        choice |= {"waited": waited, "inputs": [asdict(one) for one in readings]}
        yield from self._record(choice)
        if suggested:
            self.optimizer.ingest([_measured(choice, None)])
        return choice

    def _end(self, action: str, reason: str) -> dict[str, Any]:
        last = (
            self.choices[-1]
            if self.choices
            else {"temperature": self.start, "branch": "heating", "passage": 0}
        )
        kept = {key: last[key] for key in ("temperature", "branch", "passage")}
        return {"index": len(self.choices), "action": action, **kept, "reason": reason, "fallback": False}

    def _read(self) -> MsgGenerator[tuple[list[OrderReading], float]]:
        """Return what is published, having waited, between looks, for what the next choice depends on."""
        waited, waits_for = 0.0, getattr(self.optimizer, "waits_for", list)
        while True:
            yield from bps.checkpoint()
            readings = {one.index: one for one in self.reader(self.done.series_uid)}
            self.optimizer.ingest(
                [_measured(choice, readings.get(int(choice["index"]))) for choice in self.choices]
            )
            missing = [n for n in waits_for() if n not in readings and n not in self.given_up]
            if not missing or waited >= self.patience:
                return [readings[index] for index in sorted(readings)], waited
            yield from bps.sleep(POLL)
            waited += POLL

    def _record(self, choice: Mapping[str, Any]) -> MsgGenerator[None]:
        """Put a decision on record as a run of its own."""
        record = DecisionRecord(choice, str(self.md["series_plan"]["rule"]["name"]), self.size)
        place = self._place(choice)
        decision = {**choice, "inputs": json.dumps(choice.get("inputs", []))}
        names = ("decide_temperature", "decision")
        yield from record_decision(self.beamline, place, record, record.sentence, decision, *names, self.md)
        _log.info("%s", record.sentence)


def _measured(choice: Mapping[str, Any], reading: OrderReading | None) -> dict[str, Any]:
    """Return a point as an optimizer ingests it; without a trusted reading it has no order parameter."""
    point = {
        "_id": int(choice["index"]),
        **{key: choice[key] for key in ("temperature", "branch", "passage")},
    }
    if reading is None or not reading.trusted:
        return point
    return {**point, "order_parameter": reading.value, "error": reading.error}
