"""The detector's records: `CAM:` arms and exposes, `ARR:` shows the last frame, `HDF5:` writes the file.

The camera has the shape of ADMerlin, the file writer that of areaDetector's plugin; it really writes the
file.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.file_names import file_name
from profile_collection.twin.frame_file import FrameFile
from profile_collection.twin.ioc.database import SHORT_TEXT, Database, post

if TYPE_CHECKING:
    from profile_collection.twin.beamline import Exposure, Twin


STATES = (
    "Idle", "Acquire", "Readout", "Correct", "Saving", "Aborting", "Error", "Waiting", "Initializing",
    "Disconnected", "Aborted",
)  # fmt: skip
IMAGE_MODES = ("Single", "Multiple", "Continuous")
TRIGGER_MODES = ("Internal", "Trigger Enable", "Trigger start rising", "Software")
COUNTER_DEPTHS = ("1 bit", "6 bit", "12 bit", "24 bit")

OnFrame = Callable[["Exposure", float, int], Awaitable[None]]


class Camera:
    """Records of the camera and of the array plugin.

    Parameters
    ----------
    database : Database
    prefix : str
        Before CAM: and ARR:.
    twin : Twin
    on_frame : callable
        Awaited with each exposure, its time in s and its unique number; the file plugin and the monitor.
    """

    def __init__(self, database: Database, prefix: str, twin: Twin, on_frame: OnFrame) -> None:
        self._twin, self._on_frame = twin, on_frame
        self._cancelled: threading.Event | None = None
        self._taken = 0
        self._add_camera(database, f"{prefix}CAM:")
        self._add_array(database, f"{prefix}ARR:")

    def _add_camera(self, database: Database, cam: str) -> None:
        r0, r1, c0, c1 = self._twin.config.detector.region
        rows, columns = self._twin.config.detector.shape
        self._acquire = database.add(f"{cam}Acquire", 0, put=self._on_acquire, choices=("Done", "Acquire"))
        self._acquiring = database.add(f"{cam}Acquire_RBV", 0, read_only=True, choices=("Done", "Acquire"))
        self._time = database.add_pair(f"{cam}AcquireTime", 1.0, put=_positive, units="s", precision=4)
        database.add_pair(f"{cam}AcquirePeriod", 1.0, put=_positive, units="s", precision=4)
        self._number = database.add_pair(f"{cam}NumImages", 1)
        self._mode = database.add_pair(f"{cam}ImageMode", "Single", choices=IMAGE_MODES)
        database.add_pair(f"{cam}TriggerMode", "Internal", choices=TRIGGER_MODES)
        depth = f"{self._twin.counter_depth} bit"
        database.add_pair(f"{cam}CounterDepth", depth, put=self._on_depth, choices=COUNTER_DEPTHS)
        self._counter = database.add(f"{cam}ArrayCounter", 0, put=self._on_counter)
        self._counted = database.add(f"{cam}ArrayCounter_RBV", 0, read_only=True)
        self._images = database.add(f"{cam}NumImagesCounter_RBV", 0, read_only=True)
        self._state = database.add(f"{cam}DetectorState_RBV", "Idle", read_only=True, choices=STATES)
        self._message = database.add(f"{cam}StatusMessage_RBV", "", read_only=True)
        database.add_pair(f"{cam}ArrayCallbacks", "Enable", choices=("Disable", "Enable"))
        database.add_pair(
            f"{cam}DataType", "UInt32", choices=("Int8", "UInt8", "Int16", "UInt16", "Int32", "UInt32")
        )
        for name, value in (
            ("Manufacturer", "simulated"),
            ("Model", "QuadMerlin"),
            ("PortName", "MERLIN.CAM"),
        ):
            database.add(f"{cam}{name}_RBV", value, read_only=True, **SHORT_TEXT)
        sizes = {"MaxSizeX": columns, "MaxSizeY": rows, "ArraySizeX": c1 - c0, "ArraySizeY": r1 - r0}
        for name, size in sizes.items():
            database.add(f"{cam}{name}_RBV", size, read_only=True)
        for name, size in {"MinX": c0, "MinY": r0, "SizeX": c1 - c0, "SizeY": r1 - r0}.items():
            database.add(f"{cam}{name}", size, read_only=True)
            database.add(f"{cam}{name}_RBV", size, read_only=True)

    def _add_array(self, database: Database, arr: str) -> None:
        r0, r1, c0, c1 = self._twin.config.detector.region
        rows, columns = r1 - r0, c1 - c0
        self._image = database.add(
            f"{arr}ArrayData", 0, max_length=rows * columns, read_only=True, max_subscription_backlog=2
        )
        self._image_id = database.add(f"{arr}UniqueId_RBV", 0, read_only=True)
        database.add_pair(f"{arr}EnableCallbacks", "Enable", choices=("Disable", "Enable"))
        database.add(f"{arr}PluginType_RBV", "NDPluginStdArrays", read_only=True, **SHORT_TEXT)
        database.add(f"{arr}PortName_RBV", "MERLIN.ARR", read_only=True, **SHORT_TEXT)
        database.add_pair(f"{arr}NDArrayPort", "MERLIN.CAM", **SHORT_TEXT)
        database.add_pair(f"{arr}BlockingCallbacks", "Yes", choices=("No", "Yes"))
        for name, size in {
            "ArraySize0": columns,
            "ArraySize1": rows,
            "ArraySize2": 0,
            "NDimensions": 2,
        }.items():
            database.add(f"{arr}{name}_RBV", size, read_only=True)

    # -- puts --------------------------------------------------------------------------------------------

    async def _on_depth(self, depth: str) -> None:
        self._twin.counter_depth = int(str(depth).split()[0])  # refuses 1 and 6 bit: they are not simulated

    async def _on_counter(self, count: int) -> None:
        await post(self._counted, count)

    async def _on_acquire(self, asked: Any) -> Any:
        """Acquire = 1 is confirmed when all its frames are there; 0 breaks off."""
        if asked in (0, "Done"):
            if self._cancelled is not None:
                self._cancelled.set()
            return 0
        if self._cancelled is not None:
            return 1  # already acquiring
        self._cancelled = threading.Event()
        await post(self._acquiring, 1)
        await post(self._acquire, 1)
        try:
            await self._acquire_all(self._cancelled)
        finally:
            self._cancelled = None
            await post(self._acquiring, 0)
        return 0

    async def _acquire_all(self, cancelled: threading.Event) -> None:
        count = 1 if self._mode.value in ("Single", 0) else int(self._number.value)
        await post(self._images, 0)
        await post(self._message, "acquiring")
        for number in range(1, count + 1):
            await post(self._state, "Acquire")
            try:
                taken = await asyncio.to_thread(self._twin.expose, float(self._time.value), cancelled)
            except TimeoutError as lost:
                await self._end("Error", str(lost))
                return
            if cancelled.is_set():
                await self._end("Aborted", "acquisition aborted")
                return
            await self._publish(taken)
            await post(self._images, number)
        await self._end("Idle", "acquisition finished")

    async def _end(self, state: str, message: str) -> None:
        await post(self._state, state)
        await post(self._message, message)

    async def _publish(self, taken: Exposure) -> None:
        """Hand a frame to file, monitor and array plugin, then count it."""
        await post(self._state, "Readout")
        self._taken += 1
        await self._on_frame(taken, float(self._time.value), self._taken)
        await post(self._image, as_array(taken.frame))
        await post(self._image_id, self._taken)
        await post(self._counter, self._counter.value + 1)
        await post(self._counted, self._counter.value)


def as_array(frame: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Return a frame's counts as Channel Access carries them: int32, (rows · columns,)."""
    return frame.astype(np.int32).ravel()


