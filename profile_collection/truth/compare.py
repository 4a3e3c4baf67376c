"""How good a simulated series is: its results beside the truth that the simulation kept.

The truth is computed again from the file that the simulation left for each run (science notes, section 2), at
exactly the voxels that were analysed, and goes through the same steps as the measured object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.order_parameter import SeriesResult, analyse_series
from analysis.phasing.ambiguities import align
from analysis.results import ScanResult
from analysis.structure import isosurface, missing_density, strain_statistics
from callbacks.series import read_results
from profile_collection.truth.report import TruthReport, TruthRow
from profile_collection.twin.truth import CrystalTruth, crystal_truth, truth_objects


def compare_with_truth(
    results: Path, truth: Path, *, ceilings: Mapping[str, float] | None = None
) -> TruthReport:
    """Return the report of one series.

    Parameters
    ----------
    results : Path
        The series' folder of results, with its ``scans``.
    truth : Path
        The series' folder of truth files, one ``<run uid>.json`` per scan.
    ceilings : mapping of str to float, optional
        Run uid to the overlap that a start from the truth reaches.

    Raises
    ------
    FileNotFoundError
        There are no results, or the truth of a scan is not there (it was not simulated, or not here).
    """
    found, chosen = series_of(results)
    truths = [true_fields(scan, truth) for scan in chosen]
    true_scans = [_as_result(scan, fields) for scan, fields in zip(chosen, truths, strict=True)]
    true = analyse_series(true_scans)
    measured = found.order_parameter
    ideal = _same_sign(true.order_parameter, measured)
    rows = []
    for n, (scan, true_scan) in enumerate(zip(chosen, true_scans, strict=True)):
        crystal = crystal_truth(truth_file(scan, truth))
        ceiling = (ceilings or {}).get(scan.run_uid)
        rows.append(_row(scan, true_scan, crystal, found, true, n, float(ideal[n]), ceiling))
    return TruthReport(tuple(rows), _correlation(measured, ideal), _deviation(measured, ideal))


def series_of(results: Path) -> tuple[SeriesResult, list[ScanResult]]:
    """Return the order parameter of a results folder, and the scans that its rows are.

    Raises
    ------
    FileNotFoundError
        There are no results.
    """
    scans = read_results(results)
    if not scans:
        raise FileNotFoundError(f"results are required in {str(results)!r}, none came: analyse the series")
    series = analyse_series(scans)
    by_uid = {scan.run_uid: scan for scan in scans}
    return series, [by_uid[uid] for uid in series.run_uids]


def truth_file(scan: ScanResult, folder: Path) -> Path:
    """Return the file in ``folder`` that tells the truth of ``scan``."""
    path = folder / f"{scan.run_uid}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"the truth of {scan.label} ({scan.run_uid[:8]}) is required at {str(path)!r}: only simulated "
            "series have one; give the data folder that they were measured into"
        )
    return path


def true_fields(scan: ScanResult, folder: Path) -> dict[str, NDArray[Any]]:
    """Return `truth_objects` at exactly the voxels of ``scan``."""
    origin, shape = scan.parameters["crop_origin"], scan.object.shape
    corner = scan.instrument["detector"]["roi"]
    first = (int(origin[0]), int(origin[1]) - int(corner[0]), int(origin[2]) - int(corner[2]))
    crop = (slice(start, start + n) for start, n in zip(first, shape, strict=True))
    return truth_objects(truth_file(scan, folder), *crop)


def _row(
    scan: ScanResult,
    ideal: ScanResult,
    crystal: CrystalTruth,
    found: SeriesResult,
    true: SeriesResult,
    row: int,
    true_order: float,
    ceiling: float | None,
) -> TruthRow:
    return TruthRow(
        label=scan.label,
        setpoint=scan.temperature_setpoint,
        overlap=align(scan.object, ideal.object).overlap,
        ceiling=ceiling,
        trusted=bool(found.trusted[row]),
        strain_sigma_90=strain_statistics(scan, percent=90)["sigma"],
        true_strain_sigma_90=strain_statistics(ideal, percent=90)["sigma"],
        strain_sigma_95=strain_statistics(scan, percent=95)["sigma"],
        true_strain_sigma_95=strain_statistics(ideal, percent=95)["sigma"],
        d_spacing=scan.d_spacing,
        true_d_spacing=crystal.d_spacing,
        missing=_missing(found, row),
        true_missing=_missing(true, row),
        valid=float(found.valid_fraction[row]),
        m1_fraction=crystal.m1_fraction,
        m2_fraction=crystal.m2_fraction,
        rutile_fraction=crystal.rutile_fraction,
        order=float(found.order_parameter[row]),
        true_order=true_order,
    )


def _missing(series: SeriesResult, row: int) -> float:
    """Return the share of the reference's support that is missing in one row, as the results state it."""
    reference = series.aligned[series.labels.index(series.reference)]
    return missing_density(series.aligned[row], reference, series.support).fraction


def _as_result(scan: ScanResult, fields: dict[str, NDArray[Any]]) -> ScanResult:
    """Return the scan as a perfect reconstruction would have left it."""
    ideal = fields["monoclinic"]
    return replace(scan, object=ideal, support=isosurface(ideal, 99.0), trusted=True, reasons=())


def _same_sign(values: NDArray[np.float64], like: NDArray[np.float64]) -> NDArray[np.float64]:
    return -values if float(values @ like) < 0 else values


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 2 else float("nan")


def _deviation(measured: NDArray[np.float64], ideal: NDArray[np.float64]) -> float:
    span = float(np.ptp(ideal))
    return float(np.abs(measured - ideal).max() / span) if span > 0 else float("nan")
