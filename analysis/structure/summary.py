"""What is stored of a crystal's structure beside its strain statistics."""

from typing import Any

from numpy.typing import ArrayLike

from analysis.structure.domains import Domains, find_domains
from analysis.structure.isosurface import Mask, Object, isosurface
from analysis.structure.surface import surface_and_bulk


def structure_summary(array: Object, voxel_basis: ArrayLike, q_vector: ArrayLike) -> dict[str, Any]:
    """Return surface against bulk and the domains of one scan on its own, JSON-able.

    Within its own 95 % isosurface. What is missing can only be said against the reference: here it is 0, and
    ``domains.false_alarm_rate`` is None; `describe` has it for a series.
    """
    body = isosurface(array, 95)
    return describe(array, voxel_basis, q_vector, find_domains(array, voxel_basis, q_vector, body), body)


def describe(
    array: Object, voxel_basis: ArrayLike, q_vector: ArrayLike, domains: Domains, body: Mask
) -> dict[str, Any]:
    """Return ``surface_bulk`` (`SurfaceBulk.record`) within ``body`` and ``domains`` (`Domains.record`)."""
    return {
        "surface_bulk": surface_and_bulk(array, voxel_basis, q_vector, body).record(),
        "domains": domains.record(),
    }
