"""Whether counts say anything at all: a pattern that a constant and a blob explain holds no crystal.

The null model is a constant plus one Gaussian of any widths and tilt, fitted by Poisson likelihood about the
brightest place, with the rows of the few brightest (hot) pixels left out. A Bragg pattern has fringes, which
it cannot follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.phasing.config import DEFAULT, NullModelConfig

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class NullFit:
    """How well the null model explains a pattern.

    Parameters
    ----------
    deviance : float
        2 Σ (n ln(n/μ) − n + μ) over measured voxels.
    expected, sigma : float
        What Poisson counts of the model's own mean would come to, and by how much that scatters.
    total : float
        Sum of the counts.
    """

    deviance: float
    expected: float
    sigma: float
    total: float

    def explains(self, limits: NullModelConfig = DEFAULT.null_model) -> bool:
        """Return whether nothing but counting noise is left, or next to nothing of the counts."""
        if self.deviance < limits.exact * self.total:
            return True
        room = limits.sigmas * self.sigma + limits.slack * self.expected
        return abs(self.deviance - self.expected) <= room


def refuse_nothing(counts: NDArray[Any], mask: Flags, limits: NullModelConfig = DEFAULT.null_model) -> None:
    """Raise a ValueError where ``counts`` (n0, n1, n2), measured where ``mask`` is False, hold no crystal."""
    measured = ~(mask | _hot(counts, mask, limits.hot_pixels))
    n = np.where(measured, counts, 0).astype(np.float64)
    if not n.any():
        raise ValueError(
            f"a Bragg pattern was expected; all counts are in the {limits.hot_pixels} brightest pixels of "
            "the detector: are they hot? Mask them, and look where the peak is"
        )
    box = _about_the_brightest(n, limits.edge)
    fit = null_fit(n[box], measured[box], limits)
    if fit is not None and fit.explains(limits):
        raise ValueError(
            "a Bragg pattern was expected; a constant and one Gaussian, hot pixels left out, explain these "
            f"counts to within their noise (deviance {fit.deviance:.0f}; {fit.expected:.0f} ± "
            f"{fit.sigma:.0f} is expected): there is no crystal to be seen. Look at the frames: is the peak "
            "on the detector, and was it exposed long enough? Counts that were scaled down look so, "
            "too: give raw ones"
        )


def _hot(counts: NDArray[Any], mask: Flags, number: int) -> Flags:
    """Return the rows along axis 0 of the brightest pixels, broadcastable to the counts' shape."""
    brightest = np.where(mask, 0, counts).max(axis=0)
    hot = np.zeros(brightest.shape, bool)
    hot.ravel()[np.argpartition(brightest, -number, axis=None)[-number:]] = True
    return hot[None]


def _about_the_brightest(n: Floats, edge: int) -> tuple[slice, ...]:
    """Return the box of at most ``edge`` voxels a side about the brightest place of ``n`` (n0, n1, n2)."""
    starts = []
    for axis in range(3):
        line = n.sum(axis=tuple(other for other in range(3) if other != axis))
        size = min(edge, len(line))
        starts.append(int(np.argmax(np.convolve(line, np.ones(size), mode="valid"))))
    return tuple(slice(start, start + min(edge, size)) for start, size in zip(starts, n.shape, strict=True))


def null_fit(n: Floats, measured: Flags, limits: NullModelConfig = DEFAULT.null_model) -> NullFit | None:
    """Return the fit of the null model to counts ``n`` (n0, n1, n2), None where it clearly explains nothing.

    Fisher's scoring: μ = exp(θ_0) + exp(a quadratic form of the place, θ_1 … θ_10), each step damped until
    the deviance falls.
    """
    features = _features(n.shape)[measured.ravel()]
    counts = n[measured]
    theta = _start(n, counts, features)
    mean, slopes = _model(theta, features)
    deviance, damping = _deviance(counts, mean), 1e-3
    for _ in range(limits.steps):
        weighted = slopes / mean[:, None]
        gradient, curvature = weighted.T @ (counts - mean), weighted.T @ slopes
        better = None
        while better is None and damping < 1e6:
            damped = curvature + damping * np.diag(np.diag(curvature) + 1e-9)
            better = _improved(theta + np.linalg.solve(damped, gradient), features, counts, deviance)
            damping = damping / 10 if better is not None else damping * 10
        if better is None:
            break
        gained = deviance - better[3]
        theta, mean, slopes, deviance = better
        if gained < limits.settled * len(counts):
            break
        if gained < limits.slow * deviance and deviance > limits.hopeless * len(counts):
            return None
    expected, variance = _of_noise(mean)
    return NullFit(deviance, expected, float(np.sqrt(variance)), float(counts.sum()))


