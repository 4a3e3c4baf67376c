"""The shift log: a Markdown file a series that says, with times, what happened; to be pasted into an e-log.

Written from the documents of the measurement and the messages of the analysis, an entry at a time, each on
disk before the next: a killed session leaves what happened until then, and a resumed series goes on below.
"""

from __future__ import annotations

import datetime
import logging
import math
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from callbacks.jobs import ScanJob, ScanSummary
from callbacks.scan_end import decided_end
from callbacks.series import FIGURES

logger = logging.getLogger(__name__)

FILE = "shift-log.md"


def append_entry(path: Path, text: str, *, title: str = "") -> None:
    """Append one entry with the present time (ISO 8601 with offset), and have it on disk on return.

    What another process, killed while it wrote, left of a line is ended first.

    Parameters
    ----------
    path
        The file; made with its folder where it is missing.
    text
        What happened, on one line or on several, the first of which follows the time.
    title
        Heading of a file that is begun.
    """
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        head = f"# {title}\n\n" if not size and title else ""
        if size:
            file.seek(size - 1)
            head = "" if file.read(1) == b"\n" else "\n"
        file.write(f"{head}- {now} {text.rstrip()}\n".encode())
        file.flush()
        os.fsync(file.fileno())


class ShiftLog:
    """Callback and listener that keeps ``shift-log.md`` beside the results of each series.

    Nothing that goes wrong with it reaches the measurement: a full disk is logged, and the entry lost.

    Parameters
    ----------
    folder_of
        Gives the results folder of a series by its uid.

    Attributes
    ----------
    series
        Uid of the series that was measured or analysed last, empty before the first.
    """

    def __init__(self, folder_of: Callable[[str], Path]) -> None:
        self._folder_of = folder_of
        self._lock = threading.Lock()
        self._start: Mapping[str, Any] = {}
        self._points = 0
        self._primary: set[str] = set()
        self._measured: set[str] = set()
        self._open: dict[str, bool] = {}
        self.series = ""

    # -- documents -----------------------------------------------------------------------------------------

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document of a series."""
        try:
            self._take(name, doc)
        except Exception:
            logger.exception("a %s document could not be noted in the shift log", name)

    def _take(self, name: str, doc: Mapping[str, Any]) -> None:
        if name == "start" and "series_uid" in doc:
            self._begin(doc)
        elif name == "descriptor" and doc.get("run_start") == self._start.get("uid"):
            if doc.get("name", "primary") == "primary":
                self._primary.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in self._primary:
            self._points = int(doc["seq_num"])
        elif name == "stop" and self._start and doc["run_start"] == self._start["uid"]:
            self._end(doc)

    def _begin(self, doc: Mapping[str, Any]) -> None:
        self._start, self._points, uid = doc, 0, str(doc["series_uid"])
        self._primary.clear()
        if uid not in self._open:
            going_on = (self._folder_of(uid) / FILE).exists()
            self.series = uid
            self._open[uid] = False
            self.note(_of_series(doc, going_on=going_on))
        self.series = uid
        if doc.get("purpose") == "rocking":
            self._measured.add(uid)
            retake = " **retake**," if int(doc.get("attempt", 1)) > 1 else ""
            self.note(f"{_name(doc)}:{retake} scan `{str(doc['uid'])[:8]}` begins, {_of_scan(doc)}")
        elif doc.get("purpose") in ("decision", "guard"):
            self.note(f"**decided** ({doc['decision']['action']}): {_name(doc)}: {doc['decision']['reason']}")
        elif doc.get("plan_name") != "pre_exposure":
            self.note(f"{_name(doc)}: aligning")

    def _end(self, doc: Mapping[str, Any]) -> None:
        start, status = self._start, str(doc.get("exit_status"))
        self._start = {}
        if status != "success":
            why = f": {doc['reason']}" if doc.get("reason") else ""
            self.note(f"{_name(start)}: **{status}** after {self._points} points{why}")
        elif start.get("purpose") == "rocking":
            wanted = (start.get("scan") or {}).get("num", self._points)
            decided = decided_end(start, doc)
            why = f", **decided**: {decided}" if decided else ""
            self.note(f"{_name(start)}: {self._points} of {wanted} points measured{why}")

    # -- messages ------------------------------------------------------------------------------------------

    def note(self, text: str, series_uid: str = "") -> None:
        """Note what happened to the present series, or to the one named; without one there is no entry."""
        uid = series_uid or self.series
        if not uid:
            return
        try:
            with self._lock:
                append_entry(self._folder_of(uid) / FILE, text, title=f"Shift log of {uid}")
        except Exception:
            logger.exception("the shift log of %s could not be written: %s", uid, text)

    def state_changed(self, new: str, old: str) -> None:
        """Note that a person pauses the measurement, or has it go on."""
        if new == "paused":
            self.note("**paused** by hand; the shutter is closed, the heater holds its setpoint")
        elif old == "paused":
            self.note({"running": "goes on after the pause"}.get(new, f"after the pause: {new}"))

    def scan_queued(self, job: ScanJob) -> None:
        """Note what is to be said of a scan's points."""
        faults = list(job.notes)
        if job.extra_frames:
            faults.append(f"{job.extra_frames} frames taken again after an interruption")
        for fault in faults:
            self.note(f"{_name(job.start)}: **fault**: {fault}", job.series_uid)

    def scan_analysed(self, summary: ScanSummary) -> None:
        """Note the verdict on a scan, and the order parameter when the series is complete."""
        uid = summary.series_uid
        self._open[uid] = summary.complete
        self.note(_verdict(summary, self._folder_of(uid)), uid)
        for warning in summary.warnings:
            self.note(f"**fault**: {warning}", uid)
        if summary.complete:
            self.note("".join(["**the series is complete**", *_table(summary)]), uid)
            self._note_files(uid)

    def other_result(self, summary: ScanSummary) -> None:
        """Note nothing: what is not final is not for the record."""

    def warn(self, message: str) -> None:
        """Note a remark that people were shown."""
        self.note(f"remark: {message}")

    def close(self) -> None:
        """Note the end of the session in every series that it measured or analysed."""
        for uid, complete in self._open.items():
            if not complete:
                self._note_files(uid)
            self.note("**end** of the session" + ("" if complete else ", the series is not complete"), uid)
        self._open.clear()

    def _note_files(self, uid: str) -> None:
        folder = self._folder_of(uid)
        found = sorted((folder / FIGURES).glob("*.png"))
        names = ", ".join(f"[{path.name}]({path.relative_to(folder).as_posix()})" for path in found)
        self.note(f"results in {folder}; figures: {names or 'none drawn'}", uid)


