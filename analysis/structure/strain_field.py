"""Strain along Q from the phase of an object, by wrapped products, and its statistics inside isosurfaces.

With phi = −arg(object) = Q·u, the strain is ε = (1/abs(Q)) ∂phi/∂x_Q, x_Q along Q, tensile positive.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.results import ScanResult
from analysis.structure.density import Mask, Object, isosurface

Field = NDArray[np.float32]

NEAR_LIMIT = 0.9
"""Share of π per voxel from which a phase step counts as being at the limit of what a voxel can show."""


@dataclass(frozen=True)
class Strain:
    """Strain along Q.

    Attributes
    ----------
    values : ndarray, (n0, n1, n2) float32
        Strain relative to the plane spacing 2π/abs(Q); NaN where it is not defined.
    at_limit : ndarray, (n0, n1, n2) bool
        Voxels with a phase step above 0.9 π to a neighbour, whose strain may have wrapped.
    limit : float
        Largest strain that a voxel can show, π per voxel.
    """

    values: Field
    at_limit: Mask
    limit: float


def strain(array: Object, voxel_basis: ArrayLike, q_vector: ArrayLike, inside: Mask | None = None) -> Strain:
    """Return the strain along Q of an object on slanted voxels.

    The gradient is taken along the array axes and turned into the orthogonal laboratory frame by the voxel
    basis: ∂phi/∂x = A⁻ᵀ ∂phi/∂n. On I16's vertical scans only the row axis contributes.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
        Object with arg = −Q·u.
    voxel_basis : array_like, (3, 3) float, nm
        Columns: voxel vectors.
    q_vector : array_like, (3,) float, Å⁻¹
    inside : ndarray, (n0, n1, n2) bool, optional
        Only neighbours inside are compared; everything that is not zero by default.
    """
    within = np.abs(array) > 0 if inside is None else inside
    if within.shape != array.shape:
        raise ValueError(f"inside must have the object's shape {array.shape!r}; got {within.shape!r}")
    weights = strain_per_step(voxel_basis, q_vector)
    values = np.zeros(array.shape)
    at_limit = np.zeros(array.shape, dtype=bool)
    for axis in np.flatnonzero(np.abs(weights) > 1e-6 * np.abs(weights).max()):
        slope, steep = phase_slope(array, int(axis), within)
        values += weights[axis] * slope
        at_limit |= steep
    values[~within] = np.nan
    return Strain(values.astype(np.float32), at_limit & within, float(np.pi * np.abs(weights).max()))


def strain_per_step(voxel_basis: ArrayLike, q_vector: ArrayLike) -> NDArray[np.float64]:
    """Return the strain along Q of a phase step of 1 rad per voxel along each array axis, (3,) float64.

    Parameters
    ----------
    voxel_basis : array_like, (3, 3) float, nm
    q_vector : array_like, (3,) float, Å⁻¹
    """
    basis, q = np.asarray(voxel_basis, dtype=float), 10 * np.asarray(q_vector, dtype=float)
    return np.asarray(np.linalg.inv(basis) @ (q / np.linalg.norm(q)) / np.linalg.norm(q))


def phase_slope(array: Object, axis: int, inside: Mask) -> tuple[NDArray[np.float64], Mask]:
    """Return ∂phi/∂n along ``axis`` in rad per voxel, and where a step comes near π.

    Each step is the argument of ρ(n+1)* ρ(n), never a difference of wrapped phases. A voxel takes the mean of
    its two steps, the one step of a voxel at the surface, and NaN where it has no neighbour.
    """
    ahead = np.roll(array, -1, axis=axis)
    step = np.angle(np.conj(ahead) * array).astype(np.float64)
    valid = inside & np.roll(inside, -1, axis=axis)
    np.moveaxis(valid, axis, 0)[-1] = False
    step[~valid] = 0
    count = valid.astype(int) + np.roll(valid, 1, axis=axis)
    total = step + np.roll(step, 1, axis=axis)
    steep = np.abs(step) > NEAR_LIMIT * np.pi
    slope = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return slope, steep | np.roll(steep, 1, axis=axis)


PERCENTS = (90.0, 95.0, 99.0, 99.74)
"""Isosurfaces that are reported. From 99 % on, ringing of the band limit in the rim adds to the strain."""


def statistics_inside(
    array: Object, voxel_basis: ArrayLike, q_vector: ArrayLike, percent: float
) -> dict[str, float]:
    """Return strain statistics inside the ``percent`` % isosurface of an object.

    Returns
    -------
    dict of str to float
        ``max``, ``mean``, ``median``, ``sigma`` (standard deviation) of the strain; ``max_abs``,
        ``mean_abs``, ``p99`` (99th percentile) of its modulus; ``voxels`` and ``at_limit``, how many were
        used and how many of them have a phase step near π, which a voxel cannot tell from its opposite.
    """
    inside = isosurface(array, percent)
    field = strain(array, voxel_basis, q_vector, inside)
    known = inside & np.isfinite(field.values)
    if not known.any():
        raise ValueError(
            f"no two neighbouring voxels lie inside the {percent:g} % isosurface: nothing to measure"
        )
    values = field.values[known].astype(np.float64)
    modulus = np.abs(values)
    return {
        "max": float(values.max()),
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "sigma": float(values.std()),
        "max_abs": float(modulus.max()),
        "mean_abs": float(modulus.mean()),
        "p99": float(np.percentile(modulus, 99)),
        "voxels": int(known.sum()),
        "at_limit": int((field.at_limit & known).sum()),
    }


def strain_table(array: Object, voxel_basis: ArrayLike, q_vector: ArrayLike) -> dict[str, dict[str, float]]:
    """Return `statistics_inside` for each of `PERCENTS`, keyed by the percentage as text ("99.74")."""
    return {f"{percent:g}": statistics_inside(array, voxel_basis, q_vector, percent) for percent in PERCENTS}


def strain_statistics(result: ScanResult, percent: float = 95.0) -> dict[str, float]:
    """Return `statistics_inside` the ``percent`` % isosurface of a scan's result."""
    return statistics_inside(result.object, result.voxel_basis, result.q_vector, percent)
