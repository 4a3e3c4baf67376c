"""One exposure and its frame: ended once, the frame its own and no older one, described by a few numbers.

The status of a trigger is ended once, whoever comes first. A frame must belong to the exposure it was asked
for; a lost or repeated one is exposed again. The numbers are total, maximum, and where the brightest region
is: a hot pixel must not be taken for the Bragg peak, so the peak is looked for in a frame where no pixel
exceeds its brightest neighbour, and a region is judged, not a pixel.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd.status import DeviceStatus

from profile_collection.devices.signals import FastShutter

logger = logging.getLogger(__name__)


@dataclass
class Exposure:
    """One trigger: its status, and whether it was cancelled or has come to an end.

    Attributes
    ----------
    status : DeviceStatus
        What `trigger` returned.
    cancelled : threading.Event
        Set where a pause or a stop breaks the exposure off.
    finished : threading.Event
        Set once the thread that exposes is done with it.
    """

    status: DeviceStatus
    cancelled: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)

    def end(self, error: Exception | None = None) -> None:
        """End the status, with the `error` where there is one; one that has ended stays as it is.

        The worker and a pause may both come: call it under the detector's lock.
        """
        if self.status.done:
            return
        if error is None:
            self.status.set_finished()
        else:
            self.status.set_exception(error)


ATTEMPTS = 3
"""Exposures spent on one frame: a fourth would only add dose."""


class NoFrameError(RuntimeError):
    """The detector hands over no fresh frame."""


def fresh_exposure(
    twin: Any,
    shutter: FastShutter,
    acquire_time: float,
    *,
    cancelled: threading.Event,
    lock: threading.RLock,
    name: str,
) -> Any | None:
    """Expose until the frame is the exposure's own; return it, or None where it was broken off.

    Parameters
    ----------
    twin : Twin
        Its `exposures` counts what the detector was asked for, the `number` of an exposure what came.
    shutter : FastShutter
        Open during each exposure, and no longer.
    acquire_time : float
        Seconds.
    cancelled : threading.Event
        Breaks the exposure off.
    lock : threading.RLock
        Held while the shutter opens, so that a broken-off exposure does not open it again.
    name : str
        Of the detector, for messages.

    Raises
    ------
    NoFrameError
        No fresh frame in `ATTEMPTS` exposures.
    """
    problem = ""
    for attempt in range(1, ATTEMPTS + 1):
        taken, problem = _expose_once(twin, shutter, acquire_time, cancelled, lock)
        if cancelled.is_set():
            return None
        if not problem:
            return taken
        logger.warning("%s: %s (attempt %d of %d)", name, problem, attempt, ATTEMPTS)
    raise NoFrameError(
        f"{problem}, {ATTEMPTS} times in a row. Check the detector's link and restart its server, then "
        "measure this scan again"
    )


def _expose_once(
    twin: Any, shutter: FastShutter, acquire_time: float, cancelled: threading.Event, lock: threading.RLock
) -> tuple[Any, str]:
    """Return what the detector handed over, and what is wrong with it, in words."""
    with lock:
        if cancelled.is_set():
            return None, ""
        shutter.open()
    due = twin.exposures + 1
    try:
        taken = twin.expose(acquire_time, cancelled)
    except TimeoutError as lost:
        return None, str(lost)
    finally:
        shutter.close()
    if taken.number != due:
        return None, f"frame {taken.number} was handed over again where frame {due} was due"
    return taken, ""


_BLOCK = 8  # pixels along each side of the regions that compete for being the brightest
_HALF_WINDOW = 20  # pixels on each side of the brightest region's centre that enter the centre of mass


@dataclass(frozen=True)
class PeakSearch:
    """Where to look for the peak: within `half_width` pixels of (row, column); 0 means the whole frame."""

    row: float = 0.0
    column: float = 0.0
    half_width: float = 0.0


@dataclass(frozen=True)
class FrameStatistics:
    """Scalars of one frame; rows and columns count from the frame's own corner.

    Attributes
    ----------
    total : int
        Sum of all counts.
    maximum : int
        Largest count of a single pixel, hot ones included.
    peak_total : float
        Counts of the searched region above its background, isolated bright pixels removed.
    peak_row, peak_column : float
        Centre of mass of the brightest region; NaN where nothing rises above the background.
    peak_maximum : int
        Largest count of a pixel in the searched region, isolated bright pixels cut down to their neighbours.
    """

    total: int
    maximum: int
    peak_total: float
    peak_row: float
    peak_column: float
    peak_maximum: int


def frame_statistics(frame: NDArray[np.uint32], search: PeakSearch | None = None) -> FrameStatistics:
    """Return the scalars of a frame.

    Parameters
    ----------
    frame : numpy.ndarray, (rows, columns), uint32
        Counts.
    search : PeakSearch, optional
        Part of the frame in which the peak is looked for.
    """
    rows, columns = _searched_slices(frame.shape, search or PeakSearch())
    region = _without_lone_pixels(frame[rows, columns].astype(np.float32))
    background = _background(region)
    peak_row, peak_column = _peak(region, background)
    return FrameStatistics(
        total=int(frame.sum(dtype=np.int64)),
        maximum=int(frame.max()),
        peak_total=float(region.sum(dtype=np.float64) - background * region.size),
        peak_row=peak_row + rows.start,
        peak_column=peak_column + columns.start,
        peak_maximum=int(region.max()),
    )


def _searched_slices(shape: tuple[int, ...], search: PeakSearch) -> tuple[slice, slice]:
    rows, columns = shape
    if search.half_width <= 0:
        return slice(0, rows), slice(0, columns)
    slices = []
    for centre, length in ((search.row, rows), (search.column, columns)):
        start = int(np.clip(round(centre - search.half_width), 0, length - _BLOCK))
        stop = int(np.clip(round(centre + search.half_width) + 1, start + _BLOCK, length))
        slices.append(slice(start, stop))
    return slices[0], slices[1]


def _without_lone_pixels(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the frame with each pixel cut down to the brightest of its four neighbours."""
    padded = np.pad(frame, 1)
    neighbours = np.maximum(
        np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1]), np.maximum(padded[1:-1, :-2], padded[1:-1, 2:])
    )
    return np.minimum(frame, neighbours)


