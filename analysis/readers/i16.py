"""NeXus masters of Diamond I16, of both vintages.

The angles are the Eulerian ones that the file states once, and the scanned one per point. Where the detector
is, its NXtransformations chain says. `pil3_centre_i` is the column of the direct beam, `…_j` its row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from analysis.geometry import (
    FRAMES,
    ScanGeometry,
    detector_q,
    instrument_named,
    pixel_geometry,
    rotation,
    sample_rotation,
)
from analysis.readers.hdf5 import images_beside, millimetres
from analysis.readers.linked import left_over, linked_frames, opened
from analysis.readers.scan import Given, MeasuredScan, ReadError, lacks, mean, measured, moment, text
from analysis.unit_cells import UnitCell

I16 = instrument_named("Diamond I16")
ROCKED = ("eta", "chi", "phi", "mu")
CIRCLES = ("mu", "eta", "chi", "phi", "delta", "gam")
THERMOMETERS = ("Tsample", "Ta", "Tb", "Tc", "Td")
INDIRECT = "an hkl scan moves all circles: it is no rocking curve, and phase retrieval needs one; measure eta"


class I16Nexus:
    """NeXus master of I16, with ``entry1`` (to 2024) or ``entry`` as its root group."""

    format = "I16 NeXus"

    def accepts(self, path: Path) -> bool:
        """Return whether the file has an entry whose instrument calls itself i16."""
        with opened(path) as file:
            return file is not None and _root(file) is not None

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the one scan of the file."""
        with opened(path) as file:
            root = _root(file) if file is not None else None
            if file is None or root is None:
                raise ReadError(f"an I16 NeXus file was expected, {str(path)!r} came")
            return [_nexus_scan(path, file[root], given, frames)]


def _root(file: h5py.File) -> str | None:
    for name in ("entry1", "entry"):
        with contextlib.suppress(KeyError, AttributeError, ValueError):
            if text(file[f"{name}/instrument/name"][()]).lower() == "i16":
                return name
    return None


def _nexus_scan(path: Path, entry: h5py.Group, given: Given, folder: Path | None) -> MeasuredScan:
    sample = _first(entry, "before_scan/diffractometer_sample", "instrument/diffractometer_sample")
    scanned = {name: values for name, values in _columns(entry).items() if values.size > 1}
    points = max((len(values) for values in scanned.values()), default=1)
    stood = {name: float(sample[name][()]) for name in CIRCLES if name in sample} if sample else {}
    positions = I16.placed(stood, given.positions)
    axis = given.axis or next((name for name in ROCKED if name in scanned), "")
    name, detector = _detector(entry, given)
    source, note = linked_frames(path, detector, "data", folder) if detector is not None else (None, "")
    shape = source.shape[1:] if source is not None else _said_shape(detector)
    beside, used = images_beside(detector, source.shape if source is not None else ())
    energy = given.energy or _energy(entry)
    angles = scanned.get(axis, np.zeros(0))
    geometry = None
    if detector is not None and axis and energy and shape:
        geometry = _chain_geometry(entry, detector, name, axis, positions, angles, energy, shape, given)
    cell, ub, notes = _crystal(entry)
    hkl = _indices(sample)
    if axis and energy and sample is not None and ub is not None and hkl is not None:
        notes += against_angles(ub, hkl, {**positions, axis: float(sample[axis][()])}, energy)
    temperature = given.temperature if given.temperature is not None else _temperature(entry, scanned)
    used |= {axis, *USED_COLUMNS} | (set() if detector is None else {f"{detector.name}/data"})
    return MeasuredScan(
        path=path,
        format=I16Nexus.format,
        instrument=I16.name,
        name=_sample_name(entry),
        title=text(_value(entry, "scan_command", "title", "diamond_scan/scan_command") or ""),
        frames=source,
        axis=axis,
        angles=angles,
        positions=positions,
        geometry=geometry,
        energy=energy,
        temperature=measured(temperature, points),
        monitor=scanned.get("ic1monitor"),
        transmission=_number(entry, "instrument/attenuator/attenuator_transmission"),
        exposure=mean(scanned.get("count_time", _value(entry, f"instrument/{name}/count_time"))),
        started=moment(_value(entry, "start_time")),
        cell=given.cell() or cell,
        reflection=given.reflection or whole(hkl),
        ub=ub,
        missing=(*((note,) if note else ()), *_lacking(energy, detector, geometry, axis, shape)),
        notes=tuple(notes),
        unused=left_over(entry, used),
        **beside,
        refusal=refusal(axis, scanned),
    )


