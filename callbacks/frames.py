"""The frame file: which may be read, its frames, and how one is written from arrays (other beamlines)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

GROUP = "/entry/instrument/merlin"
DATASET = f"{GROUP}/data"
MIMETYPE = "application/x-hdf5"


class FrameFileError(ValueError):
    """A frame file that may not be read, or that does not hold what its documents say."""


def path_of(uri: str, folders: Sequence[Path]) -> Path:
    """Return the file that a StreamResource points to, if it lies in one of `folders`.

    Symbolic links and ``..`` are resolved first, so neither leads out.

    Raises
    ------
    FrameFileError
        Another scheme than ``file``, another host, or a path outside `folders`.
    """
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.hostname not in {None, "localhost"}:
        raise FrameFileError(
            f"frames are read from 'file://localhost/…' only, {uri!r} came; copy the file here"
        )
    path = Path(unquote(parts.path)).resolve()
    if not any(path.is_relative_to(folder.resolve()) for folder in folders):
        allowed = ", ".join(str(folder) for folder in folders)
        raise FrameFileError(f"frames are read from {allowed} only, {str(path)!r} came; move the file there")
    return path


@contextlib.contextmanager
def open_frames(
    path: Path, dataset: str, index: NDArray[np.int64], *, growing: bool = False
) -> Iterator[Any]:
    """Open the frames of a scan for reading in blocks: an HDF5 dataset (n, rows, cols), counts.

    Parameters
    ----------
    path
        HDF5 file.
    dataset
        Name of the (n, rows, cols) dataset in it.
    index
        (points,) which frame belongs to each point.
    growing
        True for a file that the detector still writes: a frame counts only where its index is there, which is
        written after it, and what comes behind the last frame asked for does not exist.

    Raises
    ------
    FrameFileError
        The file cannot be opened or read, or ends before a frame that is asked for.
    """
    import h5py
    import hdf5plugin  # noqa: F401  registers the decompression filters

    last = int(index.max()) if index.size else -1
    try:
        with _open_growing(path) if growing else h5py.File(path, "r", locking=False) as file:
            frames = file[dataset]
            _refuse_links(frames, file, path)
            held = _complete_frames(frames) if growing else frames.shape[0]
            if last >= held:
                raise FrameFileError(
                    f"frame {last} was recorded and {path} holds {held}; "
                    "the file was cut short: repeat the scan, or 'vo2 recover' its first points"
                )
            yield _FirstFrames(frames, last + 1) if growing else frames
    except (OSError, KeyError) as error:
        raise FrameFileError(
            f"frames were expected in {path} at {dataset}, and could not be read: {error}"
        ) from error


def read_frames(path: Path, dataset: str, index: NDArray[np.int64]) -> NDArray[Any]:
    """Read the frames of a scan, point by point.

    Parameters
    ----------
    path
        HDF5 file.
    dataset
        Name of the (n, rows, cols) dataset in it.
    index
        (points,) which frame belongs to each point.

    Returns
    -------
    ndarray
        (points, rows, cols), the file's own integer type, counts.

    Raises
    ------
    FrameFileError
        The file cannot be opened, or ends before a frame that is asked for.
    """
    with open_frames(path, dataset, index) as frames:
        return _rows(frames, index)


def read_last_frame(path: Path, dataset: str) -> tuple[NDArray[Any], int]:
    """Return the newest frame of a file that may still be written, and its number; −1 where there is none.

    A frame counts only where its index is there, which is written after it.

    Raises
    ------
    FrameFileError
        The file cannot be read.
    """
    import hdf5plugin  # noqa: F401  registers the decompression filters

    try:
        with _open_growing(path) as file:
            frames = file[dataset]
            _refuse_links(frames, file, path)
            number = _complete_frames(frames) - 1
            return (np.asarray(frames[number]) if number >= 0 else np.zeros(frames.shape[1:])), number
    except (OSError, KeyError) as error:
        raise FrameFileError(
            f"frames were expected in {path} at {dataset}, and could not be read: {error}"
        ) from error


def _complete_frames(frames: Any) -> int:
    """Return how many frames of a dataset that may still be written are there with their index."""
    return min(int(frames.parent["frame_index"].shape[0]), int(frames.shape[0]))


@dataclass(frozen=True)
class _FirstFrames:
    """The first `count` frames of an HDF5 dataset (n, rows, cols), read as the dataset is."""

    frames: Any
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(count, rows, cols)."""
        return (self.count, *self.frames.shape[1:])

    def __getitem__(self, key: Any) -> Any:
        """Return frames by their numbers, all of which are below `count`."""
        return self.frames[key]


def _open_growing(path: Path) -> Any:
    """Open a file that a detector may be writing; one that nobody marked as such is opened as it is."""
    import h5py

    try:
        return h5py.File(path, "r", libver="latest", swmr=True, locking=False)
    except (OSError, ValueError):
        return h5py.File(path, "r", locking=False)


