"""The curves through an order parameter: best fit, and one smooth step with T_c, width and their errors."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from scipy.interpolate import make_smoothing_spline
from scipy.optimize import brentq, curve_fit
from scipy.stats import f

from analysis.results.series import Transition, step

Floats = NDArray[np.float64]

SAME = 0.5
"""Temperatures closer than this, K, count as one for the curve."""


def best_fit(temperatures: Floats, values: Floats) -> Callable[[Floats], Floats]:
    """Return a smooth curve through an order parameter.

    Najeeb et al. draw a best-fit line through ten points without naming it. Here it is a cubic smoothing
    spline that spends half a degree of freedom on each point, at least 3 and at most 6 in all (the trace of
    its hat matrix; Buja, Hastie & Tibshirani 1989, doi:10.1214/aos/1176347115). Cross-validation would
    now and then follow every point of so few, and leave no error bar. With fewer than six points it is a
    parabola (four, five), a straight line (two, three) or the value itself.

    Parameters
    ----------
    temperatures : ndarray, (n,) float64, K
    values : ndarray, (n,) float64
    """
    if len(temperatures) == 0:
        raise ValueError("a best fit needs at least one point; got none")
    x, y, weight = _merged(temperatures, values)
    if len(x) == 1:
        return lambda at: np.full(np.shape(at), y[0])
    if len(x) < 6:
        polynomial = Polynomial.fit(x, y, 1 if len(x) < 4 else 2, w=np.sqrt(weight))
        return lambda at: np.asarray(polynomial(at))
    spline = make_smoothing_spline(x, y, w=weight, lam=_smoothness(x, weight, np.clip(len(x) / 2, 3, 6)))
    return lambda at: np.asarray(spline(at))


def _smoothness(x: Floats, weight: Floats, freedom: float) -> float:
    """Return the penalty at which a smoothing spline through ``x`` has ``freedom`` degrees of freedom."""

    def spent(exponent: float) -> float:
        columns = [make_smoothing_spline(x, unit, w=weight, lam=10**exponent)(x) for unit in np.eye(len(x))]
        return float(np.trace(columns)) - freedom

    scale = 3 * np.log10(np.ptp(x))
    return float(10 ** brentq(spent, scale - 9, scale + 4, xtol=1e-3))


def _merged(temperatures: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return rising temperatures with the mean value of those that are the same, and how many they are."""
    order = np.argsort(temperatures, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(temperatures[order]) > SAME) + 1)
    x = np.array([temperatures[group].mean() for group in groups])
    y = np.array([values[group].mean() for group in groups])
    return x, y, np.array([float(len(group)) for group in groups])


PARAMETERS = ("t_c", "width", "amplitude", "baseline")

MIN_POINTS = len(PARAMETERS) + 1
"""Temperatures that a branch needs: one more than the model has parameters."""


BY_CHANCE = 0.05
"""Probability in an F test against a constant (three more parameters) above which a step is none."""


def fit_transition(temperatures: Floats, values: Floats, branch: str = "heating", leg: int = 0) -> Transition:
    """Fit one step to the order parameter of one leg.

    Parameters
    ----------
    temperatures : ndarray, (n,) float64, K
        At least five: the model has four parameters.
    values : ndarray, (n,) float64, rad
    branch : str
    leg : int
        Number of the series' leg.

    Raises
    ------
    ValueError
        There are too few temperatures, no step between the first and the last of them, or none that describes
        the values clearly better than a constant does.
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
    left = float(np.sum((y - step(x, *best)) ** 2))
    if (chance := _by_chance(y, left)) > BY_CHANCE:
        raise ValueError(
            f"a step describes the order parameter on {branch} no better than a constant: noise alone would "
            f"do as much with probability {chance:.2g} ({BY_CHANCE:g} is the most): measure more "
            "temperatures, or expose longer"
        )
    named: dict[str, Any] = dict(zip(PARAMETERS, best.tolist(), strict=True))
    named |= {f"{name}_error": float(error) for name, error in zip(PARAMETERS, errors, strict=True)}
    if errors[1] == 0:
        named["width_error"] = None
    return Transition(branch=branch, leg=leg, rms=math.sqrt(left / len(x)), points=len(x), **named)


def _by_chance(values: Floats, left: float) -> float:
    """Return the probability that noise about a constant leaves a step no more than ``left`` (F test)."""
    more, freedom = len(PARAMETERS) - 1, len(values) - len(PARAMETERS)
    gained = float(np.sum((values - values.mean()) ** 2)) - left
    return float(f.sf(gained / more / max(left / freedom, np.finfo(float).tiny), more, freedom))


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
