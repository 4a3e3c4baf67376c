"""One consumer of documents for live, replayed and offline runs: it collects, and acts at ``stop``.

It works on index ranges and on a scalar frame number in each event, because a replayed run has one coalesced
range of frames and forgets which of them were taken again after a pause.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from event_model import DocumentRouter
from numpy.typing import NDArray

from analysis.geometry import INSTRUMENTS
from callbacks.frames import path_of
from callbacks.jobs import FINAL, LEAST_POINTS, ScanJob, Stage, enough_points
from callbacks.scan_end import STREAM, decided_after, may_end_early

logger = logging.getLogger(__name__)

FRAME_INDEX = "merlin_frame_index"
IMAGE = "merlin_image"
CIRCLES = ("mu", "eta", "chi", "phi", "delta", "gam")
"""Of this beamline."""

NEEDED_OF_START = ("series_uid", "temperature_setpoint", "branch", "attempt")


def _circles() -> tuple[str, ...]:
    """Return the names of all circles that instruments have, in their files too; this beamline's first."""
    every = (name for one in INSTRUMENTS.values() for name in (*one.axes, *one.other_names))
    return tuple(dict.fromkeys((*CIRCLES, *every)))


@dataclass(frozen=True)
class EarlyRule:
    """From when on, and how often, a scan that still runs is analysed.

    Parameters
    ----------
    begin
        Share of the scan. Of 221 points the middle 64 are phased, and the search needs few beyond the peak:
        docs/beamline.md has the numbers, `tests/benchmarks/stages.py` prints them.
    every
        Share of the scan between two early results; one that is not begun when the next is due is dropped.
    least_left
        Seconds that the rest of the scan must take at its pace so far: below, the final result is as near.
    """

    begin: float = 0.55
    every: float = 0.02
    least_left: float = 30.0

    def due(self, points: int, wanted: int, asked: int, seconds: float) -> bool:
        """Return whether an early result is due.

        Parameters
        ----------
        points, wanted
            Measured so far, and asked for.
        asked
            Points that the last early result was made of, 0 where there is none.
        seconds
            Since the first point.
        """
        if not max(self.begin * wanted, asked + self.every * wanted) <= points < wanted:
            return False
        return seconds / max(points - 1, 1) * (wanted - points) >= self.least_left


class IncompleteScanError(ValueError):
    """The documents of a scan do not add up to one that can be analysed."""


@dataclass
class _Run:
    """What has arrived of one run so far."""

    start: dict[str, Any]
    streams: dict[str, str] = field(default_factory=dict)  # descriptor uid to stream name
    points: dict[int, dict[str, Any]] = field(default_factory=dict)  # seq_num to data; a retake overwrites
    baseline: dict[str, Any] = field(default_factory=dict)
    decision: dict[str, Any] = field(default_factory=dict)  # that may end the scan; a retake overwrites
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    ranges: list[tuple[str, int, int]] = field(default_factory=list)  # resource uid, first, last + 1
    begun: float | None = None  # time of the first point
    asked: int = 0  # points of the last early result


