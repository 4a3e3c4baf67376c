"""Binning: what may be summed into one voxel, and the sums.

Binning halves the field of view in real space and with it the oversampling. What it cannot do is change the
crystal: the voxels keep their size at the same q-volume, and stand for the middle of the pixels they sum.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.geometry import Sampling
from analysis.preprocessing.prepared import WRAPS

LEAST = 2.0
"""Oversampling that binning must leave: below it the autocorrelation wraps and information is lost."""

_AXES = ("rocking", "row", "column")


def checked_binning(binning: Any) -> tuple[int, int]:
    """Return (rows, columns) summed into one voxel; anything but two whole numbers from 1 on is refused."""
    try:
        rows, cols = binning
        whole = int(rows) == rows and int(cols) == cols and rows >= 1 and cols >= 1
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(
            "binning must be two whole numbers from 1 on, rows and columns of the detector per voxel, as in "
            f"(2, 2); got {binning!r}. Rocking angles are not binned: measure with a larger step instead"
        )
    return int(rows), int(cols)


def binned(array: NDArray[Any], binning: tuple[int, int, int]) -> NDArray[Any]:
    """Return the sums of blocks of an array.

    Parameters
    ----------
    array : ndarray, (n0·b0, n1·b1, n2·b2)
    binning : tuple of int
        (b0, b1, b2).

    Returns
    -------
    ndarray, (n0, n1, n2)
    """
    if binning == (1, 1, 1):
        return array
    blocks = [number for size, by in zip(array.shape, binning, strict=True) for number in (size // by, by)]
    return np.asarray(array.reshape(blocks).sum(axis=(1, 3, 5)))


def require_oversampling(
    binning: tuple[int, int, int], sampling: Sampling, wrap: tuple[float, float, float]
) -> None:
    """Refuse a binning that leaves an axis oversampled less than twice.

    Parameters
    ----------
    binning : tuple of int
    sampling : Sampling
        After binning. Where the crystal's size is not known, its autocorrelation decides.
    wrap : tuple of float
        `autocorrelation_wrap` of the binned pattern.
    """
    for axis, name in enumerate(_AXES):
        if binning[axis] == 1:
            continue
        if sampling.oversampling is not None and sampling.oversampling[axis] < LEAST:
            raise ValueError(
                f"binning must leave the crystal oversampled {LEAST:g} times; {binning[axis]} along the "
                f"{name} axis leaves {sampling.oversampling[axis]:.2f}: use less binning, or none"
            )
        if sampling.oversampling is None and wrap[axis] > WRAPS:
            raise ValueError(
                f"binning must leave the autocorrelation inside its box; with {binning[axis]} along the "
                f"{name} axis it wraps ({wrap[axis]:.3f}, at most {WRAPS:g}): use less binning, or none"
            )
