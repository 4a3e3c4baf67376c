"""What the worker process does with a job: analyse, store, update the series, publish, and say how it went.

Nothing heavy is imported before it is needed: a pool's process must first have set its threads.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from callbacks.catalogue import Address
from callbacks.jobs import Learning, ScanJob, ScanSummary, SoFar, Stage, failed
from callbacks.series import (
    SeriesState,
    forget_failure,
    note_failure,
    scan_file,
    series_lock,
    update_series,
)

if TYPE_CHECKING:
    from analysis.preprocessing import PreparedScan
    from analysis.results import ScanResult

logger = logging.getLogger(__name__)


LOADED = (
    "callbacks.catalogue",
    "bluesky_tiled_plugins",
    "torch",
    "h5py",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.stats",
    "skimage.measure",
    "skimage.morphology",
    "skimage.restoration",
    "sklearn.decomposition",
)
"""What analysis and publishing import: it takes seconds, and the workers of a session share it. Nothing of
ours that looks for a GPU, which a process must not have done before others are forked from it."""


def warm_up() -> None:
    """Import what analysis and publishing need before the first scan ends: no preview waits for that."""
    import bluesky_tiled_plugins  # noqa: F401

    import callbacks.analyse  # noqa: F401


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
        result = _reconstruct(job, address)
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
        unsettled=state.unsettled,
        warnings=state.warnings,
        seconds=time.monotonic() - begun,
    )
    return published(job, summary, address, provenance)


def analyse_beside(job: ScanJob, address: Address | None = None) -> ScanSummary:
    """Do what is done beside the final results, by the stage of the job; a failure is in the summary.

    Parameters
    ----------
    job
        Its stage is not "final".
    address
        Of the catalogue to publish in; None publishes nothing.
    """
    begun = time.monotonic()
    try:
        return BESIDE[job.stage](job, address, begun)
    except Exception as error:
        logger.info("no %s result of %s", job.stage, job.run_uid, exc_info=True)
        return replace(failed(job, str(error) or type(error).__name__), seconds=time.monotonic() - begun)


def _preview(job: ScanJob, address: Address | None, begun: float) -> ScanSummary:
    """Store and publish the network's guess of a scan that another keeps waiting."""
    from callbacks.analyse import prepare

    return _show_guess(job, address, begun, prepare(job))


def _early(job: ScanJob, address: Address | None, begun: float) -> ScanSummary:
    """Phase the first points of a scan that still runs, store and publish what comes of them."""
    from analysis.results import read_scan
    from callbacks.analyse import analyse_early

    path = scan_file(job)
    result, so_far = analyse_early(job, read_scan(path) if path.exists() else None)
    return _shown(job, result, address, begun, so_far)


def _show_guess(job: ScanJob, address: Address | None, begun: float, prepared: PreparedScan) -> ScanSummary:
    """Store and publish the network's guess of a prepared scan as its preview."""
    from callbacks.analyse import guessed

    job = replace(job, stage="preview")
    return _shown(job, guessed(job, prepared), address, begun)


def _shown(
    job: ScanJob, result: ScanResult, address: Address | None, begun: float, so_far: SoFar | None = None
) -> ScanSummary:
    """Store and publish a result that is not final."""
    from analysis.results import write_scan

    write_scan(scan_file(job), result)
    summary = replace(summarise(job, result), seconds=time.monotonic() - begun, so_far=so_far)
    return published(job, summary, address, _provenance(result))


def _transfer(job: ScanJob, address: Address | None, begun: float) -> ScanSummary:
    """Fine-tune the network on the pattern of a final result; stored with it, and not published."""
    from callbacks.transfer import learn_behind

    path = scan_file(job)
    done = learn_behind(job.folder, path, job.epochs)
    learned = done.scan.transfer
    if learned is None:
        raise RuntimeError(f"{str(path)!r} holds no transfer learning after it ran: report this")
    return replace(
        summarise(job, done.scan),
        seconds=time.monotonic() - begun,
        learning=Learning(
            learned.epochs, learned.final_loss, learned.search_loss, float(learned.overlaps[-1])
        ),
    )


BESIDE: dict[Stage, Callable[[ScanJob, Address | None, float], ScanSummary]] = {
    "preview": _preview,
    "early": _early,
    "transfer": _transfer,
}
"""What is called for each stage that is not final, with the job, the address and when it began."""


def _reconstruct(job: ScanJob, address: Address | None) -> ScanResult:
    """Compute and store the scan's result; before it is phased the network's guess is shown, if asked for."""
    from analysis.results import write_scan
    from callbacks.analyse import analyse

    begun = time.monotonic()

    def show(prepared: PreparedScan) -> None:
        if job.preview and not scan_file(replace(job, stage="preview")).exists():
            try:
                _show_guess(job, address, begun, prepared)
            except Exception:  # the result does without it
                logger.exception("no preview of %s", job.run_uid)

    result = analyse(job, show)
    with series_lock(job.folder):  # transfer learning of an earlier result may be about to be stored there
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
        strain_sigma=float(result.strain["95"]["sigma"]) if result.strain else math.nan,
        trusted=bool(result.trusted),
        reasons=tuple(result.reasons),
        notes=tuple(result.notes),
        result_file=scan_file(job),
        stage=job.stage,
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
