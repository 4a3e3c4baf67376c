"""HDF5 files other than I16's: ESRF's BLISS (ID01), CXI, areaDetector; read with h5py."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from analysis.geometry import INSTRUMENTS, Instrument, ScanGeometry, instrument_named
from analysis.readers.linked import Dataset, First, left_over, linked_frames, opened
from analysis.readers.scan import (
    FrameSource,
    Given,
    MeasuredScan,
    ReadError,
    lacks,
    mean,
    measured,
    moment,
    text,
)

ID01 = instrument_named("ESRF ID01")
BLISS_DETECTORS = ("mpxgaas", "mpx1x4", "eiger2M")
BLISS_CIRCLES = ("mu", "eta", "phi", "nu", "delta")
MASKS = ("mask", "pixel_mask", "bad_pixels")
FLAT_FIELDS = ("flat_field", "flatfield", "white", "white_field", "whitefield", "data_white", "gain")
DARKS = ("dark", "darkfield", "dark_field", "data_dark")
"""Names of what lies beside frames, NeXus' and CXI's among them."""

MONITORS = ("mon", "mon2", "ic0", "exp1", "monitor")


class Bliss:
    """ESRF ID01: a group ``<sample>_<scan>.1`` a scan, frames and counters in its ``measurement``."""

    format = "ESRF BLISS HDF5"

    def accepts(self, path: Path) -> bool:
        """Return whether a scan group has positioners and a detector of ID01."""
        with opened(path) as file:
            return file is not None and bool(_bliss_scans(file))

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the scan that ``given.scan`` names (a number or a group's name), or all."""
        with opened(path) as file:
            names = _bliss_scans(file) if file is not None else []
            wanted = [one for one in names if given.scan in (None, one, _scan_number(one))]
            if file is None or not wanted:
                raise ReadError(f"{path} has no scan {given.scan!r} with frames; it has {names[:12]}")
            return [_bliss_scan(path, file[name], given, frames) for name in wanted]


def _bliss_scans(file: h5py.File) -> list[str]:
    found = []
    for name in file:
        group = file.get(name)
        if re.search(r"\.\d+$", name) and isinstance(group, h5py.Group) and "instrument/positioners" in group:
            counters = group.get("measurement")
            if isinstance(counters, h5py.Group) and any(one in counters for one in BLISS_DETECTORS):
                found.append(name)
    return found


def _scan_number(name: str) -> str:
    match = re.search(r"(\d+)\.\d+$", name)
    return match.group(1) if match else ""


def _bliss_scan(path: Path, scan: h5py.Group, given: Given, folder: Path | None) -> MeasuredScan:
    counters, motors = scan["measurement"], scan["instrument/positioners"]
    detector = given.dataset or next(one for one in BLISS_DETECTORS if one in counters)
    source: FrameSource | None
    source, note = linked_frames(path, counters, detector, folder)
    points, remarks = (source.shape[0] if source is not None else 0), list[str]()
    if source is not None and (common := _common(counters, motors, points)) < points:
        remarks.append(
            f"{points} frames and {common} positions were written, as where a scan was cancelled: the first "
            f"{common} are used"
        )
        source, points = First(source, common), common
    columns = _columns(counters, points, cut=True)
    moved = {
        name: np.asarray(motors[name][()], dtype=float)
        for name in BLISS_CIRCLES
        if name in motors and motors[name].size > 1
    }
    axis = given.axis or next((one for one in BLISS_CIRCLES if one in moved or one in columns), "")
    angles = moved.get(axis, columns.get(axis, np.zeros(0)))
    stood = {name: float(np.mean(motors[name][()])) for name in BLISS_CIRCLES if name in motors}
    positions = ID01.placed(stood, given.positions)
    positions.pop(ID01.own(axis), None)
    calibration = scan.get(f"instrument/{detector}")
    beside, used = images_beside(calibration, source.shape if source is not None else ())
    monitor = next((one for one in MONITORS if one in columns), "")
    used |= {axis, monitor, "acq_time", "temperature", *BLISS_CIRCLES, f"{counters.name}/{detector}"}
    known = replace(
        given,
        energy=given.energy or _one(motors, "mononrj"),
        distance=given.distance or millimetres(calibration, "distance"),
        pixel_size=given.pixel_size or millimetres(calibration, "y_pixel_size"),
        centre=given.centre or _pair(calibration, "beam_center_y", "beam_center_x"),
    )
    missing = (*((note,) if note else ()), *_missing(known, ID01, axis, positions))
    temperature = given.temperature if given.temperature is not None else columns.get("temperature")
    return MeasuredScan(
        path=path,
        format=Bliss.format,
        instrument=ID01.name,
        name=re.sub(r"_?\d+\.\d+$", "", scan.name.strip("/")),
        title=_text(scan.get("title")),
        frames=source,
        axis=axis,
        angles=angles[:points] if points else angles,
        positions=positions,
        geometry=_geometry(ID01, known, axis, positions, source, missing),
        energy=known.energy,
        temperature=measured(temperature, points),
        monitor=columns.get(monitor),
        exposure=_one(scan, "instrument/acq_time") or mean(columns.get("acq_time")),
        started=moment(_text(scan.get("start_time"))),
        cell=given.cell(),
        reflection=given.reflection,
        missing=missing,
        notes=tuple(remarks),
        unused=left_over(scan, used),
        **beside,
        refusal="" if axis else f"none of {list(BLISS_CIRCLES)} was scanned: it is no rocking curve",
    )


