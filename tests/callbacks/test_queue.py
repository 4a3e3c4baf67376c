import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from callbacks.jobs import ScanSummary, SoFar
from callbacks.pool import make_pool
from callbacks.queue import AnalysisQueue, PendingRecord


def summarise(job, address):
    return ScanSummary(job.run_uid, job.series_uid, 320.0, "heating", 1, chi_squared=0.01)


def one_thread():
    return ThreadPoolExecutor(1)


def make_queue(listener, analyse=summarise, make_executor=one_thread, **options):
    return AnalysisQueue(analyse, make_executor, listener=listener, **options)


def test_a_job_is_analysed_and_reported(listener, job):
    queue = make_queue(listener)
    queue.submit(job)
    assert queue.drain(timeout=10)
    queue.close()
    assert [summary.run_uid for summary in listener.analysed] == [job.run_uid]
    assert listener.queued == [job]


def test_submitting_does_not_wait_for_the_analysis(listener, job):
    release = threading.Event()
    queue = make_queue(listener, lambda job, address: (release.wait(10), summarise(job, address))[1])
    for _ in range(3):
        queue.submit(job)
    assert queue.backlog == 3
    assert listener.analysed == []
    assert not queue.drain(timeout=0.1)
    release.set()
    assert queue.drain(timeout=10)
    assert len(queue.summaries) == 3
    queue.close()


def test_a_failing_analysis_is_a_summary_with_the_reason_and_the_next_goes_on(listener, job):
    failures = iter([True, False])

    def analyse(job, address):
        if next(failures):
            raise ValueError("the peak is beside the detector")
        return summarise(job, address)

    queue = make_queue(listener, analyse)
    queue.submit(job)
    queue.submit(job)
    assert queue.drain(timeout=10)
    queue.close()
    first, second = listener.analysed
    assert "the peak is beside the detector" in first.error
    assert second.error == ""


class DyingExecutor:
    """Breaks on its first job, as a pool does whose process was killed."""

    def submit(self, function, *args):
        future = Future()
        future.set_exception(BrokenExecutor("killed"))
        return future

    def shutdown(self, **_):
        pass


def test_a_job_whose_worker_died_is_tried_once_more(listener, job):
    executors = iter([DyingExecutor(), one_thread()])
    queue = make_queue(listener, make_executor=lambda: next(executors))
    queue.submit(job)
    assert queue.drain(timeout=10)
    queue.close()
    assert listener.analysed[0].error == ""
    assert "trying it once more" in listener.remarks[0]


def test_a_job_that_kills_its_worker_twice_is_reported_and_takes_no_other_with_it(listener, job):
    executors = iter([DyingExecutor(), DyingExecutor(), one_thread()])
    queue = make_queue(listener, make_executor=lambda: next(executors))
    queue.submit(job)
    queue.submit(job)
    assert queue.drain(timeout=10)
    queue.close()
    first, second = listener.analysed
    assert "died twice" in first.error
    assert second.error == ""


def test_what_is_not_analysed_stays_on_record(listener, job, tmp_path):
    release = threading.Event()
    pending = PendingRecord(tmp_path / "pending")
    queue = make_queue(listener, lambda *_: release.wait(10), pending=pending)
    queue.submit(job)
    assert pending.uids() == [job.run_uid]
    threading.Timer(0.2, release.set).start()
    assert queue.close() == [job.run_uid]
    again = make_queue(listener, pending=pending)
    again.submit(job)
    assert again.drain(timeout=10)
    again.close()
    assert pending.uids() == []


def test_a_listener_that_fails_does_not_stop_the_queue(listener, job):
    listener.scan_analysed = lambda summary: 1 / 0
    queue = make_queue(listener)
    queue.submit(job)
    queue.submit(job)
    assert queue.drain(timeout=10)
    assert len(queue.summaries) == 2
    queue.close()


def test_a_closed_queue_takes_nothing(listener, job):
    queue = make_queue(listener)
    queue.close()
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit(job)


