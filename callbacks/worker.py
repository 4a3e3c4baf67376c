"""What the worker process does with a job: analyse, store, update the series, publish, and say how it went.

Nothing heavy is imported before it is needed: a pool's process must first have set its threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from callbacks.catalogue import Address
from callbacks.jobs import ScanJob, ScanSummary, failed
from callbacks.series import SeriesState, forget_failure, note_failure, scan_file, update_series

if TYPE_CHECKING:
    from analysis.results import ScanResult

logger = logging.getLogger(__name__)


def analyse_scan(job: ScanJob, address: Address | None = None) -> ScanSummary:
    """Analyse one scan and store, publish and summarise the result.

    Whatever fails is in the summary: the scan's own failure in ``error``, failures beside it (order
    parameter, figures, publishing) in ``warnings``. The HDF5 file comes first, so no later failure loses it.

    Parameters
    ----------
    job
        The scan.
    address
        Of the catalogue to publish in; None publishes nothing.
    """
    begun = time.monotonic()
    try:
        result = _reconstruct(job)
        summary = summarise(job, result)
        provenance = _provenance(result)
    except Exception as error:
        logger.exception("the analysis of %s failed", job.run_uid)
        note_failure(job, str(error) or type(error).__name__)
        summary, provenance = failed(job, str(error) or type(error).__name__), {}
    state = _series_state(job)
    summary = replace(
        summary,
        order=state.order,
        complete=state.complete,
        warnings=state.warnings,
        seconds=time.monotonic() - begun,
    )
    return published(job, summary, address, provenance)


def _reconstruct(job: ScanJob) -> ScanResult:
    """Compute and store the scan's result."""
    from analysis.results import write_scan
    from callbacks.analyse import analyse

    result = analyse(job)
    write_scan(scan_file(job), result)
    forget_failure(job)
    return result


def summarise(job: ScanJob, result: ScanResult) -> ScanSummary:
    """Return the numbers of a result that the views show."""
    return ScanSummary(
        run_uid=job.run_uid,
        series_uid=job.series_uid,
        temperature_setpoint=float(job.start["temperature_setpoint"]),
        branch=str(job.start["branch"]),
        attempt=int(job.start["attempt"]),
        temperature=float(result.temperature),
        chi_squared=float(result.chi_squared),
        noise_ratio=float(result.noise_ratio),
        strain_sigma=float(result.strain["95"]["sigma"]),
        trusted=bool(result.trusted),
        reasons=tuple(result.reasons),
        notes=tuple(result.notes),
        result_file=scan_file(job),
    )


def _series_state(job: ScanJob) -> SeriesState:
    """Update the series; its failure must not hide the scan's result."""
    try:
        return update_series(job.folder, int(job.start.get("series_size", 1)))
    except Exception as error:
        logger.exception("the series %s could not be updated", job.series_uid)
        return SeriesState(warnings=(f"series not updated: {error}",))


def published(
    job: ScanJob, summary: ScanSummary, address: Address | None, provenance: Mapping[str, Any]
) -> ScanSummary:
    """Publish a summary as a derived run; where that fails it stays on disk, and the summary says so."""
    if address is None:
        return summary
    from callbacks.publish import publish

    try:
        return replace(summary, derived_uid=publish(address, job, summary, provenance))
    except Exception as error:
        logger.exception("the result of %s could not be published", job.run_uid)
        remark = f"result of {job.stem} kept on disk, not published: {error}"
        return replace(summary, warnings=(*summary.warnings, remark))


def _provenance(result: ScanResult) -> dict[str, Any]:
    return {
        "weights_hash": result.weights_hash,
        "versions": dict(result.versions),
        "parameters": {key: value for key, value in result.parameters.items() if _is_small(value)},
    }


def _is_small(value: Any) -> bool:
    """Whether a value belongs into a start document."""
    return isinstance(value, str | int | float | bool | list | tuple | None)
