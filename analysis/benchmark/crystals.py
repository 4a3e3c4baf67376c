"""Bodies and phase fields of benchmark crystals: level functions, positive inside, and phases drawn within.

Other shapes than the training set's random polyhedra: superellipsoids, Wulff bodies of a cubic crystal,
tapered rods, blocks with cut corners, pitted, hollow and fused bodies, each rotated and stretched at random.

Other fields than the training set's Gaussian-correlated noise. Dislocations are left out: around their core a
phase has no peak-to-peak value. Coordinates are those of `shapes`: -1 to 1 across the body along every axis.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Coordinates = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
Level = Callable[[Coordinates], NDArray[Any]]

_REACH = 2.2
"""Bodies are drawn within this distance of the origin, before they are brought to their size."""


def _norm(x: Coordinates, power: float, axes: NDArray[Any]) -> NDArray[Any]:
    """Return (Σ abs(x/a)^p)^(1/p), 1 on a superellipsoid of half axes ``axes`` (3,)."""
    total = sum(np.abs(c / a) ** power for c, a in zip(x, axes, strict=True))
    return np.asarray(total) ** (1 / power)


def _dot(x: Coordinates, normal: NDArray[Any]) -> NDArray[Any]:
    return x[0] * normal[0] + x[1] * normal[1] + x[2] * normal[2]


def _directions(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Draw ``count`` unit vectors, (count, 3)."""
    normals = rng.normal(size=(count, 3))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def superellipsoid(rng: np.random.Generator) -> Level:
    """Between an ellipsoid (exponent 2) and nearly a box (8)."""
    power, axes = float(rng.uniform(2, 8)), rng.uniform(0.5, 1, 3)
    return lambda x: 1 - _norm(x, power, axes)


def wulff_body(rng: np.random.Generator) -> Level:
    """Facets {100}, {110} and {111} of a cubic crystal at random surface energies."""
    signs = np.array([v for v in product((-1, 0, 1), repeat=3) if any(v)], float)
    length = np.linalg.norm(signs, axis=1)
    energy = {1: rng.uniform(0.75, 1.0), 2: rng.uniform(0.75, 1.1), 3: rng.uniform(0.75, 1.1)}
    distance = np.array([energy[int(round(n**2))] for n in length]) * rng.uniform(0.85, 1.1, len(signs))
    normals = signs / length[:, None]
    return lambda x: np.min([d - _dot(x, n) for n, d in zip(normals, distance, strict=True)], axis=0)


def rod(rng: np.random.Generator) -> Level:
    """Tapered rod with a round to squarish section and domed ends."""
    power, radius, taper = float(rng.uniform(2, 6)), rng.uniform(0.35, 0.7), rng.uniform(0, 0.35)
    dome = rng.uniform(0, 0.5)
    flat = np.array([1.0, rng.uniform(0.6, 1.0)])

    def level(x: Coordinates) -> NDArray[Any]:
        section = (np.abs(x[0] / flat[0]) ** power + np.abs(x[1] / flat[1]) ** power) ** (1 / power)
        wall = radius * (1 - taper * x[2]) - section
        return np.minimum(wall, 1 - np.abs(x[2]) - dome * section**2)

    return level


def cut_block(rng: np.random.Generator) -> Level:
    """Block with rounded edges, two to five of its corners cut by planes."""
    power, axes = float(rng.uniform(8, 20)), rng.uniform(0.5, 1, 3)
    corners = rng.choice([-1.0, 1.0], (int(rng.integers(2, 6)), 3)) / axes
    corners *= rng.uniform(0.3, 1.0, corners.shape)
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    reach = (np.abs(corners) * axes).sum(axis=1) * rng.uniform(0.6, 0.9, len(corners))

    def level(x: Coordinates) -> NDArray[Any]:
        cuts = [d - _dot(x, n) for n, d in zip(corners, reach, strict=True)]
        return np.min([1 - _norm(x, power, axes), *cuts], axis=0)

    return level


def _carved(body: Level, centres: NDArray[np.float64], radii: NDArray[np.float64]) -> Level:
    """Return ``body`` less balls at ``centres`` (n, 3) of ``radii`` (n,)."""

    def level(x: Coordinates) -> NDArray[Any]:
        balls = [
            np.sqrt(sum((c - m) ** 2 for c, m in zip(x, centre, strict=True))) - r
            for centre, r in zip(centres, radii, strict=True)
        ]
        return np.min([body(x), *balls], axis=0)

    return level


def pitted(rng: np.random.Generator) -> Level:
    """Superellipsoid or Wulff body with one to four pits in its surface."""
    body = (superellipsoid, wulff_body)[int(rng.integers(2))](rng)
    count = int(rng.integers(1, 5))
    return _carved(
        body, _directions(rng, count) * rng.uniform(0.8, 1.0, (count, 1)), rng.uniform(0.2, 0.4, count)
    )


def hollow(rng: np.random.Generator) -> Level:
    """Superellipsoid with one or two voids inside."""
    count = int(rng.integers(1, 3))
    centres = _directions(rng, count) * rng.uniform(0.05, 0.4, (count, 1))
    return _carved(superellipsoid(rng), centres, rng.uniform(0.15, 0.3, count))


def fused(rng: np.random.Generator) -> Level:
    """Two or three ellipsoids grown together."""
    count = int(rng.integers(2, 4))
    centres = _directions(rng, count) * rng.uniform(0.2, 0.5, (count, 1))
    axes = rng.uniform(0.5, 0.9, (count, 3))

    def level(x: Coordinates) -> NDArray[Any]:
        moved = [(x[0] - c[0], x[1] - c[1], x[2] - c[2]) for c in centres]
        return np.max([1 - _norm(m, 2, a) for m, a in zip(moved, axes, strict=True)], axis=0)

    return level


SHAPES = (superellipsoid, wulff_body, rod, cut_block, pitted, hollow, fused)
"""All kinds, drawn with equal probability."""


def draw_shape(rng: np.random.Generator) -> tuple[str, Level]:
    """Draw a kind and a body that spans -1 to 1 along every axis; return (name, level function)."""
    kind = SHAPES[int(rng.integers(len(SHAPES)))]
    return kind.__name__, _fitted(kind(rng), _rotation(rng))


def _rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(q * np.sign(np.diag(r)))


def _fitted(body: Level, rotation: NDArray[np.float64]) -> Level:
    """Return ``body`` rotated, and shifted and stretched along the axes to span -1 to 1 on each."""

    def rotated(x: Coordinates) -> NDArray[Any]:
        return body((_dot(x, rotation[0]), _dot(x, rotation[1]), _dot(x, rotation[2])))

    line = np.linspace(-_REACH, _REACH, 56)
    inside = rotated((line[:, None, None], line[:, None], line)) > 0
    spans = []
    for axis in range(3):
        where = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        spans.append((line[where[0]], line[where[-1]]))
    (a0, a1), (b0, b1), (c0, c1) = spans

    def fitted(x: Coordinates) -> NDArray[Any]:
        return rotated(
            (
                (a0 + a1) / 2 + x[0] * (a1 - a0) / 2,
                (b0 + b1) / 2 + x[1] * (b1 - b0) / 2,
                (c0 + c1) / 2 + x[2] * (c1 - c0) / 2,
            )
        )

    return fitted


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
    """Core and rim of different phase, as docs/science.md section 2.1 has 320 K, on a weak polynomial.

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
