"""The camera's records in the shape of ADMerlin: `CAM:` arms and exposes, `ARR:` shows the last frame."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
