"""Strain statistics inside isosurfaces (Najeeb et al., Fig 4)."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from analysis.structure.isosurface import Object, isosurface
from analysis.structure.strain_field import strain

if TYPE_CHECKING:
    from analysis.results import ScanResult

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


def strain_statistics(result: "ScanResult", percent: float = 95.0) -> dict[str, float]:
    """Return `statistics_inside` the ``percent`` % isosurface of a scan's result."""
    return statistics_inside(result.object, result.voxel_basis, result.q_vector, percent)
