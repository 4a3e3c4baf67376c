"""A session of real devices, RunEngine, catalogue and soft-faulty hardware: each fault really happens.

What comes out of a disturbed series is compared with an undisturbed one of the same seed: documents, frames,
and what the analysis makes of them (a stand-in that sums frames by index, monitor and angle: phasing the same
frames would say no more). Points that were taken again differ by their noise, the others not at all.
"""

import contextlib
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from bluesky.run_engine import RunEngineInterrupted
from rich.console import Console

from callbacks.catalogue import derived_runs
from callbacks.live import LiveView
from callbacks.pool import make_pool
from profile_collection import simulation
from profile_collection.campaign.beamline import ARM
from profile_collection.resuming import series_progress
from profile_collection.server import stop_server
from profile_collection.session import open_session
from profile_collection.session_plans import current_plans
from profile_collection.settings import Settings
from profile_collection.twin import BeamConfig, CrystalConfig, DetectorConfig, ThermalConfig, TwinConfig

pytestmark = pytest.mark.slow

TEMPERATURES = [320.0, 330.0]
WINDOW = {"eta_start": 17.72, "eta_stop": 17.88, "eta_step": 0.02, "exposure": 30.0, "locate": False}
POINTS = 9
IN_SCAN = 4  # an exposure of the first scan
PATIENCE = 60.0

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

    def __init__(self, session):
        self.session, self.twin, self.stage = session, session.twin, session.beamline.heated_stage
        self.engine, self.plans = session.RE, current_plans(session)
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
        return self.plans.temperature_series(TEMPERATURES, **WINDOW)

    def measure(self, plan=None):
        """Measure, and return uid of the series with what came of it, by temperature."""
        self.engine(plan or self.series())
        return self.outcome()

    def outcome(self):
        self.session.drain()
        uid = self.session.catalogue.raw.v3.values()[-1].start["series_uid"]
        progress = series_progress(self.session.catalogue, uid)
        return [Scan(self.session, progress.complete[index]) for index in sorted(progress.complete)]

    @property
    def said(self):
        self.text.seek(self._said)
        return self.text.read()

    def safe(self):
        """Whether the shutter is closed, the heater holds, and nothing runs."""
        return self.session.beamline.beam.shutter.position == "closed" and self.stage.setpoint in TEMPERATURES

    def at_exposure(self, number, act):
        """Call `act(cancelled)` in that exposure of the scans; those of the alignment do not count."""
        expose, count = type(self.twin).expose, [0]

        def watched(exposure_time, cancel=None):
            count[0] += exposure_time == WINDOW["exposure"]
            if count[0] == number and exposure_time == WINDOW["exposure"]:
                act(cancel)
            return expose(self.twin, exposure_time, cancel)

        self.twin.expose = watched


class Scan:
    """A stored scan: its points, the last of each seq_num, their frames by index, and its derived run."""

    def __init__(self, session, uid):
        run = session.catalogue.raw.v3[uid]
        self.start, self.stop = run.start, run.stop
        table = {key: run[f"primary/{key}"].read() for key in COMPARED}
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


def check_like(found, undisturbed, *, retaken):
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


def test_the_undisturbed_series_would_show_a_frame_at_the_wrong_point(undisturbed):
    frames = undisturbed[0].frames
    for one, next_one in zip(frames, frames[1:], strict=False):
        assert ((one - next_one) ** 2).sum() / (one + next_one).sum() > 20


def test_pause_and_resume_within_an_exposure(shift, undisturbed):
    """The exposure is broken off, and the point taken again.

    Reads: "Pausing..." and the prompt, with RE.resume(), RE.abort() offered
    Left: shutter closed, heater holds its setpoint, motors where they are
    On disk: every point once; the broken-off frame is overwritten
    """

    def pause(cancelled):
        shift.engine.request_pause()
        assert cancelled.wait(PATIENCE)

    shift.at_exposure(IN_SCAN, pause)
    with pytest.raises(RunEngineInterrupted):
        shift.engine(shift.series())
    assert shift.engine.state == "paused"
    assert shift.safe()
    shift.engine.resume()
    found = shift.outcome()
    check_like(found, undisturbed, retaken=1)
    assert found[0].stored_frames == POINTS


def suspended(shift, undisturbed, capsys, break_it, mend_it, *, words):
    """Break an exposure off by a condition; the scan waits, and goes on by itself once it has passed."""
    seen = []

    def act(cancelled):
        break_it()
        assert cancelled.wait(PATIENCE)
        seen.append((shift.safe(), shift.stage.setpoint, shift.engine.state))
        threading.Timer(0.2, mend_it).start()

    shift.at_exposure(IN_SCAN, act)
    found = shift.measure()
    assert seen == [(True, TEMPERATURES[0], "running")]
    check_like(found, undisturbed, retaken=1)
    assert found[0].stored_frames == POINTS
    assert words in capsys.readouterr().out


