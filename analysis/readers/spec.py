"""SPEC files of APS 34-ID-C with their folders of TIFF images; read with silx and fabio."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.geometry import instrument_named
from analysis.readers.scan import Given, Images, MeasuredScan, ReadError, lacks, measured

CIRCLES = ("Delta", "Gamma", "Theta", "Chi", "Phi")
USED = frozenset({"Monitor", "Seconds", "Temperature"})
INSTRUMENT = instrument_named("APS 34-ID-C")


class SpecImages:
    """A SPEC file, or the folder that holds one, with a folder of TIFF images for each scan."""

    format = "SPEC with TIFF images"

    def accepts(self, path: Path) -> bool:
        """Return whether the file begins with ``#F`` or ``#S``, or is a folder that holds such a file."""
        return _spec_file(path) is not None

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the scan that ``given.scan`` names, or all scans that have images."""
        from silx.io.specfile import SpecFile

        spec = _spec_file(path)
        if spec is None:
            raise ReadError(f"a SPEC file, or a folder with one, was expected, {str(path)!r} came")
        folders = _image_folders(spec.parent if frames is None else frames)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = SpecFile(str(spec))
        try:
            times: dict[int, int] = {}
            for scan in file:
                times[scan.number] = max(scan.order, times.get(scan.number, 0))
            chosen = _chosen(spec, given.scan, times, folders)
            return [
                _scan(spec, file[f"{number}.{order}"], number, folders.get(number), given, times[number])
                for number, order in chosen
            ]
        finally:
            file.close()


def _chosen(
    spec: Path, asked: str | None, times: Mapping[int, int], folders: Collection[int]
) -> list[tuple[int, int]]:
    """Return number and order of the scans to read; of several with one number the last: the images are its.

    Parameters
    ----------
    spec
    asked
        "54", or "54.1" for the first of that number; None for all that have images.
    times
        How often each number is in the file.
    folders
        Numbers that have images.

    Raises
    ------
    ReadError
        The file has no such scan, or none with images.
    """
    if not times:
        raise ReadError(f"{spec} has no scans (no line begins with '#S')")
    if asked:
        first, _, second = asked.partition(".")
        number = int(first) if first.isdigit() else -1
        order = int(second) if second.isdigit() else (-1 if second else times.get(number, 0))
        if not 1 <= order <= times.get(number, 0):
            raise ReadError(f"{spec} has no scan {asked}; it has {min(times)} to {max(times)}")
        return [(number, order)]
    found = [(number, order) for number, order in times.items() if number in folders]
    if not found:
        raise ReadError(f"no folder of images of any of the {len(times)} scans of {spec} lies beside it")
    return found


def _spec_file(path: Path) -> Path | None:
    """Return the SPEC file that ``path`` is, or that lies in it or one folder below."""
    if path.is_dir():
        below = sorted(path.glob("*")) + sorted(path.glob("*/*"))
        return next((one for one in below if one.is_file() and _is_spec(one)), None)
    return path if path.is_file() and _is_spec(path) else None


def _is_spec(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(3) in (b"#F ", b"#S ")  # a file that another program cut has no header


def _image_folders(base: Path) -> dict[int, list[Path]]:
    """Return the TIFF images below ``base`` by the number of their scan: folders end in S0054."""
    found: dict[int, list[Path]] = {}
    for folder in (base, *(one for one in base.rglob("*") if one.is_dir())):
        match = re.search(r"S(\d+)$", folder.name)
        images = sorted((*folder.glob("*.tif"), *folder.glob("*.tiff"))) if match else []
        if match and images:
            found[int(match.group(1))] = images
    return found


def _scan(
    spec: Path, scan: Any, number: int, images: list[Path] | None, given: Given, times: int
) -> MeasuredScan:
    motors, remarks = _motors(scan)
    if times > 1:
        remarks += (
            f"scan {number} is {times} times in the file; the one of order {scan.order} is read (choose with "
            f"'--scan {number}.1')",
        )
    labels = list(scan.labels)
    columns, torn = _columns(spec, number, scan.order, labels)
    remarks += torn
    axis = given.axis or labels[0]
    if axis not in columns:
        axis = next((name for name in labels if INSTRUMENT.own(name) == INSTRUMENT.own(axis)), axis)
    angles = columns.get(axis, np.zeros(0))
    points = len(next(iter(columns.values()), ()))
    stood = {name: float(motors[name]) for name in CIRCLES if name in motors}
    positions = INSTRUMENT.placed(stood, given.positions)
    positions.pop(INSTRUMENT.own(axis), None)
    known = replace(
        given,
        energy=given.energy or motors.get("Energy"),
        distance=given.distance or motors.get("camdist"),
        pixel_size=given.pixel_size or INSTRUMENT.detector.pixel_size,
    )
    frames, note = _frames(number, images, points)
    if frames is not None and points and not note and images and len(images) > points:
        remarks += (
            f"the last {len(images) - points} of {len(images)} images belong to no point of the scan: they "
            "are left out",
        )
    missing = (
        *((note,) if note else ()),
        *lacks(energy=(known.energy, "energy in keV"), distance=(known.distance, "distance in mm")),
        *(f"the angle of {name} (positions)" for name in INSTRUMENT.lacking(axis, positions)),
    )
    shape = frames.shape[1:] if frames is not None else None
    rocks = INSTRUMENT.rocks(axis)
    geometry = None
    if shape and rocks and not missing:
        geometry = known.geometry(INSTRUMENT, axis, positions, shape)
    temperature = given.temperature if given.temperature is not None else columns.get("Temperature")
    return MeasuredScan(
        path=spec,
        format=SpecImages.format,
        instrument=INSTRUMENT.name,
        name=spec.stem,
        title=str(scan.scan_header_dict.get("S", "")),
        frames=frames,
        axis=axis,
        angles=angles,
        positions=positions,
        geometry=geometry,
        energy=known.energy,
        temperature=measured(temperature, points),
        monitor=columns.get("Monitor"),
        exposure=float(columns["Seconds"].mean()) if "Seconds" in columns and points else None,
        started=_date(str(scan.scan_header_dict.get("D", ""))),
        cell=given.cell(),
        reflection=given.reflection,
        missing=missing,
        notes=(*remarks, *((_assumed(known),) if given.pixel_size is None else ()), *_beside(spec)),
        unused=tuple(sorted(set(columns) - USED - {axis})),
        refusal="" if rocks else f"{axis} was scanned, which is no circle of the sample: no rocking curve",
    )


def _columns(
    spec: Path, number: int, order: int, labels: Sequence[str]
) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    """Return the columns of a scan by label, NaN where a row has another number of values, and remarks.

    silx passes over "nan", so that what stands behind it in a row comes under the label before.
    """
    rows, torn = [], 0
    for words in _rows(spec, number, order):
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        torn += len(values) != len(labels)
        rows.append(values if len(values) == len(labels) else [np.nan] * len(labels))
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(labels))
    said = f"{torn} of {len(rows)} rows do not hold {len(labels)} numbers: those points are not measured"
    return {name: table[:, place] for place, name in enumerate(labels)}, (said,) if torn else ()


def _rows(spec: Path, number: int, order: int) -> Iterator[list[str]]:
    """Yield the words of each row of a scan; lines of a multichannel analyser (``@A``) are passed over."""
    seen, inside, further = 0, False, False
    with spec.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("#S "):
                mine = line.split()[1] == str(number)
                seen += mine
                inside = mine and seen == order
            if line.startswith(("@", "#")) or further:
                further = line.rstrip().endswith("\\") and not line.startswith("#")
            elif inside and line.strip():
                yield line.split()


def _motors(scan: Any) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the motors by name, none where names and positions do not belong together, and a remark then."""
    names, positions = list(scan.motor_names), list(scan.motor_positions)
    if len(names) == len(positions):
        return dict(zip(names, positions, strict=True)), ()
    return {}, (
        f"the file names {len(names)} motors and the scan has {len(positions)} positions: which belongs to "
        "which is not known, none is used",
    )


def _frames(number: int, images: list[Path] | None, points: int) -> tuple[Images | None, str]:
    """Return the images of a scan, and what is wrong with them."""
    if images is None:
        return None, f"the frames (no folder of images of scan {number} was found: give it with --frames)"
    if len(images) >= points > 0:  # a scan that was broken off leaves images of no point
        return Images(images[:points]), ""
    return Images(images), f"an image for each point: {len(images)} images lie there, {points} were measured"


def _beside(spec: Path) -> tuple[str, ...]:
    """Name the images beside the file that are no frames: a white field, a dark image."""
    images = sorted({*spec.parent.glob("*.tif"), *spec.parent.glob("*.tiff")})
    names = ", ".join(one.name for one in images)
    return (f"not used: {names} beside the file (--flat-field, --dark, --mask)",) if images else ()


def _assumed(known: Given) -> str:
    return f"pixels of {known.pixel_size:g} mm are assumed, those of a {INSTRUMENT.detector.name}"


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y")  # noqa: DTZ007  the file has no zone
    except ValueError:
        return None
