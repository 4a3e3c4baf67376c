"""A real server process, and sessions in temporary folders."""

import contextlib

import pytest

from profile_collection.server import ensure_server, stop_server
from profile_collection.settings import Settings


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """Return the settings of a served data folder, shared by the tests that only add runs to it."""
    folder = tmp_path_factory.mktemp("served")
    ensure_server(folder / "data")
    yield Settings(data=folder / "data", results=folder / "results")
    stop_server(folder / "data")


@pytest.fixture
def own_settings(tmp_path):
    """Return the settings of a data folder of this test's own; whatever server it starts is ended."""
    yield Settings(data=tmp_path / "data", results=tmp_path / "results")
    with contextlib.suppress(Exception):
        stop_server(tmp_path / "data")


FAKE_ANALYSIS = '''
"""Stands in for the analysis where that is not the subject: reads the frames and publishes."""

import time
from dataclasses import replace

from callbacks.frames import read_frames
from callbacks.jobs import OrderPoint, ScanSummary, failed
from callbacks.worker import published


def analyse(job, address=None):
    frames = read_frames(job.frame_file, job.dataset, job.frame_index)
    kelvin = float(job.start["temperature_setpoint"])
    if kelvin == 333.0:
        return published(job, failed(job, "this temperature always fails"), address, {})
    if kelvin == 334.0:
        time.sleep(1.0)
    total = float(frames.sum())
    order = (OrderPoint(job.run_uid, kelvin, total, 0.0, False),)
    names = job.run_uid, job.series_uid
    summary = ScanSummary(*names, kelvin, "heating", 1, kelvin, 0.01, 1.0, 2e-4, order, True)
    return published(job, replace(summary, complete=True), address, {"versions": {"fake": "1"}})
'''


@pytest.fixture
def fake_analysis(tmp_path, monkeypatch):
    """Return the name of an analysis that takes no time; a spawned worker can import it too."""
    (tmp_path / "vo2_fake_analysis.py").write_text(FAKE_ANALYSIS)
    monkeypatch.syspath_prepend(tmp_path)
    return "vo2_fake_analysis:analyse"


@pytest.fixture
def tiny_detector(monkeypatch):
    """Have sessions read a few pixels about the centre of a chip."""
    import dataclasses

    from profile_collection import simulation
    from profile_collection.twin import CrystalConfig, DetectorConfig, TwinConfig

    roi = (116, 140, 116, 140)
    crystal = CrystalConfig(size=(300.0, 300.0, 300.0), pitch=(12.5, 12.5, 12.5))
    config = dataclasses.replace(TwinConfig(threads=1), detector=DetectorConfig(roi=roi), crystal=crystal)
    monkeypatch.setattr(simulation, "twin_config", lambda settings: config)
    return roi


@pytest.fixture
def make_session(fake_analysis, tiny_detector):
    """Return a function that opens a session of few pixels, thread in place of worker, output as text."""
    import io
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import replace

    from rich.console import Console

    from callbacks.live import LiveView
    from profile_collection.session import open_session

    opened = []

    def make(settings, **changes):
        view = LiveView(Console(file=io.StringIO(), width=200))
        session = open_session(
            replace(settings, analysis=fake_analysis, **changes),
            view=view,
            make_executor=lambda: ThreadPoolExecutor(1),
        )
        opened.append(session)
        return session

    yield make
    for session in opened:
        session.close()
