"""From the slanted voxels of a rocking scan to an orthogonal grid with one axis along Q.

A complex object is resampled, never its phase: the phase wraps, the object is band-limited, and a sum over
its own Fourier coefficients (a non-uniform FFT) is exact at any point.
"""

from collections.abc import Sequence

import finufft
import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.geometry.voxels import Basis

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
