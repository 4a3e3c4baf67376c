"""After a crash: what the catalogue lacks of a scan, taken from the frame file.

The documents of a scan whose frames already lie in a file are made here, for other beamlines' data too.

Each frame's angle, temperatures, monitor and time lie in the file beside it, the run's start document too. So
a run that ended in mid-scan can be completed to the last frame taken, under its own uid.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import event_model
import numpy as np
from numpy.typing import NDArray

from callbacks.catalogue import Catalogue, UnknownRunError
from callbacks.collect import CIRCLES, FRAME_INDEX, IMAGE
from callbacks.frames import DATASET, GROUP, MIMETYPE, FrameFileError
from callbacks.journal.journal import Document, keep
from callbacks.journal.reingest import replace_run, stored_documents
from callbacks.scan_end import STREAM, decided_after


def scan_documents(
    start: Mapping[str, Any],
    frame_file: Path,
    shape: tuple[int, int],
    columns: Mapping[str, NDArray[np.float64]],
    *,
    timestamps: NDArray[np.float64] | None = None,
    baseline: Mapping[str, float] | None = None,
    exit_status: str = "success",
    reason: str = "",
    decisions: Sequence[Mapping[str, Any]] = (),
) -> Iterator[Document]:
    """Yield the documents that a rocking scan with these frames would have emitted.

    Parameters
    ----------
    start
        Start document; its ``uid`` and ``time`` are kept where it has them.
    frame_file
        HDF5 file in the detector's layout.
    shape
        Rows and columns of a frame.
    columns
        Event key to (points,) values; frame n belongs to point n.
    timestamps
        (points,) epoch seconds of the points; now, where they are not known.
    baseline
        Event key to value of what stood still.
    exit_status, reason
        Of the stop document.
    decisions
        Data of the events in the stream ``decisions``.
    """
    points = len(next(iter(columns.values())))
    times = np.full(points, time.time()) if timestamps is None else timestamps
    run: Any = event_model.compose_run(
        uid=start.get("uid"),
        time=start.get("time"),
        metadata={key: value for key, value in start.items() if key not in ("uid", "time")},
    )
    yield "start", dict(run.start_doc)
    if baseline:
        yield from _baseline(run, baseline, float(times[0]))
    yield from _primary(run, frame_file, shape, columns, times)
    yield from _decisions(run, decisions, float(times[-1]) if points else run.start_doc["time"])
    yield "stop", dict(run.compose_stop(exit_status=exit_status, reason=reason))


def _baseline(run: Any, values: Mapping[str, float], when: float) -> Iterator[Document]:
    keys = {key: _scalar(key) for key in values}
    stream = run.compose_descriptor(name="baseline", data_keys=keys, time=run.start_doc["time"])
    yield "descriptor", dict(stream.descriptor_doc)
    yield "event", dict(stream.compose_event(data=dict(values), timestamps=dict.fromkeys(values, when)))


def _decisions(run: Any, decisions: Sequence[Mapping[str, Any]], when: float) -> Iterator[Document]:
    if not decisions:
        return
    kinds = {bool: ("boolean", "|b1"), int: ("integer", "<i8"), float: ("number", "<f8"), str: ("string", "")}
    keys: dict[str, dict[str, Any]] = {}
    for key, value in decisions[0].items():
        kind, numpy_type = kinds[type(value)]
        keys[key] = {"dtype": kind, "shape": [], "source": "vo2_plans"}
        if numpy_type:
            keys[key]["dtype_numpy"] = numpy_type
    stream = run.compose_descriptor(name=STREAM, data_keys=keys, time=run.start_doc["time"])
    yield "descriptor", dict(stream.descriptor_doc)
    for data in decisions:
        event = stream.compose_event(data=dict(data), timestamps=dict.fromkeys(data, when), time=when)
        yield "event", dict(event)


def _primary(
    run: Any,
    frame_file: Path,
    shape: tuple[int, int],
    columns: Mapping[str, NDArray[np.float64]],
    times: NDArray[np.float64],
) -> Iterator[Document]:
    keys = {key: _scalar(key) for key in (*columns, FRAME_INDEX)} | {IMAGE: image_key(shape)}
    # The catalogue replays by time: a descriptor of now would come after the events that it describes.
    stream = run.compose_descriptor(name="primary", data_keys=keys, time=run.start_doc["time"])
    yield "descriptor", dict(stream.descriptor_doc)
    resource, datum = announce(run, stream.descriptor_doc, frame_file, shape, len(times))
    yield "stream_resource", resource
    yield "stream_datum", datum
    for number, when in enumerate(times):
        data: dict[str, Any] = {key: float(values[number]) for key, values in columns.items()}
        data[FRAME_INDEX] = number
        stamps = dict.fromkeys(data, float(when))
        yield "event", dict(stream.compose_event(data=data, timestamps=stamps, time=float(when)))


def announce(
    run: Any, descriptor: Any, frame_file: Path, shape: tuple[int, int], count: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the StreamResource and the one StreamDatum of a whole file."""
    bundle = event_model.compose_stream_resource(
        mimetype=MIMETYPE,
        uri="file://localhost" + quote(frame_file.resolve().as_posix()),
        data_key=IMAGE,
        parameters={"dataset": DATASET, "swmr": True, "chunk_shape": [1, *shape]},
        start=run.start_doc,
    )
    whole = event_model.StreamRange(start=0, stop=count)
    seq_nums = event_model.StreamRange(start=1, stop=count + 1)
    datum = bundle.compose_stream_datum(indices=whole, seq_nums=seq_nums, descriptor=descriptor)
    return dict(bundle.stream_resource_doc), dict(datum)


