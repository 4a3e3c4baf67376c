"""What lies inside the crystal: isosurfaces by their share of the density, and density that is missing."""

import numpy as np
from numpy.typing import NDArray

Object = NDArray[np.complexfloating] | NDArray[np.floating]
Mask = NDArray[np.bool_]

MISSING_BELOW = 0.35
"""Amplitude, relative to the crystal's own, below which density is missing.

Rutile regions come out of the M1 band with 0.12 to 0.15 of the amplitude of M1.
"""

_LEVEL_PERCENTILE = 80


def isosurface(array: Object, percent: float) -> Mask:
    """Return the voxels inside the amplitude threshold that holds ``percent`` % of Σ abs(ρ)².

    By Parseval it is the same share of the measured intensity, as in the figures of Najeeb et al.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
    percent : float
        In (0, 100].
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percent must lie in (0, 100]; got {percent!r}")
    density = np.abs(array).astype(np.float64) ** 2
    total = density.sum()
    if not np.isfinite(total) or total <= 0:
        raise ValueError(
            "an isosurface needs a finite object that is not all zero; look at the reconstruction"
        )
    order = np.argsort(-density, axis=None, kind="stable")
    held = np.cumsum(density.ravel()[order])
    count = int(np.searchsorted(held, percent / 100 * total * (1 - 1e-12))) + 1
    inside = np.zeros(density.size, dtype=bool)
    inside[order[:count]] = True
    return inside.reshape(density.shape)


def amplitude_level(array: Object, support: Mask) -> float:
    """Return the amplitude of the crystal where it is present: the 80th percentile inside ``support``.

    Up to four fifths of the crystal may be missing before this follows the holes.
    """
    if not support.any():
        raise ValueError("the support is empty: the reference reconstruction holds nothing")
    return float(np.percentile(np.abs(array[support]), _LEVEL_PERCENTILE))


def present(array: Object, support: Mask, threshold: float = MISSING_BELOW) -> Mask:
    """Return where, inside ``support``, density is present, (n0, n1, n2) bool."""
    return support & (np.abs(array) > threshold * amplitude_level(array, support))


def missing_fraction(array: Object, support: Mask, threshold: float = MISSING_BELOW) -> float:
    """Return the share of ``support`` (that of a reference, same voxels) where density is missing, 0 … 1."""
    return 1 - float(np.count_nonzero(present(array, support, threshold)) / np.count_nonzero(support))