def test_a_scan_is_analysed_by_one_process_at_a_time_and_that_one_is_named(listener, job, tmp_path):
    """Locks belong to open files, so a second record of the same folder stands for another process."""
    release = threading.Event()

    def slowly(job, address):
        release.wait(10)
        return summarise(job, address)

    ours = make_queue(listener, slowly, pending=PendingRecord(tmp_path))
    theirs = make_queue(listener, pending=PendingRecord(tmp_path))
    ours.submit(job)
    assert "process" in theirs.claim(job.run_uid)
    theirs.submit(job)
    assert theirs.backlog == 0
    assert "is being analysed by process" in listener.remarks[-1]
    release.set()
    assert ours.drain(timeout=10)
    assert theirs.claim(job.run_uid) is None
    theirs.release(job.run_uid)
    assert ours.claim(job.run_uid) is None
    ours.close()
    assert theirs.claim(job.run_uid) is None
    theirs.close()
    assert len(listener.analysed) == 1


class Staged:
    """Two analyses that note what they begin and wait until they are let go, one job after the other."""

    def __init__(self, **summaries):
        self.begun, self.let_go, self.changed = [], 0, threading.Condition()
        self.summaries = summaries

    def __call__(self, job, address):
        with self.changed:
            number = len(self.begun)
            self.begun.append((job.stage, job.run_uid))
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.let_go > number, 10)
        return replace(summarise(job, address), stage=job.stage, **self.summaries)

    def wait_for(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.begun) >= count, 10), self.begun

    def finish(self, count=1000):
        with self.changed:
            self.let_go = count
            self.changed.notify_all()


def of_run(job, uid, stage="final", **changes):
    return replace(job, start={**job.start, "uid": uid}, stage=stage, **changes)


@pytest.fixture
def staged(listener):
    final, beside = Staged(), Staged()
    queue = make_queue(listener, final, beside=beside)
    yield queue, final, beside
    final.finish()
    beside.finish()
    queue.close()


def others_done(listener, count):
    with listener.changed:
        assert listener.changed.wait_for(lambda: len(listener.others) >= count, 120), listener.others
    return [(one.stage, one.run_uid) for one in listener.others]


def test_no_early_result_is_begun_while_a_final_one_waits_or_is_at_work(staged, listener, job):
    queue, final, beside = staged
    queue.submit(of_run(job, "a"))
    final.wait_for(1)
    queue.submit(of_run(job, "b", "early"))
    queue.submit(of_run(job, "c", "transfer"))
    time.sleep(0.05)
    assert beside.begun == []
    final.finish()
    beside.finish()
    assert sorted(others_done(listener, 2)) == [("early", "b"), ("transfer", "c")]  # each has its worker


def test_of_early_results_one_is_at_work_and_the_newest_waits(staged, listener, job):
    queue, _, beside = staged
    for points in range(4):
        queue.submit(of_run(job, "a", "early", seed=points))
        if points == 0:
            beside.wait_for(1)
    assert [one.job.seed for one in queue._waiting] == [3]
    assert queue.backlog == 0  # nobody waits for them
    beside.finish()
    assert others_done(listener, 2) == [("early", "a")] * 2
    assert len(beside.begun) == 2


def test_a_final_job_drops_the_early_one_that_waits_and_no_other_is_taken(staged, listener, job):
    queue, final, beside = staged
    queue.submit(of_run(job, "a", "early"))
    beside.wait_for(1)
    queue.submit(of_run(job, "a", "early"))
    queue.submit(of_run(job, "a"))
    final.wait_for(1)  # it does not wait for the early one at work
    queue.submit(of_run(job, "a", "early"))
    final.finish()
    beside.finish()
    assert queue.drain(timeout=10)
    assert beside.begun == [("early", "a")]
    assert listener.others == []  # what came of it came too late
    assert [one.run_uid for one in listener.analysed] == ["a"]


