"""What exposure a measured scan would have needed: from its job to the table of phase errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from analysis.exposure import ExposureConfig, ExposureTable, try_exposures
from analysis.results import ScanResult
from callbacks.analyse import located, phase_as_asked
from callbacks.jobs import ScanJob


def exposures_of(
    job: ScanJob,
    *,
    full: ScanResult | None = None,
    config: ExposureConfig | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> ExposureTable:
    """Return the phase errors that shorter exposures of a job's scan would give.

    Parameters
    ----------
    job
        The scan; its seed is that of the first thinned copy.
    full
        The scan's result, where it is there; phased here otherwise.
    config
        Which exposures, and how many copies.
    progress
        Called with how many of how many reconstructions are done.

    Raises
    ------
    ValueError
        The frames cannot be read or used, or nobody knows how long they were exposed.
    """
    with located(job) as scan:
        return try_exposures(
            scan,
            partial(phase_as_asked, job),
            seconds=exposure_of(job),
            full=full,
            seed=job.seed,
            config=config,
            progress=progress,
        )


def exposure_of(job: ScanJob) -> float:
    """Return the exposure of a point, s.

    Raises
    ------
    ValueError
        The start document does not say it.
    """
    seconds = job.start.get("scan", {}).get("exposure")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ValueError(
            f"the exposure of a point, a number of seconds, is needed; the start document says {seconds!r} "
            "under 'scan': measure with vo2_plans.rocking_scan"
        )
    return float(seconds)
