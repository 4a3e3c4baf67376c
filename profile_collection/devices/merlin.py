"""The Merlin photon-counting detector: one frame per trigger, written to HDF5 and announced as a stream.

Here, too: where the detector stands, which of its pixels are read, and where the frames of a run are kept.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Component as Cpt
from ophyd import Device
from ophyd.status import DeviceStatus

from analysis.file_names import file_name
from profile_collection.devices.frames import (
    Exposure,
    FrameStatistics,
    PeakSearch,
    frame_statistics,
    fresh_exposure,
)
from profile_collection.devices.signals import ChoiceSignal, FastShutter, LimitedSignal, PolledSignal
from profile_collection.devices.stream_documents import StreamDocument, StreamDocuments
from profile_collection.twin.frame_file import FRAMES, FrameFile


@dataclass(frozen=True)
class DetectorGeometry:
    """What the start document says about the detector.

    Attributes
    ----------
    distance_mm, pixel_size_mm : float
        Sample-detector distance and pixel pitch.
    shape : tuple of int
        Rows and columns of the full detector.
    roi : tuple of int
        (first row, end row, first column, end column) of what is read out.
    gaps : tuple of int
        Rows and columns (the same numbers) between its chips, which hold no sensor.
    bad_pixel : list, optional
        (row, column) pairs known to be unusable.
    """

    distance_mm: float
    pixel_size_mm: float
    shape: tuple[int, int]
    roi: tuple[int, int, int, int]
    gaps: tuple[int, ...] = ()
    bad_pixel: Sequence[tuple[int, int]] | None = None

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.roi[1] - self.roi[0], self.roi[3] - self.roi[2]


def frame_path(data_folder: Path, start: Mapping[str, Any]) -> Path:
    """Return the path of a run's frame file: a folder per series, a name that says what was measured.

    Parameters
    ----------
    data_folder : pathlib.Path
        Frames lie below it in `raw/frames`.
    start : mapping
        The run's start document; whatever is missing there is left out or made up, and nothing in it can lead
        out of the folder.

    Examples
    --------
    >>> start = {"uid": "0a1b2c3d-4e5f", "series_uid": "20261122-143000-a1b2c3", "series_index": 3}
    >>> start |= {"temperature_setpoint": 335.0, "branch": "heating", "purpose": "rocking", "attempt": 1}
    >>> frame_path(Path("data"), start).as_posix()
    'data/raw/frames/20261122-143000-a1b2c3/03_335K_heating_rocking_1_0a1b2c3d.h5'
    """
    setpoint = start.get("temperature_setpoint")
    parts = [
        f"{start.get('series_index', 0):02d}",
        f"{setpoint:g}K" if isinstance(setpoint, int | float) else "noT",
        *(str(start.get(key, "none")) for key in ("branch", "purpose", "attempt")),
        str(start.get("uid", uuid.uuid4()))[:8],
    ]
    folder = file_name(str(start.get("series_uid") or ""), otherwise="unassigned")
    return data_folder / "raw" / "frames" / folder / (file_name("_".join(parts)) + ".h5")


class Merlin(Device):
    """Counts photons; each exposure opens the shutter, and closes it again.

    Parameters
    ----------
    twin : Twin
        `expose(exposure_time)` is the hardware.
    shutter : FastShutter
        Open during exposures only; closed on pause, stop and unstage.
    geometry : DetectorGeometry
    data_folder : pathlib.Path
        Files go to `<data_folder>/raw/frames/<series_uid>/`.
    scalars : callable, optional
        Returns the numbers that go into the file beside each frame (`frame_file.SCALARS`).
    on_exposure : callable, optional
        Receives each finished exposure (the monitor's reading belongs to it).
    """

    acquire_time = Cpt(LimitedSignal, limits=(1e-6, 3600.0), value=1.0, units="s", kind="config")
    counter_depth = Cpt(ChoiceSignal, choices=(12, 24), value=24, kind="config")
    search_row = Cpt(LimitedSignal, limits=(0, 10000), value=0.0, units="px", kind="omitted")
    search_column = Cpt(LimitedSignal, limits=(0, 10000), value=0.0, units="px", kind="omitted")
    search_half_width = Cpt(LimitedSignal, limits=(0, 10000), value=0.0, units="px", kind="omitted")
    frame_index = Cpt(PolledSignal, value=0, kind="normal")
    total = Cpt(PolledSignal, value=0, units="counts", kind="hinted")
    max = Cpt(PolledSignal, value=0, units="counts", kind="normal")
    peak_total = Cpt(PolledSignal, value=0.0, units="counts", kind="normal")
    peak_max = Cpt(PolledSignal, value=0, units="counts", kind="normal")
    peak_row = Cpt(PolledSignal, value=0.0, units="px", kind="normal")
    peak_column = Cpt(PolledSignal, value=0.0, units="px", kind="normal")

    def __init__(
        self,
        *,
        twin: Any,
        shutter: FastShutter,
        geometry: DetectorGeometry,
        data_folder: Path,
        scalars: Callable[[], Mapping[str, float]] | None = None,
        on_exposure: Callable[[Any], None] | None = None,
        name: str = "merlin",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.geometry, self.data_folder = geometry, Path(data_folder)
        self._twin, self._shutter = twin, shutter
        self.counter_depth.connect_target(self._set_counter_depth)
        self._scalars = scalars or (lambda: {})
        self._on_exposure = on_exposure
        self._lock = threading.RLock()  # guards file, documents, and the shutter against a cancelled exposure
        self._file: FrameFile | None = None
        self._documents: StreamDocuments | None = None
        self._exposure: Exposure | None = None
        self._start: Mapping[str, Any] | None = None
        self._followed = False

    def _set_counter_depth(self, bits: int) -> None:
        self._twin.counter_depth = bits

    @property
    def saturation(self) -> int:
        """Largest count that a pixel can hold."""
        return int(2 ** int(self.counter_depth.get()) - 1)

    @property
    def file_path(self) -> Path | None:
        """The file that is being written, None when not staged."""
        return self._file.path if self._file else None

    def note_start(self, document: Mapping[str, Any]) -> None:
        """Keep the start document of the run that begins: it names the file and is stored in it."""
        self._start = dict(document)

    def note_document(self, name: str, document: dict[str, Any]) -> None:
        """Follow the run's documents (a callback for all of them): they tell which frames really went out."""
        if name == "start":
            self.note_start(document)
            self._followed = True
        elif name == "stream_datum" and self._documents is not None:
            self._documents.confirm(document)

    def stage(self) -> list[object]:
        """Open a new file; an unwritable disk is found here, before the first exposure."""
        with self._lock:
            shape = self.geometry.frame_shape
            path = frame_path(self.data_folder, self._start or {})
            try:
                self._file = self._open_file(path, shape)
            except ConnectionError:  # no fault of the disk's, and it says itself what to do
                raise
            except OSError as error:
                raise OSError(
                    f"{self.name} cannot write its frames to {path}: {error}. Free or repair the disk, or "
                    "choose another data folder."
                ) from error
            self._documents = StreamDocuments(
                path, data_key=self._image_key, dataset=FRAMES, shape=shape, followed=self._followed
            )
        staged: list[object] = super().stage()
        return staged

    def _open_file(self, path: Path, shape: tuple[int, int]) -> FrameFile:
        """Return the file that receives the frames."""
        return FrameFile(path, shape)

    def unstage(self) -> list[object]:
        """End a running exposure, close shutter and file."""
        self._cancel()
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = self._documents = self._start = self._exposure = None
            self._followed = False
        unstaged: list[object] = super().unstage()
        return unstaged

    def trigger(self) -> DeviceStatus:
        """Start one exposure of `acquire_time` and return at once."""
        if self._file is None:
            raise RuntimeError(
                f"{self.name} must be staged before it is triggered. Use a plan that stages it."
            )
        exposure, previous = Exposure(DeviceStatus(self)), self._exposure
        self._exposure = exposure
        worker = threading.Thread(
            target=self._expose, args=(exposure, previous), name=f"{self.name}-exposure", daemon=True
        )
        worker.start()
        return exposure.status

    def _expose(self, exposure: Exposure, previous: Exposure | None) -> None:
        if previous is not None:
            previous.finished.wait()
        try:
            self._take_frame(exposure)
        except Exception as error:  # noqa: BLE001 - whatever went wrong belongs into the status, not into this thread
            failure = RuntimeError(f"{self.name} could not take a frame: {error}")
            failure.__cause__ = error
            with self._lock:
                exposure.end(failure)
        else:
            with self._lock:
                exposure.end()
        finally:
            exposure.finished.set()

    def _take_frame(self, exposure: Exposure) -> None:
        acquire_time = float(self.acquire_time.get())
        taken = fresh_exposure(
            self._twin,
            self._shutter,
            acquire_time,
            cancelled=exposure.cancelled,
            lock=self._lock,
            name=self.name,
        )
        if taken is None:
            return
        frame = np.minimum(taken.frame, self.saturation).astype(np.uint32, copy=False)
        statistics = frame_statistics(frame, self._search())
        with self._lock:
            if exposure.cancelled.is_set() or self._documents is None:
                return
            if self._on_exposure is not None:
                self._on_exposure(taken)
            self._store(frame, taken, acquire_time)
            self._publish(statistics)

    def _store(self, frame: NDArray[np.uint32], taken: Any, acquire_time: float) -> None:
        if self._documents is None or self._file is None:
            return
        index = self._documents.begin_frame()
        scalars = {
            **self._scalars(),
            "monitor": float(taken.monitor),
            "ring_current": float(taken.ring_current),
            "timestamp": time.time(),
            "exposure_time": acquire_time,
        }
        try:
            self._file.write(index, frame, scalars, start=self._start)
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"frame {index} could not be written to {self._file.path}: {error}. "
                "Frames before it are kept. Free disk space, then measure this scan again."
            ) from error
        self._documents.announce()

    def _publish(self, statistics: FrameStatistics) -> None:
        first_row, _, first_column, _ = self.geometry.roi
        self.frame_index.update(self._documents.index if self._documents else 0)
        self.total.update(statistics.total)
        self.max.update(statistics.maximum)
        self.peak_total.update(statistics.peak_total)
        self.peak_max.update(statistics.peak_maximum)
        self.peak_row.update(statistics.peak_row + first_row)
        self.peak_column.update(statistics.peak_column + first_column)

    def _search(self) -> PeakSearch:
        first_row, _, first_column, _ = self.geometry.roi
        return PeakSearch(
            self.search_row.get() - first_row,
            self.search_column.get() - first_column,
            self.search_half_width.get(),
        )

    def _cancel(self) -> None:
        """End a running exposure without a frame and close the shutter."""
        with self._lock:
            exposure = self._exposure
            if exposure is not None and not exposure.finished.is_set():
                exposure.cancelled.set()
                exposure.end()
            self._shutter.close()

    def pause(self) -> None:
        """Break off a running exposure (Bluesky takes the point again) and close the shutter."""
        self._cancel()

    def resume(self) -> None:
        """Leave the shutter closed until the next exposure."""
        self._shutter.close()

    def stop(self, *, success: bool = False) -> None:
        """Break off a running exposure and close the shutter."""
        self._cancel()
        super().stop(success=success)

    @property
    def _image_key(self) -> str:
        return f"{self.name}_image"

    @property
    def _source(self) -> str:
        return "simulated"

    def describe(self) -> dict[str, Any]:
        """Describe scalars and image; the image's data go to the file, not into events."""
        description = super().describe()
        rows, columns = self.geometry.frame_shape
        description[self._image_key] = {
            "source": self._source,
            "dtype": "array",
            "dtype_numpy": "<u4",
            "shape": [rows, columns],
            "dims": ["row", "column"],
            "external": "STREAM:",
            "units": "counts",
        }
        return description

    def read(self) -> dict[str, Any]:
        """Return the scalars of the last frame."""
        if self._exposure is not None and self._exposure.cancelled.is_set():
            raise RuntimeError(
                f"{self.name} has no frame to read: its last exposure was broken off. Trigger it again."
            )
        reading: dict[str, Any] = super().read()
        return reading

    def collect_asset_docs(self, index: int | None = None) -> Iterator[StreamDocument]:
        """Hand the documents of the frames taken since the last call to the RunEngine."""
        with self._lock:
            documents = list(self._documents.collect()) if self._documents is not None else []
        yield from documents

    def get_index(self) -> int:
        """Return the number of frames in the present file."""
        return self._documents.frame_count if self._documents is not None else 0
