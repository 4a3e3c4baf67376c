"""Adaptive against fixed temperatures on modelled transitions, at equal beam time: no frames, no phasing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from analysis.order_parameter import fit_transition
from vo2_plans.temperature_rule import FollowTheChange, TemperatureRange

Floats = NDArray[np.float64]

START, STOP = 320.0, 365.0
MIN_STEP, MAX_STEP = 1.0, 7.5
KINDS = ("one", "none", "two")

JUDGED_FROM = 1000
"""Models of this seed and beyond judge; none of them was looked at while the rule's numbers were chosen."""


@dataclass(frozen=True)
class Model:
    """A transition as an order parameter would show it.

    Attributes
    ----------
    kind : {"one", "none", "two"}
        How many steps there are.
    t_c : float, K
        Middle of the first step, which is the one that is sought.
    second : float, K
        Middle of the second, as high as the first; NaN where there is none.
    width : float, K
        Half-width of the tanh.
    height, noise : float, rad
        Of the whole change, and the standard error of one value.
    wave, period, phase : float
        Amplitude (rad), period (K) and phase of the oscillation above the transition, as the coexistence of
        phases makes it (docs/science.md section 2).
    drift : float
        Published values move as points come: standard deviation as a share of the range.
    """

    kind: str
    t_c: float
    second: float
    width: float
    height: float
    noise: float
    wave: float
    period: float
    phase: float
    drift: float

    @classmethod
    def drawn(cls, seed: int, kind: str = "one") -> Model:
        """Return the model of a seed."""
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        height = float(rng.uniform(60, 160) * rng.choice([-1, 1]))
        t_c = float(rng.uniform(START + 5, STOP - 5))
        second, width = float("nan"), float(rng.uniform(0.7, 5))
        if kind == "two":
            t_c = float(rng.uniform(START + 4, START + 17))
            second, width = t_c + float(rng.uniform(12, 20)), float(rng.uniform(0.7, 3))
        noise = abs(height) * float(rng.uniform(0.01, 0.05))
        wave = abs(height) * float(rng.uniform(0, 0.15))
        others = float(rng.uniform(8, 14)), float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.01, 0.05))
        return cls(kind, t_c, second, width, height, noise, wave, *others)

    def true(self, temperature: float) -> float:
        """Return the order parameter at a temperature (K), rad."""
        if self.kind == "none":
            return 0.0
        share = (1 + np.tanh((temperature - self.t_c) / self.width)) / 2
        if self.kind == "two":
            share = (share + (1 + np.tanh((temperature - self.second) / self.width)) / 2) / 2
        wave = self.wave * share * np.sin(2 * np.pi * temperature / self.period + self.phase)
        return float(self.height * share + wave)


@dataclass
class Measured:
    """The values of a model as they are published while a series grows; the first one is the reference, 0."""

    model: Model
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.temperatures: list[float] = []
        self._values: list[float] = []

    def add(self, temperature: float) -> None:
        """Measure one more."""
        noise = self.model.noise * float(self.rng.standard_normal()) if self._values else 0.0
        self.temperatures.append(temperature)
        self._values.append(self.model.true(temperature) + noise if self._values else 0.0)

    def published(self, *, final: bool = False) -> Floats:
        """Return all values, (n,) float64, rad; until the series is complete they are off by the drift."""
        values = np.array(self._values)
        if final or len(values) < 2:
            return values
        moved = self.model.drift * np.ptp(values) * self.rng.standard_normal(len(values))
        moved[0] = 0.0
        return np.asarray(values + moved)


def measure_adaptively(model: Model, scans: int, branches: str, rng: np.random.Generator) -> Measured:
    """Return the series that the rule measures with so many scans."""
    rule = FollowTheChange(TemperatureRange(START, STOP, MIN_STEP, MAX_STEP, scans, branches))
    measured, points = Measured(model, rng), []
    while suggested := rule.suggest():
        points.append(suggested[0])
        measured.add(suggested[0]["temperature"])
        values = measured.published().tolist()
        errors = [0.0, *[model.noise] * (len(values) - 1)]
        rule.ingest(
            [
                {**point, "order_parameter": value, "error": error}
                for point, value, error in zip(points, values, errors, strict=True)
            ]
        )
    return measured


