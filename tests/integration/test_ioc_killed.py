"""The IOC dies under a series over Channel Access; a new one, and the resumed series, complete it."""

import contextlib
import signal
import socket
import subprocess

import h5py
import hdf5plugin  # noqa: F401  registers the decompression filters
import numpy as np
import pytest

from callbacks.catalogue import derived_runs, rocking_starts
from profile_collection.devices.epics.process_variables import read_process_variables
from profile_collection.session.resuming import series_progress
from profile_collection.session.storage import open_catalogue

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SERIES = ("series", "--quick", "--temperatures", "320,350")
WINDOW = ("--eta-start", "17.72", "--eta-stop", "17.88", "--eta-step", "0.02", "--exposure", "30")
POINTS = 9
LONGEST_END = 180.0  # seconds; measured 30, of which most is patience with a connection that may come back


class Programs:
    """The programs `vo2 ioc` and `vo2 series`, over Channel Access at a port of their own."""

    def __init__(self, folder, environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        access = {"VO2_DEVICES": "epics", "VO2_CA_PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        self.program, self.environment = folder / "vo2", {**environment, **access}
        self.started = []

    def start(self, *arguments):
        process = subprocess.Popen(
            [self.program, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def start_ioc(self):
        ioc = self.start("ioc", "--quick")
        read_until(ioc, "serving at")
        return ioc

    def run(self, *arguments, **environment):
        return subprocess.run(
            [self.program, *arguments],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )

    def ask(self, name):
        """Return the value of a process variable, from a client of its own."""
        code = f"import epics; print(epics.caget({name!r}, as_string=True, timeout=30))"
        client = read_process_variables(port=self.port).channel_access.environment()
        python = self.program.with_name("python")
        done = subprocess.run(
            [python, "-c", code],
            env={**self.environment, **client},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout.strip()

    def end(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait(timeout=30)
            process.stdout.close()


@pytest.fixture
def vo2(workplace, programs):
    running = Programs(programs, workplace[1])
    yield running
    running.end()


def read_until(process, words):
    """Return what the process says up to the line with `words`."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def test_kill_9_of_the_ioc_in_mid_series_then_a_new_ioc_and_resume(workplace, vo2):
    """The programs themselves, over Channel Access; compared with an undisturbed series of the same seed.

    Reads: "VO2:EA-… has not answered for 5 s: its IOC has ended or cannot be reached. Start it again, then go
    on with the series: vo2 series --resume -1", "the shutter could not be closed, close it by hand"; exit
    code 1
    Left: the series' process has ended by itself; the new IOC begins with the shutter closed
    On disk: the complete scans as they were; the frames taken so far, in a run that ended with "fail"; the
    same points and frames again as attempt 2, by 'vo2 series --resume -1'
    """
    ioc = vo2.start_ioc()
    series = vo2.start(*SERIES, *WINDOW)
    head = read_until(series, "scan 2/2") + read_until(series, "  point 3/9")
    ioc.send_signal(signal.SIGKILL)
    rest, _ = series.communicate(timeout=LONGEST_END)  # it ends by itself
    assert series.returncode == 1, head + rest
    assert "its IOC has ended or cannot be reached" in rest
    assert "the shutter could not be closed, close it by hand" in rest
    assert "Traceback" not in head + rest
    assert 3 <= readable_frames(workplace[0]) < POINTS

    vo2.start_ioc()
    assert vo2.ask("VO2:EA-SHTR-01:STA") == "Closed"
    resumed = vo2.run("series", "--resume", "-1")
    assert resumed.returncode == 0, resumed.stdout
    undisturbed = vo2.run(*SERIES, *WINDOW, VO2_DEVICES="simulated")
    assert undisturbed.returncode == 0, undisturbed.stdout
    with contextlib.closing(open_catalogue(workplace[0])) as catalogue:
        compare(catalogue)


def readable_frames(settings):
    """Return how many frames of the scan that was cut short can be read."""
    (path,) = settings.frames.glob("*/*350K_heating_rocking_1_*.h5")
    with h5py.File(path, swmr=True, locking=False) as file:
        detector = file["/entry/instrument/merlin"]
        taken = len(detector["timestamp"])
        assert (detector["data"][:taken].sum(axis=(1, 2)) > 0).all()
        return taken


def compare(catalogue):
    """Find the complete scan untouched, and the other measured again like the undisturbed one."""
    starts = rocking_starts(catalogue)
    found, like = (
        series_progress(catalogue, uid) for uid in dict.fromkeys(start["series_uid"] for start in starts)
    )
    assert found.attempts == {0: 1, 1: 2}
    assert like.attempts == {0: 1, 1: 1}
    cut = next(s for s in starts if s["series_uid"] == found.series_uid and s["series_index"] == 1)
    assert catalogue.raw.v3[cut["uid"]].stop["exit_status"] == "fail"
    assert derived_runs(catalogue, cut["uid"]) == []
    assert sorted(found.complete) == sorted(like.complete) == [0, 1]
    for index in (0, 1):
        run, other = (catalogue.raw.v3[one.complete[index]] for one in (found, like))
        table, expected = (columns(one) for one in (run, other))
        for key in ("eta", "Tset"):
            np.testing.assert_allclose(table[key], expected[key], atol=1e-6)
        np.testing.assert_allclose(table["Tsample"], expected["Tsample"], atol=0.1)
        assert list(table["merlin_frame_index"]) == list(range(POINTS))
        frames, others = (one["merlin_image"].astype(float) for one in (table, expected))
        np.testing.assert_array_equal(frames.sum(axis=(1, 2)), table["merlin_total"])
        beam = (table["ic1monitor"] / expected["ic1monitor"])[:, None, None]  # it drifts with time
        difference = ((frames - others * beam) ** 2).sum(axis=(1, 2))
        noise = difference / (frames + others * beam**2).sum(axis=(1, 2))
        assert noise.max() < (2.0 if index else 1e-9), noise  # the neighbouring point's would give hundreds
        order = derived_runs(catalogue, found.complete[index])[-1]["order_parameter/order_parameter"].read()
        assert order[-1] == frames.sum()
        assert order[-1] == pytest.approx((others * beam).sum(), rel=2e-3)


def columns(run):
    """Return what was recorded at a scan's points, by key."""
    keys = ["eta", "Tset", "Tsample", "merlin_frame_index", "merlin_total", "ic1monitor"]
    rows = run["primary"].base["internal"].read(keys)  # one request, not three a column
    return {key: rows[key].to_numpy() for key in keys} | {"merlin_image": run["primary/merlin_image"].read()}
