"""The frame file: which may be read, its frames, and how one is written from arrays (other beamlines)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    import h5py
    import hdf5plugin  # noqa: F401  registers the decompression filters

    try:
        with h5py.File(path, "r", locking=False) as file:
            frames = file[dataset]
            _refuse_links(frames, file, path)
            if index.size and index.max() >= frames.shape[0]:
                raise FrameFileError(
                    f"frame {int(index.max())} was recorded and {path} holds {frames.shape[0]}; "
                    "the file was cut short: repeat the scan, or 'vo2 recover' its first points"
                )
            return _rows(frames, index)
    except (OSError, KeyError) as error:
        raise FrameFileError(
            f"frames were expected in {path} at {dataset}, and could not be read: {error}"
        ) from error


def read_beside(path: Path, dataset: str, name: str, index: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return what was recorded beside the frames of a scan, (points,) float64; None where nothing was.

    Parameters
    ----------
    path, dataset, index
        As for `read_frames`.
    name
        Of the values, for example ``transmission``: the (n,) dataset beside the frames.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
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


def write_frames(
    path: Path, frames: NDArray[Any], columns: Mapping[str, NDArray[np.float64]], start: Mapping[str, Any]
) -> None:
    """Write a frame file of the detector's layout from arrays.

    Parameters
    ----------
    path
        File to make; its folder is made too.
    frames
        (n, rows, cols) counts, stored as uint32.
    columns
        Name to (n,) values of each frame: eta, Tsample, monitor, timestamp.
    start
        Start document, kept in the file so that the file alone can be analysed.
    """
    import h5py
    import hdf5plugin

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        chunks = (1, *frames.shape[1:])
        file.create_dataset(
            DATASET, data=frames.astype("<u4"), chunks=chunks, **hdf5plugin.Bitshuffle(nelems=0, cname="lz4")
        )
        for name, values in columns.items():
            file[f"{GROUP}/{name}"] = values
        file[f"{GROUP}/frame_index"] = np.arange(frames.shape[0])
        file["entry"].attrs["start"] = json.dumps(dict(start))