def _name(start: Mapping[str, Any]) -> str:
    """Return which temperature a run measures, in words."""
    kelvin = f"{float(start.get('temperature_setpoint', math.nan)):g} K {start.get('branch', '')}".rstrip()
    attempt = int(start.get("attempt", 1))
    return kelvin if attempt == 1 else f"{kelvin}, attempt {attempt}"


def _of_series(doc: Mapping[str, Any], *, going_on: bool) -> str:
    kelvin = (doc.get("series_plan") or {}).get("temperatures", ())
    what = f"{doc.get('series_size', 1)} temperatures" + (
        f" ({', '.join(f'{one:g}' for one in kelvin)} K)" if kelvin else ""
    )
    kind = {True: "SIMULATED", False: "REAL"}.get(doc.get("simulated"), "")  # type: ignore[arg-type]
    said = [str(doc[key]) for key in ("sample", "proposal", "operator", "software_version") if doc.get(key)]
    begun = "the series **goes on** in another session" if going_on else "the series **begins**"
    return f"{begun}: {what}; " + ", ".join([*([kind] if kind else []), *said])


def _of_scan(doc: Mapping[str, Any]) -> str:
    scan = doc.get("scan") or {}
    least = f"{scan['least']} to " if "least" in scan else ""
    words = [f"{least}{scan.get('num', '?')} points"]
    if "start" in scan and "stop" in scan:
        words.append(f"{scan.get('axis', 'eta')} {scan['start']:g} to {scan['stop']:g}°")
    if "exposure" in scan:
        words.append(f"{scan['exposure']:g} s each")
    if chosen := doc.get("attenuation"):
        words.append(
            f"decided: transmission {chosen['transmission']:.3g}, at most {chosen['predicted_peak']:.3g} "
            "counts in the brightest pixel expected"
        )
    return ", ".join(words)


def _verdict(summary: ScanSummary, folder: Path) -> str:
    name = f"{summary.temperature_setpoint:g} K {summary.branch}"
    name += f", attempt {summary.attempt}" if summary.attempt > 1 else ""
    if summary.error:
        return f"{name}: **not analysed**: {summary.error}"
    own = next((point for point in summary.order if point.run_uid == summary.run_uid), None)
    numbers = [
        f"T {summary.temperature:.2f} K",
        f"χ² {summary.chi_squared:.4f}",
        f"noise ratio {summary.noise_ratio:.2f}",
        f"strain σ {summary.strain_sigma:.2e}",
        *([f"O {own.value:.2f} ± {own.error:.2f} rad"] if own else []),
        f"{summary.seconds:.0f} s",
    ]
    if summary.result_file is not None:
        path = summary.result_file
        numbers.append(path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path))
    why = f" ({'; '.join(summary.reasons)})" if summary.reasons else ""
    numbers += [f"note: {note}" for note in summary.notes]
    return f"{name}: **{'trusted' if summary.trusted else 'not trusted'}**{why}, {', '.join(numbers)}"


def _table(summary: ScanSummary) -> list[str]:
    """Return the order parameter as the lines of a Markdown table, indented under its entry."""
    lines = ["\n\n  | T (K) | branch | O (rad) | ± | |", "\n  |---|---|---|---|---|"]
    for point in summary.order:
        verdict = "trusted" if point.trusted else point.reason or "not trusted"
        verdict += ", provisional" if point.provisional else ""
        cells = (f"{point.temperature:g}", point.branch, f"{point.value:.2f}", f"{point.error:.2f}", verdict)
        lines.append(f"\n  | {' | '.join(cells)} |")
    return [*lines, "\n"]
