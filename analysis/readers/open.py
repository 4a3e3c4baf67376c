"""Which reader a file is for, and what was found in it, in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from analysis.geometry import instrument_named, two_theta
from analysis.readers.arrays import Matlab, Matlab73, NumpyArrays, TiffStack
from analysis.readers.hdf5 import AreaDetector, Bliss, Cxi
from analysis.readers.i16 import I16Nexus
from analysis.readers.linked import opened
from analysis.readers.scan import Given, Images, MeasuredScan, Reader, ReadError
from analysis.readers.spec import SpecImages
from analysis.readers.srs import I16Srs

READERS: tuple[Reader, ...] = (
    I16Nexus(),
    I16Srs(),
    SpecImages(),
    Bliss(),
    Cxi(),
    AreaDetector(),
    NumpyArrays(),
    Matlab(),
    Matlab73(),
    TiffStack(),
)
"""Asked in this order; the first that accepts a file reads it."""


def read_scans(path: Path, given: Given | None = None, frames: Path | None = None) -> list[MeasuredScan]:
    """Return the scans of a file of any format that is known.

    Parameters
    ----------
    path
        File or folder.
    given
        What a person says: it completes and overrides the file; where the two differ, a note says both.
    frames
        Folder of the frames, where they do not lie beside the file.

    Raises
    ------
    ReadError
        There is no such file, no reader knows it, it cannot be read, or what was given cannot be used.
    """
    given = given or Given()
    if not given.rocks and (given.start is not None or given.step is not None):
        raise ReadError(f"start and step go together; start {given.start!r}, step {given.step!r} came")
    if not path.exists():
        raise ReadError(f"there is no file {str(path)!r}")
    for reader in READERS:
        if reader.accepts(path):
            return _overridden(reader, path, given, frames)
    if path.is_file() and not path.stat().st_size:
        raise ReadError(f"{path} is empty, 0 bytes: was it copied whole?")
    if path.is_file() and _begins(path, b"version https://git-lfs"):
        raise ReadError(f"{path} is a pointer of Git LFS, not the file itself: fetch it with 'git lfs pull'")
    known = ", ".join(reader.format for reader in READERS)
    raise ReadError(f"{path} is of none of the formats that are read ({known}){_held(path)}")


PLAIN = (NumpyArrays, Matlab, Matlab73, TiffStack)
"""Readers of arrays: all that is known of their scans was given."""


def _overridden(reader: Reader, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
    """Return the scans of a file with what was given put over it, and notes on what the file says itself."""
    scans = [_as_given(scan, given) for scan in reader.read(path, given, frames)]
    choice = Given(dataset=given.dataset, scan=given.scan, axis=given.axis, instrument=given.instrument)
    if isinstance(reader, PLAIN) or not given.said.keys() - choice.said.keys():
        return scans
    try:
        own = reader.read(path, choice, frames)
    except ValueError:  # the file alone is impossible: that is why something was given
        return scans
    return [
        replace(scan, notes=(*scan.notes, *_differences(scan, alone)))
        for scan, alone in zip(scans, own, strict=True)
    ]


def _as_given(scan: MeasuredScan, given: Given) -> MeasuredScan:
    """Put instrument, angles and exposure over those of a file, whatever its format, or refuse them."""
    if given.instrument is not None and scan.instrument:
        named = instrument_named(given.instrument).name
        if named != scan.instrument:
            raise ReadError(f"{scan.path} is a file of {scan.instrument}; the instrument {named!r} was given")
    if given.exposure is not None:
        scan = replace(scan, exposure=given.exposure)
    if not given.rocks or scan.frames is None:
        return scan
    points = int(scan.frames.shape[0])
    angles = given.rocking(points)
    if len(angles) != points:
        raise ReadError(f"{scan.path}: {points} frames came with {len(angles)} angles")
    return replace(scan, angles=angles)


def _differences(scan: MeasuredScan, own: MeasuredScan) -> Iterator[str]:
    """Yield in words where what is used of a scan is not what its file says."""
    for what, used, said in _compared(scan, own):
        with contextlib.suppress(TypeError):
            if said is None or used is None or np.allclose(used, said, rtol=1e-9, atol=1e-12):
                continue
            yield f"{what}: {_number(used)} was given and is used, the file says {_number(said)}"


def _compared(scan: MeasuredScan, own: MeasuredScan) -> Iterator[tuple[str, Any, Any]]:
    yield "energy (keV)", scan.energy, own.energy
    yield "exposure (s)", scan.exposure, own.exposure
    for name in scan.positions:
        yield f"{name} (degrees)", scan.positions[name], own.positions.get(name)
    if len(scan.angles) and len(own.angles):
        for what, pick in (("first", 0), ("last", -1)):
            yield f"{what} angle (degrees)", scan.angles[pick], own.angles[pick]
    if scan.temperature is not None and own.temperature is not None:
        yield "temperature (K)", np.nanmean(scan.temperature), np.nanmean(own.temperature)
    yield "reflection", scan.reflection, own.reflection
    if scan.cell is not None and own.cell is not None:
        yield "lattice (Å, degrees)", _constants(scan), _constants(own)
    if scan.geometry is not None and own.geometry is not None:
        yield "distance (mm)", scan.geometry.distance, own.geometry.distance
        if not isinstance(scan.frames, Images):  # a file with a folder of images does not say its pixels
            yield "pixel size (mm)", scan.geometry.pixel_size, own.geometry.pixel_size
        rows, columns = own.geometry.shape
        if own.geometry.centre != ((rows - 1) / 2, (columns - 1) / 2):  # which is assumed, not said
            yield "centre (row, column)", scan.geometry.centre, own.geometry.centre


def _constants(scan: MeasuredScan) -> tuple[float, ...]:
    cell = scan.cell
    return () if cell is None else (cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma)


def _number(value: Any) -> str:
    numbers = [f"{float(one):.6g}" for one in np.ravel(value)]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"


def _begins(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _held(path: Path) -> str:
    """Return what arrays an HDF5 file holds that no reader knows, in words."""
    with opened(path) as file:
        if file is None:
            return ""
        found: list[str] = []

        def note(name: str, node: object) -> None:
            if isinstance(node, h5py.Dataset) and node.ndim > 0 and node.dtype.kind in "iuf":
                found.append(f"{name} {node.shape}")

        file.visititems(note)
    largest = sorted(found, key=lambda one: -one.count(","))[:6]
    frames = "frames of another beamline? save them as 'counts', (rocking, row, column), of an npz file"
    return f"; it is an HDF5 file with {len(found)} arrays, among them {', '.join(largest)}: {frames}"


def describe(scan: MeasuredScan) -> list[tuple[str, str]]:
    """Return what was found of a scan, as (what, value) in words."""
    rows = [("file", str(scan.path)), ("format", scan.format), ("instrument", scan.instrument or "not said")]
    for what, value in (("sample", scan.name), ("command", scan.title[:120])):
        if value:
            rows.append((what, value))
    rows += [("frames", _frames(scan)), ("rocking axis", _axis(scan))]
    rows.append(
        ("circles", ", ".join(f"{name} {angle:g}°" for name, angle in scan.positions.items()) or "none")
    )
    rows += _geometry(scan)
    rows.append(("temperature", _temperature(scan)))
    if scan.monitor is not None and np.isfinite(scan.monitor).any():
        rows.append(("monitor", f"{np.nanmin(scan.monitor):g} … {np.nanmax(scan.monitor):g}"))
    for what, number, unit in (("transmission", scan.transmission, ""), ("exposure", scan.exposure, " s")):
        if number is not None:
            rows.append((what, f"{number:g}{unit}"))
    if scan.started is not None:
        zone = "" if scan.started.tzinfo else " (no time zone: the beamline's)"
        rows.append(("started", f"{scan.started:%Y-%m-%d %H:%M:%S}{zone}"))
    if scan.cell is not None:
        rows.append(("lattice", f"a {scan.cell.a:g}, b {scan.cell.b:g}, c {scan.cell.c:g} Å"))
    for what, array in (("mask", scan.mask), ("flat field", scan.flat_field), ("dark", scan.dark)):
        if array is not None:
            rows.append((what, f"{array.shape}" + (f", {int(array.sum())} bad" if what == "mask" else "")))
    rows += [("note", note) for note in scan.notes]
    if scan.unused:
        rows.append(("not used", ", ".join(scan.unused)))
    rows += [("missing", one) for one in scan.missing]
    if scan.refusal:
        rows.append(("refused", scan.refusal))
    return rows


def _frames(scan: MeasuredScan) -> str:
    if scan.frames is None:
        return "not at hand"
    count, rows, columns = scan.frames.shape
    return f"{count} of {rows} × {columns} pixels, {scan.frames.dtype}"


def _axis(scan: MeasuredScan) -> str:
    if not len(scan.angles):
        return scan.axis or "not said"
    steps = np.diff(scan.angles)
    words = f"{scan.axis}, {len(scan.angles)} angles {scan.angles[0]:.5g} … {scan.angles[-1]:.5g}°"
    steps = steps[np.isfinite(steps)]
    return f"{words}, steps {steps.min():.4g} … {steps.max():.4g}°" if len(steps) else words


def _geometry(scan: MeasuredScan) -> list[tuple[str, str]]:
    geometry = scan.geometry
    if geometry is None:
        known = [] if scan.energy is None else [("energy", f"{scan.energy:.5g} keV")]
        return [*known, ("geometry", "not known until the rest is there")]
    row, column = geometry.centre
    angle = two_theta(geometry, row, column)
    spacing = 2 * np.pi / float(np.linalg.norm(geometry.lab_q(row, column)))
    found = [
        ("energy", f"{geometry.energy:.5g} keV"),
        ("detector", f"{geometry.distance:.5g} mm away, pixels of {1000 * geometry.pixel_size:.4g} µm"),
        ("centre", f"row {row:g}, column {column:g}: 2θ {angle:.4f}°, d {spacing:.4f} Å"),
    ]
    if scan.expected_d is not None:
        off = 100 * (spacing / scan.expected_d - 1)
        found.append(("expected d", f"{scan.expected_d:.4f} Å; the detector's centre is {off:+.2f} % off"))
    return found


def _temperature(scan: MeasuredScan) -> str:
    if scan.temperature is None:
        return "not measured (give it with --temperature)"
    known = scan.temperature[np.isfinite(scan.temperature)]
    return f"{known.mean():.2f} K" if known.size else "not measured in any point"
