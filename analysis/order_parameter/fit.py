"""The best-fit curve through an order parameter."""

from collections.abc import Callable

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from scipy.interpolate import make_smoothing_spline
from scipy.optimize import brentq

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
