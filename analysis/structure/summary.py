"""What is stored of a crystal's structure beside its strain statistics."""

from typing import Any

from numpy.typing import ArrayLike

from analysis.structure.displacement import displacement
from analysis.structure.domains import find_domains
from analysis.structure.isosurface import Object, isosurface
from analysis.structure.surface import surface_and_bulk


def structure_summary(array: Object, voxel_basis: ArrayLike, q_vector: ArrayLike) -> dict[str, Any]:
    """Return surface against bulk, domains and displacement of one scan on its own, JSON-able.

    Within its own 95 % isosurface. What is missing can only be said against the reference: here it is 0 and
    its false-alarm rate None; the series' result has it.

    Returns
    -------
    dict
        ``surface_bulk`` (`SurfaceBulk.record`), ``domains`` (`Domains.record`) and ``displacement``
        (`Displacement.record`).
    """
    body = isosurface(array, 95)
    return {
        "surface_bulk": surface_and_bulk(array, voxel_basis, q_vector, body).record(),
        "domains": find_domains(array, voxel_basis, q_vector, body).record(),
        "displacement": displacement(array, q_vector, body).record(),
    }
