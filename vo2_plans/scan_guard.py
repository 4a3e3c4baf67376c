"""Whether a rocking scan measured what it was meant to, and a second attempt where it did not.

The guard reads the scan's own points, nothing of its analysis. Each decision is a run of its own with the
stream ``decisions``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite, nan
from statistics import median
from typing import Any, Literal

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from vo2_plans.alignment import RockingCurve
from vo2_plans.attenuation import HEADROOM, brightest_step
from vo2_plans.decisions import Record, record_decision
from vo2_plans.preflight import check_window
from vo2_plans.protocols import BeamlineLike, Readings, value_of
from vo2_plans.rocking import rocking_scan
from vo2_plans.run_metadata import EtaWindow, SeriesPlace

_log = logging.getLogger(__name__)

MODES = ("flag", "mend")
"""What a guard may do: say what it found, or measure once more as well."""

RULE = "scan guard"
"""Name of the rule in its decisions."""

Remedy = Literal["recentre", "extend", "attenuate", "retake", ""]


@dataclass(frozen=True)
class GuardLimits:
    """What a scan may be like before the guard objects. Source: chosen, no command derives them.

    Attributes
    ----------
    wing : float
        Largest share of the curve's maximum that is left at an end of the window.
    ends : int
        Points at each end that are averaged for it.
    margin : float
        Least distance of the peak from either end, share of the window's width.
    widest : float
        Width of an extended window, in widths of the one that was asked for.
    beam_lost : float
        A point whose ring current is below this share of the scan's median was measured without beam.
    attempts : int
        Scans that the guard asks for beyond the first, at each temperature.
    """

    wing: float = 0.01
    ends: int = 3
    margin: float = 0.25
    widest: float = 1.5
    beam_lost: float = 0.5
    attempts: int = 1


LIMITS = GuardLimits()


@dataclass(frozen=True)
class Finding:
    """What is wrong with a scan, in words, and what would mend it; an empty remedy: nothing here would."""

    text: str
    remedy: Remedy = ""


@dataclass
class ScanGuard:
    """Follows the points of one rocking scan.

    Parameters
    ----------
    detector : str
        Name of the detector, which begins the keys of its readings.
    saturation : float
        Largest count that a pixel can hold.
    temperature, tolerance : float, K
        Setpoint, and how far the sample may be from it.
    limits : GuardLimits
    """

    detector: str
    saturation: float
    temperature: float
    tolerance: float
    limits: GuardLimits = LIMITS
    curve: RockingCurve = field(init=False)
    _saturated: int = 0
    _currents: list[float] = field(default_factory=list)
    _astray: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.curve = RockingCurve(self.detector)

    def look(self, eta: float, readings: Readings) -> None:
        """Look at one point's readings."""
        self.curve.add(eta, readings)
        self._saturated += value_of(readings, f"{self.detector}_peak_max") >= self.saturation
        current, sample = (value_of(readings, key) for key in ("rc", "Tsample"))
        if isfinite(current):
            self._currents.append(current)
        if isfinite(sample) and abs(sample - self.temperature) > self.tolerance:
            self._astray.append(sample)

    def findings(self, window: EtaWindow) -> tuple[Finding, ...]:
        """Return what is wrong with the scan of ``window``; nothing where no frame was read (a dry run)."""
        if not self.curve.eta:
            return ()
        if not self.curve.has_peak:
            return (Finding("no peak rose above the background: check shutter, sample and alignment"),)
        return (*self._of_the_peak(window), *self._of_the_points())

    def _of_the_peak(self, window: EtaWindow) -> list[Finding]:
        limits, found = self.limits, []
        width, centre = window.stop - window.start, self.curve.centre()
        nearest = min(centre - window.start, window.stop - centre)
        off_centre = nearest < limits.margin * width
        if off_centre:
            found.append(
                Finding(
                    f"the peak is off centre: at eta {centre:.3f}°, {max(nearest, 0):.3f}° from an end of "
                    f"the window, at least {limits.margin * width:.3f}° are wanted",
                    "recentre",
                )
            )
        if cut := self.cut_ends():
            shares = ", ".join(f"{share:.1%} at its {name}" for name, share in cut.items())
            text = (
                f"the window cuts the curve off: {shares} of its maximum is left, {limits.wing:.0%} is meant"
            )
            found.append(Finding(text, "recentre" if off_centre else "extend"))
        return found

    def _of_the_points(self) -> list[Finding]:
        found, points = [], len(self.curve.eta)
        if self._saturated:
            text = (
                f"{self._saturated} of {points} points are saturated ({self.saturation:.0f} counts and more)"
            )
            found.append(Finding(text, "attenuate"))
        usual = median(self._currents) if self._currents else nan
        dark = sum(current < self.limits.beam_lost * usual for current in self._currents)
        if self._currents and usual <= 0:
            found.append(Finding("the ring current was 0 through most of the scan", "retake"))
        elif dark:
            found.append(Finding(f"{dark} points were measured without beam", "retake"))
        if self._astray:
            worst = max(self._astray, key=lambda sample: abs(sample - self.temperature))
            text = (
                f"{len(self._astray)} points were measured away from {self.temperature:g} K, the farthest at "
                f"{worst:.2f} K; {self.tolerance:g} K are allowed"
            )
            found.append(Finding(text, "retake"))
        return found

    def cut_ends(self) -> dict[str, float]:
        """Return for each end of the window that cuts the curve off the share of the maximum left there."""
        ordered = sorted(zip(self.curve.eta, self.curve.counts, strict=True))
        counts, ends = [count for _, count in ordered], self.limits.ends
        top = max(counts)
        shares = {"start": sum(counts[:ends]) / ends / top, "stop": sum(counts[-ends:]) / ends / top}
        return {name: share for name, share in shares.items() if share > self.limits.wing}

    def mended(self, window: EtaWindow, findings: tuple[Finding, ...]) -> EtaWindow:
        """Return the window of the next attempt: about the peak, longer at an end that cuts the curve off."""
        remedies = {finding.remedy for finding in findings}
        if "recentre" in remedies:
            return window.centred_on(self.curve.centre())
        if "extend" not in remedies:
            return window
        cut, width = self.cut_ends(), window.stop - window.start
        more = (self.limits.widest - 1) * width / len(cut)
        more = int(more / window.step + 1e-6) * window.step
        start = window.start - (more if "start" in cut else 0)
        stop = window.stop + (more if "stop" in cut else 0)
        return replace(window, start=round(start, 6), stop=round(stop, 6))