USED_COLUMNS = frozenset(
    {"ic1monitor", "count_time", "Tsample", "ub_matrix", "unit_cell", "delta", "gamma", "offsetdelta"}
)
"""Arrays that are used wherever a vintage keeps them; the last three place the detector."""


def _lacking(
    energy: float | None,
    detector: h5py.Group | None,
    geometry: ScanGeometry | None,
    axis: str,
    shape: tuple[int, ...] | None,
) -> tuple[str, ...]:
    """Return what the file does not say and nobody gave, in words."""
    first = lacks(energy=(energy, "energy in keV"), detector=(detector, "a group NXdetector with frames"))
    if first or not axis or not shape or geometry is not None:
        return first
    return ("where the detector is (distance and pixel_size in mm: the file has no transformations)",)


def refusal(axis: str, scanned: Mapping[str, Any]) -> str:
    """Return why a scan is no rocking curve; nothing where it is one."""
    if not axis and {"h", "k", "l"} <= set(scanned):
        return INDIRECT
    if axis in scanned:
        return ""
    return f"none of {list(ROCKED)} was scanned, only {sorted(scanned)[:6]}: it is no rocking curve"


def _columns(entry: h5py.Group) -> dict[str, NDArray[np.float64]]:
    """Return what was recorded for each point, by its short name."""
    found: dict[str, NDArray[np.float64]] = {}
    group = entry.get("measurement")
    for name in group if isinstance(group, h5py.Group) else ():
        values = group.get(name)  # None where a link leads to a file that is absent
        if isinstance(values, h5py.Dataset) and values.ndim == 1 and values.dtype.kind in "iuf":
            found[name] = np.asarray(values[()], dtype=float)
    for name in (*ROCKED, "hkl", "ic1monitor"):
        group = entry.get(f"instrument/{name}")
        for child in group if isinstance(group, h5py.Group) else ():
            values = group.get(child)
            if isinstance(values, h5py.Dataset) and values.ndim == 1 and values.size > 1:
                found.setdefault(name if child == "value" else child, np.asarray(values[()], dtype=float))
    return found


def _detector(entry: h5py.Group, given: Given) -> tuple[str, h5py.Group | None]:
    """Return the detector that has frames, and its name."""
    instrument = entry["instrument"]
    names = [
        name
        for name in instrument
        if isinstance(instrument.get(name), h5py.Group)
        and text(instrument[name].attrs.get("NX_class", "")) == "NXdetector"
        and instrument[name].get("data", getlink=True) is not None
        and (given.dataset in (None, name))
    ]
    if not names:
        return "", None
    name = next((one for one in names if "transformations" in instrument[one]), names[0])
    return name, instrument[name]


def _said_shape(detector: h5py.Group | None) -> tuple[int, ...] | None:
    """Return (rows, columns) as the module says them; the vintages differ in the order: columns are more."""
    size = None if detector is None else _value(detector, "module/data_size")
    return None if size is None else tuple(sorted(int(number) for number in np.ravel(size)))


def _chain_geometry(
    entry: h5py.Group,
    detector: h5py.Group,
    name: str,
    axis: str,
    positions: Mapping[str, float],
    angles: NDArray[np.float64],
    energy: float,
    shape: tuple[int, ...],
    given: Given,
) -> ScanGeometry | None:
    """Return the geometry: the detector from its NXtransformations, the circles from their angles.

    A distance or a pixel size that was given is that of a detector square to the arm. None where the file
    says neither and nobody gave them.
    """
    middle = {**positions, axis: float(np.nanmean(angles)) if angles.size else positions.get(axis, 0.0)}
    size = (int(shape[0]), int(shape[1]))
    centre = given.centre or _centre(entry, name, size)
    distance, pixel = millimetres(detector, "distance"), millimetres(detector, "x_pixel_size")
    if "module" in detector:
        chain = _placed_geometry(entry, detector, centre, axis, middle, energy, size)
        if given.distance is None and given.pixel_size is None:
            return chain
        distance, pixel = chain.distance, chain.pixel_size
    distance, pixel = given.distance or distance, given.pixel_size or pixel
    if distance is None or pixel is None:
        return None
    square = replace(given, energy=energy, distance=distance, pixel_size=pixel, centre=centre)
    return square.geometry(I16, axis, middle, size)


