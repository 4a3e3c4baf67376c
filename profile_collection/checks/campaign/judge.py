"""Whether a series came out right: its frames against what was announced, its results against the truth."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from analysis.benchmark.judge import RIGHT
from analysis.phasing.registration import align
from analysis.results import read_scan
from callbacks.catalogue import Catalogue
from callbacks.frames import DATASET, GROUP
from callbacks.series import FAILED, SCANS
from profile_collection.checks.campaign.series import Records, SeriesRecord, Verdict
from profile_collection.checks.truth.comparison import true_fields
from profile_collection.session.resuming import series_progress
from profile_collection.session.settings import Settings


def judge(catalogue: Catalogue, settings: Settings, records: Records, record: SeriesRecord) -> Verdict:
    """Return the verdict on one series."""
    frames, aligned, destroyed, remarks = judge_frames(settings, records, record)
    if record.series is None:
        return Verdict(record.number, frames, aligned, destroyed, False, 0, 0, 0, 0, 2, remarks=("no run",))
    progress = series_progress(catalogue, record.series)
    tally: dict[str, int] = defaultdict(int)
    overlaps, lost = [], 0
    for uid in progress.complete.values():
        lost += points_lost(catalogue, uid, records, record)
        outcome, overlap = judge_result(settings, record.series, uid)
        tally[outcome] += 1
        overlaps.append(overlap)
        if outcome in ("wrong", "missing"):
            remarks.append(f"{uid[:8]}: {outcome} {overlap:.3f}")
    return Verdict(
        record.number,
        frames,
        aligned,
        destroyed,
        complete=len(progress.complete) == len(progress.arguments["temperatures"]),
        right=tally["right"],
        wrong=tally["wrong"],
        untrusted=tally["untrusted"],
        failed=tally["failed"],
        missing=tally["missing"],
        points_lost=lost,
        overlaps=tuple(round(overlap, 4) for overlap in overlaps),
        remarks=tuple(remarks),
    )


def judge_result(settings: Settings, series: str, uid: str) -> tuple[str, float]:
    """Return "right", "wrong", "untrusted", "failed" or "missing", and the overlap with the truth."""
    folder = settings.results / series / SCANS
    found = list(folder.glob(f"*_{uid[:8]}.h5"))
    if not found:
        return ("failed" if list(folder.glob(f"*_{uid[:8]}{FAILED}")) else "missing"), float("nan")
    scan = read_scan(found[0])
    truth = true_fields(scan, settings.data / "truth" / series)["monoclinic"]
    overlap = float(align(scan.object, truth).overlap)
    if not scan.trusted:
        return "untrusted", overlap
    return ("right" if overlap > RIGHT else "wrong"), overlap


def points_lost(catalogue: Catalogue, uid: str, records: Records, record: SeriesRecord) -> int:
    """Return how many points of a complete scan the catalogue lacks, or has otherwise than announced.

    Of a point that was taken again the last counts.
    """
    announced = {
        point["seq"]: point for point in records.points(record.number).values() if point["run"] == uid
    }
    stream = catalogue.raw.v3[uid]["primary"]
    columns = [stream[name].read() for name in ("seq_num", "eta", "merlin_frame_index")]
    stored = {int(seq): (float(eta), int(frame)) for seq, eta, frame in zip(*columns, strict=True)}
    return sum(stored.get(seq) != (point["eta"], int(point["frame"])) for seq, point in announced.items())


def judge_frames(
    settings: Settings, records: Records, record: SeriesRecord
) -> tuple[int, int, int, list[str]]:
    """Return how many frames were taken, are aligned, and were destroyed by a fault; and remarks.

    A frame is aligned if its file has at its index the counts and the angle that its event announced.
    """
    by_run: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (run, _), point in records.points(record.number).items():
        by_run[run].append(point)
    taken = aligned = destroyed = 0
    remarks = []
    for run, points in by_run.items():
        (path,) = list(settings.frames.glob(f"*/*_{run[:8]}.h5")) or [Path("missing")]
        good = _aligned_frames(path, points, cut_short=run in record.truncated)
        taken, aligned = taken + len(points), aligned + good
        if run in record.truncated:
            destroyed += len(points) - good
        elif good < len(points):
            remarks.append(
                f"{path.name}: {len(points) - good} of {len(points)} frames are lost or misaligned"
            )
    return taken, aligned, destroyed, remarks


def _aligned_frames(path: Path, points: list[dict[str, Any]], *, cut_short: bool) -> int:
    """Return how many of a file's frames are as announced.

    A file whose writer was killed needs a SWMR reader. One that was cut short must not have it: HDF5 would
    wait for the missing end again and again, seconds for each frame.
    """
    import h5py
    import hdf5plugin  # noqa: F401  registers the decompression filters

    good = 0
    try:
        with h5py.File(path, "r", swmr=not cut_short, locking=False) as file:
            frames, etas = file[DATASET], file[f"{GROUP}/eta"]
            for point in points:
                try:
                    index = int(point["frame"])
                    same = frames[index].sum(dtype=np.int64) == int(point["total"])
                    good += bool(same and abs(etas[index] - point["eta"]) < 1e-6)
                except (OSError, ValueError, IndexError):
                    continue
    except (OSError, KeyError):
        return good
    return good
