"""The acquisition process of a campaign: a real session that takes series as lines on its standard input.

The faults of a series that happen inside this process, to the simulated hardware, the RunEngine and the disk,
are applied here.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rich.console import Console

from callbacks.catalogue import UnknownRunError
from callbacks.live import LiveView
from callbacks.pool import make_pool
from profile_collection.checks.campaign.series import (
    ARM,
    CROP,
    WINDOW,
    Fault,
    SeriesTask,
    campaign_settings,
    campaign_twin,
)
from profile_collection.devices.frames import ATTEMPTS
from profile_collection.session import simulation
from profile_collection.session.resuming import analyse_rest
from profile_collection.session.session import Session, open_session

NOTICED_WITHIN = 30.0
"""Seconds within which a fault that shall break an exposure off must have done so."""
OUTSIDE = ("ctrl_c", "kill_acquisition", "kill_analysis", "kill_catalogue")
"""Kinds that the conductor applies from outside, by signals."""

Emit = Callable[..., None]


class Injector:
    """Applies faults at their moments.

    Parameters
    ----------
    session : Session
        The acquisition.
    emit : callable
        Tells the conductor: ``emit(event, **values)``.

    Attributes
    ----------
    wish : str
        What is to be done at the next pause: "resume" or "abort".
    """

    def __init__(self, session: Session, emit: Emit) -> None:
        self._session, self._emit = session, emit
        if session.twin is None:
            raise ValueError("faults of the hardware need the simulated beamline in this process")
        self._twin = session.twin
        self._faults: list[Fault] = []
        self._count = 0
        self._expose = self._twin.expose
        self._frame_file: Path | None = None
        self._start: Mapping[str, Any] = {}
        self._baseline: set[str] = set()
        self._baselines = 0
        self.wish = "resume"
        self._twin.expose = self._watched  # type: ignore[method-assign]
        session.RE.subscribe(self._follow)

    def begin(self, faults: Sequence[Fault], count: int) -> None:
        """Take the faults of a series, of which `count` exposures were made by an earlier process."""
        self._faults, self._count = list(faults), count

    def mend(self) -> None:
        """Put all hardware right."""
        faults, thermal = self._twin.faults, self._twin.thermal
        faults.beam_lost, faults.front_end_open = False, True
        faults.stuck.clear()
        thermal.drift = 0.0
        if thermal.ceiling != float("inf"):
            thermal.ceiling = float("inf")

    def _watched(self, exposure_time: float, cancel: threading.Event | None = None) -> Any:
        self._count += 1
        self._emit("exposure", count=self._count)
        event = cancel or threading.Event()
        for fault in [f for f in self._faults if f.moment <= self._count and f.kind not in LATER]:
            self._faults.remove(fault)
            self._apply(fault, event)
        return self._expose(exposure_time, cancel)

    def _apply(self, fault: Fault, cancel: threading.Event) -> None:
        if fault.kind in OUTSIDE:
            workers = _worker_pids()
            self.wish = "abort" if fault.amount < 0.5 else "resume"
            self._emit("ready", fault=fault.number, workers=workers)
            return
        self._emit("applied", fault=fault.number)
        if fault.kind in ("pause", "abort"):
            self.wish = "abort" if fault.kind == "abort" else "resume"
            self._session.RE.request_pause()
            self._wait(fault, cancel)
        elif fault.kind in ("beam_lost", "front_end", "drift"):
            self._break(fault)
            self._wait(fault, cancel)
            threading.Timer(0.2 + fault.amount, self._undo, [fault.kind]).start()
        else:
            self._break(fault)

    def _break(self, fault: Fault) -> None:
        faults = self._twin.faults
        actions: dict[str, Callable[[], Any]] = {
            "beam_lost": lambda: setattr(faults, "beam_lost", True),
            "front_end": lambda: setattr(faults, "front_end_open", False),
            "drift": lambda: setattr(self._twin.thermal, "drift", 1 + 2 * fault.amount),
            "stuck_motor": lambda: faults.stuck.add("eta"),
            "drop": faults.drop_frames,
            "repeat": faults.repeat_frames,
            "delay": lambda: faults.delay_frames(10 * fault.amount),
            "detector_down": lambda: faults.drop_frames(ATTEMPTS),
        }
        actions[fault.kind]()

    def _undo(self, kind: str) -> None:
        if kind == "beam_lost":
            self._twin.faults.beam_lost = False
        elif kind == "front_end":
            self._twin.faults.front_end_open = True
        else:
            self._twin.thermal.drift = 0.0

    def _wait(self, fault: Fault, cancel: threading.Event) -> None:
        if not cancel.wait(NOTICED_WITHIN):
            self._emit("unnoticed", fault=fault.number)

    def _follow(self, name: str, doc: Mapping[str, Any]) -> None:
        """Follow the documents to the moments between exposures."""
        if name == "start":
            self._start, self._baselines, self._frame_file = doc, 0, None
        elif name == "descriptor" and doc.get("name") == "baseline":
            self._baseline.add(doc["uid"])
        elif name == "stream_resource":
            self._frame_file = Path(unquote(urlsplit(doc["uri"]).path))
        elif name == "event" and doc["descriptor"] in self._baseline:
            self._baselines += 1
            if self._baselines == 2 and self._start.get("purpose") == "rocking":
                self._between_scans()

    def _between_scans(self) -> None:
        """Apply what happens to a scan whose file is closed, and before the next soak."""
        for fault in [f for f in self._faults if f.kind in LATER]:
            if fault.kind == "weak_heater" and self._start["series_index"] == 0:
                self._twin.thermal.ceiling = self._twin.thermal.temperature() + 2.0
            elif fault.kind == "truncated" and self._frame_file is not None:
                size = self._frame_file.stat().st_size
                os.truncate(self._frame_file, int(size * (0.05 + 0.9 * fault.amount)))
            else:
                continue
            self._faults.remove(fault)
            self._emit("applied", fault=fault.number, run=self._start["uid"])


LATER = ("weak_heater", "truncated")


def _worker_pids() -> list[int]:
    import multiprocessing

    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


MOST_TRIES = 20
"""Attempts at a series before it counts as lost."""
MOST_WAITING = 4
"""Scans in analysis above which the next series waits."""


class Reporter:
    """Tells the conductor what happens, as JSON lines through a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")
        self.series: str | None = None
        self._streams: dict[str, str] = {}
        self._starts: dict[str, Mapping[str, Any]] = {}

    def emit(self, event: str, **values: Any) -> None:
        """Send one line."""
        self._pipe.write(json.dumps({"event": event, **values}) + "\n")

    def document(self, name: str, doc: Mapping[str, Any]) -> None:
        """Pass on what of a document the judge will ask for."""
        if name == "start":
            self.series = doc.get("series_uid")
            self._starts[doc["uid"]] = doc
            self.emit("start", run=doc["uid"], series=self.series, purpose=doc.get("purpose"))
        elif name == "descriptor" and doc.get("name") == "primary":
            self._streams[doc["uid"]] = doc["run_start"]
        elif name == "event" and doc["descriptor"] in self._streams:
            data = doc["data"]
            keys = {"eta": "eta", "frame": "merlin_frame_index", "total": "merlin_total"}
            point = {key: float(data[name]) for key, name in keys.items()}
            self.emit("point", run=self._streams[doc["descriptor"]], seq=doc["seq_num"], **point)
        elif name == "stop":
            self.emit("stop", run=doc["run_start"], status=doc["exit_status"])


