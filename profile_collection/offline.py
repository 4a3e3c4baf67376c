"""Stored and foreign scans: recovery after a crash, ingestion, and reconstruction without a session."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.catalogue import Catalogue, UnknownRunError, find_run
from callbacks.collector import ScanCollector
from callbacks.compose import scan_documents
from callbacks.ingest import Aps34idcScan, ingest_documents, read_counts
from callbacks.jobs import Listener, ScanJob, ScanSummary
from callbacks.journal import Document
from callbacks.pipeline import Pipeline, PipelineSettings
from callbacks.recovery import Recovery, find_frame_file, read_scan_file, recover
from profile_collection.settings import Settings
from profile_collection.storage import document_writer

if TYPE_CHECKING:
    from analysis.results import ScanResult


@dataclass(frozen=True)
class Ingested:
    """A scan taken in: its run, its series, and what the analysis made of it."""

    run_uid: str
    series_uid: str
    summary: ScanSummary | None


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
    path: Path,
    scan: Aps34idcScan,
    *,
    name: str,
    make_executor: Callable[[], Executor] | None = None,
) -> Ingested:
    """Store a measured scan of APS 34-ID-C as a run and send it through the live path.

    Parameters
    ----------
    catalogue, settings, listener
        Where the run goes, where files go, who shows the result.
    path
        npz file with the array ``counts``.
    scan
        Its geometry.
    name
        Of the sample.
    make_executor
        Stand-in for the worker process.
    """
    counts = read_counts(path)
    pipeline = Pipeline(
        PipelineSettings(
            folder_of=lambda uid: settings.results / uid,
            folders=(settings.frames,),
            address=catalogue.address,
            pending=settings.private / "pending",
            seed=settings.seed,
            threads=settings.analysis_threads,
            log=settings.log,
            analysis=settings.analysis,
        ),
        listener,
        make_executor,
    )
    writer = document_writer(catalogue, settings, warn=listener.warn)
    try:
        start: dict[str, Any] = {}
        for kind, doc in ingest_documents(
            counts, scan, settings.frames, name=name, operator=settings.operator
        ):
            start = doc if kind == "start" else start
            writer(kind, doc)
            pipeline.collector(kind, doc)
        pipeline.finish()
    finally:
        pipeline.close()
    summary = pipeline.summaries[-1] if pipeline.summaries else None
    return Ingested(str(start["uid"]), str(start["series_uid"]), summary)


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


def reconstruct_job(job: ScanJob, output: Path) -> ScanResult:
    """Analyse a job in this process and write its HDF5 file to `output`."""
    from analysis.results import write_scan
    from callbacks.scan_analysis import analyse

    result = analyse(job)
    write_scan(output, result)
    return result


def reconstruct_array(path: Path, output: Path, seed: int) -> Any:
    """Phase ``intensity`` (and ``mask``, where there is one) of an npz file; write ``object`` to `output`.

    Raises
    ------
    ValueError
        There is no such array.
    """
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        if "intensity" not in stored:
            raise ValueError(
                f"an npz file with the array 'intensity' was expected, {path} holds {sorted(stored)}; "
                "for frames of a whole scan use 'vo2 ingest'"
            )
        mask = stored["mask"].astype(bool) if "mask" in stored else None
        intensity = stored["intensity"]
    from analysis import reconstruct

    found = reconstruct(intensity, mask, seed=seed)
    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output, object=found.object, support=found.support)
    return found


__all__ = [
    "Ingested",
    "UnknownRunError",
    "file_job",
    "ingest",
    "job_of",
    "reconstruct_array",
    "reconstruct_job",
    "recover_run",
    "stored_job",
]