class ScanCollector(DocumentRouter):
    """Turns the documents of a rocking scan into one `ScanJob`.

    Parameters
    ----------
    submit
        Called with the job at the end of each complete scan.
    warn
        Called with a sentence where a scan cannot be analysed, or deserves a remark.
    folder_of
        Gives the results folder of a series by its uid.
    folders
        Folders that frames may be read from.
    seed
        Of the phasing.
    replayed
        True for stored documents.
    crop
        Voxels about the peak that are phased, where not the usual ones.
    preview
        Whether the network's guess of a scan is to be shown before its result.
    early
        When a scan that still runs is handed on for an early result; None for never.
    until
        The same for a scan that its early results may end; None for never.
    epochs
        Of transfer learning behind each result; 0 for none.
    """

    def __init__(
        self,
        submit: Callable[[ScanJob], None],
        *,
        warn: Callable[[str], None],
        folder_of: Callable[[str], Path],
        folders: Sequence[Path],
        seed: int = 0,
        replayed: bool = False,
        crop: tuple[int, int, int] | None = None,
        preview: bool = False,
        early: EarlyRule | None = None,
        until: EarlyRule | None = None,
        epochs: int = 0,
    ) -> None:
        super().__init__()
        self._submit = submit
        self._warn = warn
        self._folder_of = folder_of
        self._folders = tuple(folders)
        self._seed = seed
        self._replayed = replayed
        self._crop = crop
        self._preview = preview
        self._early = early
        self._until = until
        self._epochs = epochs
        self._runs: dict[str, _Run] = {}
        self._run_of: dict[str, _Run] = {}  # descriptor uid to run

    def __call__(self, name: str, doc: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Take one document; nothing that goes wrong in here reaches the RunEngine."""
        try:
            return super().__call__(name, doc, *args, **kwargs)
        except Exception as error:
            logger.exception("the collector could not take a %s document", name)
            self._warn(f"analysis: a {name} document could not be used ({error}); the measurement goes on")
            return name, doc

    def start(self, doc: Mapping[str, Any]) -> None:
        """Begin a run, if it is a rocking scan."""
        if doc.get("purpose") == "rocking":
            self._runs[doc["uid"]] = _Run(start=dict(doc))

    def descriptor(self, doc: Mapping[str, Any]) -> None:
        """Note which stream a descriptor opens."""
        run = self._runs.get(doc["run_start"])
        if run is not None:
            run.streams[doc["uid"]] = doc.get("name", "primary")
            self._run_of[doc["uid"]] = run

    def event(self, doc: Mapping[str, Any]) -> Any:
        """Keep a point; of a repeated ``seq_num`` the last wins."""
        run = self._run_of.get(doc["descriptor"])
        if run is None:
            return doc
        stream = run.streams[doc["descriptor"]]
        if stream == "primary":
            run.points[doc["seq_num"]] = dict(doc["data"])
            self._ask_early(run, float(doc["time"]))
        elif stream == "baseline" and not run.baseline:
            run.baseline = dict(doc["data"])
        elif stream == STREAM:
            run.decision = dict(doc["data"])
        return doc

    def _ask_early(self, run: _Run, now: float) -> None:
        """Hand on what there is of a scan, if an early result of it is due."""
        run.begun = now if run.begun is None else run.begun
        wanted, points = _wanted(run), len(run.points)
        rule = self._until or self._early if may_end_early(run.start) else self._early
        if rule is None or wanted is None:
            return
        if not rule.due(points, wanted, run.asked, now - run.begun):
            return
        try:
            notes = (f"from the first {points} of {wanted} points",)
            job = self._assemble(run, notes, incomplete=True, stage="early")
        except ValueError as error:
            logger.info("no early result from %d points: %s", points, error)
            return
        run.asked = points
        self._submit(job)

    def stream_resource(self, doc: Mapping[str, Any]) -> None:
        """Keep where frames are."""
        run = self._runs.get(doc.get("run_start", ""))
        if run is not None and doc["data_key"] == IMAGE:
            run.resources[doc["uid"]] = dict(doc)

    def stream_datum(self, doc: Mapping[str, Any]) -> None:
        """Keep which frames there are."""
        run = self._run_of.get(doc["descriptor"])
        if run is not None:
            indices = doc["indices"]
            run.ranges.append((doc["stream_resource"], int(indices["start"]), int(indices["stop"])))

    def stop(self, doc: Mapping[str, Any]) -> None:
        """Hand a complete scan on; say why where it is not."""
        run = self._runs.pop(doc["run_start"], None)
        if run is None:
            return
        self._run_of = {uid: kept for uid, kept in self._run_of.items() if kept is not run}
        name = f"scan at {run.start.get('temperature_setpoint', '?')} K ({run.start['uid'][:8]})"
        broken_off = doc.get("exit_status") != "success"
        if broken_off and not enough_points(len(run.points), _wanted(run)):
            self._warn(f"{name}: {doc.get('exit_status')} after {len(run.points)} points, not analysed")
            return
        try:
            notes, incomplete = _ending(run, broken_off)
            job = self._assemble(run, notes, incomplete=incomplete)
        except ValueError as error:
            self._warn(f"{name}: not analysed: {error}")
            return
        for note in job.notes:
            self._warn(f"{name}: {note}")
        if job.extra_frames:
            self._warn(f"{name}: {job.extra_frames} frames belong to no point (taken again); left out")
        self._submit(job)

    def _assemble(
        self, run: _Run, ending: tuple[str, ...], *, incomplete: bool, stage: Stage = FINAL
    ) -> ScanJob:
        """Put the job together, or raise `IncompleteScanError`; `ending` says why points lack at the end."""
        missing = [key for key in NEEDED_OF_START if key not in run.start]
        if missing:
            raise IncompleteScanError(
                f"the start document must have {missing}; measure with vo2_plans.rocking_scan"
            )
        axis = run.start.get("scan", {}).get("axis", "eta")
        points, notes = _measured(run, (axis, "ic1monitor", "Tsample", FRAME_INDEX))
        index = _frame_index(points)
        uri, dataset, available = _frames_of(run)
        _check_index(index, available)
        return ScanJob(
            start=run.start,
            frame_file=path_of(uri, self._folders),
            dataset=dataset,
            frame_index=index,
            eta=_column(points, axis),
            monitor=_column(points, "ic1monitor"),
            temperature=_column(points, "Tsample"),
            positions={name: float(run.baseline[name]) for name in _circles() if name in run.baseline},
            folder=self._folder_of(str(run.start["series_uid"])),
            extra_frames=sum(last - first for first, last in available) - len(index),
            seed=self._seed,
            replayed=self._replayed,
            crop=self._crop,
            incomplete=incomplete,
            notes=(*ending, *notes),
            stage=stage,
            preview=self._preview and stage == FINAL,
            epochs=self._epochs if stage == FINAL else 0,
        )


def _wanted(run: _Run) -> int | None:
    wanted = run.start.get("scan", {}).get("num")
    return wanted if isinstance(wanted, int) else None


def _ending(run: _Run, broken_off: bool) -> tuple[tuple[str, ...], bool]:
    """Return a note on a scan that ended early, and whether it is incomplete.

    It is not where a decision ended it. Bluesky calls a plan that was stopped by hand a success, too.

    Raises
    ------
    IncompleteScanError
        Too few points came, or more than were asked for.
    """
    numbers, wanted = sorted(run.points), _wanted(run)
    if len(numbers) < 2:
        raise IncompleteScanError(f"a scan needs 2 points or more, {len(numbers)} came; repeat it")
    last = numbers[-1]
    if not broken_off and (decided := decided_after(run.start, run.decision, last)):
        return (decided,), False
    if wanted is not None and (last > wanted or (last < wanted and not enough_points(len(numbers), wanted))):
        raise IncompleteScanError(
            f"{wanted} points were asked for and {len(numbers)} came: it was stopped early, or documents are "
            "missing; measure it again"
        )
    if broken_off or (wanted is not None and last < wanted):
        asked = f" of {wanted}" if wanted is not None else ""
        return (f"incomplete: the scan was stopped after {len(numbers)}{asked} points",), True
    return (), False


def _measured(run: _Run, keys: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the points that have all values, in order, and notes that name the others.

    Raises
    ------
    IncompleteScanError
        Too few are left.
    """
    numbers = sorted(run.points)
    last = int(numbers[-1])
    if last > 2 * len(numbers) or numbers[0] < 1:
        raise IncompleteScanError(
            f"points must be numbered 1 to {len(numbers)}, {_few(numbers)} came; repeat the scan"
        )
    faults = {number: _fault(run.points.get(number), keys) for number in range(1, last + 1)}
    good = [number for number in numbers if not faults[number]]
    by_fault: dict[str, list[int]] = {}
    for number, fault in faults.items():
        if fault:
            by_fault.setdefault(fault, []).append(number)
    words = [f"{fault}, points {_few(where)}" for fault, where in by_fault.items()]
    if by_fault and not enough_points(len(good), _wanted(run)):
        raise IncompleteScanError(
            f"{'; '.join(words)}: {len(good)} points are left, {LEAST_POINTS} and half of all are needed; "
            "repeat the scan"
        )
    return [run.points[number] for number in good], [f"not measured: {word}" for word in words]


def _fault(point: Mapping[str, Any] | None, keys: Sequence[str]) -> str:
    """Return why a point counts as not measured, nothing where it does not."""
    if point is None:
        return "no reading"
    for key in keys:
        if point.get(key) is None:
            return f"no {key!r}"
        try:
            if not np.isfinite(float(point[key])):
                return f"{key!r} not finite"
        except (TypeError, ValueError):
            return f"{key!r} no number"
    return ""


def _column(points: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """Return one scalar of every point, (points,) float64."""
    return np.asarray([point[key] for point in points], dtype=np.float64)


def _frame_index(points: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
    """Return the number of each point's frame, (points,) int64."""
    numbers = _column(points, FRAME_INDEX)
    if (numbers != np.floor(numbers)).any():
        raise IncompleteScanError(f"{FRAME_INDEX!r} must be whole numbers, fractions came; repeat the scan")
    return numbers.astype(np.int64)


def _frames_of(run: _Run) -> tuple[str, str, list[tuple[int, int]]]:
    """Return the file's address, the dataset's name and the ranges of the frames in it."""
    used = {uid for uid, _, _ in run.ranges if uid in run.resources}
    if not used:
        raise IncompleteScanError(
            "no frames were announced for this scan; is the detector among its detectors?"
        )
    files = {run.resources[uid]["uri"] for uid in used}
    if len(files) > 1:
        raise IncompleteScanError(
            f"one frame file per scan was expected, {sorted(files)!r} came; repeat the scan"
        )
    available = _joined([(first, last) for uid, first, last in run.ranges if uid in used])
    resource = run.resources[used.pop()]
    return resource["uri"], resource["parameters"]["dataset"], available


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges (first, last + 1) without overlaps, in order; a malformed one may be of any length."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(pair for pair in ranges if pair[0] < pair[1]):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _check_index(index: NDArray[np.int64], available: list[tuple[int, int]]) -> None:
    """Refuse a point without its frame, and two points that share one."""
    numbers = index.tolist()
    if lost := sorted({n for n in numbers if not any(first <= n < last for first, last in available)}):
        count = sum(last - first for first, last in available)
        raise IncompleteScanError(
            f"each point needs a frame, frames {_few(lost)} were never written ({count} were); "
            "repeat the scan"
        )
    if shared := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise IncompleteScanError(
            f"each point needs its own frame, frames {_few(shared)} serve several; repeat it"
        )


def _few(numbers: Sequence[int]) -> str:
    """Name a few numbers of a long list."""
    named = ", ".join(str(number) for number in numbers[:5])
    return named if len(numbers) <= 5 else f"{named} … ({len(numbers)} in all)"
