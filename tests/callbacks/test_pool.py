"""The real worker process."""

import os
import signal
import sys
import textwrap
import time

import psutil
import pytest

from callbacks.pool import IDLE, NICE, make_pool
from callbacks.queue import AnalysisQueue
from callbacks.worker import LOADED, warm_up

FAKE = """
import os, signal, sys, time
from callbacks.jobs import ScanSummary

def conditions():
    import torch
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    deaf = blocked or signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    warm, said = "callbacks.analyse" in sys.modules, os.environ["SAID_LATER"]
    return os.nice(0), deaf, torch.get_num_threads(), warm, said

def slow(job, address):
    time.sleep(1.0)
    return ScanSummary(job.run_uid, job.series_uid, 320.0, "heating", 1)
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a module that a spawned process can import too."""
    (tmp_path / "fake_worker.py").write_text(textwrap.dedent(FAKE))
    monkeypatch.syspath_prepend(tmp_path)
    import fake_worker

    return fake_worker


@pytest.mark.parametrize("loaded", [(), LOADED])
def test_the_worker_is_niced_deaf_to_ctrl_c_has_its_threads_and_is_warm(fake, loaded, monkeypatch):
    monkeypatch.setenv("SAID_LATER", "yes")
    pool = make_pool(threads=1, first=warm_up, loaded=loaded)
    try:
        nice, deaf, threads, warm, said = pool.submit(fake.conditions).result(timeout=300)
    finally:
        pool.shutdown()
    assert nice == min(os.nice(0) + NICE, 19)
    assert deaf
    assert threads == 1
    assert warm  # before the first job
    assert said == "yes"  # a process that is forked has the session's environment of now


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="idle priority is Linux's")
def test_work_behind_results_has_what_no_other_process_wants():
    pool = make_pool(nice=IDLE)
    try:
        assert pool.submit(os.sched_getscheduler, 0).result(timeout=300) == os.SCHED_IDLE
    finally:
        pool.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_the_process_that_others_are_forked_from_has_not_looked_for_a_gpu():
    pool = make_pool(loaded=LOADED)
    try:
        pool.submit(os.getpid).result(timeout=300)
        children = psutil.Process().children()
        (loader,) = (one for one in children if "forkserver" in _command(one))
        paths = [one.path for one in loader.memory_maps()]
        assert any("torch" in path for path in paths)
        assert not any("libcuda" in path for path in paths)
    finally:
        pool.shutdown()


def test_the_worker_survives_ctrl_c_even_while_it_starts_and_a_killed_one_is_replaced(fake, listener, job):
    queue = AnalysisQueue(fake.slow, make_pool, listener=listener)
    queue.start()
    queue.submit(job)
    for _ in range(5):  # the first of these arrive before the process has run any Python of ours
        for child in _workers():
            child.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert queue.drain(timeout=300)
    assert [(summary.run_uid, summary.error) for summary in listener.analysed] == [(job.run_uid, "")]
    assert listener.remarks == []

    queue.submit(job)
    time.sleep(0.3)
    for child in _workers():
        child.kill()
    assert queue.drain(timeout=300)
    queue.close()
    assert "trying it once more" in listener.remarks[0]
    assert [summary.error for summary in listener.analysed] == ["", ""]
    assert _workers() == []


def _workers():
    return [child for child in psutil.Process().children(recursive=True) if _spawned(child)]


def _spawned(child):
    return "spawn_main" in _command(child)


def _command(child):
    try:
        return " ".join(child.cmdline())
    except psutil.NoSuchProcess:  # it ended between the listing and the look
        return ""
