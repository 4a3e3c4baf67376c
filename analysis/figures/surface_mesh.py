"""Isosurfaces as triangle meshes in nanometres, coloured by phase."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from analysis.structure import isosurface

FINE = 2
"""Points per voxel along each axis, interpolated over the object's own Fourier coefficients."""

SPECK = 27
"""Voxels: a cube of three on a side, about what the band limit resolves."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface of triangles.

    Attributes
    ----------
    points : ndarray, (n, 3) float32, nm
        In the frame of the voxel basis, from the middle of the grid.
    faces : ndarray, (m, 3) int32
        Numbers of three points; counter-clockwise seen from outside.
    phase : ndarray, (n,) float32, rad
        phi = Q·u at the points, wrapped.
    """

    points: NDArray[np.float32]
    faces: NDArray[np.int32]
    phase: NDArray[np.float32]


def surface(
    array: NDArray[np.complexfloating],
    basis: ArrayLike,
    percent: float,
    *,
    fine: int = FINE,
    cut: tuple[int, float] | None = None,
) -> Surface:
    """Return the surface inside which ``percent`` % of Σ abs(ρ)² lies (Najeeb et al., Fig 3).

    Loose pieces smaller than `SPECK` voxels are ringing of the band limit and left out.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
        Object with arg = −Q·u.
    basis : array_like, (3, 3) float, nm
        Columns: voxel vectors.
    percent : float
        In (0, 100).
    fine : int
        Points per voxel along each axis.
    cut : tuple of int and float, optional
        Array axis and index beyond which everything is cut away, to show the phase inside.
    """
    level = float(np.abs(array)[isosurface(array, percent)].min())
    dense = finer(array, fine)
    if cut is not None:
        np.moveaxis(dense, cut[0], 0)[math.ceil(cut[1] * fine) + 1 :] = 0
    amplitude = np.pad(_without_specks(np.abs(dense), level, SPECK * fine**3), 1)
    at, faces, _, _ = marching_cubes(amplitude, level, gradient_direction="ascent")
    at = at.astype(np.float64) - 1
    value = _interpolated(dense, at)
    matrix = np.asarray(basis, dtype=float) / fine
    points = (at - np.array(dense.shape) // 2) @ matrix.T
    turned = faces if np.linalg.det(matrix) > 0 else faces[:, ::-1]
    return Surface(points.astype(np.float32), turned.astype(np.int32), -np.angle(value).astype(np.float32))


def finer(array: NDArray[np.complexfloating], factor: int) -> NDArray[np.complex64]:
    """Return an object with ``factor`` points per voxel: its transform padded with zeros; n//2 stays."""
    spectrum = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(array)))
    before = [(factor * n) // 2 - n // 2 for n in array.shape]
    after = [(factor - 1) * n - low for n, low in zip(array.shape, before, strict=True)]
    padded = np.pad(spectrum, list(zip(before, after, strict=True)))
    dense = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(padded))) * factor**3
    return np.asarray(dense, dtype=np.complex64)


def _without_specks(amplitude: NDArray[np.floating], level: float, smallest: int) -> NDArray[np.floating]:
    """Return the amplitude, 0 in pieces above ``level`` that have fewer than ``smallest`` points."""
    pieces, count = ndimage.label(amplitude > level)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    small = sizes < min(smallest, sizes[1:].max(initial=0))
    small[0] = False
    return np.where(small[pieces], 0, amplitude)


def _interpolated(dense: NDArray[np.complex64], at: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Return the object at fractional indices ``at`` (n, 3), linear in its real and imaginary part."""
    real = ndimage.map_coordinates(dense.real, at.T, order=1, mode="nearest")
    imaginary = ndimage.map_coordinates(dense.imag, at.T, order=1, mode="nearest")
    return np.asarray(real + 1j * imaginary, dtype=np.complex64)