def measure(
    session: Session, injector: Injector, reporter: Reporter, task: SeriesTask, resume: str | None
) -> None:
    """Measure a series to its end, through whatever happens."""
    reporter.series = resume
    for _ in range(MOST_TRIES):
        injector.mend()
        try:
            plan = session.temperature_series(task.temperatures, WINDOW, locate=False)
            if reporter.series is not None and _has_begun(session, reporter.series):
                plan = session.temperature_series(resume=reporter.series)
            if _through(session, injector, reporter, lambda plan=plan: session.RE(plan)):  # type: ignore[misc]
                reporter.emit("done", series=reporter.series)
                return
        except KeyboardInterrupt:
            reporter.emit("interrupted")
        except Exception as error:
            reporter.emit("error", text=f"{type(error).__name__}: {error}")
        if session.RE.state == "paused":
            session.RE.abort("after an error")
    reporter.emit("gave_up", series=reporter.series)


def _has_begun(session: Session, series: str) -> bool:
    try:
        session.resume(series)
    except UnknownRunError:
        return False
    return True


def _through(session: Session, injector: Injector, reporter: Reporter, act: Callable[[], Any]) -> bool:
    """Run a plan through its pauses; return False where it was aborted."""
    from bluesky.utils import RunEngineInterrupted

    while True:
        try:
            act()
        except RunEngineInterrupted:
            if session.RE.state != "paused":
                return False
            reporter.emit("paused", wish=injector.wish, shutter=session.beamline.beam.shutter.position)
            if injector.wish == "abort":
                session.RE.abort("as the campaign wishes")
                return False
            act = session.RE.resume
        else:
            return True


def wait_for_room(session: Session, reporter: Reporter) -> None:
    """Let the analysis catch up, so that faults find it at work and not far behind."""
    while (left := session.pipeline.queue.backlog) > MOST_WAITING:
        reporter.emit("waiting", left=left)
        time.sleep(0.5)


def main(folder: Path, descriptor: int, seed: int) -> None:
    """Open the session and serve the conductor until it says so, or kills us."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    reporter = Reporter(descriptor)
    simulation.twin_config = campaign_twin  # instead of the large one
    settings = campaign_settings(folder, seed)
    # The faults shall find the analysis at work: it is not niced behind the measurement here.
    pool = partial(make_pool, nice=0, threads=settings.analysis_threads, log=settings.log)
    session = open_session(settings, view=LiveView(Console(width=160)), make_executor=pool)
    session.RE.md["crop"] = list(CROP)
    for axis, angle in ARM.items():
        getattr(session.beamline.diffractometer, axis).move(angle, wait=True)
    session.RE.subscribe(reporter.document)
    injector = Injector(session, reporter.emit)
    reporter.emit("open", pid=os.getpid(), shutter=session.beamline.beam.shutter.position)
    analyse_rest(session.catalogue, session.pipeline)
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # one that comes too late for its exposure
            line = sys.stdin.readline()
            if not line or json.loads(line)["command"] == "close":
                break
            told = json.loads(line)
            task = SeriesTask.from_dict(told["task"])
            injector.begin(task.faults, int(told["count"]))
            measure(session, injector, reporter, task, told["series"])
            wait_for_room(session, reporter)
            reporter.emit("ready_for_more")
    session.pipeline.finish(tick=lambda left: reporter.emit("waiting", left=left))
    session.close()
    reporter.emit("closed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
