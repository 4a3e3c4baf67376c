"""The worker processes of the analysis: niced, deaf to Ctrl-C, with a fixed number of threads."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

LOG_FORMAT = "%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"
NICE = 15
"""The measurement goes first: its worker yields the processor to it."""

IDLE = 19
"""Of work that nobody waits for; from this niceness on a process computes only where no other wants to."""


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Variables that numerical libraries read as they are loaded."""


def prepare_worker(
    nice: int, threads: int, log: Path | None = None, environment: Mapping[str, str] | None = None
) -> None:
    """Set up a worker process before it does anything.

    Parameters
    ----------
    nice
        Added to its niceness; `IDLE` leaves it what no other process wants.
    threads
        Of every numerical library; fixed, because the same seed must give the same result.
    log
        File for what a person need not read; standard error where there is none.
    environment
        That of the session: a forked process has the one of when the first was.
    """
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(nice)
    if nice >= IDLE and hasattr(os, "SCHED_IDLE"):  # Linux; elsewhere the niceness has to do
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # The session rotates the file: whoever writes into it too follows it to the new one.
    handlers = None if log is None else [logging.handlers.WatchedFileHandler(log, encoding="utf-8")]
    logging.basicConfig(handlers=handlers, level=logging.WARNING, format=LOG_FORMAT)
    os.environ |= dict.fromkeys(THREADS, str(threads))
    os.environ["MPLBACKEND"] = "Agg"
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(threads)
    with contextlib.suppress(ImportError):  # of libraries that were loaded before it was forked
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)


def _end_with_parent() -> None:
    """End this process when the session's was killed: its scan is on record, and nobody reads the result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def make_pool(
    *,
    workers: int = 1,
    nice: int = NICE,
    threads: int = 1,
    log: Path | None = None,
    first: Callable[[], object] = os.getpid,
    loaded: Sequence[str] = (),
) -> ProcessPoolExecutor:
    """Return a pool whose processes are already coming up, and begin with the importable ``first``.

    With modules that are ``loaded`` one process, shared by all such pools, imports them, and the others are
    forked from it, on Linux; else each is spawned and imports what it needs. A Ctrl-C in the seconds before a
    fresh process ignores it would kill it: it is born with the signal blocked.
    """
    forked = bool(loaded) and sys.platform == "linux"
    context = multiprocessing.get_context("forkserver" if forked else "spawn")
    if forked:
        context.set_forkserver_preload(list(loaded))
    pool = ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=prepare_worker,
        initargs=(nice, threads, log, dict(os.environ)),
    )
    with _sigint_blocked(), _nameless_main(), _one_thread():
        pool.submit(first)
    return pool


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let libraries that a process loads which starts meanwhile have one thread: it will be forked."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ |= dict.fromkeys(THREADS, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _nameless_main() -> Iterator[None]:
    """Keep spawned processes from running the main module again.

    While a startup file runs, IPython lets it pass for the main module, and a spawned process would open a
    second session. What workers run lives in importable modules, so they need none.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT in this thread; processes started meanwhile inherit that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
