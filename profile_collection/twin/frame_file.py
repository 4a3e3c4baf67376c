"""The HDF5 file a scan's frames go into, readable while it is written (SWMR) and after a `kill -9`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

DETECTOR_GROUP = "/entry/instrument/merlin"
FRAMES = f"{DETECTOR_GROUP}/data"
"""Path of the frames inside the file: (n, rows, columns), uint32."""

CIRCLES = ("mu", "eta", "chi", "phi", "delta", "gam")

SCALARS: dict[str, str] = {
    **dict.fromkeys(CIRCLES, "f8"),
    "Tsample": "f8",
    "Ta": "f8",
    "Tb": "f8",
    "Tc": "f8",
    "Td": "f8",
    "Theater": "f8",
    "Tset": "f8",
    "monitor": "f8",
    "timestamp": "f8",
    "exposure_time": "f8",
    "ring_current": "f8",
    "transmission": "f8",
    "frame_index": "i8",
}
"""Numbers kept for every frame beside the image, so that the file alone can be analysed."""

_UNITS = {
    **dict.fromkeys(CIRCLES, "deg"),
    **dict.fromkeys(("Tsample", "Ta", "Tb", "Tc", "Td", "Tset"), "K"),
    "Theater": "%",
    "timestamp": "s",
    "exposure_time": "s",
    "ring_current": "mA",
}


class FrameFile:
    """One scan's file.

    Once SWMR has begun HDF5 allows no new attribute, so the start document must come before the first frame.
    The file is therefore created early (an unwritable disk shows before the first exposure) and opened for
    readers with the first frame.

    Parameters
    ----------
    path : pathlib.Path
        Must not exist; its folder is created.
    shape : tuple of int
        Rows and columns of a frame.
    """

    def __init__(self, path: Path, shape: tuple[int, int]):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = h5py.File(path, "x", libver="latest")
        self._frames = self._create_layout(shape)
        self._scalars = {
            name: self._file[DETECTOR_GROUP].create_dataset(
                name, shape=(0,), maxshape=(None,), chunks=(256,), dtype=dtype
            )
            for name, dtype in SCALARS.items()
        }
        for name, unit in _UNITS.items():
            self._scalars[name].attrs["units"] = unit
        self._file.flush()

    def _create_layout(self, shape: tuple[int, int]) -> h5py.Dataset:
        entry = self._file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry.attrs["default"] = "instrument/merlin"
        entry.create_group("instrument").attrs["NX_class"] = "NXinstrument"
        detector = self._file.create_group(DETECTOR_GROUP)
        detector.attrs.update({"NX_class": "NXdetector", "signal": "data"})
        frames = detector.create_dataset(
            "data",
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *shape),
            dtype="<u4",
            **hdf5plugin.Bitshuffle(cname="lz4"),
        )
        frames.attrs["units"] = "counts"
        return frames

    @property
    def is_open(self) -> bool:
        """Whether frames can still be written."""
        return bool(self._file)

    @property
    def frame_count(self) -> int:
        """Number of frames in the file."""
        return int(self._frames.shape[0])

    def write(
        self,
        index: int,
        frame: NDArray[np.uint32],
        scalars: Mapping[str, float],
        *,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a frame and its numbers at `index` (a new one or, for a retake, an old one) and flush.

        Parameters
        ----------
        index : int
            At most the number of frames there are.
        frame : numpy.ndarray, (rows, columns), uint32
            Counts.
        scalars : mapping
            Values for `SCALARS`; one that is missing is stored as NaN.
        start : mapping, optional
            The run's start document; taken from the call that writes the first frame.
        """
        if index > self.frame_count:
            raise IndexError(
                f"frame index must be at most {self.frame_count}, got {index!r}: the file has no holes."
            )
        try:
            self._write(index, frame, scalars, start)
        except (OSError, RuntimeError):
            self.abandon()
            raise

    def _write(
        self,
        index: int,
        frame: NDArray[np.uint32],
        scalars: Mapping[str, float],
        start: Mapping[str, Any] | None,
    ) -> None:
        if not self._file.swmr_mode:
            self._begin(start)
        if index == self.frame_count:
            self._frames.resize(index + 1, axis=0)
        self._frames[index] = frame
        self._frames.flush()
        for name, dataset in self._scalars.items():  # frame_index last: where it is, the frame is complete
            if index == dataset.shape[0]:
                dataset.resize((index + 1,))
            dataset[index] = index if name == "frame_index" else scalars.get(name, np.nan)
            dataset.flush()

    def _begin(self, start: Mapping[str, Any] | None) -> None:
        self._file["entry"].attrs["start"] = json.dumps(start or {}, default=_plain)
        self._file.swmr_mode = True

    def abandon(self) -> None:
        """Give the file up as it is on disk, after a write has failed.

        HDF5 would try to write what is pending when it closes, fail again, and crash the process. So
        its file descriptor is turned to nowhere first; the file keeps what was flushed, readable with SWMR.
        """
        if not self._file:
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, self._file.id.get_vfd_handle())
        os.close(nowhere)
        self._file.close()

    def close(self) -> None:
        """Flush and close; does nothing where that has been done."""
        if self._file:
            self._file.close()


def _plain(value: Any) -> Any:
    """Return what JSON can hold of numpy scalars and arrays, or the value's text."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
