"""A series analysed once more, with more effort, beside the first analysis: nothing of that is replaced.

Each scan's stored pattern is phased from several seeds; the best by the verdict of trust becomes the scan's
next analysis, with a number of its own. Which one counts is one rule (`analysis.order_parameter.counting`).
What was computed is kept, so that a call may be interrupted and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.benchmark.judge import RIGHT
from analysis.order_parameter import counting
from analysis.phasing.registration import overlap
from analysis.results import ScanResult, read_scan, write_scan
from callbacks.analyse import expected_scans, repeated
from callbacks.catalogue import Address, Catalogue, UnknownRunError, derived_runs, find_run
from callbacks.jobs import ScanJob, ScanSummary
from callbacks.locks import alone
from callbacks.series import REANALYSED, SCANS, SeriesState, update_series
from callbacks.shift_log import FILE, append_entry
from callbacks.worker import published, summarise

LOCK_FILE = ".reanalyse.lock"


@dataclass(frozen=True)
class Reanalysed:
    """A scan's next analysis.

    Parameters
    ----------
    before
        The first analysis.
    result
        The next one.
    path
        Its file.
    fresh
        Whether it was made now; else it was there already.
    """

    before: ScanResult
    result: ScanResult
    path: Path
    fresh: bool


def reanalyse_series(
    folder: Path, count: int, *, progress: Callable[[str, int, int], None] = lambda what, done, of: None
) -> Iterator[Reanalysed]:
    """Yield each scan's next analysis, then store the order parameter anew.

    Parameters
    ----------
    folder
        Results of the series.
    count
        Seeds that each scan is phased from, the first analysis' own among them.
    progress
        Called with a word before each phasing, with how many are done, and of how many.

    Raises
    ------
    ValueError
        There is nothing to analyse, or fewer than two seeds are asked for.
    RuntimeError
        Another process is at it.
    """
    if count < 2:
        raise ValueError(
            f"two seeds or more are needed, {count!r} came: the first analysis was one; --seeds 5"
        )
    with alone(folder / LOCK_FILE, f"{folder.name} is being reanalysed"):
        scans = counting(read_scan(path) for path in sorted((folder / SCANS).glob("*.h5")))
        if not scans:
            raise ValueError(f"results are required in {str(folder)!r}, none came: analyse the series first")
        for number, scan in enumerate(scans):
            yield _reanalyse(folder, scan, count, progress, number * count, len(scans) * count)


def _reanalyse(
    folder: Path,
    scan: ScanResult,
    count: int,
    progress: Callable[[str, int, int], None],
    done: int,
    of: int,
) -> Reanalysed:
    seeds = [scan.seed, *(seed for seed in range(count) if seed != scan.seed)][:count]
    earlier = _earlier(folder, scan)
    for path, other in earlier.items():
        if sorted(other.parameters.get("reanalysis", {}).get("seeds", ())) == sorted(seeds):
            return Reanalysed(scan, other, path, fresh=False)
    tries = [scan]
    for index, seed in enumerate(seeds[1:], start=1):
        progress(f"{scan.label}, seed {seed}", done + index, of)
        tries.append(repeated(folder, scan, seed))
    result = best_of(tries, 2 + max((other.analysis - 1 for other in earlier.values()), default=0))
    path = folder / REANALYSED / f"{Path(scan.filename).stem}_{result.analysis}.h5"
    return Reanalysed(scan, result, write_scan(path, result), fresh=True)


def _earlier(folder: Path, scan: ScanResult) -> Mapping[Path, ScanResult]:
    """Return the reanalyses of a scan that are there already."""
    paths = sorted((folder / REANALYSED).glob(f"{Path(scan.filename).stem}_*.h5"))
    return {path: read_scan(path) for path in paths}


def best_of(tries: Sequence[ScanResult], number: int) -> ScanResult:
    """Return the best of one scan's reconstructions from several seeds, as its analysis `number`.

    It is the trusted one that explains the counts best, else the one that does among those not trusted. Where
    other trusted ones are another object, chance chose between them: none is trusted then.

    Parameters
    ----------
    tries
        The first is the first analysis'.
    number
        Of the new analysis, 2 or more.
    """
    trusted = [one for one in tries if one.trusted]
    best = min(trusted or tries, key=lambda one: (one.chi_squared, one.seed))
    overlaps = {one.seed: overlap(one.object, best.object) for one in tries if one is not best}
    rivals = [one.seed for one in trusted if one is not best and overlaps[one.seed] < RIGHT]
    chi = [one.chi_squared for one in tries]
    spread = f"χ² {min(chi):.4f} to {max(chi):.4f}, least overlap with the best {min(overlaps.values()):.3f}"
    note = f"analysis {number}: {len(trusted)} of {len(tries)} seeds trusted, {spread}"
    reasons = list(best.reasons)
    if rivals:
        worst = min(overlaps[seed] for seed in rivals)
        reasons.append(f"trusted reconstructions from other seeds are another object (overlap {worst:.2f})")
    kept = {
        "seeds": [one.seed for one in tries],
        "trusted": [bool(one.trusted) for one in tries],
        "chi_squared": chi,
        "overlap": [overlaps.get(one.seed, 1.0) for one in tries],
    }
    return replace(
        best,
        analysis=number,
        trusted=best.trusted and not rivals,
        reasons=tuple(reasons),
        notes=(*tries[0].notes, note),
        parameters={**best.parameters, "reanalysis": kept},
    )


def finish(folder: Path) -> SeriesState:
    """Compute and store the order parameter of what counts now, and note it in the shift log."""
    state = update_series(folder, expected_scans(folder) or 0)
    count = len(list((folder / REANALYSED).glob("*.h5")))
    append_entry(
        folder / FILE,
        f"**reanalysed** with more seeds: {count} analyses beside the first ones, in {REANALYSED}/",
        title=f"Shift log of {folder.name}",
    )
    return state


def publish_reanalyses(catalogue: Catalogue, folder: Path, state: SeriesState) -> list[str]:
    """Publish the analyses that the catalogue does not have yet; return what could not be, in sentences.

    Parameters
    ----------
    catalogue
    folder
        Results of the series.
    state
        Of the series with them.
    """
    remarks: list[str] = []
    for path in sorted((folder / REANALYSED).glob("*.h5")):
        result = read_scan(path)
        try:
            start = dict(find_run(catalogue, result.run_uid).metadata["start"])
        except UnknownRunError:
            remarks.append(f"{path.name} is not published: its scan is not in this catalogue")
            continue
        known = {run.metadata["start"].get("analysis", 1) for run in derived_runs(catalogue, result.run_uid)}
        if result.analysis not in known:
            remarks += _publish(path, result, start, state, catalogue.address).warnings
    return remarks


def _publish(
    path: Path, result: ScanResult, start: Mapping[str, Any], state: SeriesState, address: Address
) -> ScanSummary:
    """Publish an analysis as a derived run beside those that there are."""
    nothing = np.zeros(0)
    job = ScanJob(
        start=start,
        frame_file=Path(),
        dataset="",
        frame_index=nothing.astype(np.int64),
        eta=nothing,
        monitor=nothing,
        temperature=nothing,
        positions={},
        folder=path.parents[1],
        seed=result.seed,
    )
    summary = replace(
        summarise(job, result),
        analysis=result.analysis,
        result_file=path,
        order=state.order,
        complete=state.complete,
        unsettled=state.unsettled,
        seconds=float(result.seconds),
    )
    kept = {"reanalysis": result.parameters["reanalysis"], "weights_hash": result.weights_hash}
    return published(job, summary, address, kept)
