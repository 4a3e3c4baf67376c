"""Strain in the crystal's surface shell against that in its bulk."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from analysis.structure.isosurface import Mask, Object, isosurface
from analysis.structure.strain_field import strain

SHELL_VOXELS = 1.5
"""Default thickness of the shell, in lengths of the longest voxel edge."""


@dataclass(frozen=True)
class RegionStrain:
    """Strain within a part of the crystal.

    Attributes
    ----------
    voxels : int
        Where strain is defined.
    mean, sigma, mean_abs : float
        Mean, standard deviation and mean modulus; NaN where there is no voxel.
    """

    voxels: int
    mean: float
    sigma: float
    mean_abs: float


@dataclass(frozen=True)
class SurfaceBulk:
    """Surface against bulk.

    Attributes
    ----------
    shell : float, nm
        Depth to which the surface reaches.
    surface, bulk : RegionStrain
    """

    shell: float
    surface: RegionStrain
    bulk: RegionStrain

    def record(self) -> dict[str, Any]:
        """Return a JSON-able record; what is not known is None."""

        def plain(region: RegionStrain) -> dict[str, Any]:
            return {name: value if np.isfinite(value) else None for name, value in asdict(region).items()}

        return {"shell_nm": self.shell, "surface": plain(self.surface), "bulk": plain(self.bulk)}


def depth_below_surface(inside: Mask, voxel_basis: ArrayLike) -> NDArray[np.float32]:
    """Return how far each voxel of a body lies from the nearest voxel outside, centre to centre.

    Distances are those of space, on voxels of any slant; beyond the box all is outside.

    Parameters
    ----------
    inside : ndarray, (n0, n1, n2) bool
    voxel_basis : array_like, (3, 3) float, nm
        Columns: voxel vectors.

    Returns
    -------
    ndarray, (n0, n1, n2) float32, nm
        0 outside.
    """
    basis = np.asarray(voxel_basis, dtype=float)
    body = np.pad(np.asarray(inside, dtype=bool), 1)
    # On slanted voxels the nearest one outside may touch by an edge or a corner alone.
    skin = ndimage.binary_dilation(body, np.ones((3, 3, 3), dtype=bool)) & ~body
    depth = np.zeros(body.shape, dtype=np.float32)
    if body.any():
        tree = cKDTree(np.argwhere(skin) @ basis.T)
        depth[body] = tree.query(np.argwhere(body) @ basis.T)[0]
    return depth[1:-1, 1:-1, 1:-1]


def surface_and_bulk(
    array: Object,
    voxel_basis: ArrayLike,
    q_vector: ArrayLike,
    inside: Mask | None = None,
    *,
    outline: Mask | None = None,
    shell: float | None = None,
) -> SurfaceBulk:
    """Return the strain of the surface shell and of the bulk.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
        Object with arg = −Q·u.
    voxel_basis : array_like, (3, 3) float, nm
        Columns: voxel vectors.
    q_vector : array_like, (3,) float, Å⁻¹
    inside : ndarray, (n0, n1, n2) bool, optional
        Where strain is taken; by default in the 95 % isosurface. Beyond 99 % the rim rings.
    outline : ndarray, (n0, n1, n2) bool, optional
        The crystal whose surface it is, where parts of it are missing: the reference's support. By default
        ``inside``.
    shell : float, nm, optional
        A voxel within this distance of one outside is surface; by default 1.5 lengths of the longest voxel
        edge, 78 nm on I16.
    """
    basis = np.asarray(voxel_basis, dtype=float)
    thickness = SHELL_VOXELS * float(np.linalg.norm(basis, axis=0).max()) if shell is None else float(shell)
    if not (np.isfinite(thickness) and thickness > 0):
        raise ValueError(f"shell must be a positive depth in nm; got {shell!r}")
    body = isosurface(array, 95) if inside is None else np.asarray(inside, dtype=bool)
    values = strain(array, basis, q_vector, body).values
    known = body & np.isfinite(values)
    crystal = body if outline is None else np.asarray(outline, dtype=bool)
    if crystal.shape != array.shape:
        raise ValueError(f"outline must have the object's shape {array.shape!r}; got {crystal.shape!r}")
    near = depth_below_surface(crystal, basis) <= thickness
    return SurfaceBulk(thickness, _region(values[known & near]), _region(values[known & ~near]))


def _region(values: NDArray[np.float32]) -> RegionStrain:
    if values.size == 0:
        return RegionStrain(0, float("nan"), float("nan"), float("nan"))
    exact = values.astype(np.float64)
    return RegionStrain(values.size, float(exact.mean()), float(exact.std()), float(np.abs(exact).mean()))
