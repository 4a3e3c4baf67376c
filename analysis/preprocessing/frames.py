"""Frames of a rocking scan on an even grid of angles: which points, and which voxels, were measured."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Counts = NDArray[np.float32]

TOLERANCE = 0.25
"""Largest distance of an angle from the even grid, in steps, with which steps are counted one by one."""

STRAY, FARTHEST = 0.05, 0.75
"""Distance of an angle from the even grid, in steps: from the first on counts are brought to the grid, beyond
the second a scan is refused. A motor that does not stop strays half a step (a real eta_fly scan of I16)."""

BAND, GRAIN = 0.5, 0.01
"""Intensity along the rocking curve is taken for a random process with the covariance sinc²(`BAND` · steps),
that of a body which fills half of its box, and noise of this relative variance."""


class Frames(Protocol):
    """What holds frames: a numpy array or an h5py dataset, (n, rows, cols)."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __getitem__(self, key: Any) -> Any: ...


LEAST_POINTS = 8
"""A rocking curve of fewer measured points holds no three-dimensional pattern."""

DIM = 0.01
"""A monitor below this share of its median saw no beam: the point is not measured."""

BLOCK_PIXELS = 2**24
"""Pixels of frames that are held in memory at a time, 64 MB of float32; `together`."""

LARGEST_COUNT = 2**31 - 2
"""No pixel counts more in one exposure; 2³¹−1 and 2³²−1 are what detectors write where they have no pixel."""


