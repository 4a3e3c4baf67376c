"""Scans of other beamlines become one series of runs, as if they had been measured here.

Everything is checked, and all frames are copied, before the first document is made.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from analysis.experiment import Experiment
from analysis.file_names import file_name
from analysis.geometry import ScanGeometry, geometry_document, instrument_named
from analysis.readers import FrameSource, MeasuredScan, ReadError
from analysis.readers.arrays import combined_masks, gain_of, spread_of
from callbacks.frames import DARK, FLAT_FIELD, PIXEL_MASK, write_frames
from callbacks.journal.journal import Document
from callbacks.journal.recovery import scan_documents

ROOM = 295.0
"""K; what a single scan without a temperature is taken to have been measured at."""

NOISY = 1.0
"""Counts of the dark image from which a pixel counts without light: it is masked."""

FEW = 8
"""So many arrays that nothing uses are named in the result; a master with more lists its counters, which
`vo2 inspect` and the run name."""

FAR_OFF = 0.05
"""How far the expected plane spacing may lie from all that the detector sees, relative."""


@dataclass(frozen=True)
class Extras:
    """What a person gives beside the files, for all scans of a series.

    Parameters
    ----------
    mask
        (rows, cols) or (n, rows, cols) bool, True where a pixel is bad.
    flat_field
        (rows, cols) what each pixel counts; only the ratio to the median matters.
    dark
        (rows, cols) counts without light, in the exposure of a frame.
    temperatures
        K, one for each scan, or one for all.
    crop
        Voxels about the peak that are phased.
    """

    mask: NDArray[np.bool_] | None = None
    flat_field: NDArray[Any] | None = None
    dark: NDArray[Any] | None = None
    temperatures: tuple[float, ...] = ()
    crop: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Ready:
    """A scan that was checked, and what its run will say.

    Parameters
    ----------
    scan, geometry, frames
        As read; the geometry is known and the frames are there.
    temperature
        (n,) K.
    arrays
        What lies beside the frames.
    notes
        What a person should know.
    """

    scan: MeasuredScan
    geometry: ScanGeometry
    frames: FrameSource
    temperature: NDArray[np.float64]
    arrays: Mapping[str, NDArray[Any]]
    notes: tuple[str, ...]


def in_order(scans: Sequence[MeasuredScan]) -> list[MeasuredScan]:
    """Return scans by the time they began; as they came where not every file says it."""
    times = [begun(scan) for scan in scans]
    if any(time is None for time in times):
        return list(scans)
    return [scan for _, _, scan in sorted(zip(times, range(len(scans)), scans, strict=True))]


def begun(scan: MeasuredScan) -> datetime | None:
    """Return when a scan began; a time without a zone is the beamline's."""
    if scan.started is None or scan.started.tzinfo is not None:
        return scan.started
    if not scan.instrument:
        return scan.started.replace(tzinfo=UTC)
    with contextlib.suppress(KeyError, OSError):  # no such zone on this machine
        return scan.started.replace(tzinfo=ZoneInfo(instrument_named(scan.instrument).zone))
    return scan.started.replace(tzinfo=UTC)


def checked(scans: Sequence[MeasuredScan], extras: Extras) -> list[Ready]:
    """Check all scans of a series before anything is stored.

    Raises
    ------
    ReadError
        Something is missing, or does not fit; the message says which file and what to do.
    """
    if not scans:
        raise ReadError("a series needs at least one scan; none was found in the files")
    if len(extras.temperatures) not in (0, 1, len(scans)):
        raise ReadError(
            f"one temperature for all scans or one for each of {len(scans)} is needed; "
            f"{len(extras.temperatures)} came"
        )
    ready = [_ready(scan, number, len(scans), extras) for number, scan in enumerate(scans)]
    energies = sorted({round(one.geometry.energy, 4) for one in ready})
    if len(energies) == 1:
        return ready
    said = (
        f"the series has scans at {', '.join(f'{energy:g}' for energy in energies)} keV; each has its own q"
    )
    return [replace(one, notes=(*one.notes, said)) for one in ready]


def _ready(scan: MeasuredScan, number: int, count: int, extras: Extras) -> Ready:
    scan.require()
    if scan.frames is None or scan.geometry is None:
        raise ReadError(f"{scan.path}: frames and geometry are needed; see 'vo2 inspect {scan.path}'")
    points = scan.frames.shape[0]
    if len(scan.angles) != points:
        raise ReadError(f"{scan.path}: {points} frames came with {len(scan.angles)} angles of {scan.axis!r}")
    _check_spacing(scan, scan.geometry)
    temperature, notes = _temperature(scan, number, count, extras)
    arrays, remarks = _arrays(scan, extras)
    if 0 < len(scan.unused) <= FEW:
        remarks.append(f"not used of the file: {', '.join(scan.unused)}")
    return Ready(scan, scan.geometry, scan.frames, temperature, arrays, (*scan.notes, *notes, *remarks))


