"""SRS text files of Diamond I16: metadata, a table, and images that a template names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.readers.i16 import CIRCLES, I16, ROCKED, against_angles, refusal, whole
from analysis.readers.scan import Given, Images, MeasuredScan, ReadError, lacks, mean, measured
from analysis.unit_cells import UnitCell


class I16Srs:
    """SRS text file of I16: metadata as name=value, then a table; the frames are TIFF images."""

    format = "I16 SRS text"

    def accepts(self, path: Path) -> bool:
        """Return whether the file begins with ``&SRS``."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"&SRS")

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the one scan of the file."""
        said, raw = _srs(path)
        table = {name.removesuffix("_fly"): values for name, values in raw.items()}
        axis = given.axis or next((name for name in ROCKED if name in table), "")
        points = len(next(iter(table.values())))
        stood = {name: _number(said.get(name)) for name in CIRCLES}
        read = {name: angle for name, angle in stood.items() if angle is not None}
        positions = I16.placed(read, given.positions)
        images, note = _srs_frames(path, said, table, frames)
        known = _completed(given, said)
        missing = [
            note,
            *lacks(
                energy=(known.energy, "energy in keV"),
                distance=(known.distance, "distance in mm: a text file does not say it"),
                pixel_size=(known.pixel_size, "pixel_size in mm: a text file does not say it"),
            ),
        ]
        geometry = None
        if not any(missing) and axis and images is not None:
            middle = {**positions, axis: float(table[axis].mean())}
            geometry = known.geometry(I16, axis, middle, images.shape[1:])
        stated = table["Tsample"] if "Tsample" in table else _number(said.get("Tsample"))
        cell, ub, hkl = _srs_crystal(said)
        notes = []
        if ub is not None and hkl is not None and known.energy:
            notes = against_angles(ub, hkl, positions, known.energy)
        return [
            MeasuredScan(
                path=path,
                format=self.format,
                instrument=I16.name,
                name=said.get("crystal_name", ""),
                title=said.get("cmd", ""),
                frames=images,
                axis=axis,
                angles=table.get(axis, np.zeros(0)),
                positions=positions,
                geometry=geometry,
                energy=known.energy,
                temperature=measured(given.temperature or stated, points),
                monitor=table.get("ic1monitor"),
                transmission=_number(said.get("Transmission")),
                exposure=mean(table.get("count_time", table.get("t"))),
                started=_srs_time(said),
                cell=given.cell() or cell,
                reflection=given.reflection or whole(hkl),
                ub=ub,
                missing=tuple(one for one in missing if one),
                notes=tuple(notes),
                unused=tuple(sorted(set(table) - {axis, "ic1monitor", "count_time", "t", "Tsample", "path"})),
                refusal=refusal(axis, table),
            )
        ]


def _srs(path: Path) -> tuple[dict[str, str], dict[str, NDArray[np.float64]]]:
    """Return the metadata and the table of an SRS file."""
    lines = iter(path.read_text(encoding="utf-8", errors="replace").splitlines())
    said: dict[str, str] = {}
    for line in lines:
        if line.strip() == "&END":
            break
        name, _, value = line.partition("=")
        if re.fullmatch(r"\s*\w+", name) and value:
            said[name.strip()] = value.strip().strip("'")
    names = next(lines, "").split()
    rows = [[float(word) for word in line.split()] for line in lines if line.strip()]
    if not names or not rows or any(len(row) != len(names) for row in rows):
        raise ReadError(f"{path}: a table behind '&END' was expected, of one number for each of {names[:6]}")
    return said, dict(zip(names, np.array(rows).T, strict=True))


def _srs_crystal(
    said: Mapping[str, str],
) -> tuple[UnitCell | None, NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return lattice, UB with 2π in You's frame, and h, k, l before the scan, where the file says them."""
    constants = [_number(said.get(name)) for name in ("a", "b", "c", "alpha1", "alpha2", "alpha3")]
    matrix = [[_number(said.get(f"UB{row}{column}")) for column in (1, 2, 3)] for row in (1, 2, 3)]
    indices = [_number(said.get(name)) for name in "hkl"]
    cell = None if None in constants else UnitCell(*(one for one in constants if one is not None))
    ub = None if None in (one for row in matrix for one in row) else np.array(matrix, dtype=float)
    return cell, ub, None if None in indices else np.array(indices, dtype=float)


def _srs_frames(
    path: Path, said: Mapping[str, str], table: Mapping[str, NDArray[np.float64]], folder: Path | None
) -> tuple[Images | None, str]:
    """Return the images that the template names, or what is missing."""
    template = next((value for name, value in said.items() if name.endswith("_path_template")), "")
    if not template:
        return None, "the frames (no template names them)"
    numbers = table.get("path", np.arange(1, len(next(iter(table.values()))) + 1))
    for base in _folders(path, folder):
        images = [base / (template % int(number)) for number in numbers]
        if all(image.is_file() for image in images):
            return Images(images), ""
    return None, f"the frames ({template} is not beside the file: give its folder with --frames)"


def _folders(path: Path, folder: Path | None) -> Iterator[Path]:
    yield path.parent
    if folder is not None:
        yield folder
        yield folder.parent


def _srs_time(said: Mapping[str, str]) -> datetime | None:
    with contextlib.suppress(KeyError, ValueError):
        return datetime.strptime(said["date"], "%a %b %d %H:%M:%S %Y")  # noqa: DTZ007  the file has no zone
    return None


def _completed(given: Given, said: Mapping[str, str]) -> Given:
    """Return what a person says, with energy and direct beam from the file where it does not."""
    row, column = _number(said.get("pil3_centre_j")), _number(said.get("pil3_centre_i"))
    stated = None if row is None or column is None else (row, column)
    return replace(given, energy=given.energy or _number(said.get("en")), centre=given.centre or stated)


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
