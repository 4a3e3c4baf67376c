"""The series on disk: which scans it has so far, the order parameter over them, its figures.

The order parameter depends on the set of scans, not on the order they came in, so it is computed anew from
the stored results whenever one is added.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from callbacks.jobs import OrderPoint, ScanJob, Stage

if TYPE_CHECKING:
    from analysis.results import ScanResult, SeriesResult

logger = logging.getLogger(__name__)

SCANS = "scans"
FOLDERS: dict[Stage, str] = {"final": SCANS, "preview": "previews", "early": "early", "transfer": SCANS}
"""Where the result of each stage lies; the series reads the final ones alone. Transfer is in their files."""
SEEDS = "seeds"
REANALYSED = "reanalysed"
FIGURES = "figures"
FAILED = ".failed.json"


@dataclass(frozen=True)
class SeriesState:
    """A series as its stored results have it.

    Parameters
    ----------
    order
        One point per analysed scan.
    complete
        True where every scan of the series was analysed or failed to be.
    unsettled
        Why the order parameter of the whole series is provisional.
    warnings
        What went wrong beside the scans themselves.
    """

    order: tuple[OrderPoint, ...] = ()
    complete: bool = False
    unsettled: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def scan_file(job: ScanJob) -> Path:
    """Return the path of a scan's HDF5 file, by the stage of the job."""
    return job.folder / FOLDERS[job.stage] / f"{job.stem}.h5"


def note_failure(job: ScanJob, error: str) -> Path:
    """Record beside the results that a scan could not be analysed, and why."""
    path = job.folder / SCANS / f"{job.stem}{FAILED}"
    path.parent.mkdir(parents=True, exist_ok=True)
    note = {"run_uid": job.run_uid, "series_index": job.start.get("series_index", 0), "error": error}
    path.write_text(json.dumps(note, indent=1), encoding="utf-8")
    return path


def forget_failure(job: ScanJob) -> None:
    """Remove the record of an earlier failure of the same scan."""
    (job.folder / SCANS / f"{job.stem}{FAILED}").unlink(missing_ok=True)


@contextlib.contextmanager
def series_lock(folder: Path) -> Iterator[None]:
    """Let one worker at a time, of any process, update the series in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".series.lock").open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_results(folder: Path) -> list[ScanResult]:
    """Return the series' stored scans that count, one for each place in the series, in its order."""
    from analysis.order_parameter import counting

    return list(counting(read_attempts(folder)))


def read_attempts(folder: Path) -> list[ScanResult]:
    """Return all of the series' stored scans, every attempt and every analysis."""
    from analysis.results import read_scan

    return [read_scan(path) for name in (SCANS, REANALYSED) for path in sorted((folder / name).glob("*.h5"))]


def last_started(starts: Iterable[tuple[str, float]]) -> str | None:
    """Return the series whose last scan began last: the one that "-1" means, everywhere.

    Parameters
    ----------
    starts
        Uid of the series and start of a scan (seconds since 1970-01-01 UTC), for every scan there is.
    """
    return next(iter(last_first(starts)), None)


def last_first(starts: Iterable[tuple[str, float]]) -> list[str]:
    """Return the series by the start of their last scans, the last one first."""
    latest: dict[str, float] = {}
    for series_uid, began in starts:
        latest[series_uid] = max(began, latest.get(series_uid, began))
    return sorted(latest, key=lambda uid: (latest[uid], uid), reverse=True)


def stored_starts(results: Path) -> Iterator[tuple[str, float]]:
    """Yield folder and start of every scan that has a result; a file that cannot be read names no series."""
    for path in results.glob(f"*/{SCANS}/*.h5"):
        with contextlib.suppress(OSError):
            yield path.parent.parent.name, _began(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _began(path: Path, written: int) -> float:
    """Return when the scan of a result file began; it is read anew where the file was ``written`` anew."""
    from analysis.results import read_started

    return read_started(path)


def read_repeats(folder: Path, results: Sequence[ScanResult]) -> list[ScanResult]:
    """Return what is stored of the same scans as `results`, phased from other seeds."""
    from analysis.results import read_scan

    uids = {result.run_uid for result in results}
    stored = (read_scan(path) for path in sorted((folder / SEEDS).glob("*.h5")))
    return [one for one in stored if one.run_uid in uids]


def update_series(folder: Path, size: int) -> SeriesState:
    """Compute and store the order parameter of what `folder` holds; draw the figures once it is complete.

    Parameters
    ----------
    folder
        Results folder of the series.
    size
        Scans the series is to have.
    """
    with series_lock(folder):
        results = read_attempts(folder)
        complete = _accounted_for(folder, results) >= size
        if not results:
            return SeriesState(complete=complete)
        series, warnings = _order_parameter(folder, results, size)
        if complete and series is not None:
            warnings += draw_figures(folder, results, series)
    return _state(series, complete, warnings)


def finish_series(folder: Path) -> SeriesState:
    """Draw the figures of a series that ended early, from what there is."""
    with series_lock(folder):
        results = read_attempts(folder)
        if not results:
            return SeriesState()
        size = len({result.series_index for result in results})
        series, warnings = _order_parameter(folder, results, size)
        if series is not None:
            warnings += draw_figures(folder, results, series)
    return _state(series, False, warnings)


def _state(series: SeriesResult | None, complete: bool, warnings: list[str]) -> SeriesState:
    if series is None:
        return SeriesState(complete=complete, warnings=tuple(warnings))
    return SeriesState(_points(series), complete, series.unsettled, tuple(warnings))


def failed_scans(folder: Path) -> list[tuple[int, str]]:
    """Return the places of a series whose scans could not be analysed, and why."""
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / SCANS).glob(f"*{FAILED}")]
    return [(int(note["series_index"]), str(note["error"])) for note in notes]


def _accounted_for(folder: Path, results: Sequence[ScanResult]) -> int:
    """Return how many places of the series have a result or a failure."""
    return len({result.series_index for result in results} | {index for index, _ in failed_scans(folder)})


def _order_parameter(
    folder: Path, results: list[ScanResult], size: int
) -> tuple[SeriesResult | None, list[str]]:
    """Analyse and store the series; a failure leaves the scans as they are and says so."""
    from analysis.order_parameter import analyse_series
    from analysis.results import AlignedObjects, write_aligned, write_series

    try:
        series = analyse_series([*results, *read_repeats(folder, results)], expected=size)
        write_aligned(folder, AlignedObjects.of(series))
        write_series(folder, series)
    except Exception as error:
        logger.exception("the order parameter of %s could not be computed", folder)
        return None, [f"order parameter not computed: {error}"]
    return series, []


def draw_figures(folder: Path, results: list[ScanResult], series: SeriesResult) -> list[str]:
    """Draw the series' figures into its folder; return what went wrong in words."""
    from analysis.figures import save_all

    try:
        save_all(folder / FIGURES, results, series)
    except Exception as error:
        logger.exception("the figures of %s could not be drawn", folder)
        return [f"figures not drawn: {error}"]
    return []


def _points(series: SeriesResult) -> tuple[OrderPoint, ...]:
    return tuple(
        OrderPoint(
            run_uid=series.scans.run_uids[n],
            series_index=int(series.scans.indices[n]),
            branch=series.scans.branches[n],
            temperature=float(series.scans.setpoints[n]),
            value=float(series.order.parameter[n]),
            error=float(series.order.spread[n]),
            provisional=bool(series.provisional[n]),
            reason="; ".join(series.reasons[n]),
            trusted=bool(series.trusted[n]),
        )
        for n in range(len(series))
    )
