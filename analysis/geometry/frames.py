"""From the laboratory frame to those of the sample and of the crystal, and grids along their axes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from analysis.geometry.rotations import Matrix, sample_rotation
from analysis.geometry.voxels import Basis
from analysis.unit_cells import UnitCell


def laboratory_to_sample(angles: Mapping[str, float]) -> Matrix:
    """Return the rotation from the laboratory frame to the sample's own, Zᵀ (You 1999), (3, 3).

    Parameters
    ----------
    angles : mapping of str to float, degrees
        mu, eta, chi, phi. The scanned one is that of the middle of the crop, to which q and voxels belong
        (``rocking_angle_deg`` among a result's parameters).
    """
    missing = [name for name in ("mu", "eta", "chi", "phi") if name not in angles]
    if missing:
        raise ValueError(f"four sample angles are required; {missing!r} are not in {sorted(angles)!r}")
    return sample_rotation(*(float(angles[name]) for name in ("mu", "eta", "chi", "phi"))).T


def laboratory_to_crystal(angles: Mapping[str, float], ub: ArrayLike, cell: UnitCell) -> Matrix:
    """Return the rotation from the laboratory frame to the crystal's Cartesian one, (ZU)ᵀ, (3, 3).

    The crystal's frame is that of Busing & Levy 1967, doi:10.1107/S0365110X67000970: x along a*, y in the
    plane of a* and b*. There the scattering vector of (h, k, l) is B·(h, k, l).

    Parameters
    ----------
    angles : mapping of str to float, degrees
        As for `laboratory_to_sample`.
    ub : array_like, (3, 3) float, Å⁻¹
        Orientation matrix, 2π included.
    cell : UnitCell
        The lattice that it was made for.
    """
    matrix = np.asarray(ub, dtype=float)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise ValueError(f"UB must be a finite (3, 3) matrix in Å⁻¹; got {ub!r}")
    turn = matrix @ np.linalg.inv(cell.b_matrix())
    if not np.allclose(turn.T @ turn, np.eye(3), atol=1e-3):
        raise ValueError(
            "UB must be a rotation of the cell's B, 2π included; UB·B⁻¹ is not one: give the lattice that UB "
            f"was made for; got {cell!r}"
        )
    left, _, right = np.linalg.svd(turn)
    return np.asarray((left @ right).T @ laboratory_to_sample(angles))


def cubic_grid(
    basis: ArrayLike, shape: Sequence[int], pitch: float | None = None
) -> tuple[Basis, tuple[int, int, int]]:
    """Return a grid of cubic voxels along the axes of the frame that holds the whole box of an array.

    To turn an array into another frame, give the turned basis, and the same to `resample`::

        turned = laboratory_to_crystal(angles, ub, cell) @ basis
        target, out = cubic_grid(turned, array.shape)
        resample(array, turned, target, out)

    Parameters
    ----------
    basis : array_like, (3, 3) float, nm
        Columns: voxel vectors of the array, in the frame wanted.
    shape : sequence of int
        Its shape.
    pitch : float, nm, optional
        Edge of the new voxels; by default the shortest edge of the old ones.

    Returns
    -------
    tuple
        Voxel vectors of the grid, (3, 3) float64, nm, and its shape, even numbers.
    """
    vectors = np.asarray(basis, dtype=float)
    edge = float(np.linalg.norm(vectors, axis=0).min()) if pitch is None else float(pitch)
    if not (np.isfinite(edge) and edge > 0):
        raise ValueError(f"pitch must be a positive length in nm; got {pitch!r}")
    extents = np.abs(vectors) @ np.asarray(shape, dtype=float)
    first, second, third = (2 * int(np.ceil(extent / edge / 2)) for extent in extents)
    return edge * np.eye(3), (first, second, third)
