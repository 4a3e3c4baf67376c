"""Real-space voxels of a rocking scan: basis, field of view, oversampling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Basis = NDArray[np.float64]


def voxel_basis(dq: ArrayLike, shape: Sequence[int]) -> Basis:
    """Return the real-space voxel vectors that belong to an array of ``shape`` sampled in steps ``dq``.

    The discrete Fourier transform pairs them by a_i · dq_j = 2π δ_ij / n_i, on any instrument: the voxels of
    a rocking scan are not orthogonal, and each vector's sign is that of the increasing array index.

    Parameters
    ----------
    dq : array_like, (3, 3) float, Å⁻¹
        Columns: step of q from one index to the next along (rocking, row, column).
    shape : sequence of int
        Shape (n0, n1, n2) of the array.

    Returns
    -------
    ndarray, (3, 3) float64, nm
        Columns: voxel vectors along (rocking, row, column), in the frame of ``dq``.
    """
    steps = np.asarray(dq, dtype=float)
    if steps.shape != (3, 3) or not np.isfinite(steps).all():
        raise ValueError(f"dq must be a finite (3, 3) array of q steps in Å⁻¹; got {dq!r}")
    lengths = np.linalg.norm(steps, axis=0)
    if lengths.min() == 0 or abs(np.linalg.det(steps / lengths)) < 1e-6:
        raise ValueError(
            f"the three q steps must span space; got {dq!r}: does the rocking axis move the crystal?"
        )
    return 0.1 * 2 * np.pi * np.linalg.inv(steps).T / np.asarray(shape, dtype=float)


def reciprocal_steps(basis: ArrayLike, shape: Sequence[int]) -> Basis:
    """Return the q steps (3, 3) Å⁻¹ of a voxel ``basis`` (3, 3) nm: the inverse of `voxel_basis`."""
    return voxel_basis(basis, shape)


@dataclass(frozen=True)
class Sampling:
    """How finely a scan samples its crystal.

    Attributes
    ----------
    dq : tuple of float, Å⁻¹
        Length of the q step along (rocking, row, column).
    field_of_view : tuple of float, nm
        2π / dq along each of them.
    voxel_size : tuple of float, nm
        Length of the voxel vectors of the array.
    oversampling : tuple of float or None
        Field of view over the crystal's extent; None where the extent is unknown.
    """

    dq: tuple[float, float, float]
    field_of_view: tuple[float, float, float]
    voxel_size: tuple[float, float, float]
    oversampling: tuple[float, float, float] | None

    @property
    def sufficient(self) -> bool:
        """True unless an axis is known to be sampled below 1.2, where no phasing is possible."""
        return self.oversampling is None or min(self.oversampling) >= 1.2

    @property
    def wraps(self) -> bool:
        """True where the autocorrelation is known to wrap (an axis below 2)."""
        return self.oversampling is not None and min(self.oversampling) < 2

    def describe(self) -> str:
        """Return one line for a person."""
        view = " × ".join(f"{length:.0f}" for length in self.field_of_view)
        line = f"field of view {view} nm (rocking × row × column)"
        if self.oversampling is None:
            return f"{line}; crystal size not given"
        factors = ", ".join(f"{factor:.2f}" for factor in self.oversampling)
        verdict = (
            "below 1.2: cannot be phased" if not self.sufficient else "wraps" if self.wraps else "sufficient"
        )
        return f"{line}; oversampled {factors} ({verdict})"


def sampling(dq: ArrayLike, shape: Sequence[int], crystal_size: Sequence[float] | None = None) -> Sampling:
    """Report how a scan with steps ``dq`` (3, 3) Å⁻¹ and a crop of ``shape`` samples a crystal.

    Parameters
    ----------
    dq : array_like, (3, 3) float, Å⁻¹
        As for `voxel_basis`.
    shape : sequence of int
        Shape of the cropped array; cropping changes the voxels, never the field of view.
    crystal_size : sequence of float, nm, optional
        Extent along the directions of (rocking, row, column) steps, where it is known beforehand.
    """
    basis = voxel_basis(dq, shape)
    lengths = np.linalg.norm(np.asarray(dq, dtype=float), axis=0)
    view = 0.1 * 2 * np.pi / lengths
    ratio = None
    if crystal_size is not None:
        size = np.asarray(crystal_size, dtype=float)
        if size.shape != (3,) or not (size > 0).all():
            raise ValueError(f"crystal_size must be three positive lengths in nm; got {crystal_size!r}")
        ratio = _triple(view / size)
    return Sampling(_triple(lengths), _triple(view), _triple(np.linalg.norm(basis, axis=0)), ratio)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
