"""What in the frames of a rocking scan counts no photons: gaps, hot and dead pixels, spikes, blank frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis.geometry import ScanGeometry
from analysis.preprocessing.frames import unread

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
_WIDE_RING = np.pad(np.zeros((3, 3), dtype=bool), 1, constant_values=True)

STEADINESS = 0.5
"""Least ratio of a hot cluster's lower half of readings to its upper half; a peak's is far smaller."""

GAP_COUNTS, GAP_WIDTH, GAP_REACH, GAP_SUM = 30.0, 8, 16, 100.0
"""Counts on both sides of a pixel in a suspected gap (0 is then met by chance once in 10¹³); how many such
pixels it needs; its greatest width in pixels; and the counts beside a row that is dark throughout."""

BLANK = 0.02
"""Share of the counts of the frames around it below which a frame is blank."""


@dataclass(frozen=True)
class Defects:
    """Masks of the frames' pixels, each (rows, cols) bool, True where the pixel is bad.

    Attributes
    ----------
    gap : ndarray
        Between chips, as the detector's description has it.
    suspected : ndarray
        In bands of zeros across the pattern: a gap that nobody described.
    unread : ndarray
        Marked as not measured by the detector itself in most frames.
    hot, dead : ndarray
        Found by their counts.
    known : ndarray
        In the mask that was given.
    """

    gap: Mask
    suspected: Mask
    unread: Mask
    hot: Mask
    dead: Mask
    known: Mask

    @property
    def bad(self) -> Mask:
        """Every pixel that is not to be trusted in any frame."""
        return self.gap | self.suspected | self.unread | self.hot | self.dead | self.known


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
    neighbours, which lets pairs of hot pixels be found. Clusters up to 3 × 3 outshine the ring two pixels
    away; a peak does so too, but not as steadily: its upper half of readings is far above the lower one.

    Parameters
    ----------
    spread : ndarray, (frames, rows, cols) float32, counts
        Frames spread over the scan, not normalised.
    ignore : ndarray, (rows, cols) bool
        Pixels that are known to be bad.
    """
    half = max(1, spread.shape[0] // 2)
    ordered = np.partition(spread, half - 1, axis=0)
    steady = np.where(ignore, 0, ordered[:half].mean(axis=0))
    neighbour = ndimage.rank_filter(steady, rank=-2, footprint=_RING, mode="reflect")
    lone = steady > 5 * neighbour + 0.5
    around = ndimage.rank_filter(steady, rank=-6, footprint=_WIDE_RING, mode="reflect")
    constant = steady > STEADINESS * ordered[half:].mean(axis=0) if len(spread) > half else lone
    return (lone | ((steady > 5 * around + 0.5) & constant)) & ~ignore


def suspected_gaps(total: Image, ignore: Mask) -> Mask:
    """Return the pixels of rows and columns that hold no count though counts lie on both sides, (rows, cols).

    For each pixel the next ones that count on either side are looked up, at most `GAP_REACH` pixels away.
    A row or column is a gap if `GAP_WIDTH` of its pixels have `GAP_COUNTS` or more on both sides and all of
    these are 0, or if it is 0 throughout and its neighbours' counts add up to `GAP_SUM`: no pattern does
    that.

    Parameters
    ----------
    total : ndarray, (rows, cols) float32, counts
        Sum over the scan.
    ignore : ndarray, (rows, cols) bool
        Pixels that are known to be bad.
    """
    held = np.where(ignore, 0, total)
    return (_zero_rows(held) | _zero_rows(held.T).T) & (total == 0) & ~ignore


def _zero_rows(total: Image) -> Mask:
    """Return the rows of ``total`` that are such bands, (rows, cols) bool."""
    beside = np.minimum(_carried(total), _carried(total[::-1])[::-1])
    bright = beside >= GAP_COUNTS
    part = (bright.sum(axis=1) >= GAP_WIDTH) & ~(bright & (total > 0)).any(axis=1)
    whole = ~(total > 0).any(axis=1) & (beside.sum(axis=1) >= GAP_SUM)
    return np.broadcast_to((part | whole)[:, None], total.shape)


def _carried(total: Image) -> Image:
    """Return in each pixel the nearest counts above it, within `GAP_REACH` rows, else 0."""
    carried, age = np.zeros_like(total), np.full(total.shape[1], GAP_REACH + 1)
    last = np.zeros_like(total[0])
    for row, counts in enumerate(total):
        carried[row] = np.where(age <= GAP_REACH, last, 0)
        last, age = np.where(counts > 0, counts, last), np.where(counts > 0, 1, age + 1)
    return carried


def bands(mask: Mask) -> str:
    """Return in words where the rows and columns of suspected gaps are: "rows 256–258, columns 256–258"."""
    words = []
    for name, lines in (("row", mask.mean(axis=1) > 0.5), ("column", mask.mean(axis=0) > 0.5)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], lines.astype(int), [0]])))
        spans = [(first, stop - 1) for first, stop in edges.reshape(-1, 2)]
        words += [f"{name} {first}" if first == last else f"{name}s {first}–{last}" for first, last in spans]
    return ", ".join(words) or f"{int(mask.sum())} pixels"


def gap_note(suspected: Mask, *, masked: bool) -> str:
    """Return what a person should know of suspected gaps, (rows, cols) bool; ``masked``: a mask was given."""
    advice = "they are missing from the mask" if masked else "give a mask"
    return (
        f"{bands(suspected)} hold no count in any frame though counts lie on both sides: taken for a gap "
        f"between chips and left out; {advice}"
    )


def hidden_voxels(counts: NDArray[np.generic], mask: Mask | None) -> tuple[Mask, list[str]]:
    """Return which voxels of one pattern were not measured, beyond ``mask``, and notes that say so.

    Parameters
    ----------
    counts : ndarray, (n0, n1, n2), counts
        Axis 0 is the rocking angle.
    mask : ndarray, (n0, n1, n2) bool, or None
        What is known to be bad.
    """
    hidden = np.zeros(counts.shape, dtype=bool) if mask is None else mask.astype(bool)
    notes = []
    signs = unread(counts) & ~hidden
    if signs.any():
        notes.append(
            f"{int(signs.sum())} voxels hold −1, NaN or the largest number of their type: not measured"
        )
    hidden = hidden | signs
    total = np.where(hidden, 0, counts).sum(axis=0).astype(np.float32)
    gaps = suspected_gaps(total, hidden.all(axis=0))
    if gaps.any():
        notes.append(gap_note(gaps, masked=mask is not None))
    return hidden | gaps, notes


def blank_frames(totals: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which frames hold next to nothing while those around them count, (found,).

    Parameters
    ----------
    totals : ndarray, (frames,) float, counts
        Of each measured frame, bad pixels left out.
    """
    around = ndimage.median_filter(totals, footprint=[1, 1, 0, 1, 1], mode="mirror")
    return np.flatnonzero((totals < BLANK * around) & (around >= 100))


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
