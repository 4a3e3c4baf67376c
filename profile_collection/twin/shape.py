"""The crystal's shape, and the smooth random fields that its state is made of.

The shape is a truncated monoclinic prism, half-space facets. The fields are random and smooth, and their
level sets have walls of one width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter
from scipy.spatial import HalfspaceIntersection
from scipy.spatial.transform import Rotation

from analysis.unit_cells import VO2_M1
from profile_collection.twin.config import CrystalConfig

Field = NDArray[np.float32]
FloatArray = NDArray[np.float64]


def correlated_field(rng: np.random.Generator, axes: tuple[Field, Field, Field], length: float) -> Field:
    """Draw a Gaussian field of zero mean and unit variance whose correlation is exp(−r² / 2 length²).

    The field is drawn on a coarse grid of ``length``/3 and carried to the fine one by cubic splines, so
    that a finer grid shows the same field.

    Parameters
    ----------
    rng : numpy.random.Generator
    axes : three ndarrays, float32, nm
        Node positions of the grid along each axis.
    length : float
        Correlation length, nm.

    Returns
    -------
    ndarray, float32, (n0, n1, n2)
    """
    spacing = length / 3
    half = [max(abs(float(a[0])), abs(float(a[-1]))) for a in axes]
    counts = [2 * int(np.ceil(h / spacing)) + 9 for h in half]
    noise = rng.standard_normal(counts)
    # A filter of length/√2 on white noise gives the correlation exp(−r² / 2 length²).
    coarse = gaussian_filter(noise, length / spacing / np.sqrt(2), mode="wrap")
    coarse /= coarse.std()
    result = coarse
    for axis, (nodes, count) in enumerate(zip(axes, counts, strict=True)):
        knots = (np.arange(count) - count // 2) * spacing
        weights = make_interp_spline(knots, np.eye(count), k=3)(nodes.astype(float))
        result = np.moveaxis(np.tensordot(weights, result, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(result, dtype=np.float32)


def level_set(
    field: Field,
    inside: NDArray[np.bool_],
    fraction: float,
    wall: float,
    pitch: tuple[float, float, float],
    length: float,
) -> Field:
    """Fill the highest ``fraction`` of ``field`` with 1, with walls of the width ``wall`` everywhere.

    The field is divided by its own gradient, which turns it into a distance from the level; tanh(distance /
    wall) is the profile of a wall between two variants. Smooth in ``fraction``, and exactly empty at 0 and
    full at 1.

    Parameters
    ----------
    field : ndarray, float32, (n0, n1, n2)
    inside : ndarray, bool, (n0, n1, n2)
        Where the fraction is counted.
    fraction : float
    wall, pitch, length : float
        Half-width of the wall, grid pitch, correlation length of the field, nm.

    Returns
    -------
    ndarray, float32, (n0, n1, n2), between 0 and 1
    """
    if fraction <= 0:
        return np.zeros_like(field)
    if fraction >= 1:
        return np.ones_like(field)
    level = np.quantile(field[inside][::7], 1 - fraction)
    slope = np.square(np.float32(0.3 / length), dtype=np.float32) + np.zeros_like(field)
    for part in np.gradient(field, *pitch):
        slope += np.square(part, dtype=np.float32)
    distance = (field - np.float32(level)) / np.sqrt(slope)
    # The ends fade in and out, so that the first nucleus does not appear at once.
    fade = np.tanh(fraction / 0.004) * np.tanh((1 - fraction) / 0.004)
    profile = 0.5 * (1 + np.tanh(distance / np.float32(wall)))
    return (fade * profile + (1 - fade) * (fraction > 0.5)).astype(np.float32)


@dataclass(frozen=True)
class Facets:
    """Half-spaces normal · r ≤ distance.

    Attributes
    ----------
    normals : ndarray, float64, (n, 3)
        Outward unit normals in the crystal's frame (rocking, Q, horizontal).
    distances : ndarray, float64, (n,), nm
    """

    normals: FloatArray
    distances: FloatArray

    def vertices(self) -> FloatArray:
        """Corners of the body, (m, 3), nm."""
        return np.asarray(
            HalfspaceIntersection(np.c_[self.normals, -self.distances], np.zeros(3)).intersections
        )

    def extent(self) -> FloatArray:
        """Full width along each axis, (3,), nm."""
        return np.ptp(self.vertices(), axis=0)

    def support(self, axes: tuple[Field, Field, Field], edge: float) -> Field:
        """Occupancy, (n0, n1, n2), 0 to 1: each facet is a linear edge of the width ``edge`` nm."""
        result = np.ones([len(a) for a in axes], dtype=np.float32)
        for inward in self._inward(axes):
            np.multiply(result, np.clip(0.5 + inward / np.float32(edge), 0, 1), out=result)
        return result

    def depth(self, axes: tuple[Field, Field, Field], rounding: float) -> Field:
        """Distance to the nearest facet, (n0, n1, n2), nm, creases rounded over ``rounding``; 0 outside."""
        total = np.zeros([len(a) for a in axes], dtype=np.float32)
        for inward in self._inward(axes):
            total += np.exp(np.minimum(-inward / np.float32(rounding), 20))
        return np.maximum(-np.float32(rounding) * np.log(total), 0)

    def _inward(self, axes: tuple[Field, Field, Field]) -> Iterator[Field]:
        x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
        for normal, distance in zip(self.normals.astype(np.float32), self.distances, strict=True):
            yield np.float32(distance) - normal[0] * x - normal[1] * y - normal[2] * z


def faceted_crystal(config: CrystalConfig) -> Facets:
    """Build the facets: a monoclinic prism, its edges and corners cut, brought to the size asked for."""
    rng = np.random.default_rng([config.seed, 1])
    beta = np.radians(VO2_M1.beta)
    pinacoids = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, np.cos(beta), np.sin(beta)]])
    normals = np.concatenate([pinacoids, -pinacoids])
    body = Facets(normals, np.ones(6) * rng.uniform(0.95, 1.05, 6))
    body = _cut(body, config.truncation, rng)
    body = _bring_to_size(body, np.asarray(config.size, dtype=float))
    turn = Rotation.from_rotvec(np.radians(config.orientation)).as_matrix()
    return Facets(body.normals @ turn.T, body.distances)


def _cut(body: Facets, truncation: float, rng: np.random.Generator) -> Facets:
    """Cut the acute edges and some of the corners, each by a seeded amount."""
    acute = body.normals[1] + body.normals[2]
    directions = [acute, -acute]
    directions += [body.normals[i] + s * body.normals[0] for i in (1, 2, 4, 5) for s in (1, -1)]
    tilted = np.array(directions) + rng.normal(scale=0.12, size=(len(directions), 3))
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    reach = (tilted @ body.vertices().T).max(axis=1)
    # The two acute edges differ: a centrosymmetric body could hardly be told from its twin.
    edges = [rng.uniform(0.7, 0.85), rng.uniform(0.3, 0.45), *rng.uniform(0.05, 0.45, len(directions) - 2)]
    share = truncation * np.array(edges)
    return Facets(
        np.concatenate([body.normals, tilted]), np.concatenate([body.distances, reach * (1 - share)])
    )


def _bring_to_size(body: Facets, size: FloatArray) -> Facets:
    """Scale along the axes and centre the body so that its bounding box is ``size``, nm."""
    corners = body.vertices()
    centre, scale = (corners.max(0) + corners.min(0)) / 2, size / np.ptp(corners, axis=0)
    distances = body.distances - body.normals @ centre
    normals = body.normals / scale
    length = np.linalg.norm(normals, axis=1)
    return Facets(normals / length[:, None], distances / length)
