"""When a rocking scan has measured enough: the rule, what it reads of published results, the decision.

A scan that may end early asks between its points, from a stated share on, what is published of it. The reader
answers at once with whatever it knows; nothing in here waits.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import asin, ceil, cos, degrees, isfinite, pi, radians, sin, sqrt
from typing import Any, Protocol

from bluesky.utils import Msg, MsgGenerator

from vo2_plans.decisions import STREAM, Record
from vo2_plans.run_metadata import EtaWindow
from vo2_plans.sampling import HC, momentum_transfer

_log = logging.getLogger(__name__)

STOP, REST = "stop", "measure the rest"
"""What can be decided when a scan is known: to end it, or to go on to its end because that was asked for."""


@dataclass(frozen=True)
class EarlyReading:
    """A published early result of a scan that still runs, as a plan reads it.

    Attributes
    ----------
    points : int
        That it was made of.
    trusted : bool
        Its own verdict.
    overlap : float
        With the early result before it, 0 to 1; NaN where there is none.
    covered : bool
        Whether all frames of the crop were there.
    """

    points: int
    trusted: bool
    overlap: float
    covered: bool


class EarlyReader(Protocol):
    """Looks up what is published of a scan that still runs; it returns at once, whatever there is."""

    def __call__(self, run_uid: str) -> Sequence[EarlyReading]:
        """Return its early results in the order of their points."""
        ...


@dataclass(frozen=True)
class StopRule:
    """Ends a scan whose newest early results are trusted, agree, and cover the crop.

    Early results that cover the crop already are made of the same voxels, so they agree by themselves: what
    the rule then adds to their verdict is nothing, and nothing is lost, for the final result is made of these
    voxels, too.

    Attributes
    ----------
    name : str
        What a person gives as ``until``.
    begin : float
        Share of the points before which no scan ends: early results begin there (docs/beamline.md).
    overlap : float
        Least overlap of neighbouring early results. Those of the default series' scan at 320 K overlap 0.996
        with the final object and more with each other (``tests/benchmarks/stages.py --stored``).
    agreeing : int
        How many of the newest early results must be trusted, each overlapping with the one before it.
    """

    name: str = "trusted"
    begin: float = 0.55
    overlap: float = 0.98
    agreeing: int = 2

    def __post_init__(self) -> None:
        for name, low, high in (("begin", 0.5, 1.0), ("overlap", 0.0, 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name} of the rule must be a number from {low} to {high}; got {value!r}")
        if isinstance(self.agreeing, bool) or not isinstance(self.agreeing, int) or self.agreeing < 2:
            raise ValueError(f"agreeing must be a whole number of at least 2; got {self.agreeing!r}")

    @classmethod
    def of(cls, given: str | Mapping[str, Any] | StopRule) -> StopRule:
        """Return what a person or a document gave as ``until``.

        Raises
        ------
        ValueError
            No rule has this name, or these numbers.
        """
        if isinstance(given, StopRule):
            return given
        usual = cls()
        if given == usual.name:
            return usual
        if isinstance(given, Mapping) and given.get("name") == usual.name:
            numbers = {key: value for key, value in given.items() if key != "text"}
            if set(numbers) <= set(asdict(usual)):
                return cls(**numbers)
        raise ValueError(f"until must be {usual.name!r}, or None for the whole scan; got {given!r}")

    def least(self, num: int) -> int:
        """Return the fewest points of a scan of `num`."""
        return ceil(self.begin * num - 1e-9)

    @property
    def text(self) -> str:
        """The rule in words."""
        return (
            f"the newest {self.agreeing} early results are trusted, overlap {self.overlap:g} or more, and "
            "the last covers the crop"
        )

    def as_metadata(self) -> dict[str, Any]:
        """Return what documents say of it."""
        return {**asdict(self), "text": self.text}

    def fulfilled(self, readings: Sequence[EarlyReading]) -> str:
        """Return in words why a scan is known, nothing while it is not."""
        newest = readings[-self.agreeing :]
        if len(newest) < self.agreeing or not newest[-1].covered or not all(one.trusted for one in newest):
            return ""
        least = min(one.overlap if isfinite(one.overlap) else 0.0 for one in newest[1:])
        if least < self.overlap:
            return ""
        made_of = " and ".join(str(one.points) for one in newest)
        return f"the early results from {made_of} points are trusted, overlap {least:.3f}, and cover the crop"


@dataclass(frozen=True)
class Until:
    """How a scan may end before its last point: by which rule, told by whom.

    Attributes
    ----------
    rule : StopRule
    reader : EarlyReader, optional
        Without one no result ever comes, and the scan goes to its end.
    rest : bool
        Whether the rest of the range is measured nevertheless; the decision is then only put on record.
    """

    rule: StopRule
    reader: EarlyReader | None = None
    rest: bool = False

    @classmethod
    def of(
        cls,
        until: str | Mapping[str, Any] | StopRule | None,
        reader: EarlyReader | None = None,
        *,
        rest: bool = False,
    ) -> Until | None:
        """Return what was asked for; None for the whole scan.

        Raises
        ------
        ValueError
            There is no such rule, or the rest was asked for without one.
        """
        if not isinstance(rest, bool):
            raise ValueError(f"rest must be True or False; got {rest!r}")
        if until is None:
            if rest:
                raise ValueError(
                    "rest=True measures the rest of a scan that is known, and without until a scan is whole "
                    "anyway: give until='trusted' with it, or leave it out"
                )
            return None
        return cls(StopRule.of(until), reader, rest)

    def as_metadata(self) -> dict[str, Any]:
        """Return what a series' start documents say of it, so that it goes on by the same rule."""
        return {"until": asdict(self.rule), "rest": self.rest}

    def given_up(self, metadata: Mapping[str, Any], window: EtaWindow) -> str:
        """Return in words what a scan over `window` may not measure.

        Parameters
        ----------
        metadata : mapping
            As in the start document: ``UB``, ``reflection``, ``energy``, and ``experiment`` where described.
        window : EtaWindow
            About the measured lattice's peak.
        """
        least, positions = self.rule.least(window.num), window.positions()
        said = (
            f"until {self.rule.name!r}: a scan ends when {self.rule.text}, after {least} of {window.num} "
            "points or more"
        )
        if self.rest:
            return f"{said}; the rest is measured as asked, and the decision is only put on record"
        measured = positions[least - 1]
        rest = f"given up is the rest of the window, at most eta {measured:g}° to {window.stop:g}°"
        return "; ".join([said, rest, *_second_lattice(metadata, window, measured)])