def read_beside(path: Path, dataset: str, name: str, index: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return what was recorded beside the frames of a scan, (points,) float64; None where nothing was.

    Parameters
    ----------
    path, dataset, index
        As for `read_frames`.
    name
        Of the values, for example ``transmission``: the (n,) dataset beside the frames.
    """
    try:
        with _open_growing(path) as file:
            values = file[dataset].parent.get(name)
            if values is None or values.ndim != 1 or (index.size and index.max() >= values.shape[0]):
                return None
            return np.asarray(values[()], dtype=np.float64)[index]
    except (OSError, KeyError):
        return None


def _refuse_links(frames: Any, file: Any, path: Path) -> None:
    """Refuse frames that lie elsewhere: HDF5 follows links to any file that its own file names."""
    if frames.file.filename != file.filename or frames.is_virtual or frames.external:
        raise FrameFileError(
            f"{path} holds no frames of its own but a link to another file; copy the frames into it"
        )


def _rows(frames: Any, index: NDArray[np.int64]) -> NDArray[Any]:
    """Read `index` of `frames`, in one go where it is a plain range."""
    if index.size and np.array_equal(index, np.arange(index[0], index[0] + index.size)):
        return np.asarray(frames[int(index[0]) : int(index[0]) + index.size])
    return np.stack([frames[int(number)] for number in index])


PIXEL_MASK, FLAT_FIELD, DARK = "pixel_mask", "flatfield", "dark"
"""Arrays beside the frames, the first two named as in NXdetector: not 0 where a pixel is bad; each pixel's
gain; its counts without light."""


def read_array(path: Path, dataset: str, name: str) -> NDArray[Any] | None:
    """Return an array that lies beside the frames, as it is; None where there is none."""
    import hdf5plugin  # noqa: F401  registers the decompression filters

    try:
        with _open_growing(path) as file:
            values = file[dataset].parent.get(name)
            return None if values is None else np.asarray(values[()])
    except (OSError, KeyError):
        return None


@dataclass(frozen=True)
class Written:
    """What was seen of the frames while they were written: (n,) float64 sum and maximum of each."""

    total: NDArray[np.float64]
    maximum: NDArray[np.float64]


def write_frames(
    path: Path,
    frames: Any,
    columns: Mapping[str, NDArray[np.float64]],
    start: Mapping[str, Any],
    *,
    arrays: Mapping[str, NDArray[Any]] | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> Written:
    """Write a frame file of the detector's layout, block by block.

    Parameters
    ----------
    path
        File to make; its folder is made too. It is removed again if the frames turn out to be no counts.
    frames
        (n, rows, cols) counts, an array or anything that is read like one; stored as uint32. What is no count
        but a sign for "not measured" (−1, NaN, the largest number of its type) becomes 2³²−1.
    columns
        Name to (n,) values of each frame: the angle, Tsample, monitor, timestamp.
    start
        Start document, kept in the file so that the file alone can be analysed.
    arrays
        Name to array that lies beside the frames.
    progress
        Called with the number of frames that were written with each block.

    Raises
    ------
    FrameFileError
        The frames hold fractions: they are no counts.
    """
    import h5py
    import hdf5plugin

    path.parent.mkdir(parents=True, exist_ok=True)
    count, rows, cols = (int(size) for size in frames.shape)
    total, maximum = np.zeros(count), np.zeros(count)
    packed = hdf5plugin.Bitshuffle(nelems=0, cname="lz4")
    try:
        with h5py.File(path, "w") as file:
            data = file.create_dataset(DATASET, (count, rows, cols), "<u4", chunks=(1, rows, cols), **packed)
            for first in range(0, count, BLOCK):
                block = slice(first, min(first + BLOCK, count))
                stored, held = stored_counts(np.asarray(frames[block]), first)
                data[block] = stored
                total[block] = np.where(held, stored, 0).sum(axis=(1, 2), dtype=np.float64)
                maximum[block] = np.where(held, stored, 0).max(axis=(1, 2))
                progress(block.stop - first)
            for name, values in (arrays or {}).items():
                file.create_dataset(f"{GROUP}/{name}", data=values, compression="gzip", shuffle=True)
            for name, values in columns.items():
                file[f"{GROUP}/{name}"] = values
            file[f"{GROUP}/frame_index"] = np.arange(count)
            file["entry"].attrs["start"] = json.dumps(dict(start))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Written(total, maximum)


BLOCK = 8
"""Frames that are in memory at a time."""

NOT_MEASURED = np.uint32(2**32 - 1)


def stored_counts(raw: NDArray[Any], first: int = 0) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return frames as uint32 and which voxels hold counts; `first` numbers the first of them, for errors."""
    from analysis.preprocessing.frames import unread

    held = ~unread(raw)
    counts = np.where(held, raw, 0)
    if np.issubdtype(raw.dtype, np.floating) and (fractions := counts != np.floor(counts)).any():
        number = first + int(np.flatnonzero(fractions.any(axis=(1, 2)))[0])
        raise FrameFileError(
            f"counts must be whole numbers, frame {number} holds {counts[fractions][0]:g}: give raw counts, "
            "and dark, flat field and monitor beside them instead of applying them"
        )
    return np.where(held, counts.astype(np.uint32), NOT_MEASURED), held
