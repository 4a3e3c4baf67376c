"""A session of real devices, RunEngine and catalogue whose hardware breaks, and an undisturbed series.

What comes out of a disturbed series is compared with an undisturbed one of the same seed: documents, frames,
and what the analysis makes of them (a stand-in that sums frames by index, monitor and angle: phasing the same
frames would say no more). Points that were taken again differ by their noise, the others not at all.
"""

import contextlib
import io
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from rich.console import Console

from callbacks.catalogue import derived_runs
from callbacks.live import LiveView
from profile_collection.catalogue.client import stop_server
from profile_collection.checks.campaign.series import ARM
from profile_collection.session import simulation
from profile_collection.session.resuming import series_progress
from profile_collection.session.session import open_session
from profile_collection.session.settings import Settings
from profile_collection.twin import BeamConfig, CrystalConfig, DetectorConfig, ThermalConfig, TwinConfig
from vo2_plans import EtaWindow

TEMPERATURES = [320.0, 330.0]
WINDOW = EtaWindow(17.72, 17.88, 0.02, 30.0)
POINTS = 9

ANALYSIS = '''
"""Stands in for the phasing: a number that changes with every frame, angle, monitor and temperature."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from callbacks.frames import read_frames
from callbacks.jobs import OrderPoint, ScanSummary, failed
from callbacks.worker import published


def analyse(job, address=None):
    deaths = Path(__file__).with_name("deaths")
    if deaths.exists() and int(deaths.read_text()) > 0:
        deaths.write_text(str(int(deaths.read_text()) - 1))
        os.kill(os.getpid(), signal.SIGKILL)
    kelvin = float(job.start["temperature_setpoint"])
    try:
        frames = read_frames(job.frame_file, job.dataset, job.frame_index)
    except ValueError as error:
        return published(job, failed(job, str(error)), address, {})
    curve = frames.sum(axis=(1, 2)) / job.monitor
    value = float(curve @ job.eta / curve.sum()) + kelvin
    order = (OrderPoint(job.run_uid, kelvin, value, 0.0, False),)
    names = job.run_uid, job.series_uid
    summary = ScanSummary(*names, kelvin, "heating", 1, kelvin, 0.01, 1.0, 2e-4, order, True)
    return published(job, summary, address, {})
'''


@pytest.fixture(scope="module")
def beamtime(tmp_path_factory):
    """Open one session for all of these tests: a small crystal, steady beam. Close it with its server."""
    folder = tmp_path_factory.mktemp("beamtime")
    (folder / "vo2_steady_analysis.py").write_text(ANALYSIS)
    config = TwinConfig(
        crystal=CrystalConfig(size=(300.0, 300.0, 300.0), pitch=(12.5, 12.5, 12.5)),
        detector=DetectorConfig(roi=(112, 144, 112, 144), quadrature=1),
        beam=BeamConfig(drift=0.0, lifetime=1e9),
        thermal=ThermalConfig(fluctuation=0.0),
        threads=1,
    )
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(folder)
    patch.delitem(sys.modules, "vo2_steady_analysis", raising=False)  # another module's, in another folder
    patch.setattr(simulation, "twin_config", lambda settings: config)
    settings = Settings(
        data=folder / "data", results=folder / "results", analysis="vo2_steady_analysis:analyse"
    )
    view = LiveView(Console(file=io.StringIO(), width=200))
    session = open_session(settings, view=view, make_executor=lambda: ThreadPoolExecutor(1))
    yield session
    session.close()
    patch.undo()
    with contextlib.suppress(Exception):
        stop_server(settings.data)


