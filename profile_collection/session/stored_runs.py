"""Stored and foreign scans: replay, recovery after a crash, ingestion, reconstruction, removal.

A replay's results go where the series' results are. Recovery, ingestion and reconstruction need no session.
Removal takes old simulated series with all that is theirs; measured data is never touched.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.catalogue import Catalogue, find_run
from callbacks.collect import ScanCollector
from callbacks.jobs import Listener, OrderPoint, ScanJob, ScanSummary
from callbacks.journal.journal import SUFFIX, Document
from callbacks.journal.recovery import Recovery, find_frame_file, read_scan_file, recover, scan_documents
from callbacks.locks import alone
from callbacks.pipeline import Pipeline
from callbacks.replay import runs_to_replay, send
from callbacks.series import SCANS
from profile_collection.session.resuming import analyse_rest
from profile_collection.session.settings import Settings
from profile_collection.session.storage import document_writer, pipeline_settings

if TYPE_CHECKING:
    from analysis.readers import MeasuredScan
    from callbacks.ingest import Extras

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
    folder = output or settings.series_folder(series_uid) / REPLAY
    if folder.resolve() == settings.series_folder(series_uid).resolve():
        raise ValueError(
            f"a replay replaces what its folder holds, and {str(folder)!r} holds the series' own results: "
            "give another output"
        )
    with alone(folder / ".replay.lock", f"another replay writes into {folder}"):
        return _replay(runs, folder, catalogue, settings, listener, make_executor)


def _replay(
    runs: Sequence[Any],
    folder: Path,
    catalogue: Catalogue,
    settings: Settings,
    listener: Listener,
    make_executor: Callable[[], Executor] | None,
) -> tuple[OrderPoint, ...]:
    """Send runs of one series through the live path, with results in `folder`."""
    series_uid = str(runs[0].metadata["start"]["series_uid"])
    again = {run.metadata["start"]["uid"][:8] for run in runs}
    _seed(settings.series_folder(series_uid) / SCANS, folder / SCANS, again)
    pipeline = Pipeline(
        pipeline_settings(catalogue, settings, lambda _: folder, True), listener, make_executor
    )
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
    """Analyse every stored scan that has no derived run and that nobody is at; return how many there were."""
    pipeline = Pipeline(
        pipeline_settings(catalogue, settings, settings.series_folder, False), listener, make_executor
    )
    try:
        count = analyse_rest(catalogue, pipeline)
        pipeline.finish()
    finally:
        pipeline.close()
    return count


def _seed(live: Path, replayed: Path, again: set[str]) -> None:
    """Begin with the live results of the scans that are not replayed: one scan's O(T) needs the others."""
    shutil.rmtree(replayed, ignore_errors=True)
    replayed.mkdir(parents=True)
    for path in live.glob("*.h5"):
        if path.stem.rsplit("_", 1)[-1] not in again:
            shutil.copy2(path, replayed)


@dataclass(frozen=True)
class Ingested:
    """A series taken in: its last run, its uid, and what the analysis made of the last scan and of all."""

    run_uid: str
    series_uid: str
    summary: ScanSummary | None
    summaries: tuple[ScanSummary, ...] = ()


def recover_run(catalogue: Catalogue, settings: Settings, uid: str) -> Recovery:
    """Complete the run whose uid begins with `uid` from its frame file.

    Raises
    ------
    UnknownRunError
        There is no such file.
    """
    scan = find_frame_file(settings.frames, uid)
    return recover(catalogue, scan, settings.private / "recovered")


def ingest(
    catalogue: Catalogue,
    settings: Settings,
    listener: Listener,
    scans: Sequence[MeasuredScan],
    *,
    name: str,
    extras: Extras | None = None,
    given: Mapping[str, Any] | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
    make_executor: Callable[[], Executor] | None = None,
) -> Ingested:
    """Store scans of other beamlines as one series and send it through the live path.

    Parameters
    ----------
    catalogue, settings, listener
        Where the runs go, where files go, who shows the results.
    scans
        As `analysis.readers` read them; they are put in the order of time.
    name
        Of the sample.
    extras
        What was given beside the files.
    given
        What a person said; the runs keep it.
    progress
        Called with a file's name, frames copied and frames in all.
    make_executor
        Stand-in for the worker process.

    Raises
    ------
    ValueError
        Something is missing or does not fit; nothing was stored.
    """
    from callbacks.ingest import Extras, checked, in_order, ingest_documents

    ready = checked(in_order(scans), extras or Extras())
    documents = ingest_documents(
        ready,
        settings.frames,
        name=name,
        extras=extras,
        given=given,
        operator=settings.operator,
        progress=progress,
    )
    wanted = pipeline_settings(catalogue, settings)
    pipeline = Pipeline(wanted, listener, make_executor)
    writer = document_writer(catalogue, settings, warn=listener.warn)
    start: dict[str, Any] = {}
    try:
        for kind, doc in documents:
            start = doc if kind == "start" else start
            writer(kind, doc)
            pipeline.collector(kind, doc)
        pipeline.finish()
    finally:
        pipeline.close()
    summary = pipeline.summaries[-1] if pipeline.summaries else None
    return Ingested(str(start["uid"]), str(start["series_uid"]), summary, tuple(pipeline.summaries))


