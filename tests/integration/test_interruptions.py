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
from callbacks.recovery import unfinished_runs
from profile_collection.server import open_catalogue

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
            timeout=120,
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
    children = psutil.Process(shell.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_ctrl_c_pauses_cleanly_the_worker_survives_and_the_scan_goes_on(workplace, ipython):
    shell = ipython(VO2_TEST_ANALYSIS_SECONDS="4")
    shell.sendline(f"RE({SERIES.format('330.0, 336.0')})")
    shell.expect("scan 2/2")
    (worker,) = workers_of(shell)
    shell.sendintr()
    shell.expect("RunEngineInterrupted")
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
    shell = ipython()
    shell.sendline(f"RE({SERIES.format('325.0')})")
    shell.expect("scan 1/1")
    shell.sendintr()
    time.sleep(0.3)
    shell.sendintr()
    shell.expect("RunEngineInterrupted")
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


def read_until(process, words, limit=120):
    """Return the output up to the line that contains `words`."""
    lines, end = [], time.monotonic() + limit
    while time.monotonic() < end:
        line = process.stdout.readline()
        lines.append(line)
        if words in line or not line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def test_two_ctrl_c_abort_an_unattended_series_drain_the_analysis_and_exit_130(workplace, programs):
    process = series(workplace, programs, "330,335,340", VO2_TEST_ANALYSIS_SECONDS="3")
    try:
        head = read_until(process, "scan 2/3")
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.3)
        rest, _ = process.communicate(timeout=90)
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


def vo2(programs, environment, *arguments):
    """Return how a command of the program ended, with what it said."""
    command = [programs / "vo2", *arguments]
    return subprocess.run(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