class Beamtime:
    """A session whose simulated beamline is back where it began, and what a series gave."""

    temperatures, points = TEMPERATURES, POINTS
    in_scan = 4  # an exposure of the first scan
    patience = 60.0

    def __init__(self, session):
        self.session, self.twin, self.stage = session, session.twin, session.beamline.heated_stage
        self.engine = session.RE
        self.text = session.view.console.file
        self._said = self.text.tell()
        self._rewind()

    def _rewind(self):
        """Put hardware, clock and noise back to what they were when the session opened."""
        thermal = self.twin.thermal
        for axis, angle in {**ARM, "eta": 17.8}.items():
            getattr(self.session.beamline.diffractometer, axis).move(angle, wait=True)
        self.twin.clock._slept = 0.0
        thermal._from = thermal._setpoint = self.twin.config.thermal.start
        thermal._began = self.twin.clock.now()
        self.session.beamline.beam.transmission.put(1.0)
        self.twin._visits.clear()
        self.twin._state = self.twin._frames = None
        self.mend()
        self.stage._settled_at = None

    def mend(self):
        faults, thermal = self.twin.faults, self.twin.thermal
        faults.beam_lost, faults.front_end_open = False, True
        faults.stuck.clear()
        thermal.drift, thermal.ceiling = 0.0, float("inf")

    def series(self):
        return self.session.temperature_series(TEMPERATURES, WINDOW, locate=False)

    def measure(self, plan=None):
        """Measure, and return uid of the series with what came of it, by temperature."""
        self.engine(plan or self.series())
        return self.outcome()

    def outcome(self):
        self.session.drain()
        progress = series_progress(self.session.catalogue, self.last_series())
        return [Scan(self.session, progress.complete[index]) for index in sorted(progress.complete)]

    def scan(self, uid):
        return Scan(self.session, uid)

    @property
    def said(self):
        self.text.seek(self._said)
        return self.text.read()

    def pause_at(self, number):
        """Ask for a pause within that exposure."""

        def pause(cancelled):
            self.engine.request_pause()
            assert cancelled.wait(self.patience)

        self.at_exposure(number, pause)

    def last_series(self):
        """Return the uid of the series measured last."""
        return self.session.catalogue.raw.v3.values()[-1].start["series_uid"]

    def safe(self):
        """Whether the shutter is closed, the heater holds, and nothing runs."""
        return self.session.beamline.beam.shutter.position == "closed" and self.stage.setpoint in TEMPERATURES

    def at_exposure(self, number, act):
        """Call `act(cancelled)` in that exposure of the scans; those of the alignment do not count."""
        expose, count = type(self.twin).expose, [0]

        def watched(exposure_time, cancel=None):
            count[0] += exposure_time == WINDOW.exposure
            if count[0] == number and exposure_time == WINDOW.exposure:
                act(cancel)
            return expose(self.twin, exposure_time, cancel)

        self.twin.expose = watched


class Scan:
    """A stored scan: its points, the last of each seq_num, their frames by index, and its derived run."""

    def __init__(self, session, uid):
        run = session.catalogue.raw.v3[uid]
        self.start, self.stop = run.start, run.stop
        rows = run["primary"].base["internal"].read(list(COMPARED))  # one request, not three a column
        table = {key: rows[key].to_numpy() for key in COMPARED}
        last = {int(seq): n for n, seq in enumerate(table["seq_num"])}
        rows = [last[seq] for seq in sorted(last)]
        self.columns = {key: values[rows] for key, values in table.items()}
        frames = run["primary/merlin_image"].read()
        self.frames = frames[self.columns["merlin_frame_index"].astype(int)].astype(float)
        self.stored_frames = len(frames)
        derived = derived_runs(session.catalogue, uid)
        self.order = float(derived[-1]["order_parameter/order_parameter"].read()[0]) if derived else None


COMPARED = ("seq_num", "eta", "Tset", "Tsample", "merlin_frame_index", "merlin_total", "ic1monitor", "rc")


@pytest.fixture(scope="module")
def undisturbed(beamtime):
    """Return the scans of a series that nothing happened to."""
    return Beamtime(beamtime).measure()


@pytest.fixture
def shift(beamtime, undisturbed):
    """Return the beamline at the beginning of a series; mend it afterwards."""
    shift = Beamtime(beamtime)
    yield shift
    shift.twin.__dict__.pop("expose", None)
    shift.mend()
    if shift.engine.state == "paused":
        shift.engine.abort()


@pytest.fixture
def check_like(undisturbed):
    """Return what compares a series with the undisturbed one."""
    return lambda found, *, retaken, like=undisturbed: compare(found, like, retaken=retaken)


def compare(found, undisturbed, *, retaken):
    """Find the same points with the same frames; at most `retaken` of them have noise of their own."""
    assert [scan.stop["exit_status"] for scan in found] == ["success"] * len(undisturbed)
    own_noise = 0
    for scan, other in zip(found, undisturbed, strict=True):
        assert len(scan.columns["eta"]) == POINTS
        assert len(set(scan.columns["merlin_frame_index"])) == POINTS
        for key in ("eta", "Tset"):
            np.testing.assert_allclose(scan.columns[key], other.columns[key], atol=1e-6)
        np.testing.assert_allclose(scan.columns["Tsample"], other.columns["Tsample"], atol=0.1)
        np.testing.assert_array_equal(scan.frames.sum(axis=(1, 2)), scan.columns["merlin_total"])
        difference = ((scan.frames - other.frames) ** 2).sum(axis=(1, 2))
        noise = difference / (scan.frames + other.frames).sum(axis=(1, 2))
        assert noise.max() < 1.5  # the neighbouring point's frame would give hundreds
        own_noise += int((noise > 0.2).sum())
        assert scan.order == pytest.approx(other.order, abs=2e-4)
    assert own_noise <= retaken
