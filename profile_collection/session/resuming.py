"""A series that was interrupted: what of it is stored, and the analysis of what was measured and left."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vo2_plans
from callbacks.catalogue import (
    Catalogue,
    UnknownRunError,
    as_v3,
    derived_runs,
    find_run,
    last_series,
    unanalysed_runs,
)
from callbacks.journal.recovery import unfinished_runs
from callbacks.replay import send
from callbacks.scan_end import is_complete
from callbacks.series import failed_scans
from vo2_plans import OrderReading, SeriesProgress
from vo2_plans.adaptive_series import NAME as ADAPTIVE
from vo2_plans.run_metadata import Branch
from vo2_plans.series import setup_of

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from callbacks.pipeline import Pipeline
    from vo2_plans import BeamlineLike, EarlyReader, OrderParameterReader
    from vo2_plans.steering import Steering

CIRCLES = ("mu", "chi", "phi", "delta", "gam")

LAST = "-1"
"""Stands for the series measured last."""


def series_progress(catalogue: Catalogue, series_uid: str) -> SeriesProgress:
    """Return how far a stored series has come.

    A scan is complete if its run ended with success and has all its points, or a decision ended it; whatever
    else was begun at a temperature is an attempt. One that its guard decided to measure again is not, before
    that is done.

    Parameters
    ----------
    catalogue
        Where the series is stored.
    series_uid
        Its uid, or "-1" for the last one.

    Raises
    ------
    UnknownRunError
        The catalogue holds no run of it, or none that says how the series was to go on.
    """
    uid = last_series(catalogue) if series_uid == LAST else series_uid
    runs = _runs(catalogue, uid)
    arguments = next((run.metadata["start"].get("series_plan") for run in runs), None)
    if not arguments:
        raise UnknownRunError(
            f"the uid of a stored temperature series was expected, {series_uid!r} came, and the catalogue "
            "holds no run of it that says how it goes on; 'vo2 series' begins a new one"
        )
    complete: dict[int, str] = {}
    decisions: dict[int, Mapping[str, Any]] = {}
    attempts: dict[int, int] = {}
    branches: dict[int, Branch] = {}
    ended: dict[int, int] = {}
    again: dict[int, int] = {}
    for run in runs:
        start = run.metadata["start"]
        if start.get("purpose") == "decision":
            decisions[int(start["series_index"])] = dict(start["decision"])
        if start.get("purpose") == "guard" and start["decision"]["action"] == "again":
            again[int(start["series_index"])] = int(start["decision"]["attempt"])
        if start.get("purpose") != "rocking":
            continue
        index = int(start["series_index"])
        attempts[index] = max(attempts.get(index, 0), int(start["attempt"]))
        branches[index] = start["branch"]
        if is_complete(start, run.metadata.get("stop")):
            complete[index], ended[index] = str(start["uid"]), int(start["attempt"])
    for index, attempt in again.items():
        if ended.get(index, 0) <= attempt:
            complete.pop(index, None)
    setup = setup_of(runs[0].metadata["start"])
    last = complete[max(complete)] if complete else None
    pose = next((_pose(run) for run in runs if run.metadata["start"]["uid"] == last), {})
    return SeriesProgress(uid, dict(arguments), complete, attempts, branches, setup, pose, decisions)


def fixed_by_decisions(progress: SeriesProgress) -> SeriesProgress:
    """Return an adaptive series as one of fixed temperatures, those decided so far; another as it is."""
    if not progress.decisions:
        return progress
    decided = [one for _, one in sorted(progress.decisions.items()) if one["action"] == "measure"]
    names = ("eta_start", "eta_stop", "eta_step", "exposure", "align_exposure", "locate", "pre_expose")
    arguments = {name: progress.arguments[name] for name in names}
    kept = ("until", "rest", "undersampled")
    arguments |= {name: progress.arguments[name] for name in kept if name in progress.arguments}
    arguments["temperatures"] = [float(one["temperature"]) for one in decided]
    return dataclasses.replace(progress, arguments=arguments)


def plan_of_rest(
    beamline: BeamlineLike,
    progress: SeriesProgress,
    *,
    reader: OrderParameterReader,
    early: EarlyReader | None,
    steering: Steering,
) -> MsgGenerator[Any]:
    """Return the plan of what is left of a stored series, fixed or adaptive, with its own arguments."""
    if progress.arguments.get("plan") == ADAPTIVE:
        call = vo2_plans.adaptive_call_of(progress.arguments)
        return vo2_plans.adaptive_temperature_series(
            beamline, progress=progress, reader=reader, steering=steering, early=early, **call
        )
    call = vo2_plans.call_of(progress.arguments)
    return vo2_plans.temperature_series(beamline, progress=progress, steering=steering, early=early, **call)


@dataclasses.dataclass(frozen=True)
class PublishedOrder:
    """Reads what is published of a series in its folder: the order parameter, and scans that failed.

    Parameters
    ----------
    folder_of
        Gives the results folder of a series by its uid.
    """

    folder_of: Callable[[str], Path]

    def __call__(self, series_uid: str) -> list[OrderReading]:
        """Return a reading for each scan there is a result of; none while there are none."""
        from analysis.results import read_order_parameter

        folder = self.folder_of(series_uid)
        try:
            rows = read_order_parameter(folder)
        except FileNotFoundError:
            rows = []
        found = {int(row["series_index"]): _reading(row) for row in rows}
        for index, error in failed_scans(folder):
            found.setdefault(index, OrderReading(index, trusted=False, reason=error))
        return [found[index] for index in sorted(found)]


def _reading(row: Mapping[str, Any]) -> OrderReading:
    """Return a row of the table."""
    from analysis.results import error_bar

    value = row.get("order_parameter_rad")
    return OrderReading(
        int(row["series_index"]),
        value if isinstance(value, float) else math.nan,
        error_bar(row),
        bool(row["trusted"]),
        str(row.get("reasons", "")),
    )


def _pose(run: Any) -> dict[str, float]:
    """Return where the diffractometer stood in a rocking scan, degrees; eta at the middle of its curve."""
    try:
        pose = {axis: float(run[f"baseline/{axis}"].read()[0]) for axis in CIRCLES}
    except KeyError:
        return {}  # the peak is then searched for, as in a new series
    scan = run.metadata["start"]["scan"]
    return {**pose, "eta": (float(scan["start"]) + float(scan["stop"])) / 2}


def _runs(catalogue: Catalogue, series_uid: str) -> list[Any]:
    """Return all runs of a series, oldest first."""
    from tiled.queries import Key

    found = catalogue.raw.v3.search(Key("start.series_uid") == series_uid)
    return sorted((as_v3(run) for run in found.values()), key=lambda run: run.metadata["start"]["time"])


def analyse_rest(catalogue: Catalogue, pipeline: Pipeline, series_uid: str | None = None) -> int:
    """Hand the pipeline those complete scans, of a series or of all, that nobody has analysed or is at.

    Returns
    -------
    int
        How many there were.
    """
    queue, before = pipeline.queue, len(pipeline.queue.taken)
    for start in unanalysed_runs(catalogue):
        uid = start["uid"]
        if series_uid not in (None, start.get("series_uid")) or uid in queue.taken:
            continue
        if (holder := queue.claim(uid)) is not None:
            kelvin = start.get("temperature_setpoint", float("nan"))
            pipeline.listener.warn(f"the scan {uid[:8]} at {kelvin:g} K is being analysed by {holder}")
            continue
        if not derived_runs(catalogue, uid):  # another process may have finished it while we looked
            send([find_run(catalogue, uid)], pipeline.collector)
        queue.release(uid)
    return len(queue.taken) - before


def left_undone(catalogue: Catalogue) -> list[str]:
    """Return in words what earlier sessions left undone, with the command that does it."""
    found = []
    for start in unfinished_runs(catalogue):
        found.append(
            f"the scan {start['uid'][:8]} at {start.get('temperature_setpoint', 0):g} K never ended; "
            f"go on with its series: vo2 series --resume {start.get('series_uid', '-1')}, or complete "
            f"the scan from its frames: vo2 recover {start['uid'][:8]}"
        )
    if waiting := unanalysed_runs(catalogue):
        found.append(f"{len(waiting)} stored scans are not analysed yet; do it: vo2 replay --pending")
    return found