def _placed_geometry(
    entry: h5py.Group,
    detector: h5py.Group,
    centre: tuple[float, float],
    axis: str,
    middle: Mapping[str, float],
    energy: float,
    size: tuple[int, int],
) -> ScanGeometry:
    """Return the geometry of the detector that the chain of transformations places."""
    origin = _placed(entry, detector, text(detector["depends_on"][()]), np.zeros(3), point=True)
    steps = []
    for direction in ("slow_pixel_direction", "fast_pixel_direction"):
        dataset = detector[f"module/{direction}"]
        vector = np.asarray(dataset.attrs["vector"], dtype=float) * float(np.ravel(dataset[()])[0])
        steps.append(_placed(entry, detector, text(detector["depends_on"][()]), vector, point=False))
    return pixel_geometry(
        origin=origin,
        row=steps[0],
        column=steps[1],
        centre=centre,
        axis=_NX_OF_YOU @ I16.rocking_axis(axis, middle),
        energy=energy,
        shape=size,
        frame="nexus",
        gaps=I16.detector.gaps(*size),
        saturation=float(np.ravel(_value(detector, "saturation_value") or np.inf)[0]),
        instrument=I16.name,
        angles=middle,
    )


_NX_OF_YOU = FRAMES["nexus"].T


def _placed(
    entry: h5py.Group, detector: h5py.Group, start: str, vector: NDArray[np.float64], *, point: bool
) -> NDArray[np.float64]:
    """Return a point (or a direction) of the detector in the laboratory, along the chain of ``depends_on``.

    Scanned axes are taken at their median: the arm stands still in a rocking scan.
    """
    placed, here, steps = vector, start, 0
    while here not in ("", ".") and steps < 32:
        steps += 1
        # The files leave out the leading slash, and say it in both ways.
        dataset = entry.file.get("/" + here.lstrip("/"))
        dataset = detector.get(here) if dataset is None else dataset
        if dataset is None:
            raise ReadError(f"{entry.file.filename}: depends_on names {here!r}, which is not there")
        value, direction = float(np.median(dataset[()])), np.asarray(dataset.attrs["vector"], dtype=float)
        if text(dataset.attrs["transformation_type"]) == "rotation":
            placed = rotation(direction, value) @ placed
        elif point:
            placed = placed + value * direction
        if point:
            placed = placed + np.asarray(dataset.attrs.get("offset", np.zeros(3)), dtype=float)
        here = text(dataset.attrs.get("depends_on", "."))
    return placed


def _centre(entry: h5py.Group, name: str, shape: tuple[int, int]) -> tuple[float, float]:
    """Return (row, column) of the direct beam: ``…_centre_i`` is the column."""
    short = name.split("_")[0]
    column, row = (
        _value(
            entry,
            f"before_scan/{short}_centre_{one}/{short}_centre_{one}",
            f"instrument/{short}_centre_{one}/value",
        )
        for one in "ij"
    )
    if row is None or column is None:
        return (shape[0] - 1) / 2, (shape[1] - 1) / 2
    return float(row), float(column)


