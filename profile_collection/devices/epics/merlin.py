"""The Merlin over Channel Access: an areaDetector whose HDF5 plugin writes the scan's file."""

import json
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import ADComponent as ADCpt
from ophyd import Component as Cpt
from ophyd import EpicsSignal
from ophyd.areadetector.base import EpicsSignalWithRBV
from ophyd.areadetector.cam import CamBase
from ophyd.areadetector.plugins import HDF5Plugin_V34, ImagePlugin_V34

from profile_collection.devices.epics.process_variables import DetectorNames
from profile_collection.devices.epics.signals import PATIENCE, EpicsNumber, fresh_text, put_and_wait
from profile_collection.devices.merlin import DetectorGeometry, Merlin
from profile_collection.devices.signals import FastShutter

_POLL = 0.02  # real seconds between two looks at a cancelled or late exposure
_ASKED = 3  # times for an image


class MerlinCam(CamBase):
    """The camera driver (ADMerlin)."""

    counter_depth = ADCpt(EpicsSignalWithRBV, "CounterDepth", string=True)


class MerlinFile(HDF5Plugin_V34):
    """The file writer."""


@dataclass(frozen=True)
class EpicsExposure:
    """One frame as the IOC handed it over.

    Attributes
    ----------
    frame : ndarray, uint32, (rows, columns), counts
    number : int
        The client's own count of exposures; 0 for a frame that belongs to another exposure.
    file_index : int
        Where the frame is in the file.
    """

    frame: NDArray[np.uint32]
    number: int
    file_index: int


class EpicsCounter:
    """Arms, exposes and reads the frame; stands where the simulated detector's twin stands.

    Parameters
    ----------
    merlin : EpicsMerlin
    """

    def __init__(self, merlin: "EpicsMerlin"):
        self._merlin = merlin
        self.exposures = 0

    @property
    def counter_depth(self) -> int:
        """Bits of the counter."""
        return int(str(self._merlin.cam.counter_depth.get(use_monitor=False)).split()[0])

    @counter_depth.setter
    def counter_depth(self, bits: int) -> None:
        put_and_wait(self._merlin.cam.counter_depth, f"{bits} bit")

    def expose(self, _exposure_time: float, cancelled: threading.Event) -> EpicsExposure:
        """Count for the time that the camera is set to, and return the frame once it is in the file."""
        self.exposures += 1
        cam, file = self._merlin.cam, self._merlin.hdf5
        counted, written = int(cam.array_counter.get()), int(file.num_captured.get())
        self._acquire(cancelled)
        if cancelled.is_set():
            return EpicsExposure(np.zeros((0, 0), np.uint32), self.exposures, -1)
        if int(cam.array_counter.get()) == counted:
            raise TimeoutError(
                f"no frame came: the camera says {cam.detector_state.get(as_string=True)!r}, "
                f"{fresh_text(cam.status_message)!r}"
            )
        index = self._wait_until_written(written)
        fresh = int(self._merlin.arr.unique_id.get()) == int(file.unique_id.get())
        return EpicsExposure(self._frame(), self.exposures if fresh else 0, index)

    def _acquire(self, cancelled: threading.Event) -> None:
        done = threading.Event()
        acquire = self._merlin.cam.acquire
        acquire.put(1, use_complete=True, callback=lambda **_: done.set())
        until = time.monotonic() + self._merlin.longest_exposure
        while not done.wait(_POLL):
            if cancelled.is_set():
                acquire.put(0)
                done.wait(PATIENCE)
                return
            if time.monotonic() > until or not acquire.connected:
                raise OSError(f"{acquire.setpoint_pvname} does not answer; check the detector's IOC")

    def _wait_until_written(self, before: int) -> int:
        """Return the index of the frame in the file; the file writer may be behind the camera."""
        file, until = self._merlin.hdf5, time.monotonic() + PATIENCE
        while (count := int(file.num_captured.get())) <= before:
            if int(file.write_status.get(as_string=False)) != 0:
                raise OSError(f"the file writer says {fresh_text(file.write_message)!r}")
            if time.monotonic() > until:
                raise TimeoutError(f"the file writer holds {count} frames and got none in {PATIENCE:g} s")
            time.sleep(_POLL)
        return count - 1

    def _frame(self) -> NDArray[np.uint32]:
        """Return the newest frame, (rows, columns); what a busy server is late with is asked for again."""
        rows, columns = self._merlin.geometry.frame_shape
        for _ in range(_ASKED):
            counts = np.asarray(self._merlin.arr.array_data.get(count=rows * columns))
            if counts.size == rows * columns:
                return counts.reshape(rows, columns).astype(np.uint32)
        raise TimeoutError(
            f"an image of {rows} × {columns} pixels was expected; asked {_ASKED} times, the detector's "
            f"server gave {counts.size} values: is it busy, or EPICS_CA_MAX_ARRAY_BYTES too small?"
        )


