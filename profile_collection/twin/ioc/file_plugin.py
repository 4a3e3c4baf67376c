"""The file writer's records in the shape of areaDetector's `HDF5:` plugin; it really writes the file."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profile_collection.frame_file import FrameFile
from profile_collection.twin.ioc.database import SHORT_TEXT, Database, post

if TYPE_CHECKING:
    from profile_collection.twin.beamline import Exposure

MODES = ("Single", "Capture", "Stream")
SWITCH = ("No", "Yes")
LARGEST_START_DOCUMENT = 65_536

Scalars = Callable[[], Mapping[str, float]]


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
        path = self._file_path()
        await post(self._full_name, str(path))
        await post(self._captured, 0)
        try:
            if not self._allowed(path):
                raise PermissionError(f"files are written below {self._folder} only")
            self._file = await asyncio.to_thread(FrameFile, path, self._shape)
        except OSError as error:
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
        values: tuple[Any, ...] = (folder, _text(self._name), int(self._number.value))
        template = _text(self._template)
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
