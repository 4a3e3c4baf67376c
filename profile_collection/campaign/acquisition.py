"""The acquisition process of a campaign: a real session that takes series as lines on its standard input."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from callbacks.catalogue import UnknownRunError
from callbacks.live import LiveView
from callbacks.pool import make_pool
from profile_collection import simulation
from profile_collection.campaign.beamline import ARM, CROP, WINDOW, campaign_settings, campaign_twin
from profile_collection.campaign.injector import Injector
from profile_collection.campaign.kinds import SeriesTask
from profile_collection.resuming import analyse_rest
from profile_collection.session import Session, open_session
from profile_collection.session_plans import current_plans

MOST_TRIES = 20
"""Attempts at a series before it counts as lost."""
MOST_WAITING = 4
"""Scans in analysis above which the next series waits."""


class Reporter:
    """Tells the conductor what happens, as JSON lines through a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = os.fdopen(descriptor, "w", buffering=1)
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
    plans, reporter.series = current_plans(session), resume
    for _ in range(MOST_TRIES):
        injector.mend()
        try:
            plan = plans.temperature_series(list(task.temperatures), **WINDOW)
            if reporter.series is not None and _has_begun(session, reporter.series):
                plan = plans.temperature_series(resume=reporter.series)
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
