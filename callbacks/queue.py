"""The analysis queue: takes jobs at once, runs them elsewhere, forgets none, and reports each."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from functools import partial
from pathlib import Path
from typing import Any

from callbacks.catalogue import Address
from callbacks.jobs import Listener, ScanJob, ScanSummary, failed
from callbacks.locks import exclusive_lock, lock_holder

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


class AnalysisQueue:
    """Feeds an executor one job per worker, so that a broken worker takes no other job with it.

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
        Jobs given to the executor at a time.

    Attributes
    ----------
    summaries
        What came of the jobs that are done.
    taken
        Uids of the runs of all jobs taken so far.
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
    ) -> None:
        self._analyse = analyse
        self._make_executor = make_executor
        self._listener = listener
        self._address = address
        self._pending = pending
        self._workers = workers
        self._executor: Executor | None = None
        self._waiting: deque[tuple[ScanJob, int]] = deque()
        self._running: dict[Future[ScanSummary], ScanJob] = {}
        self._changed = threading.Condition(threading.RLock())
        self._closed = False
        self.summaries: list[ScanSummary] = []
        self.taken: set[str] = set()

    @property
    def backlog(self) -> int:
        """Jobs queued or running."""
        with self._changed:
            return len(self._waiting) + len(self._running)

    def start(self) -> None:
        """Bring the workers up before the first job needs them."""
        with self._changed:
            if self._executor is None:
                self._executor = self._make_executor()

    def submit(self, job: ScanJob) -> None:
        """Take a job; returns at once.

        Raises
        ------
        RuntimeError
            The queue is closed.
        """
        if self._closed:
            raise RuntimeError("the analysis queue is closed; open a new session")
        if (holder := self.claim(job.run_uid)) is not None:
            self._listener.warn(f"the scan {job.stem} is being analysed by {holder}; it is left to that")
            return
        if self._pending is not None:
            self._pending.add(job)
        self._listener.scan_queued(job)
        self.taken.add(job.run_uid)
        with self._changed:
            self._waiting.append((job, 1))
        self._feed()

    def claim(self, run_uid: str) -> str | None:
        """Become the one that analyses a scan; return None, or in words which process is at it already."""
        return None if self._pending is None else self._pending.claim(run_uid)

    def release(self, run_uid: str) -> None:
        """Leave a scan that was claimed to others, unless it has been taken."""
        if self._pending is not None and run_uid not in self.taken:
            self._pending.release(run_uid)

    def _feed(self) -> None:
        """Give the executor what it has room for."""
        with self._changed:
            while self._waiting and len(self._running) < self._workers:
                job, attempt = self._waiting.popleft()
                self.start()
                future = self._hand_over(job)
                self._running[future] = job
                future.add_done_callback(partial(self._done, job, attempt))

    def _hand_over(self, job: ScanJob) -> Future[ScanSummary]:
        """Submit to the executor, to a fresh one where it is found dead."""
        assert self._executor is not None  # noqa: S101  start() made it
        try:
            return self._executor.submit(self._analyse, job, self._address)
        except BrokenExecutor:
            self._executor = self._make_executor()
            return self._executor.submit(self._analyse, job, self._address)

    def _done(self, job: ScanJob, attempt: int, future: Future[ScanSummary]) -> None:
        """Report a finished job and feed the next; a job whose worker died is tried once more."""
        try:
            summary = future.result()
        except CancelledError:
            summary = None
        except BrokenExecutor as error:
            summary = self._worker_died(job, attempt, error)
        except Exception as error:
            logger.exception("the analysis of %s raised", job.run_uid)
            summary = failed(job, f"{type(error).__name__}: {error}")
        if summary is not None:
            self._report(summary)
        with self._changed:  # after the report: who waits for the queue wants to have read it
            self._running.pop(future, None)
            self._changed.notify_all()
        if not self._closed:
            self._feed()

    def _worker_died(self, job: ScanJob, attempt: int, error: BaseException) -> ScanSummary | None:
        """Queue the job again, once, with a fresh executor."""
        with self._changed:
            self._executor = None
            if attempt > 1 or self._closed:
                return failed(job, f"the analysis process died twice on this scan ({error})")
            self._waiting.appendleft((job, attempt + 1))
        self._listener.warn(f"the analysis process died on the scan {job.stem}; trying it once more")
        return None

    def _report(self, summary: ScanSummary) -> None:
        """Strike the job out and tell the listener; a view that fails must not stop the queue."""
        if self._pending is not None:
            self._pending.remove(summary.run_uid)
        with self._changed:
            self.summaries.append(summary)
        with contextlib.suppress(Exception):
            self._listener.scan_analysed(summary)

    def call(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have an importable function run by a worker, behind the job it is at."""
        with self._changed:
            self.start()
            assert self._executor is not None  # noqa: S101  start() made it
            return self._executor.submit(function, *args)

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
            left = [job.run_uid for job in self._running.values()] + [job.run_uid for job, _ in self._waiting]
            self._waiting.clear()
            executor, self._executor = self._executor, None
        if executor is not None:
            stop_executor(executor, kill=bool(left))
        if self._pending is not None:
            self._pending.close()
        return left


def stop_executor(executor: Executor, *, kill: bool) -> None:
    """Shut an executor down; with `kill`, end the jobs it is at, whose uids are on record."""
    processes: dict[int, Any] = getattr(executor, "_processes", None) or {}
    if kill:
        for process in list(processes.values()):
            process.terminate()
    executor.shutdown(wait=True, cancel_futures=True)
