import threading
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor

import pytest

from callbacks.jobs import ScanSummary
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
