"""How good a simulated series is: its results, temperature by temperature, beside the truth that was kept.

The truth (docs/science.md section 2.4) is computed again from the file that the simulation left for each run,
at exactly the voxels that were analysed, and goes through the same steps as the measured object. The ceiling
of a reconstruction is what the same data give to a start from the truth; it is kept, for it costs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.order_parameter import analyse_series
from analysis.phasing.reconstruction import from_truth
from analysis.phasing.registration import align
from analysis.results import ScanResult, SeriesResult, replacing
from analysis.structure import isosurface, missing_density, strain_statistics
from callbacks.series import read_results
from profile_collection.twin.truth import CrystalTruth, crystal_truth, truth_objects

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TruthRow:
    """One temperature's result beside its truth.

    Attributes
    ----------
    label : str
    setpoint : float, K
    overlap : float
        Complex overlap with the truth after twin, shift, ramp and global phase are removed.
    ceiling : float or None
        The same for a reconstruction that starts from the truth: what the data can give. None where it was
        not computed.
    trusted : bool
    strain_sigma_90, true_strain_sigma_90, strain_sigma_95, true_strain_sigma_95 : float
        Standard deviation of the strain inside the 90 and the 95 % isosurface.
    d_spacing, true_d_spacing : float, Å
    missing, true_missing : float
        Share of the reference's support without density: in the reconstruction, and in the true object by the
        same steps.
    valid : float
        Share of the reference's support that the order parameter is made of.
    m1_fraction, m2_fraction, rutile_fraction : float
        True shares of the crystal's volume.
    order, true_order : float, rad
    """

    label: str
    setpoint: float
    overlap: float
    ceiling: float | None
    trusted: bool
    strain_sigma_90: float
    true_strain_sigma_90: float
    strain_sigma_95: float
    true_strain_sigma_95: float
    d_spacing: float
    true_d_spacing: float
    missing: float
    true_missing: float
    valid: float
    m1_fraction: float
    m2_fraction: float
    rutile_fraction: float
    order: float
    true_order: float

    @property
    def d_deviation(self) -> float:
        """Relative difference of the d-spacing from the true one."""
        return self.d_spacing / self.true_d_spacing - 1


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
    measured = found.order.parameter
    ideal = _same_sign(true.order.parameter, measured)
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
    return series, [by_uid[uid] for uid in series.scans.run_uids]


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
        valid=float(found.order.valid_fraction[row]),
        m1_fraction=crystal.m1_fraction,
        m2_fraction=crystal.m2_fraction,
        rutile_fraction=crystal.rutile_fraction,
        order=float(found.order.parameter[row]),
        true_order=true_order,
    )


def _missing(series: SeriesResult, row: int) -> float:
    """Return the share of the reference's support that is missing in one row, as the results state it."""
    reference = series.gauge.aligned[series.gauge.reference]
    return missing_density(series.gauge.aligned[row], reference, series.gauge.support).fraction


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


KEPT = "truth_ceilings.json"
"""In the series' folder of results; removed, the ceilings are computed again."""


def ceilings(
    results: Path, truth: Path, *, progress: Callable[[str], None] = lambda label: None
) -> dict[str, float]:
    """Return the overlap with the truth that each scan of a series allows, by run uid.

    Parameters
    ----------
    results, truth : Path
        As for `compare_with_truth`.
    progress : callable
        Called with the label of each temperature before it is computed.
    """
    path = results / KEPT
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = {}
    for scan in series_of(results)[1]:
        if kept.get(scan.run_uid, {}).get("of") != _identity(scan):
            progress(scan.label)
            kept[scan.run_uid] = {"of": _identity(scan), "overlap": ceiling_of(scan, truth)}
            _keep(path, kept)
        found[scan.run_uid] = float(kept[scan.run_uid]["overlap"])
    return found


def ceiling_of(scan: ScanResult, truth: Path) -> float:
    """Return the overlap with the truth of what a start from the truth makes of a scan's stored data."""
    true = true_fields(scan, truth)["monoclinic"]
    best = from_truth(
        scan.intensity, true, scan.mask, pixel_kernel=scan.pixel_kernel, background=scan.background
    )
    return float(align(best.object, true).overlap)


def _identity(scan: ScanResult) -> list[Any]:
    """Return what a ceiling depends on."""
    return [list(scan.parameters["crop_origin"]), list(scan.object.shape), version("vo2-bcdi")]


def _keep(path: Path, values: dict[str, Any]) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        logger.warning("the ceilings cannot be kept in %s: %s", path, error)
