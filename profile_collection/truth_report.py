"""Stored results of a simulated series against the twin's truth: the only reader of the truth.

Truth is defined in the science notes, section 2: the inverse FFT of the noiseless complex amplitude of the
non-rutile density, at exactly the voxels of the analysed crop. The true order parameter goes through the
same steps as the measured one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.order_parameter import SeriesResult, analyse_series
from analysis.phasing.ambiguities import align
from analysis.results import ScanResult
from analysis.structure import isosurface, missing_fraction, strain_statistics
from callbacks.series import read_results
from profile_collection.twin.truth import truth_objects

RUTILE = 0.5
"""A voxel of the fine maps counts as rutile above this fraction."""


@dataclass(frozen=True)
class TruthRow:
    """One temperature's result beside its truth.

    Attributes
    ----------
    setpoint : float, K
    overlap : float
        Complex overlap with the truth after twin, shift, ramp and global phase are removed.
    trusted : bool
    strain_sigma, true_strain_sigma : float
        Standard deviation inside the 95 % isosurface.
    rutile_fraction : float
        Of the crystal's volume.
    missing, true_missing : float
        Fraction of the reference support without density, found and true.
    order, true_order : float, rad
    """

    setpoint: float
    overlap: float
    trusted: bool
    strain_sigma: float
    true_strain_sigma: float
    rutile_fraction: float
    missing: float
    true_missing: float
    order: float
    true_order: float


@dataclass(frozen=True)
class TruthReport:
    """All temperatures, and how the order parameter follows the true one.

    Attributes
    ----------
    rows : tuple of TruthRow
    correlation : float
        Pearson correlation of the two order parameters, nan below three temperatures.
    deviation : float
        Largest difference of the two as a fraction of the true one's range, after the sign of v_1 is matched.
    """

    rows: tuple[TruthRow, ...]
    correlation: float
    deviation: float


def compare_with_truth(results: Path, truth: Path) -> TruthReport:
    """Return the report of one series.

    Parameters
    ----------
    results : Path
        The series' folder of results, with its ``scans``.
    truth : Path
        The series' folder of truth files, one ``<run uid>.json`` per scan.

    Raises
    ------
    FileNotFoundError
        There are no results, or the truth of a scan is not there (it was not simulated, or not here).
    """
    scans = read_results(results)
    if not scans:
        raise FileNotFoundError(f"results are required in {str(results)!r}, none came: analyse the series")
    found = analyse_series(scans)
    by_uid = {scan.run_uid: scan for scan in scans}
    chosen = [by_uid[uid] for uid in found.run_uids]
    truths = [_truth(scan, truth) for scan in chosen]
    true_scans = [_as_result(scan, fields) for scan, fields in zip(chosen, truths, strict=True)]
    true = analyse_series(true_scans)
    measured, ideal = found.order_parameter, _same_sign(true.order_parameter, found.order_parameter)
    rows = tuple(
        _row(chosen[n], true_scans[n], truths[n], found, true, n, float(ideal[n])) for n in range(len(chosen))
    )
    return TruthReport(rows, _correlation(measured, ideal), _deviation(measured, ideal))


def _row(
    scan: ScanResult,
    ideal: ScanResult,
    fields: dict[str, NDArray[Any]],
    found: SeriesResult,
    true: SeriesResult,
    row: int,
    true_order: float,
) -> TruthRow:
    inside = fields["support"] > 0.5
    return TruthRow(
        setpoint=scan.temperature_setpoint,
        overlap=align(scan.object, ideal.object).overlap,
        trusted=scan.trusted,
        strain_sigma=strain_statistics(scan, percent=95)["sigma"],
        true_strain_sigma=strain_statistics(ideal, percent=95)["sigma"],
        rutile_fraction=float((fields["rutile"][inside] > RUTILE).mean()),
        missing=missing_fraction(found.aligned[row], found.support),
        true_missing=missing_fraction(true.aligned[row], true.support),
        order=float(found.order_parameter[row]),
        true_order=true_order,
    )


def _truth(scan: ScanResult, folder: Path) -> dict[str, NDArray[Any]]:
    path = folder / f"{scan.run_uid}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"the truth of {scan.label} ({scan.run_uid[:8]}) is required at {str(path)!r}: only simulated "
            "series have one; give the data folder that they were measured into"
        )
    origin, shape = scan.parameters["crop_origin"], scan.object.shape
    corner = scan.instrument["detector"]["roi"]
    first = (int(origin[0]), int(origin[1]) - int(corner[0]), int(origin[2]) - int(corner[2]))
    return truth_objects(path, *(slice(start, start + n) for start, n in zip(first, shape, strict=True)))


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


def table_lines(report: TruthReport) -> Sequence[str]:
    """Return the report as lines of text, a header first."""
    lines = [
        "  T / K  trusted  overlap  strain sigma 95% (true)   missing (true)  rutile     O / rad (true)",
    ]
    for row in report.rows:
        lines.append(
            f"{row.setpoint:7g}  {'yes' if row.trusted else 'NO':>7}  {row.overlap:7.3f}  "
            f"{row.strain_sigma:10.2e} ({row.true_strain_sigma:.2e})  "
            f"{row.missing:7.2f} ({row.true_missing:.2f})  {row.rutile_fraction:6.2f}  "
            f"{row.order:8.1f} ({row.true_order:.1f})"
        )
    lines.append(
        f"order parameter: correlation with the true one {report.correlation:.4f}, "
        f"largest deviation {100 * report.deviation:.1f} % of its range"
    )
    return lines
