"""Frames of a rocking scan on an even grid of angles, and the pixels in them that do not count photons."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from analysis.geometry import ScanGeometry

Counts = NDArray[np.float32]

TOLERANCE = 0.25
"""Largest accepted distance of an angle from the even grid, in steps."""


class Frames(Protocol):
    """What holds frames: a numpy array or an h5py dataset, (n, rows, cols)."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __getitem__(self, key: Any) -> Any: ...


class RockingStack:
    """Frames in the order of an even angle grid; angles that were not measured are known as such.

    Parameters
    ----------
    frames : array_like or h5py.Dataset, (n, rows, cols) unsigned int
        Raw counts.
    angles : array_like, (points,) float, degrees
        Rocking angle of each measured point.
    monitor : array_like, (points,) float, optional
        Monitor counts; frames are scaled by mean(monitor)/monitor, so that counts keep their scale.
    frame_index : array_like, (points,) int, optional
        Which frame belongs to each point: after an interruption there are more frames than points.

    Attributes
    ----------
    angles : ndarray, (steps,) float64, degrees
    step : float, degrees
    factors : ndarray, (steps,) float64
        Monitor factors, 0 where no frame was measured.
    notes : list of str
    """

    def __init__(
        self,
        frames: Frames,
        angles: ArrayLike,
        monitor: ArrayLike | None = None,
        frame_index: ArrayLike | None = None,
    ) -> None:
        measured = np.atleast_1d(np.asarray(angles, dtype=float))
        if len(frames.shape) != 3:
            raise ValueError(f"frames must be (n, rows, cols); got shape {tuple(frames.shape)!r}")
        if measured.ndim != 1 or len(measured) < 8 or not np.isfinite(measured).all():
            raise ValueError(
                f"at least 8 finite rocking angles are required; got {measured!r}: was the scan cut?"
            )
        self.notes: list[str] = []
        index = self._checked_index(frame_index, len(measured), frames.shape[0])
        scale = _monitor_factors(monitor, len(measured))
        self._frames = frames
        place, self.step = _even_grid(measured)
        steps = int(place.max()) + 1
        self._index = np.full(steps, -1)
        self._index[place] = index
        self.factors = np.zeros(steps)
        self.factors[place] = scale
        self.angles = measured[0] + self.step * np.arange(steps)
        if steps > len(measured):
            self.notes.append(f"{steps - len(measured)} of {steps} angles were not measured")

    def _checked_index(self, frame_index: ArrayLike | None, points: int, available: int) -> NDArray[np.int64]:
        if frame_index is None:
            if points != available:
                raise ValueError(
                    f"{points} points came with {available} frames: say by frame_index which belongs to which"
                )
            return np.arange(points)
        index = np.asarray(frame_index, dtype=np.int64)
        if index.shape != (points,):
            raise ValueError(
                f"frame_index must hold one number for each of {points} points; got {index.shape!r}"
            )
        if points and (index.min() < 0 or index.max() >= available):
            raise ValueError(
                f"frame_index must lie in 0 … {available - 1}; got {index.min()} … {index.max()}: "
                "frames are missing from the file"
            )
        if len(np.unique(index)) != points:
            raise ValueError("frame_index names one frame twice: keep the last reading of each point")
        if available > points:
            self.notes.append(f"{available - points} frames belong to no point and were left out")
        return index

    @property
    def shape(self) -> tuple[int, int, int]:
        """(steps, rows, cols)."""
        return len(self._index), int(self._frames.shape[1]), int(self._frames.shape[2])

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which steps were measured, (steps,)."""
        return self._index >= 0

    def raw(self, steps: ArrayLike, rows: slice = slice(None), cols: slice = slice(None)) -> NDArray[Any]:
        """Return raw counts of measured ``steps``, (len(steps), rows, cols), in the detector's own type."""
        picks = self._index[np.asarray(steps, dtype=int)]
        if len(picks) and (np.diff(picks) == 1).all():
            return np.asarray(self._frames[int(picks[0]) : int(picks[-1]) + 1, rows, cols])
        return np.stack([np.asarray(self._frames[int(pick), rows, cols]) for pick in picks])

    def blocks(self, size: int = 16) -> Iterator[tuple[NDArray[np.int64], Counts]]:
        """Yield (steps, monitor-normalised counts), at most ``size`` measured frames at a time."""
        measured = np.flatnonzero(self.present)
        for start in range(0, len(measured), size):
            steps = measured[start : start + size]
            yield steps, self.raw(steps) * self.factors[steps, None, None].astype(np.float32)

    def spread(self, count: int = 24) -> Counts:
        """Return ``count`` frames spread evenly over the scan, (count, rows, cols) float32 counts."""
        measured = np.flatnonzero(self.present)
        steps = measured[np.unique(np.linspace(0, len(measured) - 1, count).astype(int))]
        return self.raw(steps).astype(np.float32)


def _monitor_factors(monitor: ArrayLike | None, points: int) -> NDArray[np.float64]:
    if monitor is None:
        return np.ones(points)
    counts = np.asarray(monitor, dtype=float)
    if counts.shape != (points,) or not np.isfinite(counts).all() or counts.min() <= 0:
        raise ValueError(
            f"monitor must hold {points} positive counts; got shape {counts.shape!r}, {counts!r}: "
            "leave it out to go without"
        )
    return counts.mean() / counts


def _even_grid(angles: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
    """Return the place of each angle on the even grid through them, and its step."""
    differences = np.diff(angles)
    rough = float(np.median(differences))
    advice = "phase retrieval needs an even rocking scan"
    if rough == 0 or (np.sign(differences) != np.sign(rough)).any():
        raise ValueError(f"rocking angles must rise or fall throughout; got steps {differences!r}: {advice}")
    place = np.concatenate([[0], np.cumsum(np.rint(differences / rough))]).astype(np.int64)
    step = float(np.polyfit(place, angles, 1)[0])
    error = np.abs(angles - angles[0] - step * place).max() / abs(step)
    if error > TOLERANCE or len(np.unique(place)) != len(place) or place[-1] + 1 > 2 * len(angles):
        raise ValueError(f"rocking angles stray {error:.2f} steps from an even grid of {step:.5g}°: {advice}")
    return place, step


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