def unread(raw: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values are no counts but signs for "not measured", of the shape of ``raw``.

    Detectors write −1 or −2, or the largest number of their type, in gaps and switched-off pixels; software
    writes NaN. A pixel that counted up to the largest number of its type is saturated: not measured either.
    """
    if np.issubdtype(raw.dtype, np.floating):
        return ~((raw >= 0) & (raw <= LARGEST_COUNT))
    largest = min(int(np.iinfo(raw.dtype).max) - 1, LARGEST_COUNT) if raw.dtype.kind in "ui" else 1
    beyond = raw > largest
    return beyond | (raw < 0) if raw.dtype.kind == "i" else beyond


def _all_read(raw: NDArray[Any]) -> bool:
    """Return whether `unread` finds nothing in ``raw``: a look at its extremes makes no array of its size."""
    return not unread(np.array([raw.min(), raw.max()])).any() if raw.size else True


class RockingStack:
    """Frames in the order of an even angle grid; angles that were not measured are known as such.

    A point whose angle is no number, or whose monitor saw no beam, is not measured, and is named.

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
    mask : array_like, (points, rows, cols) bool, optional
        True where a pixel is not to be trusted in one frame.

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
        mask: Frames | None = None,
    ) -> None:
        given = np.atleast_1d(np.asarray(angles, dtype=float))
        if len(frames.shape) != 3:
            raise ValueError(f"frames must be (n, rows, cols); got shape {tuple(frames.shape)!r}")
        if given.ndim != 1 or len(given) < LEAST_POINTS:
            raise ValueError(
                f"at least {LEAST_POINTS} finite rocking angles are required; got {given!r}: "
                "was the scan cut?"
            )
        self.notes: list[str] = []
        index = self._frame_of = self._checked_index(frame_index, len(given), frames.shape[0])
        scale = self._monitor_factors(monitor, len(given))
        usable = self._usable(given, scale)
        self._frames, self._mask = frames, mask
        place, self.step, origin, stray = _even_grid(given[usable])
        steps = int(place.max()) + 1
        self._index, self._point = np.full(steps, -1), np.full(steps, -1)
        self._index[place], self._point[place] = index[usable], usable
        self.factors = np.zeros(steps)
        self.factors[place] = scale[usable]
        self.angles = origin + self.step * np.arange(steps)
        self._stray = np.zeros(steps)
        self._stray[place] = stray
        if self.strays:
            self.notes.append(
                f"the angles stray up to {np.abs(stray).max():.2f} steps from an even grid: the counts were "
                "interpolated to it"
            )
        if steps > len(usable):
            self.notes.append(f"{steps - len(usable)} of {steps} angles were not measured")

    def _name(self, point: int) -> str:
        """Return what a point is called: by its frame where points were left out, or frames taken again."""
        frame = int(self._frame_of[point])
        return f"point {point + 1}" if frame == point else f"frame {frame + 1} of the file"

    def _usable(self, angles: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the points that are measured, and name the others."""
        good = np.isfinite(angles) & (scale > 0)
        for point in np.flatnonzero(~good)[:5]:
            why = (
                "its monitor saw no beam" if np.isfinite(angles[point]) else "its rocking angle is no number"
            )
            self.notes.append(f"{self._name(point)} is not measured: {why}")
        if (more := int((~good).sum()) - 5) > 0:
            self.notes.append(f"{more} further points are not measured for such reasons")
        if good.sum() < max(LEAST_POINTS, len(angles) / 2):
            raise ValueError(
                f"at least {LEAST_POINTS} finite rocking angles, and half of all, are required; "
                f"{int(good.sum())} of {len(angles)} points have one and a monitor that saw the beam: "
                "was the scan cut?"
            )
        return np.flatnonzero(good)

    def _monitor_factors(self, monitor: ArrayLike | None, points: int) -> NDArray[np.float64]:
        """Return by what the counts of each point are multiplied, 0 where there was no beam."""
        if monitor is None:
            return np.ones(points)
        counts = np.asarray(monitor, dtype=float)
        if counts.shape != (points,):
            raise ValueError(
                f"monitor must hold {points} positive counts, one for each point; got shape "
                f"{counts.shape!r}: leave it out to go without"
            )
        lit = np.isfinite(counts) & (counts > 0)
        if lit.sum() < points / 2:
            self.notes.append(
                f"the monitor is not used: it has no positive counts in {points - int(lit.sum())} of "
                f"{points} points"
            )
            return np.ones(points)
        lit &= counts > DIM * np.median(counts[lit])
        return np.where(lit, counts[lit].mean() / np.where(lit, counts, 1), 0.0)

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

    @property
    def strays(self) -> bool:
        """Whether angles are so far from the even grid that counts have to be brought to it."""
        return bool(np.abs(self._stray).max() > STRAY)

    def evened(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Return the weights (n, n) that bring counts of measured ``steps`` from their angles to the grid's.

        The best linear estimate of a process whose covariance is known (`BAND`, `GRAIN`); rows add up to 1.
        """
        grid = np.asarray(steps, dtype=float)
        place = grid + self._stray[np.asarray(steps, dtype=int)]
        among = np.sinc(BAND * (place[:, None] - place)) ** 2 + GRAIN * np.eye(len(place))
        towards = np.sinc(BAND * (grid[:, None] - place)) ** 2
        weights = np.linalg.solve(among, towards.T).T
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def leave_out(self, steps: ArrayLike, why: str) -> None:
        """Count ``steps`` as not measured, and name them: "point 12 is not measured: ``why``"."""
        for step in np.atleast_1d(np.asarray(steps, dtype=int)):
            self.notes.append(f"{self._name(self._point[step])} is not measured: {why}")
            self._index[step] = self._point[step] = -1
            self.factors[step] = 0

    def read(
        self, steps: ArrayLike, rows: slice = slice(None), cols: slice = slice(None)
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return raw counts of measured ``steps``, (n, rows, cols), and which voxels hold counts.

        Counts come in the detector's own type, 0 where a voxel holds none.
        """
        steps = np.asarray(steps, dtype=int)
        raw = _picked(self._frames, self._index[steps], rows, cols)
        if self._mask is None and _all_read(raw):
            return raw, np.broadcast_to(np.True_, raw.shape)
        absent = unread(raw)
        if self._mask is not None:
            absent |= _picked(self._mask, self._point[steps], rows, cols).astype(bool)
        return (np.where(absent, raw.dtype.type(0), raw) if absent.any() else raw), ~absent

    @property
    def together(self) -> int:
        """Frames that are held in memory at a time: at most 16, fewer of a large detector."""
        return max(1, min(16, BLOCK_PIXELS // (self.shape[1] * self.shape[2])))

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Counts, NDArray[np.int64] | int]]:
        """Yield (steps, raw counts, in how many of them a pixel holds counts), block by block."""
        measured, size = np.flatnonzero(self.present), self.together
        for start in range(0, len(measured), size):
            steps = measured[start : start + size]
            raw, held = self.read(steps)
            yield steps, raw.astype(np.float32), held.sum(axis=0) if any(held.strides) else len(steps)

    def spread(self, count: int = 24) -> Counts:
        """Return ``count`` frames spread evenly over the scan, (count, rows, cols) float32 counts.

        Fewer of a large detector, but 9 at least: half of them make the steady part of a pixel's readings.
        """
        measured = np.flatnonzero(self.present)
        count = max(9, min(count, 2 * self.together))
        steps = measured[np.unique(np.linspace(0, len(measured) - 1, count).astype(int))]
        return np.stack([self.read([step])[0][0].astype(np.float32) for step in steps])


def _picked(frames: Frames, picks: NDArray[np.int64], rows: slice, cols: slice) -> NDArray[Any]:
    """Return the frames numbered ``picks``, in one go where they are a plain range."""
    if len(picks) and (np.diff(picks) == 1).all():
        return np.asarray(frames[int(picks[0]) : int(picks[-1]) + 1, rows, cols])
    return np.stack([np.asarray(frames[int(pick), rows, cols]) for pick in picks])


def _even_grid(
    angles: NDArray[np.float64],
) -> tuple[NDArray[np.int64], float, float, NDArray[np.float64]]:
    """Return the place of each angle on the even grid through them, its step, its origin, and what is off.

    Steps are counted one by one, so that angles may be absent. Where they stray too far for that, none is.
    """
    differences = np.diff(angles)
    rough = float(np.median(differences))
    advice = "phase retrieval needs an even rocking scan"
    if rough == 0 or (np.sign(differences) != np.sign(rough)).any():
        raise ValueError(f"rocking angles must rise or fall throughout; got steps {differences!r}: {advice}")
    place = np.concatenate([[0], np.cumsum(np.rint(differences / rough))]).astype(np.int64)
    step, origin = float(np.polyfit(place, angles, 1)[0]), float(angles[0])
    stray = (angles - origin - step * place) / step
    whole = len(np.unique(place)) == len(place) and place[-1] + 1 <= 2 * len(angles)
    if np.abs(stray).max() <= TOLERANCE and whole:
        return place, step, origin, stray
    place = np.arange(len(angles))
    step, origin = (float(number) for number in stats.theilslopes(angles, place)[:2])
    stray = (angles - origin - step * place) / step
    if (error := float(np.abs(stray).max())) > FARTHEST:
        raise ValueError(f"rocking angles stray {error:.2f} steps from an even grid of {step:.5g}°: {advice}")
    return place, step, origin, stray
