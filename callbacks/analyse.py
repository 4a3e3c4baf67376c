"""From a job to a `ScanResult`: read the frames, prepare, reconstruct, measure the strain.

Stored scans are phased again from other seeds: the spread of the results is the order parameter's error.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.experiment import Experiment
from analysis.geometry import ScanGeometry, geometry_of_document, instrument_named
from analysis.order_parameter import analyse_series
from analysis.phasing.first_guess import first_guess
from analysis.phasing.registration import overlap
from analysis.phasing.two_lattices import phase
from analysis.preprocessing import LocatedScan, PreparedScan, locate_scan
from analysis.results import (
    ScanResult,
    SeriesResult,
    read_scan,
    read_series,
    write_scan,
    write_series,
)
from analysis.structure import strain_table, structure_summary
from callbacks.frames import DARK, FLAT_FIELD, PIXEL_MASK, open_frames, read_array, read_beside
from callbacks.jobs import CAPTION, ScanJob, SoFar
from callbacks.locks import alone
from callbacks.scan_notes import said_of_file, said_of_flat_field, said_of_sampling
from callbacks.series import SEEDS, read_repeats, read_results, series_lock

if TYPE_CHECKING:
    from analysis import Reconstruction


logger = logging.getLogger(__name__)

PACKAGES = ("vo2-bcdi", "numpy", "scipy", "torch", "h5py")


def analyse(job: ScanJob, at_crop: Callable[[PreparedScan], None] = lambda prepared: None) -> ScanResult:
    """Return the reconstruction of one scan with its provenance.

    Parameters
    ----------
    job
        The scan.
    at_crop
        Is shown the crop before it is phased.

    Raises
    ------
    ValueError
        The frames cannot be read or used; the message says why.
    """
    prepared = prepare(job)
    at_crop(prepared)
    return _phased(job, prepared)


def phase_as_asked(job: ScanJob, prepared: PreparedScan, seed: int) -> Reconstruction:
    """Phase a crop of a job from a seed, as the experiment's lattices ask for."""
    experiment = Experiment.of_start(job.start)
    return phase(prepared, seed, strain=experiment.transformation_strain, band=experiment.crop)


def _phased(job: ScanJob, prepared: PreparedScan) -> ScanResult:
    """Phase the crop of a job."""
    found = phase_as_asked(job, prepared, job.seed)
    return _result(job, prepared, phasing_values(found, prepared.voxel_basis, prepared.q_vector))


def analyse_early(job: ScanJob, before: ScanResult | None) -> tuple[ScanResult, SoFar]:
    """Return the reconstruction of the first points of a scan that still runs, and how far it has come.

    The planes of the crop that are not there yet count as not measured.

    Parameters
    ----------
    job
        What there is of the scan.
    before
        Early result before this one, if there is one.

    Raises
    ------
    ValueError
        The frames cannot be read or used, or the peak has not passed; the message says why.
    """
    prepared, steps = prepare(job), len(job.eta)
    planes = prepared.intensity.shape[0]
    least = planes // 8
    if steps - 1 - prepared.peak[0] < least:
        raise ValueError(
            f"an early result needs {least} points after the peak, which is at point "
            f"{prepared.peak[0] + 1:.0f} of {steps} so far: wait for more"
        )
    result = _phased(job, prepared)
    alike = before is not None and before.object.shape == result.object.shape
    so_far = SoFar(
        points=steps,
        wanted=int(job.start["scan"]["num"]),
        overlap=overlap(result.object, before.object) if before is not None and alike else float("nan"),
        covered=prepared.crop[0] + planes <= steps,
    )
    return result, so_far


def guessed(job: ScanJob, prepared: PreparedScan) -> ScanResult:
    """Return the network's guess of a prepared scan in the form of a result, which says that it is none."""
    guess = first_guess(prepared)
    values = {
        "object": guess.object,
        "support": guess.support,
        "chi_squared": guess.chi_squared,
        "noise_ratio": guess.noise_ratio,
        "trusted": False,
        "reasons": (CAPTION["preview"],),
        "loss_history": np.empty(0),
        "seed": job.seed,
        "seconds": guess.seconds,
        "weights_hash": guess.weights_hash,
    }
    return _result(job, prepared, values)


def prepare(job: ScanJob) -> PreparedScan:
    """Return the crop about the peak of a job's frames, masked and normalised.

    Raises
    ------
    ValueError
        The frames cannot be read or used; the message says why.
    """
    with located(job) as scan:
        return scan.prepared()


