"""The analysis as a session, a replay or an ingestion uses it: collector, queue and worker put together."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from callbacks.catalogue import Address
from callbacks.collect import EarlyRule, ScanCollector
from callbacks.jobs import Listener, ScanSummary
from callbacks.pool import IDLE, make_pool
from callbacks.queue import Analysis, AnalysisQueue, PendingRecord
from callbacks.series import SeriesState, finish_series
from callbacks.worker import LOADED, warm_up

DEFAULT_ANALYSIS = "callbacks.worker:analyse_scan"
BESIDE = "callbacks.worker:analyse_beside"


@dataclass(frozen=True)
class PipelineSettings:
    """What the analysis needs to know.

    Parameters
    ----------
    folder_of
        Gives the results folder of a series by its uid.
    folders
        Folders that frames may be read from.
    address
        Of the catalogue that results are published in; None publishes nothing.
    pending
        Folder of the record of scans not analysed yet; None keeps none.
    seed
        Of the phasing.
    crop
        Voxels about the peak that are phased, where not the usual ones.
    threads
        Of the worker.
    replayed
        True for stored documents.
    log
        File for the worker's log; standard error where there is none.
    analysis
        Importable function, ``module:name``, called in the worker with a job and the address.
    live
        True where the scans are being measured: each is previewed, and one that its early results may end has
        such results. Only the usual `analysis` does that.
    early
        When there are early results of a scan that still runs, None for never; the same holds.
    epochs
        Of transfer learning behind each result, 0 for none; the same holds.
    """

    folder_of: Callable[[str], Path]
    folders: Sequence[Path]
    address: Address | None = None
    pending: Path | None = None
    seed: int = 0
    crop: tuple[int, int, int] | None = None
    threads: int = 1
    replayed: bool = False
    log: Path | None = None
    analysis: str = DEFAULT_ANALYSIS
    live: bool = False
    early: EarlyRule | None = None
    epochs: int = 0


class Pipeline:
    """Documents in at `collector`, results out at the listener; closed by `close`.

    Parameters
    ----------
    settings
    listener
        Shows what happens.
    make_executor
        Makes the executor; a pool with one process by default. Give ``client.get_executor`` of a
        ``dask.distributed.Client`` to analyse on a cluster.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        listener: Listener,
        make_executor: Callable[[], Executor] | None = None,
    ) -> None:
        self.settings = settings
        self.listener = listener
        usual = settings.analysis == DEFAULT_ANALYSIS
        pool = partial(make_pool, log=settings.log, loaded=LOADED if usual else ())
        self.queue = AnalysisQueue(
            import_function(settings.analysis),
            make_executor
            or partial(
                pool,
                threads=settings.threads,
                first=warm_up if usual and settings.live else os.getpid,
            ),
            listener=listener,
            address=settings.address,
            pending=PendingRecord(settings.pending) if settings.pending else None,
            beside=import_function(BESIDE) if usual else None,
            make_behind=make_executor or partial(pool, nice=IDLE),
        )
        self.collector = ScanCollector(
            self.queue.submit,
            warn=listener.warn,
            folder_of=settings.folder_of,
            folders=settings.folders,
            seed=settings.seed,
            crop=settings.crop,
            replayed=settings.replayed,
            preview=settings.live and usual,
            early=settings.early if usual else None,
            until=EarlyRule(least_left=0.0) if settings.live and usual else None,
            epochs=settings.epochs if usual else 0,
        )

    @property
    def summaries(self) -> list[ScanSummary]:
        """Everything analysed so far."""
        return self.queue.summaries

    def finish(self, *, tick: Callable[[int], None] | None = None) -> dict[str, SeriesState]:
        """Analyse all that is queued, and draw the figures of series that ended early.

        Returns
        -------
        dict
            State of each series that was incomplete, by uid.
        """
        self.queue.drain(tick=tick)
        early = {}
        for uid, last in {summary.series_uid: summary for summary in self.summaries}.items():
            if not last.complete and last.result_file is not None:
                early[uid] = self.queue.call(finish_series, last.result_file.parents[1]).result()
        return early

    def close(self) -> list[str]:
        """Stop the workers; return the uids of scans that are left for another session."""
        return self.queue.close()


def import_function(name: str) -> Analysis:
    """Return the function that ``module:name`` names.

    Raises
    ------
    ValueError
        There is no such function.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"an importable 'module:function' was expected, {name!r} came ({error})") from error
    if not callable(found):
        raise ValueError(f"a function was expected, {name!r} is {type(found).__name__}; name another")
    return found