def test_ring_current_lost_within_an_exposure(shift, undisturbed, capsys):
    """The suspender waits for beam.

    Reads: "Suspending... ring current below 150 mA; goes on from 200 mA", later "return to nominal
    conditions"
    Left: waiting; shutter closed, heater holds its setpoint; goes on by itself
    On disk: every point once; the exposure without beam is taken again
    """
    faults = shift.twin.faults
    suspended(
        shift,
        undisturbed,
        capsys,
        lambda: setattr(faults, "beam_lost", True),
        lambda: setattr(faults, "beam_lost", False),
        words="ring current below 150 mA; goes on from 200 mA",
    )


def test_front_end_shutter_closed_within_an_exposure(shift, undisturbed, capsys):
    """The suspender waits for the permit.

    Reads: "Suspending... the front end is closed; goes on when it opens"
    Left: waiting; shutter closed, heater holds its setpoint; goes on by itself
    On disk: every point once; the exposure without beam is taken again
    """
    faults = shift.twin.faults
    suspended(
        shift,
        undisturbed,
        capsys,
        lambda: setattr(faults, "front_end_open", False),
        lambda: setattr(faults, "front_end_open", True),
        words="the front end is closed; goes on when it opens",
    )


def test_sample_drifting_off_its_temperature(shift, undisturbed, capsys):
    """The suspender waits for the temperature; the setpoint is not touched.

    Reads: "Suspending... the sample is more than 0.5 K off its setpoint; goes on within 0.25 K"
    Left: waiting; shutter closed, setpoint and ramp unchanged; goes on by itself
    On disk: every point once, each within 0.1 K; the exposure off temperature is taken again
    """
    thermal = shift.twin.thermal
    suspended(
        shift,
        undisturbed,
        capsys,
        lambda: setattr(thermal, "drift", 1.5),
        lambda: setattr(thermal, "drift", 0.0),
        words="the sample is more than 0.5 K off its setpoint; goes on within 0.25 K",
    )


@pytest.mark.parametrize(
    "fault", [lambda f: f.drop_frames(), lambda f: f.repeat_frames(), lambda f: f.delay_frames(30.0)]
)
def test_detector_dropping_repeating_or_delaying_a_frame(shift, undisturbed, fault):
    """A frame that is not the exposure's own is exposed again, twice at most.

    Reads: "merlin: no frame came within 5 s of the exposure's end (attempt 1 of 3)", or "frame 14 was handed
    over again where frame 15 was due"
    Left: the scan goes on; shutter open during exposures only
    On disk: every point once with a frame of its own
    """
    shift.at_exposure(IN_SCAN, lambda cancelled: fault(shift.twin.faults))
    check_like(shift.measure(), undisturbed, retaken=1)
    assert "(attempt 1 of 3)" in shift.said


def fails_then_goes_on(shift, undisturbed, words, *, retaken, complete):
    """See the plan fail in words; mend what is broken, and resume the series to its end."""
    with pytest.raises(RuntimeError, match=words):
        shift.engine(shift.series())
    assert shift.engine.state == "idle"
    assert shift.safe()
    uid = shift.session.catalogue.raw.v3.values()[-1].start["series_uid"]
    before = series_progress(shift.session.catalogue, uid)
    assert len(before.complete) == complete
    shift.mend()
    found = shift.measure(shift.plans.temperature_series(resume=uid))
    check_like(found, undisturbed, retaken=retaken)
    assert all(scan.start["series_uid"] == uid for scan in found)
    return found


def test_detector_giving_no_frame_at_all(shift, undisturbed):
    """Three lost frames in a row end the scan; the series is resumed.

    Reads: "merlin could not take a frame: no frame came within 5 s of the exposure's end, 3 times in a row.
    Check the detector's link and restart its server, then measure this scan again"
    Left: idle; shutter closed, heater holds its setpoint
    On disk: the frames before it; 'vo2 series --resume' measures the scan as attempt 2
    """
    shift.at_exposure(IN_SCAN, lambda cancelled: shift.twin.faults.drop_frames(3))
    found = fails_then_goes_on(shift, undisturbed, "3 times in a row", retaken=2 * POINTS, complete=0)
    assert [scan.start["attempt"] for scan in found] == [2, 1]


def test_stuck_motor(shift, undisturbed):
    """The axis does not arrive; the series is resumed.

    Reads: "eta did not arrive at 17.8 ± 0.0001: it stands at 17.78. Free the motor and check its driver and
    limit switches, then measure again."
    Left: idle; shutter closed, heater holds its setpoint
    On disk: the points before it; 'vo2 series --resume' measures the scan as attempt 2
    """
    shift.at_exposure(IN_SCAN, lambda cancelled: shift.twin.faults.stuck.add("eta"))
    words = r"eta did not arrive at 17\.8 .* it stands at 17\.78"
    found = fails_then_goes_on(shift, undisturbed, words, retaken=2 * POINTS, complete=0)
    assert [scan.start["attempt"] for scan in found] == [2, 1]


