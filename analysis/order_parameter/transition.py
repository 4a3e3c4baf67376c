"""A model of the transition: one smooth step of the order parameter, with T_c, width and their errors."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import curve_fit

Floats = NDArray[np.float64]

PARAMETERS = ("t_c", "width", "amplitude", "baseline")

MIN_POINTS = len(PARAMETERS) + 1
"""Temperatures that a branch needs: one more than the model has parameters."""


@dataclass(frozen=True)
class Transition:
    """O(T) = baseline + amplitude/2 · (1 + tanh((T − T_c)/width)), fitted to one branch.

    A single step is this project's choice: the paper names no model, and where M1, M2 and R coexist the
    measured curve oscillates about it, which ``rms`` shows and the errors carry.

    Attributes
    ----------
    branch : {"heating", "cooling"}
    t_c, width : float, K
        Middle of the step, and the half-width of its tanh. A width below half the distance of the two
        temperatures about the step cannot be told from any smaller one, and stays at that limit.
    amplitude, baseline : float, rad
        Height of the step and the value below it.
    t_c_error, width_error, amplitude_error, baseline_error : float
        Standard errors from the covariance, scaled by the scatter about the model. ``width_error`` is None
        where the width is at its limit.
    rms : float, rad
        Root mean square distance of the points.
    points : int
    """

    branch: str
    t_c: float
    width: float
    amplitude: float
    baseline: float
    t_c_error: float
    width_error: float | None
    amplitude_error: float
    baseline_error: float
    rms: float
    points: int

    def __call__(self, temperatures: ArrayLike) -> Floats:
        """Return the model at ``temperatures``, (m,) float, K, in rad."""
        given = (self.t_c, self.width, self.amplitude, self.baseline)
        return step(np.asarray(temperatures, dtype=float), *given)

    def as_dict(self) -> dict[str, Any]:
        """Return all attributes as plain values."""
        return asdict(self)


def step(temperatures: Floats, t_c: float, width: float, amplitude: float, baseline: float) -> Floats:
    """Return the model of `Transition` at ``temperatures``."""
    return np.asarray(baseline + amplitude / 2 * (1 + np.tanh((temperatures - t_c) / width)))


def fit_transition(temperatures: Floats, values: Floats, branch: str = "heating") -> Transition:
    """Fit one step to the order parameter of a branch.

    Parameters
    ----------
    temperatures : ndarray, (n,) float64, K
        At least five: the model has four parameters.
    values : ndarray, (n,) float64, rad
    branch : str

    Raises
    ------
    ValueError
        There are too few temperatures, or no step between the first and the last of them.
    """
    x, y = np.asarray(temperatures, dtype=float), np.asarray(values, dtype=float)
    distinct = len(np.unique(x))
    if distinct < MIN_POINTS:
        raise ValueError(
            f"a transition model needs at least {MIN_POINTS} temperatures; {branch} has {distinct}: "
            "measure more of them"
        )
    if not np.ptp(y):
        raise ValueError(f"the order parameter does not change on {branch}: there is no transition to fit")
    best, errors = _least_squares(x, y)
    if not np.isfinite(errors).all() or errors[0] > np.ptp(x):
        raise ValueError(
            f"the temperatures do not pin down a step on {branch}: T_c {best[0]:.1f} ± {errors[0]:.2g} K; "
            "measure closer to the transition"
        )
    named: dict[str, Any] = dict(zip(PARAMETERS, best.tolist(), strict=True))
    named |= {f"{name}_error": float(error) for name, error in zip(PARAMETERS, errors, strict=True)}
    if errors[1] == 0:
        named["width_error"] = None
    rms = float(np.sqrt(np.mean((y - step(x, *best)) ** 2)))
    return Transition(branch=branch, rms=rms, points=len(x), **named)


def _least_squares(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return parameters and errors of the best of several starts: a step between any two temperatures.

    Each start keeps its T_c between the two and its width above what they can show.
    """
    places = np.unique(x)
    found = [_between(x, y, low, high) for low, high in zip(places[:-1], places[1:], strict=True)]
    _, best, errors = min(found, key=lambda one: one[0])
    return best, errors


def _between(x: Floats, y: Floats, low: float, high: float) -> tuple[float, Floats, Floats]:
    """Return sum of squares, parameters and errors of the best step with its middle in [low, high].

    The error of a width at its limit is 0, and the others are those at that width.
    """
    sharpest, height = (high - low) / 2, float(np.ptp(y))
    below, above = y[x <= low].mean(), y[x >= high].mean()
    start = [(low + high) / 2, max(1.5 * sharpest, np.ptp(x) / 20), above - below, below]
    bounds = (
        [low, sharpest, -9 * height, y.min() - 4 * height],
        [high, 2 * np.ptp(x), 9 * height, y.max() + 4 * height],
    )
    best, covariance = curve_fit(step, x, y, np.clip(start, *bounds), bounds=bounds, max_nfev=4000)
    if best[1] > 1.001 * sharpest:
        return float(np.sum((y - step(x, *best)) ** 2)), best, np.sqrt(np.diag(covariance))

    def sharp(at: Floats, t_c: float, amplitude: float, baseline: float) -> Floats:
        return step(at, t_c, sharpest, amplitude, baseline)

    limits = ([bound[0], bound[2], bound[3]] for bound in bounds)
    three, covariance = curve_fit(sharp, x, y, np.delete(best, 1), bounds=tuple(limits), max_nfev=4000)
    errors = np.insert(np.sqrt(np.diag(covariance)), 1, 0.0)
    return float(np.sum((y - sharp(x, *three)) ** 2)), np.insert(three, 1, sharpest), errors
