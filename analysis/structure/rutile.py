"""Rutile told from monoclinic VO2 by its own lattice spacing, in a crop that holds the peaks of both.

About the M1 peak, rutile (110) is a lattice 0.43 % wider: its density comes out with full amplitude, and its
phase grows along Q by one turn in 74 nm. The local slope of the phase tells the two apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from analysis.structure.density import Mask, Object, isosurface
from analysis.structure.strain_field import strain_per_step

SMOOTHING = 1.0
"""Standard deviation, voxels, over which phase steps are averaged as complex numbers."""

SUPPORT_PERCENT = 99.0

HEADROOM = 1.2
"""By how much the largest strain that a voxel can show must exceed that of rutile."""


@dataclass(frozen=True, eq=False)
class Rutile:
    """Which part of a crystal is rutile.

    Attributes
    ----------
    mask : ndarray, (n0, n1, n2) bool
        Rutile, inside the support.
    fraction : float
        Its share of the support's volume.
    strain : ndarray, (n0, n1, n2) float32
        Local strain along Q against the crop's centre, averaged over neighbours; NaN outside the support.
    threshold : float
        Strain from which a voxel counts as rutile.
    amplitude_ratio : float
        Mean amplitude of the rutile over that of the rest: near 1 where the crop holds both peaks.
    period : float, nm
        Length along Q in which the phase of the rutile turns once; NaN without rutile.
    """

    mask: Mask
    fraction: float
    strain: NDArray[np.float32]
    threshold: float
    amplitude_ratio: float
    period: float


def find_rutile(
    array: Object,
    voxel_basis: ArrayLike,
    q_vector: ArrayLike,
    support: Mask | None = None,
    *,
    transformation: float,
    matrix: float = 0.0,
    smoothing: float = SMOOTHING,
) -> Rutile:
    """Return the rutile part of an object whose crop holds the peaks of M1 and of rutile.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
        Object with arg = −Q·u, its crop centred on the M1 peak.
    voxel_basis : array_like, (3, 3) float, nm
        Columns: voxel vectors.
    q_vector : array_like, (3,) float, Å⁻¹
    support : ndarray, (n0, n1, n2) bool, optional
        The crystal; the 99 % isosurface by default, for rutile begins at the surface.
    transformation : float
        Strain of rutile against M1 along Q (`Experiment.transformation_strain`).
    matrix : float
        Strain of the monoclinic matrix against the crop's centre; the threshold lies half way to rutile.
    smoothing : float, voxels

    Raises
    ------
    ValueError
        The voxels are too long along Q to hold the phase of rutile: the crop is too small.
    """
    inside = isosurface(array, SUPPORT_PERCENT) if support is None else np.asarray(support, dtype=bool)
    if inside.shape != array.shape or not inside.any():
        raise ValueError(
            f"support must have the object's shape {array.shape!r}, not empty; got {inside.shape!r}"
        )
    weights = strain_per_step(voxel_basis, q_vector)
    _refuse_coarse(float(np.pi * np.abs(weights).max()), transformation)
    values = sum(
        weights[axis] * _slope(array, axis, inside, smoothing)
        for axis in range(3)
        if abs(weights[axis]) > 1e-6 * np.abs(weights).max()
    )
    threshold = matrix + transformation / 2
    mask = inside & (values > threshold)
    rest = inside & ~mask
    amplitude, q = np.abs(array), 10 * float(np.linalg.norm(q_vector))
    both = mask.any() and rest.any()
    return Rutile(
        mask=mask,
        fraction=float(np.count_nonzero(mask) / np.count_nonzero(inside)),
        strain=np.where(inside, values, np.nan).astype(np.float32),
        threshold=threshold,
        amplitude_ratio=float(amplitude[mask].mean() / amplitude[rest].mean()) if both else float("nan"),
        period=float(2 * np.pi / (q * np.median(values[mask]))) if mask.any() else float("nan"),
    )


def rutile_offset(
    voxel_basis: ArrayLike, q_vector: ArrayLike, shape: Sequence[int], transformation: float
) -> NDArray[np.float64]:
    """Return the way from the M1 peak to that of rutile, (3,) float64, in voxels of q of a crop of ``shape``.

    Parameters
    ----------
    voxel_basis : array_like, (3, 3) float, nm
    q_vector : array_like, (3,) float, Å⁻¹
        Of the M1 peak.
    shape : sequence of int
    transformation : float
        Strain of rutile against M1 along Q.
    """
    # A voxel of q is 2π over the box: n = shape · Aᵀ q / 2π.
    q = -10 * transformation * np.asarray(q_vector, dtype=float)
    return np.asarray(np.asarray(voxel_basis, dtype=float).T @ q / (2 * np.pi) * np.asarray(shape))


def _refuse_coarse(limit: float, transformation: float) -> None:
    if limit < HEADROOM * transformation:
        raise ValueError(
            f"rutile needs voxels that can show a strain of {HEADROOM * transformation:.4f} along Q; these "
            f"show {limit:.4f} at most: reconstruct the larger crop (--crop 20nm)"
        )


def _slope(array: Object, axis: int, inside: Mask, smoothing: float) -> NDArray[np.float64]:
    """Return ∂phi/∂n along ``axis``, rad per voxel: the argument of locally summed steps ρ(n+1)* ρ(n).

    Steps are summed as complex numbers, strong density counting more; at most π, never unwrapped.
    """
    steps = np.conj(np.roll(array, -1, axis=axis)) * array
    valid = inside & np.roll(inside, -1, axis=axis)
    np.moveaxis(valid, axis, 0)[-1] = False
    steps = np.where(valid, steps, 0)
    # A voxel has a step on either side, so that the sum is centred on it.
    steps = steps + np.roll(steps, 1, axis=axis)
    real, imaginary = (
        ndimage.gaussian_filter(part.astype(np.float64), smoothing) for part in (steps.real, steps.imag)
    )
    return np.angle(real + 1j * imaginary)
