"""The analysis queue: takes jobs at once, runs them elsewhere, forgets no final one, and reports each."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from callbacks.catalogue import Address
from callbacks.jobs import FINAL, PRIORITY, Listener, ScanJob, ScanSummary, Stage, failed
from callbacks.locks import exclusive_lock, lock_holder
from callbacks.scan_end import closer_asked

logger = logging.getLogger(__name__)

Analysis = Callable[[ScanJob, Address | None], ScanSummary]


class PendingRecord:
    """The uids of scans that are not analysed yet, one small file each, so that a session's end loses none.

    A scan is analysed by the process that has claimed it, and by no other meanwhile.

    Parameters
    ----------
    folder
        Where the files are; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._claims: dict[str, contextlib.ExitStack] = {}

    def claim(self, run_uid: str) -> str | None:
        """Become the one that analyses a scan; return None, or in words which process is at it already."""
        if run_uid in self._claims:
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{run_uid}.lock"
        stack = contextlib.ExitStack()
        try:
            stack.enter_context(exclusive_lock(path))
        except BlockingIOError:
            return lock_holder(path)
        self._claims[run_uid] = stack
        return None

    def release(self, run_uid: str) -> None:
        """Leave a scan to others."""
        if stack := self._claims.pop(run_uid, None):
            (self._folder / f"{run_uid}.lock").unlink(missing_ok=True)
            stack.close()

    def close(self) -> None:
        """Leave all scans to others; what is on record stays there."""
        for run_uid in list(self._claims):
            self.release(run_uid)

    def add(self, job: ScanJob) -> None:
        """Note a scan."""
        self._folder.mkdir(parents=True, exist_ok=True)
        now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
        note = {"run_uid": job.run_uid, "series_uid": job.series_uid, "since": now}
        self._file(job.run_uid).write_text(json.dumps(note), encoding="utf-8")

    def remove(self, run_uid: str) -> None:
        """Strike a scan out."""
        self._file(run_uid).unlink(missing_ok=True)
        self.release(run_uid)

    def uids(self) -> list[str]:
        """Return the uids of the runs noted, in no order."""
        return [path.stem for path in self._folder.glob("*.json")] if self._folder.is_dir() else []

    def _file(self, run_uid: str) -> Path:
        return self._folder / f"{run_uid}.json"


@dataclass(eq=False)
class _Waiting:
    """A job that has not begun, and which try it is."""

    job: ScanJob
    attempt: int = 1


