"""A derived run per analysed scan: what came of it, in the catalogue, found again by ``parent_run_uid``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import event_model

from callbacks.catalogue import Address, connect, tiled_writer
from callbacks.jobs import CAPTION, FINAL, ScanJob, ScanSummary
from callbacks.journal.journal import SUFFIX, Document, keep

UNPUBLISHED = "unpublished"
"""Folder, beside the series' results, of derived runs that the catalogue did not take."""

SCALARS = {
    "temperature": "K",
    "chi_squared": "",
    "noise_ratio": "",
    "strain_sigma": "",
    "seconds": "s",
}


def publish(
    address: Address, job: ScanJob, summary: ScanSummary, provenance: Mapping[str, Any] | None = None
) -> str:
    """Write the derived run of a scan and return its uid.

    Parameters
    ----------
    address
        Of the catalogue.
    job, summary
        The scan and what came of it; a failure becomes a run that ends with ``exit_status`` "fail" and
        the reason.
    provenance
        What else belongs into the start document: versions, weights hash, parameters.

    Raises
    ------
    Exception
        The catalogue did not take it, for instance because it does not answer; the documents of a final
        result are then in ``unpublished`` beside the results, for the next session to store.
    """
    documents = derived_documents(job, summary, provenance or {})
    uid = str(documents[0][1]["uid"])
    try:
        _write(address, documents)
    except Exception:
        if job.stage == FINAL:
            keep(job.folder / UNPUBLISHED / f"{uid}{SUFFIX}", documents)
        raise
    return uid


def _write(address: Address, documents: list[Document]) -> None:
    with contextlib.closing(connect(address)) as catalogue:
        writer = tiled_writer(catalogue.processed)
        for name, doc in documents:
            writer(name, doc)


def derived_documents(job: ScanJob, summary: ScanSummary, provenance: Mapping[str, Any]) -> list[Document]:
    """Return the documents of a derived run.

    Stream ``primary`` holds one event with the scan's scalars and the path of its HDF5 file, for an early
    result also how far it has come; stream ``order_parameter`` of a final one holds one event per temperature
    analysed so far.
    """
    run: Any = event_model.compose_run(metadata=_metadata(job, summary, provenance))
    documents: list[Document] = [("start", dict(run.start_doc))]
    if not summary.error:
        documents += _stream(run, "primary", [_scan_row(summary)], SCALARS)
        rows = [_order_row(point) for point in summary.order]
        if rows:
            documents += _stream(run, "order_parameter", rows, {"temperature": "K"})
    stop = run.compose_stop(exit_status="fail" if summary.error else "success", reason=summary.error)
    return [*documents, ("stop", dict(stop))]


def _metadata(job: ScanJob, summary: ScanSummary, provenance: Mapping[str, Any]) -> dict[str, Any]:
    copied = ("series_index", "series_size", "sample", "proposal", "operator", "simulated", "scan_id")
    return {
        **{key: job.start[key] for key in copied if key in job.start},
        "parent_run_uid": job.run_uid,
        "series_uid": job.series_uid,
        "purpose": "analysis",
        "stage": job.stage,
        **({"caption": CAPTION[job.stage]} if job.stage in CAPTION else {}),
        "branch": summary.branch,
        "attempt": summary.attempt,
        "analysis": summary.analysis,
        "temperature_setpoint": summary.temperature_setpoint,
        **({"unsettled": list(summary.unsettled)} if summary.unsettled else {}),
        "replayed": job.replayed,
        "seed": job.seed,
        **provenance,
    }


def _scan_row(summary: ScanSummary) -> dict[str, Any]:
    so_far = {}
    if summary.so_far is not None:
        so_far = {
            "points": summary.so_far.points,
            "points_wanted": summary.so_far.wanted,
            "overlap_before": float(summary.so_far.overlap),
            "crop_covered": bool(summary.so_far.covered),
        }
    return {
        **{key: float(getattr(summary, key)) for key in SCALARS},
        "trusted": bool(summary.trusted),
        "reasons": "; ".join(summary.reasons),
        "notes": "; ".join(summary.notes),
        "result_file": str(summary.result_file or ""),
        **so_far,
    }


def _order_row(point: Any) -> dict[str, Any]:
    return {
        "scan_uid": point.run_uid,
        "series_index": point.series_index,
        "branch": point.branch,
        "temperature": point.temperature,
        "order_parameter": point.value,
        "order_parameter_error": point.error,
        "trusted": point.trusted,
        "provisional": point.provisional,
        "reason": point.reason,
    }


def _stream(run: Any, name: str, rows: list[dict[str, Any]], units: Mapping[str, str]) -> list[Document]:
    """Return descriptor and events of a stream of scalar rows."""
    now = time.time()
    keys = {key: _data_key(value, units.get(key, "")) for key, value in rows[0].items()}
    descriptor = run.compose_descriptor(name=name, data_keys=keys)
    events = [descriptor.compose_event(data=row, timestamps=dict.fromkeys(row, now)) for row in rows]
    return [("descriptor", descriptor.descriptor_doc), *(("event", event) for event in events)]


def _data_key(value: Any, units: str) -> dict[str, Any]:
    kinds = {
        bool: ("boolean", "|b1"),
        str: ("string", "<U0"),
        int: ("integer", "<i8"),
        float: ("number", "<f8"),
    }
    kind, numpy_type = kinds[type(value)]
    key = {"dtype": kind, "shape": [], "source": "vo2-bcdi"}
    if kind != "string":
        key["dtype_numpy"] = numpy_type
    return key | ({"units": units} if units else {})
