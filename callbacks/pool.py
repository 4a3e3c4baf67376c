"""The worker process of the analysis: spawned, niced, deaf to Ctrl-C, with a fixed number of threads."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

NICE = 10
"""The measurement goes first: its worker yields the processor to it."""


def prepare_worker(nice: int, threads: int) -> None:
    """Set up a worker process before it imports anything heavy.

    Parameters
    ----------
    nice
        Added to its niceness.
    threads
        Of every numerical library; fixed, because the same seed must give the same result.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(nice)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["MPLBACKEND"] = "Agg"
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(threads)


def make_pool(*, workers: int = 1, nice: int = NICE, threads: int = 1) -> ProcessPoolExecutor:
    """Return a pool whose processes are already coming up.

    A Ctrl-C in the seconds before a fresh process ignores it would kill it: it is born with the
    signal blocked.
    """
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=prepare_worker,
        initargs=(nice, threads),
    )
    with _sigint_blocked():
        pool.submit(os.getpid)
    return pool


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT in this thread; processes started meanwhile inherit that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
