"""Ctrl-C and kill -9 on real processes: an IPython in a terminal, `vo2 series` in a pipe."""

import contextlib
import os
import signal
import subprocess
import time

import numpy as np
import pexpect
import psutil
import pytest

from callbacks.catalogue import derived_runs, rocking_starts
from callbacks.journal.recovery import unfinished_runs
from profile_collection.session.resuming import series_progress
from profile_collection.session.storage import open_catalogue

pytestmark = pytest.mark.slow

PROFILE = "profile_collection"
SERIES = "temperature_series([{}], 17.76, 17.84, locate=False)"


@pytest.fixture
def ipython(workplace, programs):
    """Return a function that starts an interactive session and waits for its prompt."""
    import profile_collection

    folder = os.path.dirname(profile_collection.__file__)  # noqa: PTH120
    started = []

    def start(**environment):
        shell = pexpect.spawn(
            str(programs / "ipython"),
            [
                f"--profile-dir={folder}",
                "--simple-prompt",
                "--colors=NoColor",
                "--HistoryManager.enabled=False",
            ],
            env={**workplace[1], **environment},
            encoding="utf8",
            timeout=300,
            dimensions=(50, 250),
        )
        started.append(shell)
        shell.expect(r"In \[1\]: ")
        return shell

    yield start
    for shell in started:
        shell.close(force=True)


def ask(shell, code):
    """Return what a line of code prints."""
    shell.sendline(f"print('<<', {code}, '>>')")
    shell.expect(r"\n<< (.*) >>\r\n")
    answer = shell.match.group(1)
    shell.expect(r"In \[\d+\]: ")
    return answer


def workers_of(shell):
    """Return the workers: forked from the process that loaded what they need, or spawned."""
    children = psutil.Process(shell.pid).children(recursive=True)
    loaders = [child.pid for child in children if "multiprocessing.forkserver" in " ".join(child.cmdline())]
    return [
        child for child in children if child.ppid() in loaders or "spawn_main" in " ".join(child.cmdline())
    ]


def test_ctrl_c_pauses_cleanly_the_worker_survives_and_the_scan_goes_on(workplace, ipython):
    """IPython in a terminal, and its analysis at work.

    Reads: "A 'deferred pause' has been requested", then the prompt; RE.resume() goes on
    Left: shutter closed, heater holds its setpoint; the analysis goes on
    On disk: every point once, both scans analysed
    """
    shell = ipython(VO2_TEST_ANALYSIS_SECONDS="4")
    shell.sendline(f"RE({SERIES.format('330.0, 336.0')})")
    shell.expect("scan 2/2")
    (worker,) = workers_of(shell)
    shell.sendintr()
    shell.expect(r"paused: RE\.resume\(\) goes on")
    shell.expect(r"In \[2\]: ")
    assert ask(shell, "RE.state") == "paused"
    assert ask(shell, "session.twin.shutter_open, heated_stage.setpoint") == "False 336.0"
    assert worker.is_running()
    shell.sendline("RE.resume()")
    shell.expect(r"In \[\d+\]: ")
    assert ask(shell, "(session.drain(), len(session.pipeline.summaries))[1]") == "2"
    assert ask(shell, "[s.error for s in session.pipeline.summaries]") == "['', '']"
    assert worker.is_running()
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 0
    assert not worker.is_running()


def test_abort_leaves_the_shutter_closed_and_the_heater_where_it_was(workplace, ipython):
    """Ctrl-C twice in a terminal, then RE.abort().

    Reads: "Pausing...", then the prompt; after RE.abort() "Aborting: running cleanup and marking exit_status
    as 'abort'..."
    Left: idle; shutter closed, heater holds its setpoint
    On disk: the frames taken so far, in a run that ended with "abort"
    """
    shell = ipython()
    shell.sendline(f"RE({SERIES.format('325.0')})")
    shell.expect("scan 1/1")
    shell.sendintr()
    time.sleep(0.3)
    shell.sendintr()
    shell.expect(r"paused: RE\.resume\(\) goes on")
    shell.expect(r"In \[2\]: ")
    shell.sendline("RE.abort()")
    shell.expect(r"In \[\d+\]: ")
    assert ask(shell, "RE.state, session.twin.shutter_open, heated_stage.setpoint") == "idle False 325.0"
    shell.sendline("exit")
    shell.expect(pexpect.EOF)


