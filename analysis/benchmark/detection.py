"""From a fine complex density to counts: amplitude at any q, pixels summed on a finer q grid, Poisson noise.

The transform is the one of docs/science.md section 3.1, written as three matrix products, so that it can be
evaluated between the voxels: nothing of the engine's kernel is used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def amplitude(
    density: NDArray[np.complex128],
    positions: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    q: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
) -> NDArray[np.complex128]:
    """Return Σ density·exp(−2πi Σ q·x), (n0, n1, n2) complex128.

    Parameters
    ----------
    density : ndarray, (m0, m1, m2) complex128
    positions : three float arrays (m0,), (m1,), (m2,)
        As fractions of the field of view.
    q : three float arrays (n0,), (n1,), (n2,)
        In voxels of the pattern (cycles per field of view).
    """
    result = density
    for x, k in zip(positions, q, strict=True):
        # Contracting the first axis and appending the new one brings the axes round in order.
        result = np.tensordot(result, np.exp(-2j * np.pi * np.outer(x, k)), axes=(0, 0))
    return result


def quadrature(width: float, sigma: float, nodes: int = 5) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Gauss nodes (voxels) and weights of a pixel of ``width`` blurred by a Gaussian of ``sigma``.

    The rule has the exact moments of the kernel up to order 2·nodes − 1 (Golub & Welsch 1969,
    doi:10.1090/S0025-5718-69-99647-1). One node at 0 where both are 0.
    """
    if width <= 0 and sigma <= 0:
        return np.zeros(1), np.ones(1)
    moments = [_moment(order, width, sigma) for order in range(2 * nodes + 1)]
    hankel = np.array([[moments[i + j] for j in range(nodes + 1)] for i in range(nodes + 1)])
    r = np.linalg.cholesky(hankel).T
    ratio = np.array([0, *(r[i, i + 1] / r[i, i] for i in range(nodes))])
    off = np.array([r[i + 1, i + 1] / r[i, i] for i in range(nodes - 1)])
    jacobi = np.diag(np.diff(ratio)) + np.diag(off, 1) + np.diag(off, -1)
    points, vectors = np.linalg.eigh(jacobi)
    return points, vectors[0] ** 2


def _moment(order: int, width: float, sigma: float) -> float:
    """Return a moment of the sum of a uniform variable of full ``width`` and a Gaussian one of ``sigma``."""
    if order % 2:
        return 0.0
    total = 0.0
    for k in range(0, order + 1, 2):
        uniform = (width / 2) ** k / (k + 1)
        gauss = sigma ** (order - k) * float(np.prod(np.arange(1, order - k, 2)))
        total += _choose(order, k) * uniform * gauss
    return total


def _choose(n: int, k: int) -> float:
    return float(np.prod([(n - i) / (i + 1) for i in range(k)]))


def integrated(
    density: NDArray[np.complex128],
    positions: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    q: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    widths: tuple[float, float, float],
    sigmas: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Return abs(amplitude)² at ``q``, averaged over ``widths`` and blurred by ``sigmas`` (voxels)."""
    rules = [quadrature(w, s) for w, s in zip(widths, sigmas, strict=True)]
    q0, q1, q2 = q
    total = np.zeros((len(q0), len(q1), len(q2)))
    for u, a in zip(*rules[0], strict=True):
        for v, b in zip(*rules[1], strict=True):
            for w, c in zip(*rules[2], strict=True):
                field = amplitude(density, positions, (q0 + u, q1 + v, q2 + w))
                total += a * b * c * (field.real**2 + field.imag**2)
    return total


def whole_q(shape: tuple[int, int, int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the q of the voxels' centres along each axis, 0 at index n//2."""
    a, b, c = (np.arange(n, dtype=float) - n // 2 for n in shape)
    return a, b, c


@dataclass(frozen=True)
class Unrecorded:
    """What a detector that nobody flattened, in a beam that nobody watched, makes of expected counts.

    Parameters
    ----------
    flat_field : ndarray, (n1, n2)
        What each pixel counts of what it should, mean 1.
    exposure : ndarray, (n0,)
        The same of each frame.
    drift : ndarray, (n0,), counts
        Background of each voxel that comes on top, and changes along the scan.
    jitter : ndarray, (n0,), steps
        How far each frame's angle was from where it is taken to have been.
    """

    flat_field: NDArray[np.float64]
    exposure: NDArray[np.float64]
    drift: NDArray[np.float64]
    jitter: NDArray[np.float64]

    def q(self, shape: tuple[int, int, int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return the q at which the voxels were really taken (`whole_q`)."""
        rocking, row, column = whole_q(shape)
        return rocking + self.jitter, row, column

    def counted(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is to be expected of such a measurement, (n0, n1, n2) counts."""
        return (expected + self.drift[:, None, None]) * self.exposure[:, None, None] * self.flat_field


def draw_unrecorded(rng: np.random.Generator, shape: tuple[int, int, int]) -> Unrecorded:
    """Draw responses of 5–20 % (pixels) and 5 % (frames), background to 0.1 counts, angles to 5 % of a step.

    APS 34-ID-C scan 54 left 16 % and 3–5 % unexplained; a gamma distribution keeps them positive.
    """
    spread = rng.uniform(0.05, 0.20)
    flat = rng.gamma(1 / spread**2, spread**2, shape[1:])
    exposure = rng.gamma(1 / 0.05**2, 0.05**2, shape[0])
    drift = rng.uniform(0, 0.1) * np.linspace(0, 1, shape[0])[:: int(rng.choice([-1, 1]))]
    jitter = rng.normal(0, 0.05, shape[0])
    return Unrecorded(flat / flat.mean(), exposure / exposure.mean(), drift, jitter)


def draw_mask(
    rng: np.random.Generator, shape: tuple[int, int, int], peak: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """Draw what a detector does not measure, True there: every second time a chip gap, and some dead pixels.

    Gaps and pixels run along the rocking axis 0; the brightest voxel's pixel is always alive.
    """
    mask = np.zeros(shape, bool)
    if rng.random() < 0.5:
        axis, width = int(rng.integers(1, 3)), 3
        start = peak[axis] + int(rng.choice([-1, 1])) * int(rng.integers(10, 24)) - width // 2
        gap: list[slice] = [slice(None)] * 3
        gap[axis] = slice(max(start, 0), max(start + width, 0))
        mask[tuple(gap)] = True
    for _ in range(int(rng.integers(0, 7))):
        row, column = int(rng.integers(shape[1])), int(rng.integers(shape[2]))
        if (row, column) != peak[1:]:
            mask[:, row, column] = True
    return mask
