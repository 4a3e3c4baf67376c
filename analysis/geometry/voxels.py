"""Real-space voxels of a rocking scan: slanted as measured, along Q, and along sample or crystal axes.

A complex object is resampled, never its phase: the phase wraps, the object is band-limited, and a sum over
its own Fourier coefficients (a non-uniform FFT) is exact at any point.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import finufft
import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.geometry.diffractometer import Matrix, sample_rotation
from analysis.unit_cells import UnitCell

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


Complex = NDArray[np.complex64]


def q_axis(basis: ArrayLike, q_vector: ArrayLike) -> int:
    """Return which array axis of a voxel ``basis`` (3, 3) nm lies closest to ``q_vector`` (3,) Å⁻¹."""
    vectors = np.asarray(basis, dtype=float)
    towards_q = vectors.T @ np.asarray(q_vector, dtype=float) / np.linalg.norm(vectors, axis=0)
    return int(np.argmax(np.abs(towards_q)))


def orthogonal_basis(
    basis: ArrayLike, q_vector: ArrayLike, shape: Sequence[int], out: Sequence[int]
) -> Basis:
    """Return an orthogonal basis near a slanted one, one of its axes along ±Q.

    Each axis keeps the sense and the place of the array axis it replaces, and the box keeps its extent along
    it, so the pitch is the extent divided by ``out``.

    Parameters
    ----------
    basis : array_like, (3, 3) float, nm
        Columns: voxel vectors along (rocking, row, column).
    q_vector : array_like, (3,) float, Å⁻¹
        Scattering vector, same frame.
    shape, out : sequence of int
        Shape of the slanted array and of the orthogonal one.

    Returns
    -------
    ndarray, (3, 3) float64, nm
    """
    vectors = np.asarray(basis, dtype=float)
    first = q_axis(vectors, q_vector)
    unit = np.asarray(q_vector, dtype=float) / np.linalg.norm(q_vector)
    directions = {first: unit * np.sign(unit @ vectors[:, first])}
    rest = [axis for axis in range(3) if axis != first]
    rest.sort(key=lambda axis: abs(unit @ vectors[:, axis]) / np.linalg.norm(vectors[:, axis]))
    for axis in rest:
        remainder = vectors[:, axis].copy()
        for direction in directions.values():
            remainder -= direction * (direction @ remainder)
        directions[axis] = remainder / np.linalg.norm(remainder)
    extents = [abs(directions[axis] @ vectors[:, axis]) * shape[axis] for axis in range(3)]
    return np.stack([directions[axis] * extents[axis] / out[axis] for axis in range(3)], axis=1)


def resample(
    array: NDArray[np.complexfloating],
    basis: ArrayLike,
    target: ArrayLike,
    shape: Sequence[int],
) -> Complex:
    """Return ``array`` on the grid of another voxel basis with the same origin (index n//2).

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
        Object on voxels ``basis``.
    basis, target : array_like, (3, 3) float, nm
        Voxel vectors of the array and of the result, as columns, in one frame.
    shape : sequence of int
        Shape of the result.

    Returns
    -------
    ndarray, ``shape`` complex64
        Zero outside the box of ``array``. Coefficients finer than the new grid can hold are left out.
    """
    axes = (0, 1, 2)
    coefficients = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(array), axes=axes), axes=axes)
    step = np.linalg.inv(np.asarray(basis, dtype=float)) @ np.asarray(target, dtype=float)
    held = np.where(_held(array.shape, step), coefficients / array.size, 0).astype(np.complex64)
    index = np.indices(tuple(shape)).reshape(3, -1) - np.asarray(shape)[:, None] // 2
    points = step @ index
    size = np.asarray(array.shape)[:, None]
    inside = (np.abs(points) <= size / 2).all(axis=0)
    angles = np.ascontiguousarray(2 * np.pi * points[:, inside] / size, dtype=np.float32)
    values = np.zeros(index.shape[1], dtype=np.complex64)
    values[inside] = finufft.nufft3d2(*angles, held, isign=1, eps=1e-6, nthreads=1)
    return values.reshape(tuple(shape))


def _held(shape: Sequence[int], step: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which coefficients of ``shape`` vary by at most π per step of the new grid."""
    waves = np.meshgrid(*(2 * np.pi * np.arange(-(n // 2), n - n // 2) / n for n in shape), indexing="ij")
    held = np.ones(tuple(shape), dtype=bool)
    for axis in range(3):
        advance = sum(wave * step[source, axis] for source, wave in enumerate(waves))
        held &= np.abs(advance) <= np.pi * (1 + 1e-9)
    return held


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
