"""After a crash: what the catalogue lacks of a scan, taken from the frame file.

Each frame's angle, temperatures, monitor and time lie in the file beside it, the run's start document too. So
a run that ended in mid-scan can be completed to the last frame taken, under its own uid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from callbacks.catalogue import Catalogue, UnknownRunError
from callbacks.collector import CIRCLES
from callbacks.compose import scan_documents
from callbacks.frames import DATASET, GROUP, FrameFileError
from callbacks.journal import Document, keep
from callbacks.reingest import replace_run, stored_documents

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
    before = sum(1 for name, doc in known if name == "event" and doc["descriptor"] in _primary_uids(known))
    wanted = int(scan.start.get("scan", {}).get("num", 0))
    if before >= scan.points and any(name == "stop" and doc for name, doc in known):
        return Recovery(uid, before, before, complete=before >= wanted)
    complete = scan.points >= wanted > 0
    documents = _completed(scan, known, complete)
    keep(backup_folder / f"{uid}.before.jsonl", known)
    keep(backup_folder / f"{uid}.after.jsonl", documents)
    replace_run(catalogue.raw.v3, uid, documents)
    return Recovery(uid, before, scan.points, complete)


def _primary_uids(documents: list[Document]) -> set[str]:
    return {doc["uid"] for name, doc in documents if name == "descriptor" and doc.get("name") == "primary"}


def _completed(scan: StoredScan, known: list[Document], complete: bool) -> list[Document]:
    """Return the whole run's documents: the file's points, and the baseline the catalogue kept."""
    baseline_uids = {
        doc["uid"] for name, doc in known if name == "descriptor" and doc.get("name") == "baseline"
    }
    kept = [doc["data"] for name, doc in known if name == "event" and doc["descriptor"] in baseline_uids]
    known_still = {key: value for key, value in (kept[0] if kept else {}).items() if _is_number(value)}
    baseline = {**scan.positions, **known_still}
    reason = f"restored from {scan.path.name}: {scan.points} points were taken before the session ended"
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
        )
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