def _check_spacing(scan: MeasuredScan, geometry: ScanGeometry) -> None:
    expected = scan.expected_d
    if expected is None:
        return
    rows, cols = np.meshgrid(*(np.linspace(0, size - 1, 9) for size in geometry.shape), indexing="ij")
    seen = 2 * np.pi / np.linalg.norm(geometry.lab_q(rows, cols), axis=-1)
    low, high = float(seen.min()), float(seen.max())
    if not low * (1 - FAR_OFF) <= expected <= high * (1 + FAR_OFF):
        raise ReadError(
            f"{scan.path}: the detector sees d from {low:.4f} to {high:.4f} Å, and {scan.reflection} of the "
            f"lattice has {expected:.4f} Å: check energy, arm angles, distance, lattice and reflection"
        )


def _temperature(
    scan: MeasuredScan, number: int, count: int, extras: Extras
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    points = len(scan.angles)
    if extras.temperatures:
        given = extras.temperatures[number if len(extras.temperatures) > 1 else 0]
        return np.full(points, given), ()
    if scan.temperature is not None:
        return scan.temperature, ()
    if count > 1:
        raise ReadError(
            f"{scan.path}: no temperature was measured; give one for each scan: --temperature 320,325,…"
        )
    return np.full(points, ROOM), (f"no temperature was measured: {ROOM:g} K is assumed",)


def _arrays(scan: MeasuredScan, extras: Extras) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return mask and flat field as they are stored, and remarks."""
    shape = () if scan.frames is None else tuple(int(size) for size in scan.frames.shape)
    remarks: list[str] = []
    masks = [one for one in (scan.mask, extras.mask) if one is not None]
    dark = extras.dark if extras.dark is not None else scan.dark
    flat = extras.flat_field if extras.flat_field is not None else scan.flat_field
    for what, array in (("dark", dark), ("flat field", flat)):
        if array is not None and array.shape != shape[1:]:
            raise ReadError(f"the {what} must have the frames' shape {shape[1:]}; it has {array.shape}")
    if dark is not None:
        noisy = np.asarray(dark) >= NOISY
        masks.append(noisy)
        remarks.append(f"{int(noisy.sum())} pixels count in the dark image: they are masked")
    gain = None
    if flat is not None:
        gain, blind = gain_of(flat)
        masks.append(blind)
        if blind.any():
            remarks.append(f"{int(blind.sum())} pixels count nothing in the flat field: they are masked")
    arrays: dict[str, NDArray[Any]] = {}
    if masks:
        arrays[PIXEL_MASK] = combined_masks(masks, shape)
    if gain is not None:
        arrays[FLAT_FIELD] = gain
        remarks.append(
            f"the flat field is in the model as a gain, of {100 * spread_of(gain):.0f} % between pixels"
        )
    if dark is not None:
        arrays[DARK] = np.where(noisy, 0, dark).astype(np.float32)
    return arrays, remarks


def ingest_documents(
    ready: Sequence[Ready],
    frames_folder: Path,
    *,
    name: str,
    extras: Extras | None = None,
    given: Mapping[str, Any] | None = None,
    operator: str = "",
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Iterator[Document]:
    """Copy the frames of a series under `frames_folder`, then yield the documents of its runs.

    Parameters
    ----------
    ready
        From `checked`, in the order of the series.
    frames_folder
        A folder that the catalogue's server may read.
    name
        Of the sample; also the beginning of the series' uid.
    extras
        What was given beside the files.
    given
        What a person said of the scans; the runs keep it beside what the files say.
    operator
        Who ingests it.
    progress
        Called with a file's name, frames copied and frames in all.

    Raises
    ------
    FrameFileError
        Frames are no counts; nothing of the series is left behind.
    """
    extras = extras or Extras()
    now = datetime.now(tz=UTC)
    series_uid = f"{file_name(name)}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    folder = frames_folder / series_uid
    starts = _starts(ready, series_uid, name, operator, extras, dict(given or {}), now.timestamp())
    written: list[tuple[dict[str, Any], Ready, dict[str, NDArray[np.float64]], NDArray[np.float64]]] = []
    try:
        for start, one in zip(starts, ready, strict=True):
            columns, times = _copied(folder / f"{start['uid']}.h5", start, one, progress)
            written.append((start, one, columns, times))
    except BaseException:
        for start in starts:
            (folder / f"{start['uid']}.h5").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    for start, one, columns, times in written:
        rows, cols = one.geometry.shape
        baseline = {name: float(angle) for name, angle in one.scan.positions.items() if np.isfinite(angle)}
        path = folder / f"{start['uid']}.h5"
        yield from scan_documents(
            start, path, (rows, cols), columns, timestamps=times, baseline=baseline or {"position": 0.0}
        )


def _copied(
    path: Path, start: Mapping[str, Any], one: Ready, progress: Callable[[str, int, int], None]
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Copy a scan's frames; return the columns of its events, and their times."""
    points = len(one.scan.angles)
    exposure = one.scan.exposure or 1.0
    times = np.asarray(float(start["time"]) + exposure * np.arange(1, points + 1), dtype=np.float64)
    monitor = np.ones(points) if one.scan.monitor is None else one.scan.monitor
    in_file = {
        one.scan.axis: one.scan.angles,
        "Tsample": one.temperature,
        "monitor": monitor,
        "timestamp": times,
    }
    if one.scan.transmission is not None:
        in_file["transmission"] = np.full(points, one.scan.transmission)
    done = 0

    def copied(count: int) -> None:
        nonlocal done
        done += count
        progress(one.scan.path.name, done, points)

    seen = write_frames(path, one.frames, in_file, start, arrays=one.arrays, progress=copied)
    columns = {
        one.scan.axis: one.scan.angles,
        "Tsample": one.temperature,
        "ic1monitor": monitor,
        "merlin_total": seen.total,
        "merlin_max": seen.maximum,
    }
    return columns, times


def _starts(
    ready: Sequence[Ready],
    series_uid: str,
    name: str,
    operator: str,
    extras: Extras,
    given: dict[str, Any],
    now: float,
) -> list[dict[str, Any]]:
    """Return the start documents, each a second later than the last: the catalogue orders by time."""
    import event_model

    kelvin = [round(float(np.nanmean(one.temperature)), 2) for one in ready]
    starts = []
    for index, one in enumerate(ready):
        metadata: dict[str, Any] = {
            "plan_name": "ingest",
            "purpose": "rocking",
            "series_uid": series_uid,
            "series_index": index,
            "series_size": len(ready),
            "branch": _branch(kelvin, index),
            "attempt": 1,
            "temperature_setpoint": kelvin[index],
            "sample": name,
            "operator": operator,
            "simulated": False,
            "ingested": _record(one, given),
            **_of_scan(one, extras),
        }
        experiment = Experiment.of_start(metadata)
        metadata["experiment"] = experiment.document()
        if experiment.counterpart is not None and one.scan.expected_d is not None:
            # A peak of the other phase may be the brighter one: d tells them apart.
            metadata["geometry"]["expected_d"] = one.scan.expected_d
            metadata["geometry"]["neighbour_d"] = experiment.counterpart.d_spacing
        starts.append(dict(event_model.compose_run(metadata=metadata, time=now + index).start_doc))
    return starts


def _branch(kelvin: Sequence[float], index: int) -> str:
    """Return "heating" or "cooling" by the scan before; of the first by the next."""
    first, second = (index - 1, index) if index else (0, min(1, len(kelvin) - 1))
    return "cooling" if kelvin[second] < kelvin[first] else "heating"


def _record(one: Ready, given: dict[str, Any]) -> dict[str, Any]:
    """Return what the file said and what a person said, for the run."""
    started = begun(one.scan)
    return {
        "file": str(one.scan.path),
        "format": one.scan.format,
        "command": one.scan.title,
        "started": None if started is None else started.isoformat(),
        "given": given,
        "notes": list(one.notes),
        "unused": list(one.scan.unused),
    }


def _of_scan(one: Ready, extras: Extras) -> dict[str, Any]:
    scan, geometry, angles = one.scan, one.geometry, one.scan.angles
    finite = angles[np.isfinite(angles)]
    found: dict[str, Any] = {
        "instrument": scan.instrument,
        "energy": geometry.energy,
        "geometry": geometry_document(geometry),
        "detector": {
            "name": "merlin",
            "distance_mm": geometry.distance,
            "pixel_size_mm": geometry.pixel_size,
            "shape": list(geometry.shape),
            "roi": list(geometry.roi),
            "gaps": list(geometry.gaps),
            "bad_pixel": None,
            "saturation": None if np.isinf(geometry.saturation) else geometry.saturation,
        },
        "scan": {
            "axis": scan.axis,
            "start": float(finite[0]),
            "stop": float(finite[-1]),
            "step": float(np.median(np.diff(finite))),
            "num": len(angles),
            "exposure": scan.exposure or 1.0,
        },
    }
    if extras.crop is not None:
        found["crop"] = list(extras.crop)
    if scan.reflection is not None:
        found["reflection"] = list(scan.reflection)
    if scan.cell is not None:
        names = ("a", "b", "c", "alpha", "beta", "gamma")
        found["lattice"] = {name: float(getattr(scan.cell, name)) for name in names}
    if scan.ub is not None:
        found["UB"] = scan.ub.tolist()
    return found