def _common(counters: h5py.Group, motors: h5py.Group, points: int) -> int:
    """Return how many points circles and counters have in common, at most ``points``."""
    nodes = [group[name] for group in (motors, counters) for name in BLISS_CIRCLES if name in group]
    moved = [node.size for node in nodes if isinstance(node, h5py.Dataset) and node.size > 1]
    return min([points, *moved])


class Cxi:
    """A CXI file (Maia 2012, doi:10.1038/nmeth.2110) of raw frames, in ``entry_1``."""

    format = "CXI"

    def accepts(self, path: Path) -> bool:
        """Return whether the file has ``entry_1`` with a detector or data, or says its CXI version."""
        with opened(path) as file:
            return file is not None and _cxi_frames(file) != ""

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the one scan of the file; its axis and circles have to be given."""
        with opened(path) as file:
            place = given.dataset or (_cxi_frames(file) if file is not None else "")
            if file is None or not place:
                raise ReadError(f"a CXI file with frames was expected, {str(path)!r} came")
            detector = file[place].parent
            joules = _one(file, "entry_1/instrument_1/source_1/energy")
            known = replace(
                given,
                energy=given.energy or (joules / 1.602176634e-16 if joules else None),
                distance=given.distance or millimetres(detector, "distance"),
                pixel_size=given.pixel_size or millimetres(detector, "y_pixel_size"),
            )
            return [_plain(path, Cxi.format, place, file, known, frames)]


def _cxi_frames(file: h5py.File) -> str:
    if "entry_1" not in file or not ("cxi_version" in file or "entry_1/instrument_1" in file):
        return ""
    places = ("entry_1/instrument_1/detector_1/data", "entry_1/data_1/data", "entry_1/image_1/data")
    for place in places:
        found = file.get(place)
        if isinstance(found, h5py.Dataset) and found.ndim == 3:
            return place
    return ""


class AreaDetector:
    """HDF5 file of EPICS areaDetector: frames in ``entry/…/data``, one array a frame beside them."""

    format = "areaDetector HDF5"

    def accepts(self, path: Path) -> bool:
        """Return whether the file has frames where areaDetector writes them."""
        with opened(path) as file:
            return file is not None and _area_frames(file) != ""

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the one scan of the file; what the file does not say has to be given."""
        with opened(path) as file:
            place = given.dataset or (_area_frames(file) if file is not None else "")
            if file is None or place not in file:
                raise ReadError(f"frames at {place!r} were expected in {path}: name them (dataset)")
            return [_plain(path, AreaDetector.format, place, file, given, frames)]


def _area_frames(file: h5py.File) -> str:
    for place in ("entry/instrument/detector/data", "entry/data/data", "entry/instrument/merlin/data"):
        found = file.get(place)
        if isinstance(found, h5py.Dataset) and found.ndim >= 3:
            return place
    return ""


def images_beside(group: Any, shape: tuple[int, ...]) -> tuple[dict[str, Any], set[str]]:
    """Return mask, flat field and dark image that lie in a detector's group, and their paths in the file.

    As `MeasuredScan` names them; for frames of ``shape`` (n, rows, columns).
    """
    found: dict[str, Any] = {}
    used = set()
    for name in group if isinstance(group, h5py.Group) else ():
        node = group.get(name)
        if not isinstance(node, h5py.Dataset) or not shape or node.shape not in (shape[1:], shape):
            continue
        kind = next(
            (
                field
                for field, names in (("mask", MASKS), ("flat_field", FLAT_FIELDS), ("dark", DARKS))
                if name in names and (field == "mask" or node.shape == shape[1:])
            ),
            "",
        )
        if kind:
            found[kind] = np.asarray(node[()]) != 0 if kind == "mask" else np.asarray(node[()])
            used.add(f"{group.name}/{name}")
    return found, used


