"""The campaign as a whole: series after series, each judged, then what it has shown, as lines of text.

A series came out right if its frames are those that were announced and its results agree with the truth.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from analysis.benchmark.judge import RIGHT
from analysis.phasing.registration import align
from analysis.results import read_scan
from callbacks.catalogue import Catalogue
from callbacks.frames import DATASET, GROUP
from callbacks.series import FAILED, SCANS
from profile_collection.catalogue.client import stop_server
from profile_collection.checks.campaign.conductor import OUTCOMES, Conductor
from profile_collection.checks.campaign.series import (
    KINDS,
    Records,
    SeriesRecord,
    Verdict,
    campaign_settings,
    draw,
)
from profile_collection.checks.truth.comparison import true_fields
from profile_collection.session.resuming import series_progress
from profile_collection.session.settings import Settings
from profile_collection.session.storage import open_catalogue


def tally_lines(records: Records) -> list[str]:
    """Return the numbers of the whole campaign, then a line per kind of fault."""
    series, verdicts = records.series(), records.verdicts()
    faults = [fault for record in series for fault in record.faults]
    judged = list(verdicts.values())
    hangs = max(records.hangs(), sum(record.hangs for record in series))
    lines = [
        f"{len(faults)} faults of {len({fault['kind'] for fault in faults})} kinds in {len(series)} series "
        f"({sum(record.seconds for record in series) / 60:.0f} min); {len(judged)} series judged",
        f"frames taken                   {sum(v.frames for v in judged)}",
        f"frames readable and aligned    {sum(v.aligned for v in judged)} "
        f"({sum(v.destroyed for v in judged)} more were destroyed by cutting their files short)",
        f"points the catalogue lacks     {sum(v.points_lost for v in judged)}",
        f"series complete                {sum(v.complete for v in judged)} of {len(judged)}",
        f"results right                  {sum(v.right for v in judged)}",
        _overlaps(judged),
        f"results wrong and not flagged  {sum(v.wrong for v in judged)}",
        f"results flagged                {sum(v.untrusted for v in judged)} untrusted, "
        f"{sum(v.failed for v in judged)} reported as failed",
        f"results missing                {sum(v.missing for v in judged)}",
        f"hangs                          {hangs}",
        "",
    ]
    return lines + _kinds(series, verdicts) + [f"! {text}" for v in judged for text in v.remarks]


def _overlaps(judged: list[Verdict]) -> str:
    """Return how the results agree with the truth."""
    values = [value for verdict in judged for value in verdict.overlaps if math.isfinite(value)]
    if not values:
        return "overlap with the truth         none to judge"
    return f"overlap with the truth         median {statistics.median(values):.3f}, least {min(values):.3f}"


def _kinds(series: list[SeriesRecord], verdicts: dict[int, Verdict]) -> list[str]:
    """Return a line per kind: how often, what must follow, and in how many series everything was right."""
    count: Counter[str] = Counter()
    sound: dict[str, int] = defaultdict(int)
    for record in series:
        verdict = verdicts.get(record.number)
        good = verdict is not None and is_sound(verdict) and not record.hangs
        for fault in record.faults:
            count[fault["kind"]] += 1
            sound[fault["kind"]] += good
    return [
        f"{KINDS[kind]:45s}{count[kind]:4d} times, {sound[kind]:3d} in sound series: {OUTCOMES[kind]}"
        for kind in KINDS
    ]


def is_sound(verdict: Verdict) -> bool:
    """Return whether nothing was lost, nothing hung and nothing wrong went unflagged in a series."""
    whole = verdict.aligned + verdict.destroyed == verdict.frames
    return whole and verdict.complete and not (verdict.wrong or verdict.missing or verdict.points_lost)


def run_campaign(
    folder: Path, count: int, seed: int, *, say: Callable[[str], None], deadline: float | None = None
) -> bool:
    """Run what is left of a campaign in `folder`, judge it, and show the numbers.

    Parameters
    ----------
    folder
        Of its data, results and records; a campaign that was stopped goes on.
    count, seed
        Of the faults.
    say
        Shows a line.
    deadline
        By `time.monotonic`; no series is begun after it.

    Returns
    -------
    bool
        Whether all faults were applied, and every series is sound.
    """
    records = Records(folder)
    done = {record.number for record in records.series()}
    conductor = Conductor(folder, seed, say)
    for task in draw(count, seed):
        if task.number in done:
            continue
        if deadline is not None and time.monotonic() > deadline:
            break
        record = conductor.run(task)
        kinds = ", ".join(fault["kind"] for fault in record.faults)
        end = f"{record.ended or 'lost'} in {record.seconds:.0f} s, {record.restarts} restarts"
        say(f"series {record.number}: {end}: {kinds}")
    conductor.close()
    judge_all(folder, seed, records)
    for line in tally_lines(records):
        say(line)
    stop_server(campaign_settings(folder, seed).data)
    applied = sum(len(record.faults) for record in records.series())
    return applied >= count and not records.hangs() and all(map(is_sound, records.verdicts().values()))


def judge_all(folder: Path, seed: int, records: Records) -> None:
    """Judge every series that has no verdict yet."""
    settings, known = campaign_settings(folder, seed), records.verdicts()
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        for record in records.series():
            if record.number not in known:
                records.judged(judge(catalogue, settings, records, record))


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