def series(workplace, programs, temperatures, **environment):
    """Start `vo2 series` in a process group of its own."""
    command = [
        programs / "vo2",
        "series",
        "--temperatures",
        temperatures,
        "--eta-start",
        "17.7",
        "--eta-stop",
        "17.9",
    ]
    return subprocess.Popen(
        command,
        env={**workplace[1], "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process, words, limit=300):
    """Return the output up to the line that contains `words`."""
    lines, end = [], time.monotonic() + limit
    while time.monotonic() < end:
        line = process.stdout.readline()
        lines.append(line)
        if words in line or not line:
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_the_terminal_or_of_the_machine_aborts_an_unattended_series(workplace, programs, number):
    """SIGHUP or SIGTERM, as a lost connection or a shutdown sends them.

    Reads: "interrupted: the scan is aborted, frames already taken are kept"; exit code 130
    Left: shutter closed, heater holds its setpoint; the process has ended
    On disk: complete scans with their results; the frames of the aborted one
    """
    process = series(workplace, programs, "330,335", VO2_TEST_ANALYSIS_SECONDS="0")
    try:
        head = read_until(process, "scan 1/2")
        process.send_signal(number)
        rest, _ = process.communicate(timeout=300)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, head + rest
    assert ("the scan is aborted, frames already taken are kept" in rest) == (number == signal.SIGTERM)
    with contextlib.closing(open_catalogue(workplace[0])) as catalogue:
        last = rocking_starts(catalogue)[-1]
        assert catalogue.raw.v3[last["uid"]].stop["exit_status"] == "abort"


def test_two_ctrl_c_abort_an_unattended_series_drain_the_analysis_and_exit_130(workplace, programs):
    """Nobody is there to resume.

    Reads: "interrupted: the scan is aborted, frames already taken are kept"; exit code 130
    Left: shutter closed, heater holds its setpoint; the process has ended
    On disk: complete scans with their results; the frames of the aborted one
    """
    process = series(workplace, programs, "330,335,340", VO2_TEST_ANALYSIS_SECONDS="3")
    try:
        head = read_until(process, "scan 2/3")
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.3)
        rest, _ = process.communicate(timeout=300)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, head + rest
    assert "the scan is aborted, frames already taken are kept" in rest
    assert "✓ 330 K" in head + rest
    assert "Traceback" not in head + rest
    with contextlib.closing(open_catalogue(workplace[0])) as catalogue:
        first, second = rocking_starts(catalogue)[-2:]
        assert len(derived_runs(catalogue, first["uid"])) == 1
        assert catalogue.raw.v3[second["uid"]].stop["exit_status"] == "abort"


def test_kill_9_in_mid_scan_loses_no_point_that_was_taken(workplace, programs):
    """The run is completed from its frame file.

    Reads: the next session: "the scan 1a2b3c4d at 345 K never ended; go on with its series: vo2 series
    --resume <series>, or complete the scan from its frames: vo2 recover 1a2b3c4d"
    Left: the next session closes the shutter when it starts; the heater holds its setpoint
    On disk: every frame up to the kill; 'vo2 recover' gives the catalogue the points it lacks
    """
    settings, environment = workplace
    process = series(workplace, programs, "345")
    read_until(process, "  point ")
    workers = workers_of(process)
    process.kill()
    process.communicate()
    assert workers
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []

    with contextlib.closing(open_catalogue(settings)) as catalogue:
        (start,) = unfinished_runs(catalogue)
        (path,) = settings.frames.glob(f"{start['series_uid']}/*rocking*{start['uid'][:8]}.h5")
    done = vo2(programs, environment, "recover", start["uid"][:8])
    assert done.returncode == 0, done.stdout
    again = vo2(programs, environment, "recover", start["uid"][:8])

    import h5py
    import hdf5plugin  # noqa: F401

    with h5py.File(path, swmr=True, locking=False) as file:
        detector = file["/entry/instrument/merlin"]
        taken, etas = len(detector["timestamp"]), detector["eta"][...]
        frames = detector["data"][:taken]
    assert f"{taken} now" in done.stdout
    assert f"{taken} points in the catalogue before, {taken} now" in again.stdout
    assert taken >= 5
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        assert unfinished_runs(catalogue) == []
        run = catalogue.raw.v3[start["uid"]]
        assert run.start == start
        assert run.stop["exit_status"] == ("success" if taken == start["scan"]["num"] else "abort")
        np.testing.assert_allclose(run["primary/eta"].read(), etas[:taken])
        np.testing.assert_array_equal(run["primary/merlin_image"].read(), frames)
        assert float(run["baseline/delta"].read()[0]) == pytest.approx(25, abs=5)


def test_kill_9_in_mid_scan_then_the_series_is_resumed_to_its_end(workplace, programs):
    """The killed series and an undisturbed one of the same seed.

    Reads: the next session: "the scan 1a2b3c4d at 355 K never ended; go on with its series: vo2 series
    --resume <series>"
    Left: the next session closes the shutter when it starts; the heater holds its setpoint
    On disk: the complete scans as they were; the killed one with its frames, and again as attempt 2
    """
    settings, environment = workplace
    process = series(workplace, programs, "350,355")
    read_until(process, "scan 2/2")
    read_until(process, "  point ")
    process.kill()
    process.communicate()
    resumed = vo2(programs, environment, "series", "--resume", "-1")
    assert resumed.returncode == 0, resumed.stdout
    assert "go on with its series: vo2 series --resume" in resumed.stdout
    again = series(workplace, programs, "350,355")
    output, _ = again.communicate(timeout=500)
    assert again.returncode == 0, output

    with contextlib.closing(open_catalogue(settings)) as catalogue:
        *_, (killed, found), (_, undisturbed) = _by_series(catalogue)
        assert found.attempts == {0: 1, 1: 2}
        assert sorted(found.complete) == sorted(undisturbed.complete) == [0, 1]
        assert len(killed) == 3
        for index in (0, 1):
            run, other = (catalogue.raw.v3[one.complete[index]] for one in (found, undisturbed))
            assert run.start["series_uid"] == found.series_uid
            frames, like = (one["primary/merlin_image"].read() for one in (run, other))
            assert len(frames) == len(like) == 21
            order, expected = (
                derived_runs(catalogue, one.complete[index])[-1]["order_parameter/order_parameter"].read()[-1]
                for one in (found, undisturbed)
            )
            assert order == frames.sum()
            if index == 0:  # measured before the kill
                np.testing.assert_array_equal(frames, like)
                np.testing.assert_array_equal(run["primary/eta"].read(), other["primary/eta"].read())
            assert order == pytest.approx(expected, rel=0.05)


def _by_series(catalogue):
    """Return the rocking scans' start documents and the progress of each series, oldest first."""
    starts = rocking_starts(catalogue)
    uids = dict.fromkeys(start["series_uid"] for start in starts)
    return [
        ([start for start in starts if start["series_uid"] == uid], series_progress(catalogue, uid))
        for uid in uids
    ]


def vo2(programs, environment, *arguments):
    """Return how a command of the program ended, with what it said."""
    command = [programs / "vo2", *arguments]
    return subprocess.run(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=500,
        check=False,
    )
