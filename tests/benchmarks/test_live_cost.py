"""What the live analysis costs the RunEngine: points paced at 0.2 s, storage on, analysis on against off."""

import contextlib
import dataclasses
import io
import signal
import time

import numpy as np
import psutil
import pytest
from rich.console import Console

from callbacks.live import LiveView
from profile_collection.catalogue.client import stop_server
from profile_collection.session import session as session_module
from profile_collection.session import simulation
from profile_collection.session.settings import Settings
from profile_collection.session.simulation import QUICK
from profile_collection.twin import Clock, CrystalConfig, DetectorConfig, TwinConfig
from vo2_plans import EtaWindow, rocking_scan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ALLOWED = 1.05
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


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Return a session of paced exposures whose analysis keeps a worker process busy."""
    (tmp_path / "vo2_busy_analysis.py").write_text(BUSY)
    monkeypatch.syspath_prepend(tmp_path)
    detector = DetectorConfig(roi=(116, 140, 116, 140))
    crystal = CrystalConfig(size=(300.0, 300.0, 300.0), pitch=(12.5, 12.5, 12.5))
    config = dataclasses.replace(TwinConfig(threads=1), detector=detector, crystal=crystal)
    monkeypatch.setattr(simulation, "twin_config", lambda settings: config)
    monkeypatch.setattr(simulation, "Clock", lambda pace, start: Clock(PACE, start))
    settings = Settings(
        data=tmp_path / "data",
        results=tmp_path / "results",
        analysis="vo2_busy_analysis:analyse",
    )
    session = session_module.open_session(settings, view=LiveView(Console(file=io.StringIO())))
    yield session
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


def test_the_live_chain_costs_the_run_engine_at_most_5_percent(session, record_property):
    keeps_the_worker_busy = QUICK.changed_window(17.7, 17.8, 0.01, EXPOSURE)
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
    running, held = (float(np.median(watch.durations[state])) for state in (True, False))
    documents = float(np.median(collecting))
    record_property(
        "seconds_per_point", {"worker running": running, "worker held": held, "collector": documents}
    )
    assert session.pipeline.queue.backlog > 0
    assert running + documents <= ALLOWED * held, (
        f"{running:.4f} s with, {held:.4f} s without, {documents:.6f} s"
    )
