"""Stored scans phased again from other seeds: the spread of the results is the order parameter's error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from analysis import reconstruct
from analysis.order_parameter import SeriesResult, analyse_series
from analysis.results import ScanResult, read_series, write_scan, write_series
from callbacks.scan_analysis import phasing_values
from callbacks.series import SEEDS, read_repeats, read_results, series_lock


def repeat_series(
    folder: Path, seeds: Iterable[int], *, progress: Callable[[str], None] = lambda what: None
) -> SeriesResult:
    """Phase every scan of a series from each of ``seeds`` and store the order parameter with its spread.

    The stored intensity is all it takes. What was computed before is kept: a call may be interrupted.

    Parameters
    ----------
    folder : Path
        Results of the series.
    seeds : iterable of int
        The one that the series was analysed with is passed over.
    progress : callable
        Called with a word on each scan before it is phased.

    Raises
    ------
    ValueError
        There is nothing to repeat.
    """
    scans = read_results(folder)
    if not scans:
        raise ValueError(f"results are required in {str(folder)!r}, none came: analyse the series first")
    for scan in sorted(scans, key=lambda one: one.series_index):
        for seed in sorted(set(seeds) - {scan.seed}):
            path = folder / SEEDS / f"{Path(scan.filename).stem}_seed{seed}.h5"
            if not path.is_file():
                progress(f"{scan.label}, seed {seed}")
                write_scan(path, phased_again(scan, seed))
    with series_lock(folder):
        series = analyse_series([*scans, *read_repeats(folder, scans)], expected=_expected(folder))
        write_series(folder, series)
    return series


def phased_again(scan: ScanResult, seed: int) -> ScanResult:
    """Return the reconstruction of the same intensity from another seed."""
    found = reconstruct(
        scan.intensity, scan.mask, seed=seed, pixel_kernel=scan.pixel_kernel, background=scan.background
    )
    return replace(scan, **phasing_values(found, scan.voxel_basis, scan.q_vector))


def _expected(folder: Path) -> int | None:
    try:
        expected = read_series(folder)["expected"]
    except FileNotFoundError:
        return None
    return None if expected is None else int(expected)
