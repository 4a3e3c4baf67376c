"""Which reader a file is for, and what was found in it, in words."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from analysis.geometry import two_theta
from analysis.readers.arrays import Matlab, Matlab73, NumpyArrays, TiffStack
from analysis.readers.hdf5 import AreaDetector, Bliss, Cxi
from analysis.readers.i16 import I16Nexus
from analysis.readers.linked import opened
from analysis.readers.scan import Given, MeasuredScan, Reader, ReadError
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
        What a person says: it completes and overrides the file.
    frames
        Folder of the frames, where they do not lie beside the file.

    Raises
    ------
    ReadError
        There is no such file, no reader knows it, or it cannot be read.
    """
    if not path.exists():
        raise ReadError(f"there is no file {str(path)!r}")
    for reader in READERS:
        if reader.accepts(path):
            return reader.read(path, given or Given(), frames)
    known = ", ".join(reader.format for reader in READERS)
    raise ReadError(f"{path} is of none of the formats that are read ({known}){_held(path)}")


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
    if scan.monitor is not None:
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
    return f"{np.nanmean(scan.temperature):.2f} K"