def _crystal(entry: h5py.Group) -> tuple[UnitCell | None, NDArray[np.float64] | None, list[str]]:
    """Return lattice and UB (2π included, You's frame), and what disagrees.

    Of ``xtlinfo_extra`` if it is there: the ``ub_matrix`` of some files is wrong.
    """
    stated, constants = _value(entry, "sample/ub_matrix"), _value(entry, "sample/unit_cell")
    nexus = None if stated is None else 2 * np.pi * _NX_OF_YOU.T @ np.asarray(stated, float).reshape(3, 3)
    extra = _first(entry, "before_scan/xtlinfo_extra", "instrument/xtlinfo_extra", "sample/xtlinfo_extra")
    if extra is None or "UB11" not in extra:
        cell = None if constants is None else UnitCell(*(float(one) for one in np.ravel(constants)[:6]))
        return cell, nexus, []
    ub = np.array([[float(extra[f"UB{row}{col}"][()]) for col in (1, 2, 3)] for row in (1, 2, 3)])
    names = ("a", "b", "c", "alpha1", "alpha2", "alpha3")
    cell = UnitCell(*(float(extra[name][()]) for name in names)) if "a" in extra else None
    if nexus is not None and not np.allclose(ub, nexus, atol=1e-4 * np.abs(ub).max()):
        return cell, ub, ["sample/ub_matrix disagrees with xtlinfo_extra, which is used"]
    return cell, ub, []


def _indices(sample: h5py.Group | None) -> NDArray[np.float64] | None:
    """Return h, k, l as the file states them before the scan, (3,) float64; they are rarely whole."""
    if sample is None or not all(name in sample for name in "hkl"):
        return None
    return np.array([float(sample[name][()]) for name in "hkl"])


def whole(hkl: NDArray[np.float64] | None) -> tuple[int, int, int] | None:
    """Return the reflection that is meant, if it is near to whole numbers."""
    if hkl is None or np.abs(hkl - np.rint(hkl)).max() > NEAR or not np.rint(hkl).any():
        return None
    h, k, l = (int(one) for one in np.rint(hkl))  # noqa: E741  the field's own name
    return h, k, l


NEAR = 0.1
"""How far h, k and l may lie from whole numbers, off a reflection's peak."""

OFF = 1e-3
"""Relative difference of UB·hkl from the angles' q that is named."""


def against_angles(
    ub: NDArray[np.float64], hkl: NDArray[np.float64], positions: Mapping[str, float], energy: float
) -> list[str]:
    """Hold Z·UB·hkl against the q that the arm sees, and name a difference."""
    if any(name not in positions for name in CIRCLES):
        return []
    z = sample_rotation(*(positions[name] for name in ("mu", "eta", "chi", "phi")))
    seen = detector_q(
        positions["delta"], positions["gam"], 0, 0, energy=energy, distance=1, pixel_size=1, centre=(0, 0)
    )
    off = float(np.linalg.norm(z @ ub @ hkl - seen) / np.linalg.norm(seen))
    said = f"UB·hkl is {100 * off:.2g} % off the q of the angles: UB, hkl or energy is not of this scan"
    return [said] if off > OFF else []


def _temperature(entry: h5py.Group, scanned: Mapping[str, Any]) -> Any:
    """Return the sample's temperature, per point or once; 0 is what a controller says that is not read."""
    for name in THERMOMETERS:
        if name in scanned and (scanned[name] > 0).any():
            return scanned[name]
        places = (f"before_scan/temperature_controller/{name}", f"instrument/lakeshore/{name}")
        value = _number(entry, *places, f"instrument/temperature_controller/{name}")
        if value:
            return value
    return None


def _energy(entry: h5py.Group) -> float | None:
    """Return the photon energy, keV; the files give it without a unit."""
    value = _number(entry, "sample/beam/incident_energy", "instrument/en/value", "before_scan/mono/en")
    return value / 1000 if value is not None and value > 200 else value


def _sample_name(entry: h5py.Group) -> str:
    return text(_value(entry, "sample/name", "before_scan/xtlinfo_extra/crystal_name") or "").strip()


def _first(entry: h5py.Group, *places: str) -> h5py.Group | None:
    return next((entry[place] for place in places if isinstance(entry.get(place), h5py.Group)), None)


def _value(entry: h5py.Group, *places: str) -> Any:
    for place in places:
        found = entry.get(place)
        if isinstance(found, h5py.Dataset):
            return found[()]
    return None


def _number(entry: h5py.Group, *places: str) -> float | None:
    value = _value(entry, *places)
    try:
        return None if value is None else float(np.ravel(value)[0])
    except (TypeError, ValueError, IndexError):
        return None
