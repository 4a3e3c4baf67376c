"""Pixels that do not count photons: chip gaps, hot, dead and saturated pixels, lone spikes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis.geometry import ScanGeometry

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)


@dataclass(frozen=True)
class Defects:
    """Masks of the frames' pixels, each (rows, cols) bool, True where the pixel is bad."""

    gap: Mask
    hot: Mask
    dead: Mask
    known: Mask

    @property
    def bad(self) -> Mask:
        """Every pixel that is not to be trusted in any frame."""
        return self.gap | self.hot | self.dead | self.known


def gap_mask(geometry: ScanGeometry) -> Mask:
    """Return which pixels of the frames lie between chips, (rows, cols) bool."""
    row0, row1, col0, col1 = geometry.roi
    rows = np.isin(np.arange(row0, row1), geometry.gaps)
    cols = np.isin(np.arange(col0, col1), geometry.gaps)
    return rows[:, None] | cols[None, :]


def hot_pixels(spread: Image, ignore: Mask) -> Mask:
    """Return pixels that count all through the scan while none of their neighbourhood does.

    A Bragg peak shines in few of the frames and never in one pixel alone: its fringes are wider than a
    pixel. So the mean of a pixel's lower half of readings is held against the second brightest of its eight
    neighbours, which lets pairs of hot pixels be found.

    Parameters
    ----------
    spread : ndarray, (frames, rows, cols) float32, counts
        Frames spread over the scan, not normalised.
    ignore : ndarray, (rows, cols) bool
        Pixels that are known to be bad.
    """
    half = max(1, spread.shape[0] // 2)
    steady = np.where(ignore, 0, np.partition(spread, half - 1, axis=0)[:half].mean(axis=0))
    neighbour = ndimage.rank_filter(steady, rank=-2, footprint=_RING, mode="reflect")
    return (steady > 5 * neighbour + 0.5) & ~ignore


def dead_pixels(total: Image, ignore: Mask) -> Mask:
    """Return pixels that stay dark where all around them counts.

    Parameters
    ----------
    total : ndarray, (rows, cols) float32, counts
        Sum over the scan.
    ignore : ndarray, (rows, cols) bool
        Pixels that are known to be bad.
    """
    neighbour = ndimage.rank_filter(np.where(ignore, 0, total), rank=3, footprint=_RING, mode="reflect")
    silent = (total == 0) & (neighbour >= 12)
    return (silent | ((total < 0.05 * neighbour) & (neighbour >= 100))) & ~ignore


def spikes(counts: Image, ignore: Mask) -> Mask:
    """Return lone voxels far above all 26 neighbours, (n0, n1, n2) bool: a cosmic ray, not diffraction.

    Diffraction of a crystal that fits the field of view is sampled at least about 1.2 times, so that no voxel
    outshines every neighbour ten times.
    """
    footprint = np.ones((3, 3, 3), dtype=bool)
    footprint[1, 1, 1] = False
    brightest = ndimage.maximum_filter(np.where(ignore, 0, counts), footprint=footprint, mode="constant")
    return (counts > 10 * brightest + 25) & ~ignore


def filled(counts: Image, mask: Mask, rounds: int = 4) -> Image:
    """Return ``counts`` with masked voxels replaced by the mean of measured ones around them.

    The neighbourhood grows by one voxel a round, so that wide gaps close as well; what is left is 0.
    """
    result = np.where(mask, 0, counts).astype(np.float32)
    open_voxels = mask.copy()
    for _ in range(rounds):
        if not open_voxels.any():
            break
        weight = ndimage.uniform_filter((~open_voxels).astype(np.float32), 3, mode="constant")
        mean = ndimage.uniform_filter(result, 3, mode="constant") / np.maximum(weight, 1e-6)
        closing = open_voxels & (weight > 1e-3)
        result[closing] = mean[closing]
        open_voxels &= ~closing
    return result