def test_heater_not_reaching_its_setpoint(shift, undisturbed):
    """The soak ends at its time-out; the series is resumed.

    Reads: "heated_stage did not settle at 330 ± 0.3 K within 3600 s: it is at 322.00 K, heater 21 %. The
    setpoint is kept. Check heater, ramp rate (5 K/min) and cooling, then start again."
    Left: idle; shutter closed, the setpoint is kept
    On disk: the scans before it, complete; 'vo2 series --resume' goes on with the temperature
    """
    shift.twin.thermal.ceiling = 322.0
    found = fails_then_goes_on(shift, undisturbed, "did not settle at 330", retaken=POINTS, complete=1)
    assert [scan.start["attempt"] for scan in found] == [1, 1]


def test_abort_and_resume_of_the_series(shift, undisturbed):
    """What was aborted is measured again; what was complete is not.

    Reads: "abort 3 points in 2 s", "scan at 330 K: abort after 3 points, not analysed"
    Left: idle; shutter closed, heater holds its setpoint
    On disk: complete scans stay; the aborted one keeps its frames, and is measured again as attempt 2
    """

    def pause(cancelled):
        shift.engine.request_pause()
        assert cancelled.wait(PATIENCE)

    shift.at_exposure(POINTS + IN_SCAN, pause)
    with pytest.raises(RunEngineInterrupted):
        shift.engine(shift.series())
    shift.engine.abort()
    assert shift.safe()
    assert "abort 3 points" in shift.said
    uid = shift.session.catalogue.raw.v3.values()[-1].start["series_uid"]
    found = shift.measure(shift.plans.temperature_series(resume=uid))
    check_like(found, undisturbed, retaken=POINTS)
    assert [scan.start["attempt"] for scan in found] == [1, 2]


def test_truncated_hdf5_file(shift, undisturbed):
    """A file cut short is found by the analysis, not taken for a result.

    Reads: "analysis failed: frames were expected in <file> ... and could not be read: ... truncated file",
    in red
    Left: the series goes on; shutter open during exposures only
    On disk: the other scans complete; a derived run with exit status "fail" says what is wrong with this one
    """
    cut = []

    def truncate(name, doc):
        if name == "stream_resource":
            cut.append(doc["uri"].removeprefix("file://localhost"))
        elif name == "event" and "sx" in doc["data"] and len(cut) == 2:  # the baseline behind the first scan
            os.truncate(cut[1], os.path.getsize(cut[1]) // 2)  # noqa: PTH202
            cut.append(cut[1])

    token = shift.engine.subscribe(truncate)
    try:
        shift.engine(shift.series())
    finally:
        shift.engine.unsubscribe(token)
    shift.session.drain()
    (first,) = [s for s in shift.session.pipeline.summaries[-2:] if s.temperature_setpoint == TEMPERATURES[0]]
    assert "could not be read" in first.error
    assert "✗ 320 K heating" in shift.said
    assert derived_runs(shift.session.catalogue, first.run_uid)[-1].stop["exit_status"] == "fail"
    second = Scan(shift.session, shift.session.pipeline.summaries[-1].run_uid)
    check_like([second], undisturbed[1:], retaken=0)


@pytest.mark.parametrize("deaths", [1, 2])
def test_kill_9_of_the_analysis_worker(shift, undisturbed, deaths):
    """The scan is given to a fresh worker once; a scan that kills two workers is reported.

    Reads: "the analysis process died on the scan 320K_heating_1_…; trying it once more", the second time
    "analysis failed: the analysis process died twice on this scan"
    Left: the measurement does not notice
    On disk: every frame; the scan's result, or its failure as a derived run; the other scans' results
    """
    import vo2_steady_analysis  # the analysis, on the path of this session and of its workers

    queue = shift.session.pipeline.queue
    before, counter = (
        queue._make_executor,
        vo2_steady_analysis.__file__.replace("vo2_steady_analysis.py", "deaths"),
    )
    queue._executor.shutdown()
    queue._executor, queue._make_executor = None, make_pool
    with open(counter, "w") as file:  # noqa: PTH123
        file.write(str(deaths))
    try:
        shift.engine(shift.series())
        shift.session.drain()
        found = shift.outcome() if deaths == 1 else None
    finally:
        workers = psutil.Process().children(recursive=True)
        queue._executor.shutdown()
        queue._executor, queue._make_executor = None, before
        queue.start()
    assert not [worker for worker in workers if worker.is_running() and "spawn_main" in worker.cmdline()]
    assert shift.said.count("trying it once more") == 1
    summaries = shift.session.pipeline.summaries[-2:]
    if deaths == 1:
        check_like(found, undisturbed, retaken=0)
        assert [summary.error for summary in summaries] == ["", ""]
    else:
        assert "died twice on this scan" in next(
            s.error for s in summaries if s.temperature_setpoint == 320.0
        )
        assert next(s.error for s in summaries if s.temperature_setpoint == 330.0) == ""
