"""The rule by which a series chooses its next temperature from the order parameter published so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, hypot, isfinite
from typing import Any

from vo2_plans.run_metadata import Branch

BRANCHES: dict[str, tuple[Branch, ...]] = {
    "heating": ("heating",),
    "heating,cooling": ("heating", "cooling"),
    "heating,heating": ("heating", "heating"),
}
"""What a series can go through, by name; between two heating passes the sample goes back to the start."""

_SAME = 1e-6


@dataclass(frozen=True)
class RuleSettings:
    """Numbers of the rule, chosen by trying some on models of another kind; no command derives them again.

    ``vo2 benchmark adaptive`` judges them: they gain nothing over a fixed grid (docs/benchmark.md).

    Attributes
    ----------
    significance : float
        A change of the order parameter counts from so many error bars on.
    share : float
        And from this share of its range so far on: what oscillates above the transition is no news.
    drift : float
        Share of the range by which published values still move as points come; part of every error bar.
    """

    significance: float = 2.0
    share: float = 0.15
    drift: float = 0.03

    def error(self, first: float, second: float, extent: float) -> float:
        """Return the error of a difference of two values with errors `first` and `second`, rad."""
        return hypot(first, second, self.drift * extent)


@dataclass(frozen=True)
class TemperatureRange:
    """What a person asked for.

    Attributes
    ----------
    start, stop : float
        Coldest and hottest temperature, K.
    min_step, max_step : float
        Between neighbouring temperatures of a pass, K.
    scans : int
        As many as the beam time is enough for.
    branches : str
        One of `BRANCHES`.
    """

    start: float
    stop: float
    min_step: float
    max_step: float
    scans: int
    branches: str = "heating"

    @property
    def passes(self) -> tuple[Branch, ...]:
        """Branch of each pass."""
        return BRANCHES[self.branches]

    @property
    def coarse(self) -> int:
        """Number of scans that a pass takes at the largest step."""
        return ceil((self.stop - self.start) / self.max_step - _SAME) + 1

    @property
    def least(self) -> int:
        """Number of scans that all passes need; a second heating pass takes up at least one interval."""
        again = 1 if self.branches == "heating,heating" else self.coarse
        return self.coarse + again * (len(self.passes) - 1)

    def problems(self) -> list[str]:
        """Return, in words, what makes it impossible."""
        numbers = {name: getattr(self, name) for name in ("start", "stop", "min_step", "max_step")}
        found = [
            f"{name} must be a finite number of K, got {value!r}"
            for name, value in numbers.items()
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value)
        ]
        if self.branches not in BRANCHES:
            found.append(f"branches must be one of {sorted(BRANCHES)}, got {self.branches!r}")
        if found:
            return found
        if self.stop <= self.start:
            found.append(f"stop must be hotter than start, got {self.start!r} to {self.stop!r} K")
        if not 0 < self.min_step <= self.max_step:
            found.append(
                f"steps must be positive, the smaller first, got {self.min_step!r} and {self.max_step!r} K"
            )
        if not found and self.scans < self.least:
            found.append(
                f"the beam time must be enough for {self.least} scans ({self.branches}, steps of "
                f"{self.max_step:g} K), it is for {self.scans}: give more hours, a larger max_step, a "
                "shorter exposure or a narrower window"
            )
        return found

    def text(self) -> str:
        """Return it as a sentence."""
        return (
            f"{self.start:g} to {self.stop:g} K ({self.branches}), steps of {self.min_step:g} to "
            f"{self.max_step:g} K, at most {self.scans} scans"
        )


@dataclass(frozen=True)
class _Point:
    """A temperature that was measured, with its order parameter where that can be used."""

    temperature: float
    passage: int
    value: float = float("nan")
    error: float = 0.0

    @property
    def known(self) -> bool:
        return isfinite(self.value)


@dataclass
class FollowTheChange:
    """Chooses temperatures: steps as small as asked where the order parameter changes, as large elsewhere.

    It has the methods of an optimizer of bluesky-adaptive (`bluesky_adaptive.protocols.Optimizer`), and any
    of those could take its place. The rule, for a pass that enters unknown ground:

    - a change over the last step that exceeds both `significance` error bars and a `share` of the range so
      far makes the next step the smallest; without one the step doubles, up to the largest;
    - the last temperature stays in reach: once the scans that are left are just enough for steps of the
      largest size, those are taken;
    - where the last result is not there in time or not trusted, the scans that are left are spread evenly:
      the fixed grid.

    A second heating pass knows the first: of all intervals above the present temperature that one is halved
    whose change is largest relative to its error, again and again for as many scans as are left, and the
    coldest of the new temperatures is next.

    Parameters
    ----------
    wanted : TemperatureRange
    settings : RuleSettings
    """

    wanted: TemperatureRange
    settings: RuleSettings = field(default_factory=RuleSettings)
    _points: dict[int, _Point] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the rule, in documents."""
        return "follow the change"

    # -- the optimizer's protocol ------------------------------------------------------------------------

    def ingest(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Take what was measured; what comes again under its ``_id`` replaces what was there.

        Parameters
        ----------
        points : sequence of mapping
            ``_id`` (place in the series), ``temperature`` (K), ``passage`` (number of the pass), and, where
            it is published and trusted, ``order_parameter`` and ``error`` (rad).
        """
        for point in points:
            value, error = point.get("order_parameter"), point.get("error")
            usable = value is not None and isfinite(value)
            self._points[int(point["_id"])] = _Point(
                float(point["temperature"]),
                int(point["passage"]),
                float(value) if value is not None and usable else float("nan"),
                float(error) if usable and error is not None and isfinite(error) else 0.0,
            )

    def suggest(self, num_points: int | None = None) -> list[dict[str, Any]]:
        """Return the next temperature, none where the series has come to its end.

        Returns
        -------
        list of dict
            At most one: ``_id``, ``temperature`` (K), ``branch``, ``passage``, ``reason`` in words, and
            ``fallback`` (True where the fixed grid stands in for a result).
        """
        place = self._place()
        if place is None:
            return []
        passage, (temperature, reason, fallback) = place
        return [
            {
                "_id": len(self._points),
                "temperature": temperature,
                "branch": self.wanted.passes[passage],
                "passage": passage,
                "reason": reason,
                "fallback": fallback,
            }
        ]

    def get_best_points(self) -> list[tuple[int, dict[str, Any], dict[str, Any]]]:
        """Return the place in the series above the steepest change, its temperature, and the change."""
        known = [(index, point) for index, point in self._points.items() if point.known]
        known.sort(key=lambda one: (one[1].passage, one[1].temperature))
        steps = [
            (abs(b.value - a.value) / (b.temperature - a.temperature), index, b)
            for (_, a), (index, b) in zip(known, known[1:], strict=False)
            if a.passage == b.passage and b.temperature > a.temperature
        ]
        if not steps:
            return []
        slope, index, point = max(steps, key=lambda one: one[:2])
        return [(index, {"temperature": point.temperature}, {"change_per_K": slope})]

    def should_stop(self) -> tuple[bool, str | None]:
        """Return whether the series is at its end, and why."""
        if self._place() is not None:
            return False, None
        if len(self._points) >= self.wanted.scans:
            return True, f"the beam time is spent: {len(self._points)} scans"
        return True, f"all passes are complete after {len(self._points)} of at most {self.wanted.scans} scans"

    # -- the rule ----------------------------------------------------------------------------------------

    def waits_for(self) -> list[int]:
        """Return the places whose results the next choice depends on; none where it is settled without."""
        place = self._place()
        if place is None:
            return []
        passage, here = place[0], self._of(place[0])
        if self._returns(passage):
            depends = self._points if not here else {max(self._points): here[-1]}
        else:
            walked = self._walked(passage)
            if len(walked) < 2 or self._surplus(passage, walked[-1].temperature) <= 0:
                return []
            depends = {index: point for index, point in self._points.items() if point in walked[-2:]}
        return [index for index in depends if not self._points[index].known]

    def _place(self) -> tuple[int, tuple[float, str, bool]] | None:
        """Return the pass and the choice in it, None at the end."""
        if len(self._points) >= self.wanted.scans:
            return None
        for passage in range(self._passage(), len(self.wanted.passes)):
            chosen = self._halved(passage) if self._returns(passage) else self._stepped(passage)
            if chosen is not None:
                return passage, chosen
        return None

    def _passage(self) -> int:
        return max((point.passage for point in self._points.values()), default=0)

    def _of(self, passage: int) -> list[_Point]:
        return [point for point in self._points.values() if point.passage == passage]

    def _returns(self, passage: int) -> bool:
        """Whether a pass goes the way of an earlier one again."""
        return self.wanted.passes[passage] in self.wanted.passes[:passage]

    def _left(self, passage: int) -> int:
        """Return how many scans this pass may still take."""
        left = self.wanted.scans - len(self._points)
        later = len(self.wanted.passes) - passage - 1
        if not later:
            return left
        if self.wanted.branches == "heating,heating":
            return self.wanted.coarse - len(self._of(passage))  # what is over is for the second pass
        mine = ceil(self.wanted.scans / 2) - len(self._of(passage))
        return min(mine, left - later * self.wanted.coarse)

    def _surplus(self, passage: int, present: float) -> int:
        """Return how many scans are left beyond those that steps of the largest size need."""
        return self._left(passage) - ceil(self._distance(passage, present) / self.wanted.max_step - _SAME)

    def _distance(self, passage: int, present: float) -> float:
        """Return the way to the end of the pass, K."""
        if self.wanted.passes[passage] == "heating":
            return self.wanted.stop - present
        return present - self.wanted.start

    def _walked(self, passage: int) -> list[_Point]:
        """Return the points of a pass, with the one at which the sample turned into it."""
        end = self.wanted.start if self.wanted.passes[passage] == "heating" else self.wanted.stop
        before = [point for point in self._points.values() if point.passage == passage - 1][-1:]
        turned = [point for point in before if abs(point.temperature - end) < _SAME]
        return [*turned, *self._of(passage)]

    def _stepped(self, passage: int) -> tuple[float, str, bool] | None:
        """Return the choice on ground that this branch has not seen, None at the pass's end."""
        branch, walked, left = self.wanted.passes[passage], self._walked(passage), self._left(passage)
        if left < 1:
            return None
        if not walked:
            first = self.wanted.start if branch == "heating" else self.wanted.stop
            return first, f"the first temperature of the {branch} pass", False
        present = walked[-1].temperature
        distance = self._distance(passage, present)
        if distance < _SAME:
            return None
        size, reason, fallback = self._step(walked, distance, left, self._surplus(passage, present))
        if distance - size < min(self.wanted.min_step, distance) - _SAME:
            size = distance
        return round(present + (size if branch == "heating" else -size), 3), reason, fallback

    def _step(
        self, here: Sequence[_Point], distance: float, left: int, surplus: int
    ) -> tuple[float, str, bool]:
        """Return the next step, K, why, and whether the fixed grid stands in."""
        wanted = self.wanted
        needed = ceil(distance / wanted.max_step - _SAME)
        largest = distance / max(needed, 1)
        if surplus <= 0:
            return (
                distance / max(min(needed, left), 1),
                "the scans left are just enough for even steps",
                False,
            )
        if len(here) < 2:
            return largest, f"the first step of a pass is the largest: {largest:.3g} K", False
        before, now = here[-2:]
        if not (before.known and now.known):
            even = min(max(distance / left, wanted.min_step), wanted.max_step)
            lacks = " and ".join(f"{one.temperature:g} K" for one in (before, now) if not one.known)
            return even, f"no trusted result of {lacks} in time: the scans left are spread evenly", True
        change, error, extent = self._change(before, now)
        limit = max(self.settings.significance * error, self.settings.share * extent)
        said = (
            f"the order parameter changed by {change:.3g} rad from {before.temperature:g} to "
            f"{now.temperature:g} K, {limit:.3g} rad counts (error {error:.2g}, range {extent:.3g})"
        )
        if change > limit:
            return min(wanted.min_step, distance), f"{said}: the smallest step", False
        doubled = max(2 * abs(now.temperature - before.temperature), wanted.min_step)
        return min(doubled, largest), f"{said}: the step doubles, up to the largest", False

    def _change(self, before: _Point, now: _Point) -> tuple[float, float, float]:
        """Return the change between two points, its error, and the range of all values, rad."""
        values = [point.value for point in self._points.values() if point.known]
        extent = max(values) - min(values)
        error = self.settings.error(before.error, now.error, extent)
        return abs(now.value - before.value), error, extent

    def _halved(self, passage: int) -> tuple[float, str, bool] | None:
        """Return the choice of a pass that goes an earlier pass's way again, None at its end."""
        same = [n for n in range(passage + 1) if self.wanted.passes[n] == self.wanted.passes[passage]]
        known = sorted(
            {p.temperature: p for p in self._points.values() if p.passage in same and p.known}.values(),
            key=lambda point: point.temperature,
        )
        here = [point.temperature for point in self._of(passage)]
        present = max(here, default=self.wanted.start)
        if here and len(known) < 2:
            return None
        if len(known) < 2:
            middle = round((self.wanted.start + self.wanted.stop) / 2, 3)
            return middle, "fewer than two trusted results: the middle of the range", True
        new = self._halvings([p for p in known if p.temperature >= present - _SAME], self._left(passage))
        if not new:
            return None
        temperature, low, high, weight = min(new)
        late = [point for point in self._points.values() if not point.known]
        return (
            temperature,
            f"{low:g} to {high:g} K is halved: the order parameter changes there by {weight:.3g} errors"
            + (f"; {len(late)} results are not there or not trusted, and left out" if late else ""),
            bool(late),
        )

    def _halvings(self, known: Sequence[_Point], count: int) -> list[tuple[float, float, float, float]]:
        """Return `count` new temperatures with the interval that each halves and its change in errors."""
        values = [point.value for point in self._points.values() if point.known]
        extent, least = max(values) - min(values), 2 * self.wanted.min_step - _SAME
        ends, found = list(known), []
        for _ in range(count):
            weights = [
                abs(b.value - a.value) / max(self.settings.error(a.error, b.error, extent), 1e-12)
                if b.temperature - a.temperature >= least
                else 0.0
                for a, b in zip(ends, ends[1:], strict=False)
            ]
            if not weights or max(weights) <= 0:
                break
            n = weights.index(max(weights))
            low, high = ends[n], ends[n + 1]
            middle = _Point(
                round((low.temperature + high.temperature) / 2, 3),
                high.passage,
                (low.value + high.value) / 2,
                max(low.error, high.error),
            )
            ends.insert(n + 1, middle)
            found.append((middle.temperature, low.temperature, high.temperature, weights[n]))
        return found