def _plain(
    path: Path, kind: str, place: str, file: h5py.File, given: Given, frames: Path | None
) -> MeasuredScan:
    """Return a scan of a file that holds frames and little else."""
    source = Dataset(path, place, frames)
    if source.dtype.kind not in "iuf":
        raise ReadError(
            f"{path}: {place} must hold counts; it holds {source.dtype}: is it an object that was "
            "reconstructed? Give the measured frames (--dataset names them)"
        )
    points = source.shape[0]
    columns: dict[str, NDArray[np.float64]] = {}
    for group in (file[place].parent, file.get("entry/instrument/NDAttributes")):
        if isinstance(group, h5py.Group):
            columns |= _columns(group, points)
    beside, used = images_beside(file[place].parent, source.shape)
    scan = described(path, kind, source, given, columns=columns, **beside)
    used |= {scan.axis, *USED_COLUMNS, file[place].name}
    return replace(scan, unused=left_over(file, used))


USED_COLUMNS = frozenset({"monitor", "Tsample", "timestamp", "frame_index", "ic1monitor"})
"""Arrays beside the frames of a plain file that are used, or say nothing that is not said already."""


def described(
    path: Path,
    kind: str,
    source: Any,
    given: Given,
    *,
    columns: Mapping[str, NDArray[np.float64]] | None = None,
    **others: Any,
) -> MeasuredScan:
    """Return a scan whose geometry is what ``given`` says, its angles too where no column has them."""
    columns = columns or {}
    points = source.shape[0]
    instrument, refusal = _instrument(given)
    axis = given.axis or (instrument.sample[0][0] if instrument is not None else "")
    angles = given.rocking(points) if given.rocks else columns.get(axis, np.zeros(0))
    positions = dict(given.positions) if instrument is None else instrument.placed({}, given.positions)
    missing = (
        *(_missing(given, instrument, axis, positions) if instrument is not None else (refusal,)),
        *(
            ()
            if len(angles) == points
            else (f"an angle for each of {points} frames (start and step, or angles)",)
        ),
    )
    temperature = given.temperature if given.temperature is not None else columns.get("Tsample")
    return MeasuredScan(
        path=path,
        format=kind,
        instrument=instrument.name if instrument is not None else "",
        name=path.stem,
        frames=source,
        axis=axis,
        angles=angles,
        positions=positions,
        geometry=None
        if instrument is None
        else _geometry(instrument, given, axis, positions, source, missing),
        energy=given.energy,
        temperature=measured(temperature, points),
        monitor=others.pop("monitor", columns.get("monitor", columns.get("ic1monitor"))),
        exposure=given.exposure,
        cell=given.cell(),
        reflection=given.reflection,
        missing=missing,
        **others,
    )


def _instrument(given: Given) -> tuple[Instrument | None, str]:
    if given.instrument is None:
        return None, f"the instrument (one of {', '.join(INSTRUMENTS)}, or a part of its name)"
    try:
        return instrument_named(given.instrument), ""
    except ValueError as error:
        return None, str(error)


def _missing(
    given: Given, instrument: Instrument, axis: str, positions: Mapping[str, float]
) -> tuple[str, ...]:
    return (
        *lacks(
            energy=(given.energy, "energy in keV"),
            distance=(given.distance, "distance in mm"),
            pixel_size=(given.pixel_size, "pixel_size in mm"),
        ),
        *(f"the angle of {name} (positions)" for name in instrument.lacking(axis, positions)),
    )


def _geometry(
    instrument: Instrument,
    given: Given,
    axis: str,
    positions: Mapping[str, float],
    source: Any,
    missing: tuple[str, ...],
) -> ScanGeometry | None:
    if source is None or missing or not axis:
        return None
    return given.geometry(instrument, axis, positions, source.shape[1:])


def _columns(group: h5py.Group, points: int, *, cut: bool = False) -> dict[str, NDArray[np.float64]]:
    """Return the arrays of a group that have one number for each point, or more if they are to be ``cut``."""
    found = {}
    for name in group:
        values = group.get(name)
        if not isinstance(values, h5py.Dataset) or values.ndim != 1 or values.dtype.kind not in "iuf":
            continue
        if values.size == points or (cut and 0 < points < values.size):
            found[name] = np.asarray(values[:points], dtype=float)
    return found


def _one(group: Any, name: str) -> float | None:
    with contextlib.suppress(KeyError, TypeError, ValueError, IndexError, AttributeError):
        return float(np.ravel(group[name][()])[0])
    return None


def millimetres(group: Any, name: str) -> float | None:
    """Return a length that the file states in metres, or in the unit it names, in mm."""
    value = _one(group, name)
    if value is None:
        return None
    unit = text(group[name].attrs.get("units", ""))
    return value * {"mm": 1.0, "um": 1e-3, "µm": 1e-3}.get(unit, 1e3)


def _pair(group: Any, row: str, column: str) -> tuple[float, float] | None:
    first, second = _one(group, row), _one(group, column)
    return None if first is None or second is None else (first, second)


def _text(dataset: Any) -> str:
    return text(dataset[()]) if isinstance(dataset, h5py.Dataset) else ""