async def _positive(seconds: float) -> None:
    if not (np.isfinite(seconds) and seconds > 0):
        raise ValueError(f"a time of the detector must be above 0 s, got {seconds!r}")


MODES = ("Single", "Capture", "Stream")
SWITCH = ("No", "Yes")
LARGEST_START_DOCUMENT = 65_536

Scalars = Callable[[], Mapping[str, float]]


_TEMPLATE = re.compile(r"%s%s[A-Za-z0-9._-]*(%\d?(\.\d)?d)?[A-Za-z0-9._-]*")
"""File templates that the plugin takes: folder, name, a number of nine digits at most."""


class FilePlugin:
    """Captures frames into one HDF5 file per scan (file mode Stream, SWMR).

    Parameters
    ----------
    database : Database
    prefix : str
        Before HDF5:.
    run_start : str
        Name of the record that holds the run's start document.
    shape : tuple of int
        Rows and columns of a frame.
    scalars : callable
        Returns what is stored beside each frame, as NDAttributes would be.
    folder : Path
        Files outside it are refused.
    on_closed : callable
        Receives start document and positions of eta of each file that is closed.
    """

    def __init__(
        self,
        database: Database,
        prefix: str,
        *,
        run_start: str,
        shape: tuple[int, int],
        scalars: Scalars,
        folder: Path,
        on_closed: Callable[[Mapping[str, Any], list[float]], None],
    ) -> None:
        self._shape, self._scalars, self._folder, self._on_closed = shape, scalars, folder, on_closed
        self._file: FrameFile | None = None
        self._etas: list[float] = []
        self._start = database.add(run_start, "", max_length=LARGEST_START_DOCUMENT)
        self._add_records(database, f"{prefix}HDF5:")

    def _add_records(self, database: Database, hdf: str) -> None:
        self._path = database.add_pair(f"{hdf}FilePath", "", put=self._on_path)
        self._path_exists = database.add(f"{hdf}FilePathExists_RBV", 0, read_only=True, choices=SWITCH)
        self._name = database.add_pair(f"{hdf}FileName", "frames")
        self._template = database.add_pair(f"{hdf}FileTemplate", "%s%s_%6.6d.h5")
        self._number = database.add_pair(f"{hdf}FileNumber", 0)
        self._increment = database.add_pair(f"{hdf}AutoIncrement", "Yes", choices=SWITCH)
        database.add_pair(f"{hdf}AutoSave", "No", choices=SWITCH)
        self._depth = database.add_pair(f"{hdf}CreateDirectory", 0)
        self._full_name = database.add(f"{hdf}FullFileName_RBV", "", read_only=True)
        self._mode = database.add_pair(f"{hdf}FileWriteMode", "Stream", choices=MODES)
        self._lazy = database.add_pair(f"{hdf}LazyOpen", "Yes", choices=SWITCH)
        database.add_pair(f"{hdf}SWMRMode", "On", choices=("Off", "On"))
        self._swmr_active = database.add(f"{hdf}SWMRActive_RBV", 0, read_only=True, choices=("Off", "Active"))
        database.add(
            f"{hdf}SWMRSupported_RBV", "Supported", read_only=True, choices=("Not Supported", "Supported")
        )
        self._wanted = database.add_pair(f"{hdf}NumCapture", 0)
        self._captured = database.add(f"{hdf}NumCaptured_RBV", 0, read_only=True)
        self._capture = database.add(f"{hdf}Capture", 0, put=self._on_capture, choices=("Done", "Capture"))
        self._capturing = database.add(f"{hdf}Capture_RBV", 0, read_only=True, choices=("Done", "Capture"))
        self._status = database.add(
            f"{hdf}WriteStatus", "Write OK", read_only=True, choices=("Write OK", "Write error")
        )
        self._message = database.add(f"{hdf}WriteMessage", "", read_only=True)
        self._unique = database.add(f"{hdf}UniqueId_RBV", 0, read_only=True)
        self._dropped = database.add_pair(f"{hdf}DroppedArrays", 0)
        database.add_pair(f"{hdf}EnableCallbacks", "Enable", choices=("Disable", "Enable"))
        database.add_pair(f"{hdf}BlockingCallbacks", "Yes", choices=SWITCH)
        database.add_pair(f"{hdf}NDArrayPort", "MERLIN.CAM", **SHORT_TEXT)
        database.add_pair(f"{hdf}NumFramesFlush", 1)
        for number, size in enumerate((*reversed(self._shape), 0)):
            database.add(f"{hdf}ArraySize{number}_RBV", size, read_only=True)
        database.add(f"{hdf}PluginType_RBV", "NDFileHDF5", read_only=True, **SHORT_TEXT)
        database.add(f"{hdf}PortName_RBV", "MERLIN.HDF5", read_only=True, **SHORT_TEXT)

    # -- puts --------------------------------------------------------------------------------------------

    async def _on_path(self, path: str) -> None:
        folder = Path(path)
        if int(self._depth.value) < 0 and self._allowed(folder):
            folder.mkdir(parents=True, exist_ok=True)
        await post(self._path_exists, int(folder.is_dir()))

    def _allowed(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._folder.resolve())

    async def _on_capture(self, asked: Any) -> Any:
        if asked in (0, "Done"):
            await self._close()
            return 0
        if self._file is None:
            await self._open()
        capturing = int(self._file is not None)
        await post(self._capturing, capturing)
        return capturing

    async def _open(self) -> None:
        await post(self._captured, 0)
        try:
            path = self._file_path()
            await post(self._full_name, str(path))
            if not self._allowed(path):
                raise PermissionError(f"files are written below {self._folder} only")
            self._file = await asyncio.to_thread(FrameFile, path, self._shape)
        except (OSError, ValueError) as error:
            await self._fail(error)
            return
        self._etas = []
        await post(self._status, "Write OK")
        await post(self._message, "")
        await post(self._swmr_active, 1)
        if self._increment.value in (1, "Yes"):
            await post(self._number, self._number.value + 1)

    def _file_path(self) -> Path:
        folder = _text(self._path).rstrip("/") + "/"
        name, template = file_name(_text(self._name), otherwise="frames"), _text(self._template)
        if not _TEMPLATE.fullmatch(template):
            raise ValueError(
                f"a file template of the form %s%s_%6.6d.h5 (folder, name, number) was expected, "
                f"{template!r} came"
            )
        values: tuple[Any, ...] = (folder, name, int(self._number.value))
        return Path(template % values[: template.count("%")])

    async def _close(self) -> None:
        file, self._file = self._file, None
        await post(self._capturing, 0)
        await post(self._swmr_active, 0)
        if file is None:
            return
        await asyncio.to_thread(file.close)
        self._on_closed(self._start_document(), self._etas)

    async def _fail(self, error: Exception) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.abandon()
        await post(self._status, "Write error")
        await post(self._message, str(error)[:255])
        await post(self._capturing, 0)
        await post(self._capture, 0)

    # -- frames ------------------------------------------------------------------------------------------

    async def write(self, taken: Exposure, exposure_time: float, unique: int) -> None:
        """Write a frame where a file is open; a write that fails ends the capture and says why."""
        await post(self._unique, unique)
        if self._file is None:
            return
        wanted, index = int(self._wanted.value), self._file.frame_count
        if wanted and index >= wanted:
            await post(self._dropped, self._dropped.value + 1)
            return
        scalars = {
            **self._scalars(),
            "monitor": float(taken.monitor),
            "ring_current": float(taken.ring_current),
            "timestamp": time.time(),
            "exposure_time": exposure_time,
        }
        try:
            await asyncio.to_thread(
                self._file.write, index, taken.frame, scalars, start=self._start_document()
            )
        except (OSError, RuntimeError) as error:
            await self._fail(error)
            return
        self._etas.append(float(scalars["eta"]))
        await post(self._captured, index + 1)

    def _start_document(self) -> Mapping[str, Any]:
        try:
            document = json.loads(_text(self._start) or "{}")
        except json.JSONDecodeError:
            return {}
        return document if isinstance(document, dict) else {}


def _text(record: Any) -> str:
    value = record.value
    return value.decode() if isinstance(value, bytes) else str(value)
