"""Phase fields of benchmark crystals: polynomials, bumps, plane waves, core and rim.

Other fields than the training set's Gaussian-correlated noise. Dislocations are left out: around their core a
phase has no peak-to-peak value. Coordinates are those of `shapes`: -1 to 1 across the body along every axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.phasing.benchmark.shapes import Coordinates

Field = NDArray[Any]


def polynomial(rng: np.random.Generator, x: Coordinates, _: Field) -> Field:
    """All monomials of second to fourth degree, the higher ones weaker."""
    field: Field = np.zeros(np.broadcast_shapes(*(c.shape for c in x)))
    for i in range(5):
        for j in range(5 - i):
            for k in range(5 - i - j):
                if i + j + k >= 2:
                    weight = rng.normal() / (i + j + k - 1)
                    field = field + weight * x[0] ** i * x[1] ** j * x[2] ** k
    return field


def bumps(rng: np.random.Generator, x: Coordinates, _: Field) -> Field:
    """Three to eight Gaussian bumps of both signs."""
    field: Field = np.zeros(np.broadcast_shapes(*(c.shape for c in x)))
    for _n in range(int(rng.integers(3, 9))):
        centre, width = rng.uniform(-0.9, 0.9, 3), rng.uniform(0.3, 0.7, 3)
        parts = [np.exp(-(((c - m) / w) ** 2) / 2) for c, m, w in zip(x, centre, width, strict=True)]
        field = field + rng.choice([-1, 1]) * rng.uniform(0.5, 1) * parts[0] * parts[1] * parts[2]
    return field


def plane_waves(rng: np.random.Generator, x: Coordinates, _: Field) -> Field:
    """Sixteen plane waves of 0.25 to 1 cycle across the body, amplitudes a power of the frequency."""
    field: Field = np.zeros(np.broadcast_shapes(*(c.shape for c in x)))
    slope = rng.uniform(1, 3)
    for _n in range(16):
        cycles = rng.uniform(0.25, 1.0)
        direction = rng.normal(size=3)
        k = np.pi * cycles * direction / np.linalg.norm(direction)
        phase = rng.uniform(0, 2 * np.pi)
        field = field + cycles**-slope * np.cos(k[0] * x[0] + k[1] * x[1] + k[2] * x[2] + phase)
    return field


def core_and_rim(rng: np.random.Generator, x: Coordinates, depth: Field) -> Field:
    """Core and rim of different phase, as science.md describes 320 K, on a weak polynomial.

    ``depth`` is the body's level function: 0 at the surface.
    """
    deepest = depth.max()
    step = np.tanh((depth / deepest - rng.uniform(0.2, 0.5)) / rng.uniform(0.25, 0.5))
    smooth = polynomial(rng, x, depth)
    return step + rng.uniform(0.1, 0.5) * smooth / max(float(np.abs(smooth[depth > 0]).max()), 1e-12)


FIELDS: tuple[Callable[[np.random.Generator, Coordinates, Field], Field], ...] = (
    polynomial,
    bumps,
    plane_waves,
    core_and_rim,
)
"""All kinds, drawn with equal probability."""


def draw_phase(
    rng: np.random.Generator, x: Coordinates, depth: Field, inside: NDArray[np.bool_], peak_to_peak: float
) -> tuple[str, Field]:
    """Return (kind, phase in rad) with exactly ``peak_to_peak`` inside, after the best-fitting ramp is gone.

    A ramp is free in a diffraction pattern, so it must not make up the strength of a phase.
    """
    kind = FIELDS[int(rng.integers(len(FIELDS)))]
    field = kind(rng, x, depth)
    full = [np.broadcast_to(c, field.shape) for c in x]
    columns = np.stack([np.ones(int(inside.sum())), *(c[inside] for c in full)], axis=1)
    slopes, *_ = np.linalg.lstsq(columns, field[inside], rcond=None)
    field = field - slopes[0] - slopes[1] * full[0] - slopes[2] * full[1] - slopes[3] * full[2]
    return kind.__name__, field * (peak_to_peak / np.ptp(field[inside]))
