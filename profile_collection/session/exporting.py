"""Stored results in the formats of other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from callbacks.locks import alone
from callbacks.nexus_export import LAYOUTS
from callbacks.series import FAILED, SCANS, last_started, read_repeats, read_results, stored_starts
from profile_collection.catalogue.background import require_writable

if TYPE_CHECKING:
    from analysis.report import Report
    from analysis.results import ScanResult, SeriesResult
    from analysis.results.vtk_files import Volume
    from callbacks.catalogue import Catalogue
    from profile_collection.session.settings import Settings

FORMATS = ("vti", "vts", "npy", *LAYOUTS)
LATEST = "-1"

ELSEWHERE = "give another place with --output"
"""What to do where results may be read and not written: of another user, or a read-only archive."""


def series_folder(results: Path, which: str) -> Path:
    """Return the results folder of a series: by its path, its uid, or -1 for the one measured last.

    Raises
    ------
    FileNotFoundError
        There is none with scans in it.
    """
    if which == LATEST:
        found = last_started(stored_starts(results))
        if found is None:
            raise FileNotFoundError(f"no series with results is in {str(results)!r}: measure one first")
        return results / found
    for folder in (results / which, Path(which)):
        if any((folder / SCANS).glob("*.h5")):
            return folder
    raise FileNotFoundError(
        f"a series with results is required; {which!r} is none in {str(results)!r}, nor a folder with "
        f"{SCANS}/*.h5: give its uid or its path"
    )


def report_series(folder: Path, output: Path | None = None) -> Report:
    """Write the report of a stored series, by default into its folder ``report``.

    Raises
    ------
    RuntimeError
        Another process writes there.
    """
    goal = output or folder / "report"
    lock = goal / ".report.lock"
    with alone(lock, f"another report is being written into {goal}"):
        try:
            return _report_series(folder, goal)
        finally:
            lock.unlink(missing_ok=True)


def _report_series(folder: Path, goal: Path) -> Report:
    from analysis.report import write_report

    results = read_results(folder)
    series = _analysed(folder, results)
    failures = {}
    for path in sorted((folder / SCANS).glob(f"*{FAILED}")):
        failures[path.name.removesuffix(FAILED)] = str(json.loads(path.read_text(encoding="utf-8"))["error"])
    return write_report(goal, series, results, failures=failures)


def export_target(
    results: Path, target: str, kind: str, output: Path | None = None, percent: float = 95.0
) -> list[Path]:
    """Export a result file, or every temperature of a series, and return the files.

    Parameters
    ----------
    results
        Folder of all results.
    target
        Path of a result file, or a series as `series_folder` takes it.
    kind
        One of `FORMATS`.
    output
        Folder to write into: by default that of the file, or ``export`` in that of the series.
    percent
        Isosurface inside which strain and displacement are given.
    """
    if kind not in FORMATS:
        raise ValueError(f"the format must be one of {FORMATS!r}; got {kind!r}")
    if not 0 < percent <= 100:
        raise ValueError(f"percent must lie in (0, 100]; got {percent!r}")
    if Path(target).suffix in (".h5", ".cxi"):
        from analysis.results import read_scan

        return export_scan(read_scan(Path(target)), kind, output or Path(target).parent, percent)
    folder = series_folder(results, target)
    goal = output or folder / "export"
    require_writable(goal, ELSEWHERE)
    return export_series(folder, kind, goal, percent)


def export_runs(
    catalogue: Catalogue, settings: Settings, target: str, kind: str, output: Path | None = None
) -> list[Path]:
    """Write measured scans in their beamline's own layout and return the files to open.

    Parameters
    ----------
    catalogue, settings
        Where runs and frames are.
    target
        A series, -1 for the last, a run's uid, or a frame file.
    kind
        "nexus" or "id01".
    output
        Folder to write into; by default ``export`` in that of the series' results.
    """
    from callbacks.catalogue import UnknownRunError, find_run, last_series, series_runs
    from callbacks.nexus_export import write_run
    from profile_collection.session.stored_runs import file_job, job_of

    if Path(target).is_file():
        jobs = [file_job(Path(target), settings)]
    else:
        try:
            runs = series_runs(catalogue, last_series(catalogue) if target == LATEST else target)
        except UnknownRunError:
            runs = [find_run(catalogue, target)]
        jobs = [job_of(run.documents(), settings, Path()) for run in runs]
    folder = output or settings.results / jobs[0].series_uid / "export"
    require_writable(folder, ELSEWHERE)
    return [write_run(job, folder, number, kind)[0] for number, job in enumerate(jobs, start=1)]


def export_series(folder: Path, kind: str, goal: Path, percent: float) -> list[Path]:
    """Export every temperature of a stored series and return the files.

    As ``vti`` all are in the series' one gauge, on one laboratory grid, with a collection that ParaView plays
    by temperature, further legs after the first. As ``vts`` and ``npy`` each is as it was reconstructed.
    """
    results = read_results(folder)
    goal.mkdir(parents=True, exist_ok=True)
    if kind != "vti":
        return [path for result in results for path in export_scan(result, kind, goal, percent)]
    from analysis.results.vtk_files import Volume, write_collection, write_vti
    from analysis.structure.volumes import fields, finest_pitch, laboratory_shape, on_laboratory_axes

    series = _analysed(folder, results)
    by_uid = {result.run_uid: result for result in results}
    volumes = [
        Volume(array, series.gauge.support, series.gauge.basis, series.gauge.q_vector)
        for array in series.gauge.aligned
    ]
    pitch = finest_pitch(series.gauge.basis)
    shapes = np.array([laboratory_shape(volume, pitch) for volume in volumes])
    first, second, third = (int(size) for size in shapes.max(axis=0))
    steps, times = [], _times(series)
    for row, volume in enumerate(volumes):
        result = by_uid[series.scans.run_uids[row]]
        path = goal / f"{Path(result.filename).stem}.vti"
        cubic = on_laboratory_axes(volume, pitch, (first, second, third))
        write_vti(path, cubic, fields(cubic, percent), facts=_facts(result))
        steps.append((times[row], path))
    return [*(path for _, path in steps), write_collection(goal / "series.pvd", steps)]


def _times(series: SeriesResult) -> list[float]:
    """Return the time of each scan in ParaView's collection: its place on the sample's way, K.

    Where scans share a place, for a temperature was repeated, it is their number in the series.
    """
    offset = series.scans.setpoints[0] - series.scans.path[0]
    way = np.round(series.scans.path + offset, 1)
    return [float(time) for time in (way if (np.diff(way) > 0).all() else series.scans.indices)]


def export_scan(result: ScanResult, kind: str, goal: Path, percent: float) -> list[Path]:
    """Export one scan's result into the folder ``goal`` and return the files."""
    from analysis.results.vtk_files import write_arrays, write_vti, write_vts
    from analysis.structure.volumes import fields, on_laboratory_axes

    stem, volume = Path(result.filename).stem, _volume(result)
    goal.mkdir(parents=True, exist_ok=True)
    if kind == "npy":
        return write_arrays(goal, stem, volume)
    if kind == "vts":
        path, inside, write = goal / f"{stem}.vts", volume, write_vts
    else:
        path, inside, write = goal / f"{stem}.vti", on_laboratory_axes(volume), write_vti
    return [write(path, inside, fields(inside, percent), facts=_facts(result))]


def _volume(result: ScanResult) -> Volume:
    from analysis.results.vtk_files import Volume

    return Volume(result.object, result.support, result.voxel_basis, result.q_vector)


def _facts(result: ScanResult) -> dict[str, str | float]:
    return {
        "temperature_K": result.temperature,
        "branch": result.branch,
        "run_uid": result.run_uid,
        "weights_hash": result.weights_hash,
        "chi_squared": result.chi_squared,
        "trusted": "yes" if result.trusted else "no: " + "; ".join(result.reasons),
        "notes": "; ".join(result.notes),
    }


def _analysed(folder: Path, results: list[ScanResult]) -> SeriesResult:
    """Return the series as it stands: it is computed anew, for its volumes are not stored."""
    from analysis.order_parameter import analyse_series

    record = folder / "series.json"
    expected = json.loads(record.read_text(encoding="utf-8")).get("expected") if record.is_file() else None
    return analyse_series([*results, *read_repeats(folder, results)], expected=expected)