@contextlib.contextmanager
def located(job: ScanJob) -> Iterator[LocatedScan]:
    """Open a job's frames and find the peak in them; crops can be made as long as they are open.

    Raises
    ------
    ValueError
        As for `prepare`.
    """
    geometry = scan_geometry(job)
    bad, shape = known_bad_pixels(job, geometry), crop_shape(job)
    growing = job.stage == "early"
    with open_frames(job.frame_file, job.dataset, job.frame_index, growing=growing) as frames:
        yield locate_scan(
            frames,
            job.eta,
            job.monitor,
            geometry,
            mask=bad,
            flat_field=read_array(job.frame_file, job.dataset, FLAT_FIELD),
            dark=read_array(job.frame_file, job.dataset, DARK),
            shape=shape,
            frame_index=job.frame_index,
            stopped_early=job.incomplete and not growing,  # one that grows is judged by `analyse_early`
        )


def crop_shape(job: ScanJob) -> tuple[int, int, int]:
    """Return the voxels about the peak that are phased: as the job or its run asks, else its experiment."""
    first, second, third = (
        int(size) for size in job.crop or job.start.get("crop") or Experiment.of_start(job.start).crop
    )
    return first, second, third


def scan_geometry(job: ScanJob) -> ScanGeometry:
    """Return the geometry of a job's scan, of whichever instrument took it."""
    if job.start.get("geometry"):  # a file of another beamline said it
        return geometry_of_document(job.start["geometry"])
    scanned = {job.start["scan"]["axis"]: float(np.mean(job.eta))}
    found = instrument_named(_instrument_name(job)).geometry(job.start, {**job.positions, **scanned})
    other = Experiment.of_start(job.start).counterpart
    return replace(found, neighbour_d=other.d_spacing if other else None)


def _instrument_name(job: ScanJob) -> str:
    return str(job.start.get("instrument") or Experiment.of_start(job.start).instrument)


def known_bad_pixels(job: ScanJob, geometry: ScanGeometry) -> NDArray[np.bool_] | None:
    """Return the pixels known to be bad, (rows, cols) bool of the region read out, or None.

    They are listed in the start document, or in a mask beside the frames, which may be (points, rows, cols).
    """
    beside = read_array(job.frame_file, job.dataset, PIXEL_MASK)
    if beside is not None:
        return (beside != 0) if beside.ndim == 2 else (beside[job.frame_index] != 0)
    known = job.start["detector"].get("bad_pixel")
    if not known:
        return None
    row0, row1, col0, col1 = geometry.roi
    mask = np.zeros(geometry.shape, dtype=bool)
    rows, cols = np.asarray(known, dtype=int).T
    mask[rows, cols] = True
    return mask[row0:row1, col0:col1]


def _result(job: ScanJob, prepared: PreparedScan, phased: Mapping[str, Any]) -> ScanResult:
    """Put what phasing gave, by the names of the fields, and its provenance together."""
    start = job.start
    notes = (
        *job.notes,
        *said_of_file(job, prepared),
        *said_of_flat_field(prepared, phased),
        *said_of_sampling(job, prepared, phased),
        *prepared.notes,
    )
    return ScanResult(
        **phased,
        notes=notes,
        not_counts=prepared.not_counts,
        intensity=prepared.intensity,
        mask=prepared.mask,
        background=prepared.background,
        background_planes=prepared.background_planes,
        given_flat_field=prepared.given_flat_field,
        dark=prepared.dark,
        pixel_kernel=prepared.pixel_kernel,
        voxel_basis=prepared.voxel_basis,
        q_vector=prepared.q_vector,
        d_spacing=prepared.d_spacing,
        d_spacing_error=prepared.d_spacing_error,
        temperature=float(np.nanmean(job.temperature)),
        temperature_sigma=float(np.nanstd(job.temperature)),
        temperature_setpoint=float(start["temperature_setpoint"]),
        branch=str(start["branch"]),
        attempt=int(start["attempt"]),
        started=float(start.get("time", float("nan"))),
        series_uid=job.series_uid,
        series_index=int(start.get("series_index", 0)),
        run_uid=job.run_uid,
        versions=versions(),
        parameters={
            **prepared.parameters,
            "threads": torch_threads(),
            "extra_frames": job.extra_frames,
            "incomplete": job.incomplete,
        },
        sample=_sample(job),
        experiment=Experiment.of_start(start).document(),
        instrument=_instrument(job),
    )