def guarded_scan(
    beamline: BeamlineLike,
    window: EtaWindow,
    place: SeriesPlace,
    *,
    mode: str,
    md: Mapping[str, Any] | None = None,
    after_point: Callable[[], None] | None = None,
    limits: GuardLimits = LIMITS,
) -> MsgGenerator[tuple[str | None, float]]:
    """Rock eta, look at what came, and measure once more where that would mend it.

    Parameters
    ----------
    beamline : BeamlineLike
    window : EtaWindow
    place : SeriesPlace
    mode : str
        "flag" says what is wrong; "mend" also measures again, as the place's next attempt: about the peak,
        over a longer window, with less beam, or as before.
    md, after_point
        As for `rocking_scan`.
    limits : GuardLimits

    Returns
    -------
    tuple
        Uid of the last attempt, and where the peak is expected next, degrees of eta.

    Raises
    ------
    ValueError
        The mode is none of `MODES`.
    """
    check_mode(mode)
    first, centre = place.attempt, window.centre
    while True:
        guard = ScanGuard(
            beamline.merlin.name,
            float(beamline.metadata()["detector"]["saturation"]),
            place.temperature,
            float(beamline.heated_stage.tolerance.get()),
            limits,
        )
        uid = yield from rocking_scan(
            beamline, window, place=place, md=md, after_point=after_point, on_point=guard.look
        )
        findings = guard.findings(window)
        if not findings:
            return uid, centre
        dimmer = _dimmer(beamline, findings)
        following = guard.mended(window, findings)
        changes = following != window or dimmer is not None or "retake" in {one.remedy for one in findings}
        again = mode == "mend" and changes and place.attempt - first < limits.attempts
        if again and (beyond := _out_of_reach(beamline, following)):
            findings, again = (*findings, Finding(f"the window that would mend it: {beyond}")), False
        yield from _put_on_record(beamline, place, findings, again, following, dimmer, md)
        if not again:
            return uid, centre
        if dimmer is not None:
            yield from bps.checkpoint()
            yield from bps.mv(beamline.beam.transmission, dimmer)
            md = {**(md or {}), "attenuation": {"transmission": dimmer, "rule": RULE}}
        if "recentre" in {one.remedy for one in findings}:
            centre = following.centre
        window, place = following, replace(place, attempt=place.attempt + 1)


def _out_of_reach(beamline: BeamlineLike, window: EtaWindow) -> str:
    """Return in words why a window cannot be measured, nothing where it can."""
    try:
        check_window(beamline, window)
    except ValueError as error:
        return str(error).rstrip(".")
    return ""


def check_mode(mode: str) -> None:
    """Raise `ValueError`, in words, where a guard's mode is none of `MODES`."""
    if mode not in MODES:
        raise ValueError(f"a scan's guard is one of {', '.join(MODES)}, or left out; got {mode!r}")


def _dimmer(beamline: BeamlineLike, findings: tuple[Finding, ...]) -> float | None:
    """Return the transmission for the next attempt where the peak is saturated; None where none is lower."""
    if "attenuate" not in {finding.remedy for finding in findings}:
        return None
    present = float(beamline.beam.transmission.get())
    chosen = brightest_step(sorted(beamline.beam.transmissions), HEADROOM * present)
    return chosen if chosen < present else None


def _put_on_record(
    beamline: BeamlineLike,
    place: SeriesPlace,
    findings: tuple[Finding, ...],
    again: bool,
    following: EtaWindow,
    dimmer: float | None,
    md: Mapping[str, Any] | None,
) -> MsgGenerator[None]:
    """Say what was found, and put the decision on record as a run of its own."""
    found = "; ".join(finding.text for finding in findings)
    how = f" from {following.start:g}° to {following.stop:g}°" if again else ""
    how += f" with transmission {dimmer:g}" if again and dimmer is not None else ""
    reason = f"{found}. {'Measured again' + how if again else 'It is kept as it is'}."
    _log.warning("The scan at %g K: %s", place.temperature, reason)
    decision = {
        "action": "again" if again else "keep",
        "temperature": float(place.temperature),
        "branch": place.branch,
        "attempt": place.attempt,
        "rule": RULE,
        "reason": reason,
    }
    record = Record({f"decision_{key}": one for key, one in decision.items()}, {"decision_temperature": "K"})
    sentence = f"{place.temperature:g} K: {reason}"
    yield from record_decision(beamline, place, record, sentence, decision, "guard_scan", "guard", md or {})
