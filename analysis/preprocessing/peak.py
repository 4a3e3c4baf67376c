"""Where the Bragg peak of the monoclinic phase is: coarse look, then centre of mass."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from analysis.geometry import ScanGeometry
from analysis.preprocessing.defects import (
    Defects,
    blank_frames,
    dead_pixels,
    filled,
    gap_mask,
    gap_note,
    hot_pixels,
    suspected_gaps,
)
from analysis.preprocessing.frames import Counts, RockingStack

BLOCK = 4
"""Pixels along the side of the blocks of the coarse look."""

MOST_BLOCKS = 2**25
"""Of a scan: those of a larger one have twice the side. Some ten arrays of them are held, 128 MB each."""

NARROWER, WIDER = 0.8, 1.6
"""Windows, in units of the chosen one, between which a centre of mass may wander: 16 to 32 pixels for 20."""

REACH = 2
"""Steps and blocks within which a local maximum is the largest."""

BACKGROUND_ERROR = 0.1
"""Relative error that the background is granted."""


LEAST_LEVELS = 4
"""Groups of 8 steps that a line is laid through."""

DRIFT = 0.25
"""Counts per pixel by which the background must change along the scan, and by half of itself, to count."""


@dataclass(frozen=True)
class Survey:
    """What one pass over all frames tells.

    Attributes
    ----------
    blocks : ndarray, (steps, rows // side, cols // side) float32, counts
        Monitor-normalised sums; bad pixels left out.
    good : ndarray, (rows // side, cols // side) float32
        Number of good pixels in each block.
    side : int
        Pixels along a block.
    defects : Defects
    background : float
        Counts per pixel and frame away from the peak.
    along : ndarray, (steps,) float64, counts, or None
        The same at each step, where it changes along the scan.
    """

    blocks: Counts
    good: Counts
    side: int
    defects: Defects
    background: float
    along: NDArray[np.float64] | None = None


def block_side(steps: int, rows: int, cols: int) -> int:
    """Return the pixels along a block of the coarse look at ``steps`` frames of ``rows`` × ``cols``."""
    side = BLOCK
    while steps * (rows // side) * (cols // side) > MOST_BLOCKS:
        side *= 2
    return side


def survey(stack: RockingStack, geometry: ScanGeometry, known_bad: NDArray[np.bool_] | None) -> Survey:
    """Read all frames once, in pieces, and return block sums, bad pixels and background.

    Blank frames are left out of ``stack``; what was found wrong is said among its notes.
    """
    _, rows, cols = stack.shape
    gap = gap_mask(geometry)
    known = np.zeros((rows, cols), dtype=bool) if known_bad is None else np.asarray(known_bad, dtype=bool)
    hot = hot_pixels(stack.spread(), gap | known)
    usable = ~(gap | known | hot)
    bad = np.flatnonzero(~usable)
    total, readings = np.zeros((rows, cols)), np.zeros((rows, cols), dtype=int)
    side = block_side(*stack.shape)
    blocks = np.zeros((stack.shape[0], rows // side, cols // side), dtype=np.float32)
    totals = np.zeros(stack.shape[0])
    for steps, counts, readable in stack.blocks():
        factors, each = stack.factors[steps], counts.reshape(len(steps), -1)
        total += (factors.astype(np.float32) @ each).reshape(rows, cols)
        readings += readable
        each[:, bad] = 0
        blocks[steps] = _block_sums(counts, side) * factors[:, None, None]
        totals[steps] = blocks[steps].sum(axis=(1, 2), dtype=float)
    unread = readings < stack.present.sum() / 2
    usable &= ~unread
    _leave_out_blank(stack, totals)
    suspected = suspected_gaps(total.astype(np.float32), ~usable)
    dead = dead_pixels(total.astype(np.float32), ~usable | suspected)
    defects = Defects(gap, suspected, unread, hot, dead, known)
    _note_bands(stack, defects, known_bad is not None)
    good = _block_sums((~defects.bad).astype(np.float32)[None], side)[0]
    quiet, along = _background(blocks, good, side, stack.present)
    if along is not None:
        stack.notes.append(
            f"the background changes along the scan, from {along[0]:.2g} to {along[-1]:.2g} counts a pixel: "
            "each plane has its own"
        )
    return Survey(blocks, good, side, defects, quiet, along)


def _leave_out_blank(stack: RockingStack, totals: NDArray[np.float64]) -> None:
    measured = np.flatnonzero(stack.present)
    blank = measured[blank_frames(totals[measured])]
    if len(blank) <= len(measured) // 4:
        stack.leave_out(blank, "its frame is blank")


def _note_bands(stack: RockingStack, defects: Defects, masked: bool) -> None:
    if defects.suspected.any():
        stack.notes.append(gap_note(defects.suspected, masked=masked))
    if defects.unread.any():
        stack.notes.append(
            f"{int(defects.unread.sum())} pixels are marked by the detector as not measured (−1, NaN or the "
            "largest number of their type)"
        )


def _block_sums(counts: Counts, side: int) -> Counts:
    """Return the sums of ``side`` × ``side`` pixels: rows first, which lie far apart, then columns."""
    n, rows, cols = counts.shape
    bands = counts[:, : rows // side * side].reshape(n, rows // side, side, cols).sum(axis=2)
    whole = bands[:, :, : cols // side * side]
    return sum((whole[:, :, place::side] for place in range(1, side)), start=whole[:, :, ::side])


def _background(
    blocks: Counts, good: Counts, side: int, present: NDArray[np.bool_]
) -> tuple[float, NDArray[np.float64] | None]:
    """Return counts per pixel and frame from the quietest fifth of the scan; at each step, if they change.

    Volumes of 8 × 4 × 4 blocks are compared; their 20th percentile is lifted by the 0.84 σ that Poisson noise
    lowers it by. The peak, its streaks and its rutile neighbour lie in the other four fifths. A change is a
    line through the percentiles of each 8 steps, of which the peak lifts a few.
    """
    measured = blocks[present]
    n, rows, cols = (measured.shape[0] // 8 * 8, good.shape[0] // 4 * 4, good.shape[1] // 4 * 4)
    if min(n, rows, cols) == 0:
        return 0.0, None
    sums = measured[:n, :rows, :cols].reshape(n // 8, 8, rows // 4, 4, cols // 4, 4).sum(axis=(1, 3, 5))
    pixels = 8 * good[:rows, :cols].reshape(rows // 4, 4, cols // 4, 4).sum(axis=(1, 3))
    enough = pixels > 0.5 * 8 * (4 * side) ** 2
    if not enough.any():
        return 0.0, None
    each = sums[:, enough] / pixels[enough]
    quiet = float(np.percentile(each, 20))
    lifted = quiet + 0.84 * float(np.sqrt(quiet / (8 * (4 * side) ** 2)))
    places = np.flatnonzero(present)[:n].reshape(-1, 8).mean(axis=1)
    levels = np.percentile(each, 20, axis=1)
    if np.ptp(levels) < DRIFT or len(levels) < LEAST_LEVELS:
        return lifted, None
    slope, origin = stats.theilslopes(levels, places)[:2]
    along = np.maximum(origin + slope * np.arange(len(present)), 0)
    changes = np.ptp(along) > max(DRIFT, 0.5 * float(along.mean()))
    return lifted, np.asarray(along, dtype=np.float64) if changes else None


def coarse_peak(view: Survey, geometry: ScanGeometry) -> tuple[float, float, float]:
    """Return (step, row, col) of the brightest local maximum whose spacing is the expected one.

    Rows and columns count within the frames. Where a neighbouring reflection is known
    (`ScanGeometry.neighbour_d`), only pixels within half the distance to it are looked at: late in the
    transition rutile can be the brighter one.
    """
    smooth = ndimage.uniform_filter(view.blocks, (3, 3, 3), mode="constant")
    allowed = np.broadcast_to(_spacing_window(view, geometry), smooth.shape)
    if not allowed.any():
        raise ValueError(
            f"no pixel of the frames (roi {geometry.roi!r}) sees d = {geometry.expected_d!r} Å: "
            "check delta, gam, energy and the reflection"
        )
    step, row, col = np.unravel_index(int(np.argmax(smooth * allowed)), smooth.shape)
    around = tuple(slice(max(int(place) - REACH, 0), int(place) + REACH + 1) for place in (step, row, col))
    if smooth[step, row, col] < smooth[around].max():  # the flank of a peak that lies outside
        summit = (smooth == ndimage.maximum_filter(smooth, 2 * REACH + 1)) & allowed & (smooth > 0)
        candidates = smooth * (summit if summit.any() else allowed)
        step, row, col = np.unravel_index(int(np.argmax(candidates)), candidates.shape)
    return float(step), (row + 0.5) * view.side - 0.5, (col + 0.5) * view.side - 0.5


SECOND = 0.05
"""Counts of another peak over those of the chosen one from which it is named."""


def further_peak(
    view: Survey, geometry: ScanGeometry, centre: NDArray[np.float64], shape: tuple[int, int, int]
) -> str:
    """Return in words where the brightest other peak lies, beyond the crop; "" where there is none.

    Parameters
    ----------
    view, geometry
        As for `coarse_peak`.
    centre : ndarray, (3,) float64
        (step, row, col) of the chosen peak within the frames.
    shape : tuple of int
        Steps and pixels of the crop about it.
    """
    level = view.background if view.along is None else view.along[:, None, None]
    sums = ndimage.uniform_filter(view.blocks - level * view.good, (5, 5, 5), mode="constant")
    sizes = np.array([1, view.side, view.side])
    own = np.rint((centre + 0.5) / sizes - 0.5).astype(int)
    beyond = [
        np.abs(np.arange(blocks) * size + (size - 1) / 2 - middle) > voxels / 2
        for blocks, size, middle, voxels in zip(sums.shape, sizes, centre, shape, strict=True)
    ]
    outside = beyond[0][:, None, None] | beyond[1][:, None] | beyond[2]
    outside &= _spacing_window(view, geometry)
    counts = max(float(sums[tuple(np.clip(own, 0, None))]), 1.0)
    if np.max(sums, initial=0, where=outside) < SECOND * counts:
        return ""
    others = np.where(outside & (sums == ndimage.maximum_filter(sums, 7)), sums, 0)
    place = np.array(np.unravel_index(int(np.argmax(others)), others.shape))
    share = float(others[tuple(place)]) / counts
    if share < SECOND:
        return ""
    step, row, col = (place + 0.5) * sizes - 0.5
    return (
        f"another peak, of {share:.0%} of the counts, lies at point {step + 1:.0f}, row {row:.0f}, column "
        f"{col:.0f} of the frames: it is another crystal's or grain's, and was left out"
    )


def _spacing_window(view: Survey, geometry: ScanGeometry) -> NDArray[np.bool_]:
    if geometry.expected_d is None or geometry.neighbour_d is None:
        return np.ones(view.good.shape, dtype=bool)
    row0, _, col0, _ = geometry.roi
    rows = row0 + (np.arange(view.good.shape[0]) + 0.5) * view.side - 0.5
    cols = col0 + (np.arange(view.good.shape[1]) + 0.5) * view.side - 0.5
    q = np.linalg.norm(geometry.lab_q(rows[:, None], cols[None, :]), axis=-1)
    halfway = abs(1 - geometry.expected_d / geometry.neighbour_d) / 2
    return np.abs(q * geometry.expected_d / (2 * np.pi) - 1) < halfway


@dataclass(frozen=True)
class Centre:
    """Centre of mass of a peak.

    Attributes
    ----------
    position : ndarray, (3,) float64
        (step, row, col) within the frames.
    sigma : ndarray, (3,) float64
        Standard error by counting statistics.
    systematic : ndarray, (3,) float64
        How far it moves with the window it is taken in and with an error of the background.
    counts : float
        Background-subtracted counts in the window.
    """

    position: NDArray[np.float64]
    sigma: NDArray[np.float64]
    systematic: NDArray[np.float64]
    counts: float


def centre_of_mass(
    stack: RockingStack, view: Survey, start: tuple[float, float, float], window: int
) -> Centre:
    """Return the background-subtracted centre of mass within ± ``window`` steps and pixels, by iteration.

    Never the brightest voxel, good to one pixel (1e-4 of d) only, nor the whole frame, where rutile pulls.
    Bad pixels take the mean of their neighbours, so that a masked one does not push the centre away.
    """
    reach = 2 * window
    low = [max(0, round(place) - reach) for place in start]
    high = [min(size, round(place) + reach + 1) for place, size in zip(start, stack.shape, strict=True)]
    measured = [step for step in range(low[0], high[0]) if stack.present[step]]
    rows, cols = slice(low[1], high[1]), slice(low[2], high[2])
    raw, held = stack.read(measured, rows, cols)
    box = np.zeros([stop - first for first, stop in zip(low, high, strict=True)], dtype=np.float32)
    mask = np.ones(box.shape, dtype=bool)
    box[np.array(measured) - low[0]] = raw * stack.factors[measured, None, None]
    mask[np.array(measured) - low[0]] = view.defects.bad[rows, cols] | ~held
    signal = filled(box, mask) - view.background
    centre = np.asarray(start, dtype=float) - low
    for _ in range(20):
        previous = np.rint(centre).astype(int)
        centre, sigma, counts = _moments(*_window(signal, previous, window))
        _require_peak(counts)
        if (np.rint(centre).astype(int) == previous).all():
            break
    systematic = _systematic(signal, previous, window, centre, view.background / counts)
    return Centre(centre + low, sigma, systematic, counts)


def _window(signal: Counts, middle: NDArray[np.int64], window: int) -> tuple[Counts, NDArray[np.int64]]:
    """Return the part of ``signal`` within ± ``window`` of ``middle``, and where it begins."""
    corner = np.maximum(middle - window, 0)
    return signal[tuple(slice(a, b + window + 1) for a, b in zip(corner, middle, strict=True))], corner


def _systematic(
    signal: Counts, middle: NDArray[np.int64], window: int, centre: NDArray[np.float64], share: float
) -> NDArray[np.float64]:
    """Return the systematic error of a centre of mass, (3,).

    The largest change as the window becomes `NARROWER` or `WIDER` (a neighbouring peak pulls, and so does
    diffuse scattering), with that of a background wrong by `BACKGROUND_ERROR`, in quadrature.

    Parameters
    ----------
    share : float
        Background of one voxel over the peak's counts.
    """
    others = [max(2, round(scale * window)) for scale in (NARROWER, WIDER)]
    moved = [np.abs(_moments(*_window(signal, middle, other))[0] - centre) for other in others]
    part, corner = _window(signal, middle, window)
    lopsided = (np.array(part.shape) - 1) / 2 + corner - centre
    pulled = BACKGROUND_ERROR * share * part.size * lopsided
    return np.asarray(np.hypot(np.max(moved, axis=0), pulled))


def _moments(
    part: Counts, corner: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    counts = max(float(part.sum()), 1.0)
    places = np.indices(part.shape)
    centre = np.array([(place * part).sum(dtype=float) for place in places]) / counts
    weight = np.maximum(part, 0)
    spread = [
        ((place - mid) ** 2 * weight).sum(dtype=float) for place, mid in zip(places, centre, strict=True)
    ]
    return centre + corner, np.sqrt(np.array(spread)) / counts, counts


def _require_peak(counts: float) -> None:
    if counts < 100:
        raise ValueError(
            f"a Bragg peak of at least 100 counts is required; {counts:.0f} were found above the background: "
            "is the crystal aligned and the shutter open?"
        )