def image_key(shape: tuple[int, int]) -> dict[str, Any]:
    """Return the data key of the frames; without the frames' own ``dtype_numpy`` Tiled cannot read them."""
    return {
        "dtype": "array",
        "dtype_numpy": "<u4",
        "shape": list(shape),
        "source": "merlin",
        "external": "STREAM:",
        "units": "counts",
    }


def _scalar(key: str) -> dict[str, Any]:
    whole = key == FRAME_INDEX
    return {
        "dtype": "integer" if whole else "number",
        "dtype_numpy": "<i8" if whole else "<f8",
        "shape": [],
        "source": "file",
    }


RENAMED = {"monitor": "ic1monitor", "ring_current": "rc"}
"""Column of the frame file to event key, where they differ."""
NOT_EVENT_KEYS = frozenset({"data", "timestamp", "frame_index", "exposure_time"})
"""Columns that documents carry elsewhere."""


@dataclass(frozen=True)
class StoredScan:
    """A frame file, read as a run.

    Parameters
    ----------
    path
        The file.
    start
        Start document kept in it.
    shape
        Rows and columns.
    columns
        Event key to (points,) values.
    timestamps
        (points,) epoch seconds.
    positions
        Angles of the circles that stood still, degrees.
    """

    path: Path
    start: Mapping[str, Any]
    shape: tuple[int, int]
    columns: Mapping[str, NDArray[np.float64]]
    timestamps: NDArray[np.float64]
    positions: Mapping[str, float]

    @property
    def points(self) -> int:
        """Frames in the file."""
        return int(self.timestamps.size)


@dataclass(frozen=True)
class Recovery:
    """What a recovery found and did: points in the catalogue before, and after."""

    uid: str
    before: int
    after: int
    complete: bool


def read_scan_file(path: Path) -> StoredScan:
    """Read everything but the frames of a frame file, also one whose writer was killed.

    Raises
    ------
    FrameFileError
        It cannot be opened, or holds no start document.
    """
    import h5py
    import hdf5plugin  # noqa: F401  registers the decompression filters

    try:
        # A file whose writer was killed still carries its "open for SWMR" mark; a SWMR reader accepts it.
        with h5py.File(path, "r", swmr=True, locking=False) as file:
            start = json.loads(file["entry"].attrs["start"])
            frames = file[DATASET]
            total, maximum = _statistics(frames)
            stored = {
                name: np.asarray(item[...], dtype=float)
                for name, item in file[GROUP].items()
                if item.ndim == 1
            }
            shape = (int(frames.shape[1]), int(frames.shape[2]))
    except (OSError, KeyError, ValueError) as error:
        raise FrameFileError(
            f"a frame file with a start document was expected, {str(path)!r} came ({error})"
        ) from error
    points = min(len(total), *(len(values) for values in stored.values()))
    named = {name: values[:points] for name, values in stored.items() if name not in NOT_EVENT_KEYS}
    still = set(CIRCLES) - {start.get("scan", {}).get("axis", "eta")}
    positions = {name: float(values[0]) for name, values in named.items() if name in still and points}
    columns = {RENAMED.get(name, name): values for name, values in named.items() if name not in still}
    columns |= {"merlin_total": total[:points], "merlin_max": maximum[:points]}
    return StoredScan(path, start, shape, columns, stored["timestamp"][:points], positions)