def _second_lattice(metadata: Mapping[str, Any], window: EtaWindow, measured: float) -> list[str]:
    """Return what becomes of the second lattice's peak, where the experiment has one."""
    experiment = metadata.get("experiment") or {}
    other = experiment.get("counterpart")
    if not other:
        return []
    energy = float(metadata["energy"])
    first = degrees(asin(momentum_transfer(metadata) * HC / energy / (4 * pi)))
    second = _theta_of(other, energy)
    peak = window.centre + second - first  # the same direction of Q: eta follows the Bragg angle
    found = [f"{other['phase']}'s peak, expected at eta {peak:.2f}°, "]
    if peak > measured:
        found[0] += "lies in it: rest=True measures it"
        return found
    found[0] += "is measured"
    wide = experiment.get("wide_crop")
    if wide and window.centre + wide[0] / 2 * window.step > measured:
        end = min(window.centre + wide[0] / 2 * window.step, window.stop)
        found[0] += f", but the wide crop that {other['phase']} is phased in needs eta up to {end:.2f}°: "
        found[0] += "rest=True measures it"
    return found


def _theta_of(reflection: Mapping[str, Any], energy: float) -> float:
    """Return the Bragg angle of a described reflection at `energy` (keV), degrees.

    1/d² is the quadratic form of (h, k, l) in the reciprocal metric (International Tables C, 1.1).
    """
    cell, (h, k, l) = reflection["lattice"], reflection["hkl"]  # noqa: E741
    a, b, c = (float(cell[name]) for name in "abc")
    angles = [radians(float(cell[name])) for name in ("alpha", "beta", "gamma")]
    (ca, cb, cg), (sa, sb, sg) = [cos(x) for x in angles], [sin(x) for x in angles]
    form = (h * sa / a) ** 2 + (k * sb / b) ** 2 + (l * sg / c) ** 2
    form += 2 * (h * k / (a * b) * (ca * cb - cg) + k * l / (b * c) * (cb * cg - ca))
    form += 2 * h * l / (a * c) * (ca * cg - cb)
    volume = 1 - ca**2 - cb**2 - cg**2 + 2 * ca * cb * cg
    return degrees(asin(HC / energy / 2 * sqrt(form / volume)))


class Stopping:
    """The rule at work on one scan.

    Parameters
    ----------
    until : Until
    num : int
        Points of the whole scan.

    Attributes
    ----------
    run_uid : str
        Of the scan, once it is open.
    reason : str
        Of the stop document; empty where the scan goes to its end.
    """

    def __init__(self, until: Until, num: int):
        self.until, self.num = until, num
        self.run_uid, self.reason = "", ""
        self._decided = False

    def after(self, points: int) -> MsgGenerator[bool]:
        """Decide after so many points; return whether the scan ends here."""
        until = self.until
        if self._decided or until.reader is None or not until.rule.least(self.num) <= points < self.num:
            return False
        readings = list(until.reader(self.run_uid))
        why = until.rule.fulfilled(readings)
        if not why:
            return False
        self._decided = True
        action = REST if until.rest else STOP
        said = f"stopped at {points} of {self.num} points: {why}"
        if until.rest:
            said = f"known at {points} of {self.num} points, the rest is measured as asked: {why}"
        yield Msg("checkpoint")  # else a pause in here would measure the last point again
        yield Msg("create", None, name=STREAM)
        yield Msg("read", self._record(action, points, readings, said))
        yield Msg("save")
        yield Msg("checkpoint")
        _log.info("%s", said)
        if until.rest:
            return False
        self.reason = said
        return True

    def _record(self, action: str, points: int, readings: Sequence[EarlyReading], said: str) -> Record:
        rule = self.until.rule
        newest = readings[-rule.agreeing :]
        # Of the first early result there is no overlap, and JSON has no NaN.
        inputs = [
            {**asdict(one), "overlap": one.overlap if isfinite(one.overlap) else None} for one in readings
        ]
        return Record(
            {
                "decision_action": action,
                "decision_points": points,
                "decision_points_wanted": self.num,
                "decision_rule": rule.name,
                "decision_reason": said,
                "decision_overlap": float(min(one.overlap for one in newest[1:])),
                "decision_inputs": json.dumps(inputs),
            },
            {},
        )
