"""A real server process, and sessions in temporary folders."""

import contextlib
import operator

import pytest

from profile_collection.catalogue.client import ensure_server, stop_server
from profile_collection.session.settings import Settings


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

    from profile_collection.session import simulation
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

    from rich.console import Console

    from callbacks.live import LiveView
    from profile_collection.session.session import open_session

    opened = []

    def make(settings, **changes):
        view = LiveView(Console(file=io.StringIO(), width=200))
        session = open_session(
            settings.changed(analysis=fake_analysis, **changes),
            view=view,
            make_executor=lambda: ThreadPoolExecutor(1),
        )
        opened.append(session)
        return session

    yield make
    for session in opened:
        session.close()


PROTOCOLS = {
    "diffractometer": ("Readable", "Stageable", "Stoppable", "HasHints", "Configurable"),
    "diffractometer.eta": ("Readable", "Movable", "Stoppable", "Checkable"),
    "diffractometer.delta": ("Readable", "Movable", "Stoppable", "Checkable"),
    "heated_stage": (
        "Readable",
        "Movable",
        "Stageable",
        "Stoppable",
        "Checkable",
        "HasHints",
        "Configurable",
    ),
    "heated_stage.sx": ("Readable", "Movable", "Stoppable", "Checkable"),
    "heated_stage.Tsample": ("Readable", "Subscribable"),
    "heated_stage.ramp_rate": ("Readable", "Movable", "Subscribable"),
    "merlin": (
        "Readable",
        "Triggerable",
        "Stageable",
        "Stoppable",
        "Pausable",
        "WritesStreamAssets",
        "HasHints",
        "Configurable",
    ),
    "merlin.acquire_time": ("Readable", "Movable", "Subscribable"),
    "beam": ("Readable", "Stageable", "Stoppable", "HasHints", "Configurable"),
    "beam.en": ("Readable", "Movable", "Stoppable", "Checkable"),
    "beam.rc": ("Readable", "Subscribable"),
    "beam.ic1monitor": ("Readable",),
    "beam.transmission": ("Readable", "Movable"),
    "beam.shutter": ("Readable", "Movable", "Stoppable", "Pausable"),
}


@pytest.fixture
def hold_to_protocols():
    """Return a function that holds the devices of a beamline, of whatever form, to Bluesky's protocols."""
    from bluesky import protocols

    def broken_by(device, names):
        return [name for name in ("HasName", *names) if not isinstance(device, getattr(protocols, name))]

    def check(beamline):
        devices = {path: operator.attrgetter(path)(beamline) for path in PROTOCOLS}
        broken = {path: broken_by(device, PROTOCOLS[path]) for path, device in devices.items()}
        assert {path: names for path, names in broken.items() if names} == {}
        for path, device in devices.items():
            described = device.describe()
            internal = {key for key, value in described.items() if "external" not in value}
            assert internal == device.read().keys(), path
            for value in described.values():
                assert {"source", "dtype", "shape"} <= value.keys(), path
        whole = (beamline.diffractometer, beamline.heated_stage, beamline.merlin, beamline.beam)
        keys = [key for device in whole for key in device.describe()]
        assert len(keys) == len(set(keys)), "two devices give data under one name"

    return check