def job_of(documents: Iterable[Document], settings: Settings, folder: Path) -> ScanJob:
    """Return the job that a scan's documents make.

    Raises
    ------
    ValueError
        They do not make one; the message is the collector's.
    """
    jobs: list[ScanJob] = []
    remarks: list[str] = []
    collector = ScanCollector(
        jobs.append,
        warn=remarks.append,
        folder_of=lambda _: folder,
        folders=(settings.frames, folder),
        seed=settings.seed,
        crop=settings.crop_shape,
        replayed=True,
    )
    for kind, doc in documents:
        collector(kind, dict(doc))
    if not jobs:
        raise ValueError("; ".join(remarks) or "a rocking scan was expected and these documents hold none")
    return jobs[0]


def stored_job(catalogue: Catalogue, settings: Settings, uid: str, folder: Path) -> ScanJob:
    """Return the job of a stored run.

    Raises
    ------
    UnknownRunError
        There is no such run.
    """
    return job_of(find_run(catalogue, uid).documents(), settings, folder)


def file_job(path: Path, settings: Settings) -> ScanJob:
    """Return the job of a frame file alone, without a catalogue."""
    scan = read_scan_file(path)
    documents = scan_documents(scan.start, path, scan.shape, scan.columns, baseline=scan.positions)
    return job_of(documents, settings, path.parent)


@dataclass(frozen=True)
class OldSeries:
    """A simulated series and all that belongs to it.

    Parameters
    ----------
    uid
        Of the series.
    begun
        Epoch seconds of its first run.
    raw, processed
        Uids of its measured and derived runs.
    folders
        Its frames, truth and results.
    journals
        Documents of those of its runs that never ended.
    """

    uid: str
    begun: float
    raw: tuple[str, ...]
    processed: tuple[str, ...]
    folders: tuple[Path, ...]
    journals: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(
            file.stat().st_size for folder in self.folders for file in folder.rglob("*") if file.is_file()
        )


def old_series(catalogue: Catalogue, settings: Settings, keep: int) -> list[OldSeries]:
    """Return the simulated series but for the `keep` newest, oldest first.

    Raises
    ------
    ValueError
        `keep` is negative.
    """
    from tiled.queries import Key

    if keep < 0:
        raise ValueError(f"the number of series to keep must be 0 or more, {keep!r} came")
    raw: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for run in catalogue.raw.v3.search(Key("start.simulated") == True).values():  # noqa: E712  a query
        start = run.metadata["start"]
        if "series_uid" in start:
            raw[start["series_uid"]].append((float(start["time"]), start["uid"]))
    derived: dict[str, list[str]] = defaultdict(list)
    for run in catalogue.processed.v3.values():
        derived[run.metadata["start"].get("series_uid", "")].append(run.metadata["start"]["uid"])
    newest_last = sorted(raw, key=lambda uid: min(raw[uid]))
    return [
        OldSeries(
            uid=uid,
            begun=min(raw[uid])[0],
            raw=tuple(run for _, run in raw[uid]),
            processed=tuple(derived[uid]),
            folders=_folders(settings, uid),
            journals=tuple(settings.backup / f"{run}{SUFFIX}" for _, run in raw[uid]),
        )
        for uid in newest_last[: len(newest_last) - keep]
    ]


def _folders(settings: Settings, uid: str) -> tuple[Path, ...]:
    """Return the folders of a series that exist, each directly inside its own parent."""
    candidates = [parent / uid for parent in (settings.frames, settings.data / "truth", settings.results)]
    return tuple(path for path in candidates if path.is_dir() and path.name == uid and not path.is_symlink())


def remove(catalogue: Catalogue, series: Sequence[OldSeries]) -> None:
    """Remove series: first their runs, then their files."""
    for one in series:
        for client, uids in ((catalogue.raw.v3, one.raw), (catalogue.processed.v3, one.processed)):
            for uid in uids:
                client[uid].delete(recursive=True, external_only=False)
        for folder in one.folders:
            shutil.rmtree(folder)
        for journal in one.journals:
            journal.unlink(missing_ok=True)