def phasing_values(
    found: Reconstruction, voxel_basis: NDArray[np.float64], q_vector: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the fields of a `ScanResult` that its phasing gives, by name."""
    return {
        "object": found.object,
        "support": found.support,
        "chi_squared": float(found.chi_squared),
        "noise_ratio": float(found.noise_ratio),
        "trusted": bool(found.trusted),
        "reasons": tuple(found.reasons),
        "loss_history": np.asarray(found.loss_history, dtype=np.float64),
        "seed": int(found.seed),
        "seconds": float(found.seconds),
        "weights_hash": str(found.weights_hash),
        "coherence": found.coherence,
        "flat_field": found.flat_field if found.calibrated or (found.flat_field != 1).any() else None,
        "exposure": found.exposure if found.calibrated else None,
        "strain": strain_table(found.object, voxel_basis, q_vector),
        "structure": structure_summary(found.object, voxel_basis, q_vector),
    }


def torch_threads() -> int:
    """Return the threads that torch computes with; part of what makes a result repeatable."""
    import torch

    return int(torch.get_num_threads())


def _sample(job: ScanJob) -> dict[str, Any]:
    copied = ("UB", "lattice", "reflection", "crystal_size_nm", "proposal", "operator")
    return {
        "name": job.start.get("sample", ""),
        **{key: job.start[key] for key in copied if key in job.start},
    }


def _instrument(job: ScanJob) -> dict[str, Any]:
    """Return angles and counters under the instrument's own names."""
    axis = job.start["scan"]["axis"]
    transmission = read_beside(job.frame_file, job.dataset, "transmission", job.frame_index)
    attenuator = {} if transmission is None else {"transmission": float(transmission.mean())}
    return {
        "name": _instrument_name(job),
        **{name: float(value) for name, value in job.positions.items()},
        axis: float(job.eta.mean()),
        "en": float(job.start["energy"]),
        "ic1monitor": float(job.monitor.mean()),
        **attenuator,
        "detector": dict(job.start["detector"]),
        "scan": dict(job.start["scan"]),
    }


def versions() -> dict[str, str]:
    """Return the versions of what computed the result."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


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
    RuntimeError
        Another process repeats this series.
    """
    if not read_results(folder):
        raise ValueError(f"results are required in {str(folder)!r}, none came: analyse the series first")
    with alone(folder / ".repeat.lock", f"{folder.name} is being repeated"):
        return _repeat_series(folder, seeds, progress)


def _repeat_series(folder: Path, seeds: Iterable[int], progress: Callable[[str], None]) -> SeriesResult:
    scans, seeds = read_results(folder), list(seeds)
    for scan in sorted(scans, key=lambda one: one.series_index):
        for seed in sorted(set(seeds) - {scan.seed}):
            if not seed_file(folder, scan, seed).is_file():
                progress(f"{scan.label}, seed {seed}")
                repeated(folder, scan, seed)
    with series_lock(folder):
        series = analyse_series([*scans, *read_repeats(folder, scans)], expected=expected_scans(folder))
        write_series(folder, series)
    return series


def seed_file(folder: Path, scan: ScanResult, seed: int) -> Path:
    """Return the path of a scan phased from another seed."""
    return folder / SEEDS / f"{Path(scan.filename).stem}_seed{seed}.h5"


def repeated(folder: Path, scan: ScanResult, seed: int) -> ScanResult:
    """Return a scan phased from another seed: the stored one, else it is computed and stored."""
    path = seed_file(folder, scan, seed)
    if path.is_file():
        return read_scan(path)
    again = phased_again(scan, seed)
    write_scan(path, again)
    return again


def phased_again(scan: ScanResult, seed: int) -> ScanResult:
    """Return the reconstruction of the same intensity from another seed, by the same algorithm."""
    experiment = Experiment.of_scan(scan)
    found = phase(scan, seed, strain=experiment.transformation_strain, band=experiment.crop)
    return replace(scan, **phasing_values(found, scan.voxel_basis, scan.q_vector))


def expected_scans(folder: Path) -> int | None:
    """Return how many scans a series is to have, None where its record does not say."""
    try:
        expected = read_series(folder)["expected"]
    except FileNotFoundError:
        return None
    return None if expected is None else int(expected)