def _improved(
    theta: Floats, features: Floats, counts: Floats, deviance: float
) -> tuple[Floats, Floats, Floats, float] | None:
    """Return the model of ``theta`` with its deviance, None where that is no smaller."""
    if not np.isfinite(theta).all() or np.abs(theta).max() > MOST:
        return None
    mean, slopes = _model(theta, features)
    found = _deviance(counts, mean)
    return (theta, mean, slopes, found) if found < deviance else None


MOST = 300.0
"""Exponents beyond which numbers overflow."""


def _features(shape: tuple[int, ...]) -> Floats:
    """Return 1, place and its products for every voxel, (voxels, 10), in units of a quarter of the box."""
    axes = [4 * (np.arange(size) - (size - 1) / 2) / size for size in shape]
    a, b, c = (grid.ravel() for grid in np.meshgrid(*axes, indexing="ij"))
    return np.stack([np.ones_like(a), a, b, c, a * a, b * b, c * c, a * b, a * c, b * c], axis=1)


def _start(n: Floats, counts: Floats, features: Floats) -> Floats:
    """Return θ of a faint constant and the blob that the squared counts have: its own peak, half as wide²."""
    lowest = [float(np.take(n, index, axis).mean()) for axis in range(3) for index in (0, -1)]
    place, weight = features[:, 1:4], (counts / counts.max()) ** 2
    centre = weight @ place / weight.sum()
    covariance = 2 * (place - centre).T @ (weight[:, None] * (place - centre)) / weight.sum()
    inverse = np.linalg.inv(covariance + 1e-3 * np.eye(3))
    linear = inverse @ centre
    peak = float(weight @ counts / weight.sum())
    theta = np.empty(11)
    theta[0] = np.log(max(min(lowest), 1e-3 * float(n.mean()), 1e-12))
    theta[1] = np.log(peak) - centre @ linear / 2
    theta[2:5] = linear
    theta[5:8] = -np.diag(inverse) / 2
    theta[8:] = -inverse[0, 1], -inverse[0, 2], -inverse[1, 2]
    return theta


def _model(theta: Floats, features: Floats) -> tuple[Floats, Floats]:
    """Return μ, (voxels,), and its derivatives by θ, (voxels, 11)."""
    constant = np.exp(theta[0])
    blob = np.exp(np.clip(features @ theta[1:], -MOST, 50))
    slopes = np.concatenate([np.full((len(blob), 1), constant), features * blob[:, None]], axis=1)
    return np.maximum(constant + blob, 1e-12), slopes


def _deviance(n: Floats, mean: Floats) -> float:
    logs = np.log(np.divide(n, mean, out=np.ones_like(n), where=n > 0))
    return float(2 * (n * logs - n + mean).sum())


def _of_noise(mean: Floats) -> tuple[float, float]:
    """Return expectation and variance of the deviance of Poisson counts of a known ``mean`` (voxels,)."""
    grid, average, variance = _noise_table()
    place = np.log(np.clip(mean, np.exp(grid[0]), np.exp(grid[-1])))
    return float(np.interp(place, grid, average).sum()), float(np.interp(place, grid, variance).sum())


@cache
def _noise_table() -> tuple[Floats, Floats, Floats]:
    """Return ln μ, and mean and variance of the deviance of one Poisson count of mean μ."""
    means = np.logspace(-6, 3, 91)
    average, variance = np.empty(len(means)), np.empty(len(means))
    for row, mean in enumerate(means):
        n = np.arange(int(mean + 12 * np.sqrt(mean)) + 30, dtype=float)
        part = 2 * (n * np.log(np.divide(n, mean, out=np.ones_like(n), where=n > 0)) - n + mean)
        weight = stats.poisson.pmf(n, mean)
        average[row] = part @ weight
        variance[row] = (part - average[row]) ** 2 @ weight
    return np.log(means), average, variance
