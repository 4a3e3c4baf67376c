"""Whether counts say anything at all: a pattern that one of three null models explains holds no crystal.

The first is a constant plus one Gaussian of any widths and tilt, fitted by Poisson likelihood about the
brightest place, with the rows of the few brightest (hot) pixels left out. A Bragg pattern has fringes, which
it cannot follow. The second is one image in every frame, of any brightness in each: what does not change with
the angle (a powder ring, the direct beam's tails, a detector's own pattern) is no Bragg peak. The third is a
shell: a pattern that depends on the distance from its middle alone, and is dark there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
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
    models: dict[str, Callable[[], NullFit | None]] = {
        "a constant and one Gaussian, hot pixels left out, explain": partial(
            null_fit, n[box], measured[box], limits
        ),
        "one image in all frames explains": partial(one_image_fit, n[box], measured[box]),
        "a shell about a dark middle explains": partial(shell_fit, n, measured, limits),
    }
    for words, fitted in models.items():
        fit = fitted()
        if fit is not None and fit.explains(limits):
            raise ValueError(
                f"a Bragg pattern was expected; {words} these counts to within their noise (deviance "
                f"{fit.deviance:.0f}; {fit.expected:.0f} ± {fit.sigma:.0f} is expected): there is no crystal "
                "to be seen. Look at the frames: is the peak on the detector, and was it exposed long "
                "enough? Counts that were scaled down look so, too: give raw ones"
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


def one_image_fit(n: Floats, measured: Flags) -> NullFit:
    """Return the fit of an image times a brightness of each frame to counts ``n`` (frames, rows, columns).

    The most likely ones are found in turns; without a mask the first turn ends it.
    """
    counts, seen = n.reshape(len(n), -1), measured.reshape(len(n), -1).astype(float)
    frame = counts.sum(axis=1)
    for _ in range(TURNS):
        image = counts.sum(axis=0) / np.maximum(frame @ seen, 1e-12)
        frame = counts.sum(axis=1) / np.maximum(seen @ image, 1e-12)
    mean = np.maximum(frame[:, None] * image, 1e-12)[seen > 0]
    parameters = int(np.count_nonzero(image) + np.count_nonzero(frame)) - 1
    return _fitted(counts[seen > 0], mean, parameters)


TURNS = 5
"""Of image and brightness."""


def shell_fit(n: Floats, measured: Flags, limits: NullModelConfig = DEFAULT.null_model) -> NullFit | None:
    """Return the fit of a function of the distance from the middle alone, None where the middle is bright.

    A sphere's pattern is such a function, too, but a crystal's peak is its brightest place.
    """
    bright = np.where(n > n.max() / 2, n, 0)
    middle = [
        float(np.average(np.arange(size), weights=bright.sum(axis=tuple(a for a in range(3) if a != axis))))
        for axis, size in enumerate(n.shape)
    ]
    core = n[tuple(slice(max(round(m) - 1, 0), round(m) + 2) for m in middle)]
    if core.mean() > limits.dark * n.max():
        return None
    squares = [(np.arange(size) - m) ** 2 for size, m in zip(n.shape, middle, strict=True)]
    distance = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])[measured]
    counts = n[measured]
    place = distance / limits.shell
    inner, share = place.astype(int), place % 1
    bins = int(inner.max()) + 2
    total, weight = (
        np.bincount(inner, values * (1 - share), bins) + np.bincount(inner + 1, values * share, bins)
        for values in (counts, np.ones_like(counts))
    )
    profile = total / np.maximum(weight, 1e-12)
    brightest = int(profile.argmax())
    within = profile[: brightest // 2]
    if not len(within) or within.max() > limits.dark * profile[brightest]:
        return None
    mean = profile[inner] * (1 - share) + profile[inner + 1] * share
    return _fitted(counts, np.maximum(mean, 1e-12), bins)


def _fitted(counts: Floats, mean: Floats, parameters: int) -> NullFit:
    """Return the quality of a ``mean`` (voxels,) of so many fitted parameters."""
    expected, variance = _of_noise(mean)
    left = 1 - parameters / max(len(counts), 1)
    return NullFit(_deviance(counts, mean), left * expected, float(np.sqrt(variance)), float(counts.sum()))


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