def _background(frame: NDArray[np.float32]) -> float:
    """Return counts per pixel where there is no peak: the mean of the darker half of the blocks."""
    blocks = _block_sums(frame).ravel() / _BLOCK**2
    return float(np.sort(blocks)[: max(1, blocks.size // 2)].mean())


def _block_sums(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (length // _BLOCK for length in frame.shape)
    blocks = frame[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    sums: NDArray[np.float32] = blocks.sum(axis=(1, 3))
    return sums


def _peak(frame: NDArray[np.float32], background: float) -> tuple[float, float]:
    """Return row and column of the centre of mass of the brightest region, NaN if there is none."""
    sums = _block_sums(frame)
    block = np.unravel_index(int(sums.argmax()), sums.shape)
    excess = float(sums[block]) - background * _BLOCK**2
    if excess <= 5 * np.sqrt(background * _BLOCK**2 + 1):
        return float("nan"), float("nan")
    centre = [float(index) * _BLOCK + _BLOCK / 2 for index in block]
    for _ in range(3):  # the window follows the centre of mass until both agree
        centre = _centre_of_mass(frame, background, centre)
    return centre[0], centre[1]


def _centre_of_mass(frame: NDArray[np.float32], background: float, around: list[float]) -> list[float]:
    starts = [max(0, round(c) - _HALF_WINDOW) for c in around]
    stops = [min(n, round(c) + _HALF_WINDOW + 1) for c, n in zip(around, frame.shape, strict=True)]
    window = np.clip(frame[starts[0] : stops[0], starts[1] : stops[1]] - background, 0, None)
    weight = float(window.sum())
    if weight <= 0:
        return around
    return [
        starts[0] + float(window.sum(axis=1) @ np.arange(window.shape[0])) / weight,
        starts[1] + float(window.sum(axis=0) @ np.arange(window.shape[1])) / weight,
    ]
