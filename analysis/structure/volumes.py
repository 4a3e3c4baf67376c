"""The fields of a reconstruction as volumes: what is exported to other programs."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from analysis.geometry import resample
from analysis.results.vtk_files import Volume
from analysis.structure.density import isosurface
from analysis.structure.displacement import displacement
from analysis.structure.strain_field import strain

PERCENT = 95.0
"""Isosurface inside which strain and displacement are exported; beyond 99 % the rim rings."""


def fields(volume: Volume, percent: float = PERCENT) -> dict[str, NDArray[np.generic]]:
    """Return amplitude, phase, support, strain and displacement of a volume, all of its shape.

    Strain (without unit, tensile positive) and displacement along Q (nm) are NaN outside the ``percent`` %
    isosurface; the phase is the physical one, Q·u, wrapped.
    """
    array = volume.array
    inside = isosurface(array, percent)
    return {
        "amplitude": np.abs(array).astype(np.float32),
        "phase": -np.angle(array).astype(np.float32),
        "support": volume.support.astype(np.uint8),
        "strain": strain(array, volume.basis, volume.q_vector, inside).values,
        "displacement": displacement(array, volume.q_vector, inside).values,
    }


def finest_pitch(basis: ArrayLike) -> float:
    """Return the pitch, nm, of a grid along the laboratory axes that holds all that voxels ``basis`` hold."""
    reciprocal = 2 * np.pi * np.linalg.inv(np.asarray(basis, dtype=float)).T
    corners = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, -1)
    return float(np.pi / np.abs(reciprocal @ corners).max())


def on_laboratory_axes(
    volume: Volume, pitch: float | None = None, shape: tuple[int, int, int] | None = None
) -> Volume:
    """Return a volume on cubic voxels along x, y, z of the laboratory frame, voxel n//2 still at its origin.

    Parameters
    ----------
    volume : Volume
    pitch : float, nm, optional
        Edge of the new voxels; by default the largest that loses nothing.
    shape : tuple of int, optional
        By default `laboratory_shape`.
    """
    step = finest_pitch(volume.basis) if pitch is None else float(pitch)
    if not (np.isfinite(step) and step > 0):
        raise ValueError(f"pitch must be a positive length in nm; got {pitch!r}")
    size = laboratory_shape(volume, step) if shape is None else shape
    target = step * np.eye(3)
    array = resample(volume.array, volume.basis, target, size)
    index = np.indices(size).reshape(3, -1) - np.array(size)[:, None] // 2
    middle = np.array(volume.array.shape)[:, None] // 2
    at = np.linalg.inv(volume.basis) @ target @ index + middle
    support = ndimage.map_coordinates(volume.support.astype(np.float32), at, order=1).reshape(size) > 0.5
    return replace(volume, array=array, support=support, basis=target)


def laboratory_shape(volume: Volume, pitch: float, percent: float = 99.74) -> tuple[int, int, int]:
    """Return the shape that holds support and ``percent`` % isosurface, with a margin of three old voxels."""
    held = isosurface(volume.array, percent) | volume.support
    places = (np.argwhere(held) - np.array(volume.array.shape) // 2) @ volume.basis.T
    reach = np.abs(places).max(axis=0) + 3 * np.linalg.norm(volume.basis, axis=0).max()
    first, second, third = (2 * math.ceil(length / pitch) for length in reach)
    return first, second, third