@dataclass(eq=False)
class _Lane:
    """Workers of one kind, what they call, and what they are at."""

    analyse: Analysis
    make_executor: Callable[[], Executor]
    workers: int
    executor: Executor | None = None
    running: dict[Future[ScanSummary], ScanJob] = field(default_factory=dict)
    ended: set[Future[ScanSummary]] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Whether another job would have to wait."""
        return len(self.running) >= self.workers

    def start(self) -> Executor:
        """Bring the workers up."""
        if self.executor is None:
            self.executor = self.make_executor()
        return self.executor

    def submit(self, job: ScanJob, address: Address | None) -> Future[ScanSummary]:
        """Hand a job over, to fresh workers where they are found dead."""
        try:
            return self.start().submit(self.analyse, job, address)
        except BrokenExecutor:
            self.executor = None
            return self.start().submit(self.analyse, job, address)

    def end(self) -> None:
        """End what the workers are at, and them; threads run on, and their result is not reported."""
        self.ended |= set(self.running)
        executor, self.executor = self.executor, None
        if executor is not None:
            _terminate(executor)
            executor.shutdown(wait=False)


class AnalysisQueue:
    """Feeds workers one job each, so that a broken worker takes no other job with it.

    Jobs begin in the order of `callbacks.jobs.PRIORITY`, those of one stage in the order they came. Final
    results have workers of their own; everything else is done beside them, one job at a time:

    - A final job is never dropped, and waits for nothing but other final ones.
    - A preview is made beside where the workers are busy with other scans (else by the final job itself,
      which has the crop at hand); it is dropped when its final job begins.
    - An early result is begun, and work behind a result (transfer) as well, where no final job waits or is at
      work. Of early jobs one waits: the newest. A final job ends the early one that is at work, of whichever
      scan, and no early job is taken of a scan whose final one is there, or whose early result is settled and
      agrees with the one before as closely as the scan's rule asks, if it has one.
    - Work behind a result follows a final one whose job asks for it (`ScanJob.epochs`), and has a worker of
      its own: no early result waits for it. It is kept until it is done, as final jobs are; where its worker
      died, it has failed.

    Parameters
    ----------
    analyse
        Importable function that a worker calls with the job and the catalogue's address.
    make_executor
        Makes the executor, and another where a worker died.
    listener
        Is told what is queued, done and failed.
    address
        Of the catalogue to publish in; None publishes nothing.
    pending
        Record of what is not done.
    workers
        Final jobs given to the executor at a time.
    beside
        Importable function that is called for the other stages, as `analyse` is; None does none of them.
    make_beside
        Makes the executor for it; `make_executor` by default.
    make_behind
        Makes the executor for work behind a result; `make_beside` by default.

    Attributes
    ----------
    summaries
        What came of the final jobs that are done.
    taken
        Uids of the runs of all final jobs taken so far.
    """

    def __init__(
        self,
        analyse: Analysis,
        make_executor: Callable[[], Executor],
        *,
        listener: Listener,
        address: Address | None = None,
        pending: PendingRecord | None = None,
        workers: int = 1,
        beside: Analysis | None = None,
        make_beside: Callable[[], Executor] | None = None,
        make_behind: Callable[[], Executor] | None = None,
    ) -> None:
        make_beside, others = make_beside or make_executor, 1 if beside else 0
        self._final = _Lane(analyse, make_executor, workers)
        self._beside = _Lane(beside or analyse, make_beside, others)
        self._behind = _Lane(beside or analyse, make_behind or make_beside, others)
        self._listener = listener
        self._address = address
        self._pending = pending
        self._waiting: list[_Waiting] = []
        self._changed = threading.Condition(threading.RLock())
        self._closed = False
        self._settled: set[str] = set()
        self.summaries: list[ScanSummary] = []
        self.taken: set[str] = set()

    @property
    def backlog(self) -> int:
        """Jobs queued or running that are to be finished: final ones, and work behind them."""
        with self._changed:
            return sum(job.stage in KEPT for job in self._jobs())

    def _jobs(self) -> list[ScanJob]:
        """Return all jobs, those at work first."""
        lanes = (self._final, self._beside, self._behind)
        at_work = [job for lane in lanes for job in lane.running.values()]
        return [*at_work, *(one.job for one in self._waiting)]

    def start(self) -> None:
        """Bring the workers up before the first job needs them."""
        with self._changed:
            self._final.start()

    def submit(self, job: ScanJob) -> None:
        """Take a job; returns at once.

        Raises
        ------
        RuntimeError
            The queue is closed.
        """
        if self._closed:
            raise RuntimeError("the analysis queue is closed; open a new session")
        if job.stage == FINAL:
            self._take_final(job)
        else:
            self._take_other(job)
        self._feed()

    def _take_final(self, job: ScanJob) -> None:
        """Note a scan, and put it in line."""
        if (holder := self.claim(job.run_uid)) is not None:
            self._listener.warn(f"the scan {job.stem} is being analysed by {holder}; it is left to that")
            return
        if self._pending is not None:
            self._pending.add(job)
        self._listener.scan_queued(job)
        with self._changed:
            self.taken.add(job.run_uid)
            self._waiting = [one for one in self._waiting if one.job.stage != "early"]
            if any(other.stage == "early" for other in self._beside.running.values()):
                self._beside.end()
            self._waiting.append(_Waiting(job))
            if job.preview and self._final.full:
                self._take_other(replace(job, stage="preview"))

    def _take_other(self, job: ScanJob) -> None:
        """Put a job in line that is not final, unless nothing would come of it."""
        with self._changed:
            if not self._beside.workers:
                return
            if job.stage == "early":
                if job.run_uid in self.taken | self._settled:
                    return
                self._waiting = [one for one in self._waiting if one.job.stage != "early"]
            self._waiting.append(_Waiting(job))

    def claim(self, run_uid: str) -> str | None:
        """Become the one that analyses a scan; return None, or in words which process is at it already."""
        return None if self._pending is None else self._pending.claim(run_uid)

    def release(self, run_uid: str) -> None:
        """Leave a scan that was claimed to others, unless it has been taken."""
        if self._pending is not None and run_uid not in self.taken:
            self._pending.release(run_uid)

    def _feed(self) -> None:
        """Give the workers what they have room for."""
        with self._changed:
            for lane in (self._final, self._beside, self._behind):
                while not lane.full and (one := self._next(lane)) is not None:
                    future = lane.submit(one.job, self._address)
                    lane.running[future] = one.job
                    future.add_done_callback(partial(self._done, lane, one))

    def _next(self, lane: _Lane) -> _Waiting | None:
        """Take the next job for `lane` out of the line; None where none may begin."""
        for one in sorted(self._waiting, key=lambda one: PRIORITY.index(one.job.stage)):
            if self._may_begin(one.job, lane):
                self._waiting = [
                    other
                    for other in self._waiting
                    if other is not one and not (lane is self._final and other.job.previews(one.job))
                ]
                return one
        return None

    def _lane_of(self, stage: Stage) -> _Lane:
        return {FINAL: self._final, "transfer": self._behind}.get(stage, self._beside)

    def _may_begin(self, job: ScanJob, lane: _Lane) -> bool:
        if lane is not self._lane_of(job.stage):
            return False
        if job.stage == FINAL:
            return True
        return job.stage == "preview" or all(other.stage != FINAL for other in self._jobs())

    def _done(self, lane: _Lane, one: _Waiting, future: Future[ScanSummary]) -> None:
        """Report a finished job and feed the next; a final job whose worker died is tried once more."""
        try:
            summary = future.result()
        except CancelledError:
            summary = None
        except BrokenExecutor as error:
            summary = self._worker_died(lane, one, future, error)
        except Exception as error:
            logger.exception("the analysis of %s raised", one.job.run_uid)
            summary = failed(one.job, f"{type(error).__name__}: {error}")
        if summary is not None and future not in lane.ended:
            self._report(one.job, summary)
        with self._changed:  # after the report: who waits for the queue wants to have read it
            lane.running.pop(future, None)
            lane.ended.discard(future)
            self._changed.notify_all()
        if not self._closed:
            self._feed()

    def _worker_died(
        self, lane: _Lane, one: _Waiting, future: Future[ScanSummary], error: BaseException
    ) -> ScanSummary | None:
        """Queue a final job again, once, for a fresh worker."""
        job = one.job
        with self._changed:
            if future in lane.ended:
                return None
            lane.executor = None
            if job.stage != FINAL:
                return failed(job, f"the analysis process died ({error})")
            if one.attempt > 1 or self._closed:
                return failed(job, f"the analysis process died twice on this scan ({error})")
            self._waiting.insert(0, _Waiting(job, one.attempt + 1))
        self._listener.warn(f"the analysis process died on the scan {job.stem}; trying it once more")
        return None

    def _report(self, job: ScanJob, summary: ScanSummary) -> None:
        """Strike the job out and tell the listener; a view that fails must not stop the queue."""
        if job.stage != FINAL:
            so_far = summary.so_far
            if summary.settled and so_far is not None and not closer_asked(job.start, so_far.overlap):
                self._settled.add(job.run_uid)
            with contextlib.suppress(Exception):
                self._listener.other_result(summary)
            return
        if self._pending is not None:
            self._pending.remove(summary.run_uid)
        with self._changed:
            self.summaries.append(summary)
        with contextlib.suppress(Exception):
            self._listener.scan_analysed(summary)
        if job.epochs and not summary.error:
            self._take_other(replace(job, stage="transfer"))

    def call(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have an importable function run by a worker, behind the job it is at."""
        with self._changed:
            return self._final.start().submit(function, *args)

    def drain(self, *, timeout: float | None = None, tick: Callable[[int], None] | None = None) -> bool:
        """Wait until everything is analysed; return False at the time-out.

        Parameters
        ----------
        timeout
            Seconds; None waits as long as it takes.
        tick
            Called about four times a second with the number of jobs left.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while left := self.backlog:
            if deadline is not None and time.monotonic() > deadline:
                return False
            if tick is not None:
                tick(left)
            with self._changed:
                self._changed.wait(0.25)
        return True

    def close(self) -> list[str]:
        """Stop; return the uids of scans left for another session (see `drain` to leave none)."""
        with self._changed:
            self._closed = True
            left = [job.run_uid for job in self._jobs() if job.stage == FINAL]
            self._waiting.clear()
            executor, self._final.executor = self._final.executor, None
            self._beside.end()
            self._behind.end()
        if executor is not None:
            stop_executor(executor, kill=bool(left))
        if self._pending is not None:
            self._pending.close()
        return left


KEPT = ("final", "transfer")
"""Stages of jobs that a session waits for."""


def stop_executor(executor: Executor, *, kill: bool) -> None:
    """Shut an executor down; with `kill`, end the jobs it is at, whose uids are on record."""
    if kill:
        _terminate(executor)
    executor.shutdown(wait=True, cancel_futures=True)


def _terminate(executor: Executor) -> None:
    """End the processes of an executor that has any."""
    processes: dict[int, Any] = getattr(executor, "_processes", None) or {}
    for process in list(processes.values()):
        process.terminate()