def _statistics(frames: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sum and maximum of each frame, one frame in memory at a time."""
    numbers = [(float(frame.sum(dtype=np.float64)), float(frame.max())) for frame in frames]
    table = np.asarray(numbers, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def find_frame_file(frames_folder: Path, uid: str) -> StoredScan:
    """Return the frame file of the run whose uid begins with `uid`.

    Raises
    ------
    UnknownRunError
        No file in `frames_folder` is of that run, or several are.
    """
    found = []
    for path in sorted(frames_folder.rglob("*.h5")):
        try:
            if _uid_in(path).startswith(uid):
                found.append(path)
        except (OSError, KeyError, ValueError):
            continue  # not of ours, or cut short before its first frame
    if len(found) != 1:
        raise UnknownRunError(
            f"the uid of one scan with a frame file was expected, {uid!r} came and fits {len(found)} files "
            f"in {frames_folder}; give more of the uid"
        )
    return read_scan_file(found[0])


def _uid_in(path: Path) -> str:
    import h5py

    with h5py.File(path, "r", swmr=True, locking=False) as file:
        return str(json.loads(file["entry"].attrs["start"]).get("uid", ""))


def unfinished_runs(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the start documents of rocking scans that never ended: their session was killed."""
    from tiled.queries import Key

    found = catalogue.raw.v3.search(Key("start.purpose") == "rocking").values()
    return [dict(run.metadata["start"]) for run in found if not run.metadata.get("stop")]


def recover(catalogue: Catalogue, scan: StoredScan, backup_folder: Path) -> Recovery:
    """Complete a run in the catalogue from its frame file.

    The run as the catalogue has it, and as it will be, are first written to `backup_folder`, so that nothing
    is lost if this is interrupted; then the run is replaced under its own uid.

    Parameters
    ----------
    catalogue
        With or without a part of the run.
    scan
        What the file holds.
    backup_folder
        For the documents, as JSON lines.
    """
    uid = str(scan.start["uid"])
    known = stored_documents(catalogue.raw.v3, uid)
    before = len(_events(known, "primary"))
    wanted = int(scan.start.get("scan", {}).get("num", 0))
    decisions = [dict(event["data"]) for event in _events(known, STREAM)]
    decided = decided_after(scan.start, decisions[-1] if decisions else {}, scan.points)
    if before >= scan.points and any(name == "stop" and doc for name, doc in known):
        return Recovery(uid, before, before, complete=before >= wanted or bool(decided))
    complete = scan.points >= wanted > 0 or bool(decided)
    documents = _completed(scan, known, complete, decisions, decided)
    keep(backup_folder / f"{uid}.before.jsonl", known)
    keep(backup_folder / f"{uid}.after.jsonl", documents)
    replace_run(catalogue.raw.v3, uid, documents)
    return Recovery(uid, before, scan.points, complete)


def _events(documents: list[Document], stream: str) -> list[dict[str, Any]]:
    """Return the events of one stream."""
    uids = {doc["uid"] for name, doc in documents if name == "descriptor" and doc.get("name") == stream}
    return [doc for name, doc in documents if name == "event" and doc["descriptor"] in uids]


def _completed(
    scan: StoredScan,
    known: list[Document],
    complete: bool,
    decisions: Sequence[Mapping[str, Any]],
    decided: str,
) -> list[Document]:
    """Return the whole run's documents: the file's points, and baseline and decisions the catalogue kept."""
    kept = [event["data"] for event in _events(known, "baseline")]
    known_still = {key: value for key, value in (kept[0] if kept else {}).items() if _is_number(value)}
    baseline = {**scan.positions, **known_still}
    reason = f"restored from {scan.path.name}: {scan.points} points were taken before the session ended"
    if decided:  # first, for by it the scan is known to be whole
        reason = f"{decided}; {reason}"
    return list(
        scan_documents(
            scan.start,
            scan.path,
            scan.shape,
            scan.columns,
            timestamps=scan.timestamps,
            baseline=baseline,
            exit_status="success" if complete else "abort",
            reason=reason,
            decisions=decisions,
        )
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
