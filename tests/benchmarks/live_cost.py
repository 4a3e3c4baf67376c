"""What the live analysis costs the RunEngine: points paced at 0.2 s, storage on, analysis on against off.

Prints; judges nothing. ``make benchmark`` runs it; alone: ``python tests/benchmarks/live_cost.py``.
"""

import contextlib
import dataclasses
import io
import signal
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
from rich.console import Console

from callbacks.live import LiveView
from profile_collection.catalogue.client import stop_server
from profile_collection.session import session as session_module
from profile_collection.session import simulation
from profile_collection.session.settings import Settings
from profile_collection.twin import Clock, CrystalConfig, DetectorConfig, TwinConfig
from vo2_plans import EtaWindow, rocking_scan

EXPOSURE, PACE = 30.0, 150.0
"""Seconds of the beamline, and how many of them pass in one of ours: an exposure takes 0.2 s."""
BLOCK = 12
WINDOW = EtaWindow(17.2, 18.4, 0.01, EXPOSURE)

BUSY = """
import time
import numpy as np
from callbacks.jobs import ScanSummary


def analyse(job, address=None):
    end = time.monotonic() + 300.0
    values = np.random.default_rng(0).normal(size=(64, 64, 64))
    while time.monotonic() < end:
        values = np.fft.ifftn(np.fft.fftn(values)).real
    return ScanSummary(job.run_uid, job.series_uid, 320.0, "heating", 1)
"""


@contextlib.contextmanager
def paced_session(folder: Path, analysis: str = BUSY):
    """Open a session of paced exposures in ``folder``; by default its analysis keeps a worker busy."""
    (folder / "vo2_busy_analysis.py").write_text(analysis, encoding="utf-8")
    sys.path.insert(0, str(folder))
    detector = DetectorConfig(roi=(116, 140, 116, 140))
    crystal = CrystalConfig(size=(300.0, 300.0, 300.0), pitch=(12.5, 12.5, 12.5))
    config = dataclasses.replace(TwinConfig(threads=1), detector=detector, crystal=crystal)
    settings = Settings(
        data=folder / "data", results=folder / "results", analysis="vo2_busy_analysis:analyse"
    )
    with (
        mock.patch.object(simulation, "twin_config", return_value=config),
        mock.patch.object(simulation, "Clock", lambda pace, start: Clock(PACE, start)),
    ):
        session = session_module.open_session(settings, view=LiveView(Console(file=io.StringIO())))
        try:
            yield session
        finally:
            session.pipeline.queue.close()
            session.close()
            with contextlib.suppress(Exception):
                stop_server(settings.data)


class Stopwatch:
    """Times the points of a run while the worker runs and is held in turn, so that nothing else differs."""

    def __init__(self, worker):
        self.worker, self.points = worker, 0
        self.durations = {True: [], False: []}
        self.last = None

    def __call__(self, name, doc):
        now, running = time.perf_counter(), (self.points // BLOCK) % 2 == 0
        if self.last is not None and self.points % BLOCK > 1:  # the first after a change belongs to neither
            self.durations[running].append(now - self.last)
        self.points, self.last = self.points + 1, now
        if self.points % BLOCK == 0:
            self.worker.send_signal(signal.SIGSTOP if running else signal.SIGCONT)


def timed(function, durations):
    """Return `function`, noting how long each call takes."""

    def call(*args):
        begin = time.perf_counter()
        function(*args)
        durations.append(time.perf_counter() - begin)

    return call


def seconds_per_point(session):
    """Return the median seconds of a point with the worker running, held, and of the collector's part."""
    keeps_the_worker_busy = EtaWindow(17.7, 17.8, 0.01, EXPOSURE)
    session.RE(rocking_scan(session.beamline, keeps_the_worker_busy))
    (worker,) = (p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline()))
    while worker.cpu_times().user < 5.0:
        time.sleep(0.2)
    watch, collecting = Stopwatch(worker), []
    session.RE.subscribe(watch, "event")
    session.RE.subscribe(timed(session.pipeline.collector, collecting), "event")
    try:
        session.RE(rocking_scan(session.beamline, WINDOW))
    finally:
        worker.send_signal(signal.SIGCONT)
    return (float(np.median(times)) for times in (watch.durations[True], watch.durations[False], collecting))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, paced_session(Path(folder)) as session:
        running, held, collector = seconds_per_point(session)
    print("seconds per point of a paced scan, medians")
    print("worker running  worker held  collector  running + collector over held")
    print(f"{running:14.4f}  {held:11.4f}  {collector:9.6f}  {(running + collector) / held:29.3f}")