def test_a_settled_early_result_is_the_last(listener, job):
    so_far = SoFar(points=150, wanted=221, overlap=0.99, covered=True)
    beside = Staged(trusted=True, so_far=so_far)
    beside.finish()
    queue = make_queue(listener, beside=beside)
    queue.submit(of_run(job, "a", "early"))
    others_done(listener, 1)
    queue.submit(of_run(job, "a", "early"))
    queue.submit(of_run(job, "b", "early"))
    assert others_done(listener, 2) == [("early", "a"), ("early", "b")]
    queue.close()


def test_a_preview_is_made_beside_only_where_the_final_job_has_to_wait(staged, listener, job):
    queue, final, beside = staged
    queue.submit(of_run(job, "a", preview=True))
    final.wait_for(1)
    assert queue._waiting == []
    queue.submit(of_run(job, "b", preview=True))
    beside.wait_for(1)
    queue.submit(of_run(job, "c", preview=True))  # waits, and so does its preview
    assert beside.begun == [("preview", "b")]
    final.finish()
    assert queue.drain(timeout=10)
    assert [one.job.run_uid for one in queue._waiting] == []  # superseded by its final job
    assert [one.run_uid for one in listener.analysed] == ["a", "b", "c"]


def test_final_jobs_go_first_and_none_is_dropped(staged, listener, job):
    queue, final, _ = staged
    for uid in "abc":
        queue.submit(of_run(job, uid))
        queue.submit(of_run(job, uid, "early"))
        queue.submit(of_run(job, uid, "transfer"))
    assert queue.backlog == 6  # transfer is kept, too
    final.finish()
    queue._beside.analyse.finish()
    assert queue.drain(timeout=10)
    assert [one.run_uid for one in listener.analysed] == ["a", "b", "c"]
    assert [one.stage for one in listener.others] == ["transfer"] * 3


def test_transfer_learning_follows_a_result_and_neither_early_nor_final_results_wait_for_it(
    staged, listener, job
):
    queue, final, beside = staged
    queue.submit(of_run(job, "a", epochs=5))
    final.wait_for(1)
    assert beside.begun == []
    final.finish(1)
    beside.wait_for(1)
    assert beside.begun == [("transfer", "a")]
    assert queue.backlog == 1  # a session's end waits for it
    queue.submit(of_run(job, "b", "early", epochs=5))
    beside.wait_for(2)
    assert beside.begun[1] == ("early", "b")
    queue.submit(of_run(job, "b", epochs=5))
    final.wait_for(2)
    queue.submit(of_run(job, "c"))  # without
    final.finish()
    beside.finish()
    assert queue.drain(timeout=10)
    assert [one.run_uid for one in listener.analysed] == ["a", "b", "c"]
    assert [(stage, uid) for stage, uid in others_done(listener, 2) if stage == "transfer"] == [
        ("transfer", "a"),
        ("transfer", "b"),
    ]


def test_without_work_beside_other_stages_are_not_taken(listener, job):
    queue = make_queue(listener)
    for stage in ("preview", "early", "transfer"):
        queue.submit(of_run(job, "a", stage))
    queue.submit(of_run(job, "a", preview=True))
    assert queue.drain(timeout=10)
    queue.close()
    assert listener.others == []
    assert len(listener.analysed) == 1


def sleep_or_die(job, address):
    """Stand for an early analysis that takes long, or that kills its process."""
    if job.seed:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@pytest.mark.parametrize("killed", [False, True])
def test_a_final_job_ends_the_early_one_at_work_and_a_killed_one_is_said(listener, job, killed):
    queue = make_queue(listener, beside=sleep_or_die, make_beside=make_pool)
    queue.submit(of_run(job, "a", "early", seed=int(killed)))
    if killed:
        assert others_done(listener, 1) == [("early", "a")]
        assert "died" in listener.others[0].error
    queue.submit(of_run(job, "a"))
    assert queue.drain(timeout=120)
    assert [one.error for one in listener.analysed] == [""]
    assert len(listener.others) == int(killed)
    assert queue.close() == []
