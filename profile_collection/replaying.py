"""Replay of stored runs, with their results where they belong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from callbacks.catalogue import Catalogue, find_run, unanalysed_runs
from callbacks.jobs import Listener, OrderPoint
from callbacks.pipeline import Pipeline, PipelineSettings
from callbacks.replay import runs_to_replay, send
from callbacks.series import SCANS
from profile_collection.settings import Settings

REPLAY = "replay"


def replay(
    catalogue: Catalogue,
    settings: Settings,
    listener: Listener,
    which: Any = -1,
    output: Path | None = None,
    *,
    make_executor: Callable[[], Executor] | None = None,
) -> tuple[OrderPoint, ...]:
    """Send a stored series, or one run of it, through the live path and return the order parameter.

    Parameters
    ----------
    catalogue, settings, listener
        Where the runs are, where results go, who shows them.
    which
        Uid of a series, -1 for the last, a run or its uid.
    output
        Folder of the results; ``results/<series>/replay`` by default.
    make_executor
        Stand-in for the worker process.
    """
    runs = runs_to_replay(catalogue, which)
    series_uid = str(runs[0].metadata["start"]["series_uid"])
    folder = output or settings.results / series_uid / REPLAY
    again = {run.metadata["start"]["uid"][:8] for run in runs}
    _seed(settings.results / series_uid / SCANS, folder / SCANS, again)
    pipeline = Pipeline(_settings(catalogue, settings, lambda _: folder, True), listener, make_executor)
    try:
        send(runs, pipeline.collector)
        early = pipeline.finish()
        if series_uid in early:
            return early[series_uid].order
        return pipeline.summaries[-1].order if pipeline.summaries else ()
    finally:
        pipeline.close()


def analyse_pending(
    catalogue: Catalogue,
    settings: Settings,
    listener: Listener,
    *,
    make_executor: Callable[[], Executor] | None = None,
) -> int:
    """Analyse every stored scan that has no derived run; return how many there were."""
    runs = [find_run(catalogue, start["uid"]) for start in unanalysed_runs(catalogue)]
    pipeline = Pipeline(
        _settings(catalogue, settings, lambda uid: settings.results / uid, False), listener, make_executor
    )
    try:
        send(runs, pipeline.collector)
        pipeline.finish()
    finally:
        pipeline.close()
    return len(runs)


def _settings(
    catalogue: Catalogue, settings: Settings, folder_of: Callable[[str], Path], replayed: bool
) -> PipelineSettings:
    return PipelineSettings(
        folder_of=folder_of,
        folders=(settings.frames,),
        address=catalogue.address,
        pending=None if replayed else settings.private / "pending",
        seed=settings.seed,
        crop=settings.crop_shape,
        threads=settings.analysis_threads,
        replayed=replayed,
        log=settings.log,
        analysis=settings.analysis,
    )


def _seed(live: Path, replayed: Path, again: set[str]) -> None:
    """Begin with the live results of the scans that are not replayed: one scan's O(T) needs the others."""
    shutil.rmtree(replayed, ignore_errors=True)
    replayed.mkdir(parents=True)
    for path in live.glob("*.h5"):
        if path.stem.rsplit("_", 1)[-1] not in again:
            shutil.copy2(path, replayed)