class CapturedFile:
    """The file that the HDF5 plugin is writing.

    Parameters
    ----------
    merlin : EpicsMerlin
    path : pathlib.Path
    start : dict
        Start document, stored with the frames.
    """

    def __init__(self, merlin: "EpicsMerlin", path: Path, start: dict[str, Any]):
        self.path, self._hdf5 = path, merlin.hdf5
        if merlin.run_start is not None:
            put_and_wait(merlin.run_start, json.dumps(start, default=str))
        settings = {
            "file_write_mode": "Stream",
            "create_directory": -3,
            "file_path": f"{path.parent}/",
            "file_name": path.stem,
            "file_template": "%s%s.h5",
            "lazy_open": "Yes",
            "swmr_mode": "On",
            "num_capture": 0,
        }
        for name, value in settings.items():
            put_and_wait(getattr(self._hdf5, name), value)
        put_and_wait(self._hdf5.capture, 1)
        if int(self._hdf5.capture.get(as_string=False)) != 1:
            raise OSError(fresh_text(self._hdf5.write_message))

    def close(self) -> None:
        """End the capture; the IOC closes the file."""
        put_and_wait(self._hdf5.capture, 0)


class EpicsMerlin(Merlin):
    """The same detector to plans and documents; the IOC writes the frames.

    It cannot overwrite: after a pause within an exposure the file may hold more frames than there are points,
    and `frame_index` says which belong to them.

    Parameters
    ----------
    names : DetectorNames
    shutter : FastShutter
    data_folder : pathlib.Path
        Seen by the IOC under the same path.
    """

    cam = Cpt(MerlinCam, "CAM:", kind="omitted")
    hdf5 = Cpt(MerlinFile, "HDF5:", kind="omitted")
    arr = Cpt(ImagePlugin_V34, "ARR:", kind="omitted")
    acquire_time = Cpt(
        EpicsNumber,
        "CAM:AcquireTime_RBV",
        write_pv="CAM:AcquireTime",
        limits=(1e-6, 3600.0),
        units="s",
        kind="config",
    )

    def __init__(
        self,
        *,
        names: DetectorNames,
        shutter: FastShutter,
        data_folder: Path,
        longest_exposure: float = 3900.0,
        name: str = "merlin",
        **kwargs: Any,
    ):
        self.longest_exposure = longest_exposure
        geometry = DetectorGeometry(
            names.distance_mm, names.pixel_size_mm, names.shape, (0, 0, 0, 0), names.gaps
        )
        super().__init__(
            twin=EpicsCounter(self),
            shutter=shutter,
            geometry=geometry,
            data_folder=data_folder,
            name=name,
            prefix=names.prefix,
            **kwargs,
        )
        self.run_start = (
            EpicsSignal(names.run_start, name=f"{name}_run_start", string=True) if names.run_start else None
        )
        for plugin in (self.cam, self.hdf5, self.arr):
            plugin.stage_sigs.clear()

    def connect(self) -> None:
        """Read from the camera which region it reads out, and have it take one image at a time."""
        cam = self.cam
        row, column = int(cam.min_y.get()), int(cam.min_x.get())
        rows, columns = int(cam.size.size_y.get()), int(cam.size.size_x.get())
        self.geometry = replace(self.geometry, roi=(row, row + rows, column, column + columns))
        for signal, value in ((cam.image_mode, "Single"), (cam.trigger_mode, "Internal")):
            put_and_wait(signal, value)
        self.counter_depth.put(24)

    def _open_file(self, path: Path, _shape: tuple[int, int]) -> Any:
        return CapturedFile(self, path, dict(self._start or {}))

    def _store(self, frame: NDArray[np.uint32], taken: Any, acquire_time: float) -> None:
        """Announce the frame where the file writer has put it."""
        if self._documents is not None:
            self._documents.begin_frame(taken.file_index)
            self._documents.announce()

    @property
    def _source(self) -> str:
        return f"PV:{self.prefix}CAM:"