def measure_evenly(model: Model, scans: int, rng: np.random.Generator) -> Measured:
    """Return the fixed series of so many temperatures from the first to the last."""
    measured = Measured(model, rng)
    for temperature in np.linspace(START, STOP, scans):
        measured.add(float(temperature))
    return measured


def error_of(measured: Measured) -> float:
    """Return how far the fitted transition temperature is from the true one, K; infinite without a fit.

    Of two steps the nearer one counts: the model that is fitted has one. Where there is no step at all, a fit
    is the failure.
    """
    order = np.argsort(measured.temperatures, kind="stable")
    temperatures = np.array(measured.temperatures)[order]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = fit_transition(temperatures, measured.published(final=True)[order]).t_c
    except (ValueError, RuntimeError):
        return 0.0 if measured.model.kind == "none" else float("inf")
    if measured.model.kind == "none":
        return float("inf")
    return float(np.nanmin(np.abs(np.array([measured.model.t_c, measured.model.second]) - found)))


@dataclass(frozen=True)
class Row:
    """What one way of choosing temperatures came to over all models of a kind.

    Attributes
    ----------
    kind, way : str
    scans : int
        At most.
    errors : tuple of float
        K, infinite for a failure.
    hours : tuple of float
        Beam time of each.
    """

    kind: str
    way: str
    scans: int
    errors: tuple[float, ...]
    hours: tuple[float, ...]

    @property
    def failures(self) -> int:
        """Series without a fit, or with one where nothing happens."""
        return int(np.sum(~np.isfinite(self.errors)))


@dataclass(frozen=True)
class BeamTime:
    """Hours that a scan and a kelvin cost: the paper's 221 points of 30 s, settling, 5 K per minute."""

    scan: float = 221 * 30.2 / 3600 + 60 / 3600
    kelvin: float = 1 / 5 / 60

    def hours(self, temperatures: Sequence[float], passes: int) -> float:
        """Return the hours of a series, the way back to the start before a second pass included."""
        return len(temperatures) * self.scan + (2 * passes - 1) * (STOP - START) * self.kelvin


Way = Callable[[Model, int, np.random.Generator], Measured]

WAYS: dict[str, Way] = {
    "fixed": measure_evenly,
    "heating": lambda model, scans, rng: measure_adaptively(model, scans, "heating", rng),
    "heating,heating": lambda model, scans, rng: measure_adaptively(model, scans, "heating,heating", rng),
}


def adaptive_rows(models: int, seed: int, scans: Sequence[int]) -> Iterator[Row]:
    """Yield what each way comes to, for each kind of transition and number of scans."""
    cost = BeamTime()
    for kind in KINDS:
        drawn = [Model.drawn(seed + n, kind) for n in range(models)]
        for most in scans:
            for way, measure in WAYS.items():
                series = [
                    measure(model, most, np.random.default_rng([seed + n, most]))
                    for n, model in enumerate(drawn)
                ]
                passes = way.count("heating") or 1
                hours = tuple(cost.hours(one.temperatures, passes) for one in series)
                yield Row(kind, way, most, tuple(error_of(one) for one in series), hours)


def adaptive_table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table."""
    table = Table(
        "transitions", "scans", "temperatures", "h", "median / K", "90 % / K", "worst / K", "failed"
    )
    for row in rows:
        errors = np.sort(row.errors)
        median, ninth = (float(errors[int(share * (len(errors) - 1))]) for share in (0.5, 0.9))
        table.add_row(
            row.kind,
            f"{row.scans}",
            row.way,
            f"{np.mean(row.hours):.1f}",
            *(f"{value:.2f}" if np.isfinite(value) else "none" for value in (median, ninth, errors[-1])),
            f"{row.failures} of {len(errors)}",
        )
    return table
