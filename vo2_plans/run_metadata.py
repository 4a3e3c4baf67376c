"""What makes a run findable: its window of eta, its series and place in it, and its start document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import floor, isfinite
from numbers import Integral, Real
from typing import Any, Literal, Self
from uuid import uuid4

from vo2_plans.protocols import BeamlineLike

_HALF_A_MILLIDEGREE = 5e-4  # rounding error allowed where the window is not a whole number of steps

MOST_POSITIONS = 100_000
"""Positions of a rocking curve; a list of more would fill the memory before anything is measured."""


@dataclass(frozen=True)
class EtaWindow:
    """The rocking window: equidistant positions of eta, from the command line to the scan one object.

    Attributes
    ----------
    start, stop : float
        First and last position, degrees; both are measured.
    step : float
        From one position to the next, degrees.
    exposure : float
        Seconds per position.

    Examples
    --------
    >>> EtaWindow(16.7, 18.9, 0.01, 30.0).num
    221
    >>> EtaWindow.about(17.8, width=1.0, points=101, exposure=30.0)
    EtaWindow(start=17.3, stop=18.3, step=0.01, exposure=30.0)
    >>> EtaWindow.of({"start": 17.3, "stop": 18.3, "step": 0.01, "exposure": 30.0}).changed(exposure=10.0)
    EtaWindow(start=17.3, stop=18.3, step=0.01, exposure=10.0)
    """

    start: float
    stop: float
    step: float
    exposure: float

    @classmethod
    def about(cls, centre: float, *, width: float, points: int, exposure: float) -> Self:
        """Return the window of `points` positions over `width` degrees about `centre`."""
        if isinstance(points, bool) or not isinstance(points, Integral) or points < 2:
            raise ValueError(f"a window needs a whole number of points, at least 2; got {points!r}")
        for name, value in (("centre", centre), ("width", width)):
            if not isinstance(value, Real):
                raise ValueError(f"{name} of a window must be a number of degrees; got {value!r}")
        start, stop = centre - width / 2, centre + width / 2
        return cls(round(start, 6), round(stop, 6), round(width / (points - 1), 9), exposure)

    @classmethod
    def of(cls, given: EtaWindow | Mapping[str, Any]) -> EtaWindow:
        """Return what a person or a document gave as a window.

        Parameters
        ----------
        given : EtaWindow or mapping
            `start`, `stop`, `step` and `exposure`, or `centre`, `width`, `points` and `exposure`. The part
            `scan` of a start document is such a mapping; its `axis`, `num` and `least` follow.

        Raises
        ------
        ValueError
            It is neither.
        """
        if isinstance(given, EtaWindow):
            return given
        names = set(given) - {"axis", "num", "least"} if isinstance(given, Mapping) else set()
        if names == {"start", "stop", "step", "exposure"}:
            return cls(**{name: given[name] for name in names})
        if names == {"centre", "width", "points", "exposure"}:
            return cls.about(**{name: given[name] for name in names})
        raise ValueError(
            "a rocking window has start, stop, step and exposure, or centre, width, points and exposure "
            f"(degrees, s); got {given!r}"
        )

    def changed(
        self,
        *,
        start: float | None = None,
        stop: float | None = None,
        step: float | None = None,
        exposure: float | None = None,
    ) -> EtaWindow:
        """Return this window with what is given instead; None leaves a part as it is."""
        given = {"start": start, "stop": stop, "step": step, "exposure": exposure}
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def problems(self) -> list[str]:
        """Return, in words, what makes this window impossible to measure."""
        found = []
        for name in ("start", "stop", "step", "exposure"):
            if not isinstance(getattr(self, name), Real):
                found.append(f"{name} of the scan must be a number, got {getattr(self, name)!r}")
        if found:
            return found
        if not all(isfinite(value) for value in (self.start, self.stop)):
            found.append(f"eta must be scanned between finite angles, got {self.start!r} to {self.stop!r}")
        elif self.stop <= self.start:
            found.append(
                f"eta must be scanned upwards: stop above start, got {self.start!r} to {self.stop!r}"
            )
        if not (isfinite(self.step) and self.step > 0):
            found.append(f"the step in eta must be a positive number of degrees, got {self.step!r}")
        elif not found and self.step > self.stop - self.start:
            found.append(f"the step in eta must fit into {self.start!r} to {self.stop!r}, got {self.step!r}")
        elif not found and (self.stop - self.start) / self.step > MOST_POSITIONS:
            found.append(
                f"a rocking curve has at most {MOST_POSITIONS} positions, got a step of {self.step!r}, which "
                f"makes {(self.stop - self.start) / self.step:.3g}: give a wider step"
            )
        if not (isfinite(self.exposure) and self.exposure > 0):
            found.append(f"the exposure must be a positive number of seconds, got {self.exposure!r}")
        return found

    @property
    def num(self) -> int:
        """Number of positions, both ends included."""
        return floor((self.stop - self.start) / self.step + _HALF_A_MILLIDEGREE) + 1

    @property
    def centre(self) -> float:
        """Middle of the window, degrees."""
        return (self.start + self.stop) / 2

    @property
    def seconds(self) -> float:
        """Time that the exposures alone take."""
        return self.num * self.exposure

    def positions(self) -> list[float]:
        """Return all positions, degrees, free of accumulated rounding."""
        return [round(self.start + index * self.step, 6) for index in range(self.num)]

    def centred_on(self, eta: float) -> EtaWindow:
        """Return this window shifted by the whole number of steps that brings its centre next to `eta`."""
        shift = round((eta - self.centre) / self.step) * self.step
        return replace(self, start=round(self.start + shift, 6), stop=round(self.stop + shift, 6))

    def as_metadata(self) -> dict[str, float | int | str]:
        """Return what the start document says under `scan`."""
        return {
            "axis": "eta",
            "start": self.start,
            "stop": self.stop,
            "step": self.step,
            "num": self.num,
            "exposure": self.exposure,
        }


Purpose = Literal["align", "rocking"]
Branch = Literal["heating", "cooling"]
HKL = tuple[int, int, int]


@dataclass(frozen=True)
class SeriesPlace:
    """A run's place in its series.

    Attributes
    ----------
    series_uid : str
        The same for all runs of a series.
    index, size : int
        Number of the temperature, from 0, and how many there are.
    temperature : float
        Setpoint, K.
    branch : str
        "heating" or "cooling".
    attempt : int
        1 for the first measurement of this temperature.
    """

    series_uid: str
    index: int
    size: int
    temperature: float
    branch: Branch = "heating"
    attempt: int = 1


def new_series_uid(now: datetime | None = None) -> str:
    """Return a uid that sorts by time and can be a folder's name, such as 20261122-143000-a1b2c3 (UTC)."""
    return f"{now or datetime.now(tz=UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"


def branch_of(temperatures: Sequence[float], index: int, present: float) -> Branch:
    """Return whether temperature `index` is reached by heating or cooling, coming from `present` (K).

    A temperature that is measured again at once stays on the branch on which it was reached.
    """
    way = [present, *temperatures[: index + 1]]
    for before, after in zip(reversed(way[:-1]), reversed(way[1:]), strict=True):
        if after != before:
            return "heating" if after > before else "cooling"
    return "heating"


def start_metadata(
    beamline: BeamlineLike,
    place: SeriesPlace,
    *,
    plan_name: str,
    purpose: Purpose,
    window: EtaWindow,
    md: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the whole start document that a plan contributes; `md` has the last word."""
    return {
        **beamline.metadata(),
        "plan_name": plan_name,
        "purpose": purpose,
        "series_uid": place.series_uid,
        "series_index": place.index,
        "series_size": place.size,
        "branch": place.branch,
        "attempt": place.attempt,
        "temperature_setpoint": float(place.temperature),
        "scan": window.as_metadata(),
        "detectors": [beamline.merlin.name],
        "motors": ["eta"],
        "num_points": window.num,
        **(md or {}),
    }
