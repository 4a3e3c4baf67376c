"""The instruments whose scans are analysed, found by name: circles, detector, and the geometry that follows.

A new one is a class here and its entry in `INSTRUMENTS`; scans measured here and files of other beamlines ask
the same table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analysis.geometry.diffractometer import Matrix
from analysis.geometry.scan import ScanGeometry
from analysis.geometry.vectors import circle_arm, circle_axis
from analysis.unit_cells import UnitCell

Circles = tuple[tuple[str, str], ...]
"""Name and axis of each circle, the outermost first; axes as in `analysis.geometry.vectors`."""


@dataclass(frozen=True)
class Detector:
    """What an instrument's detector is built of: one chip, or 2 × 2 of them.

    Attributes
    ----------
    name : str
    pixel_size : float, mm
    chip, gap : int, pixels
        Side of one chip, and the rows and columns between two of them that count no photons of their own.
    """

    name: str
    pixel_size: float
    chip: int
    gap: int

    def gaps(self, rows: int, columns: int) -> tuple[int, ...]:
        """Return the rows (and columns) without a sensor in frames of 2 × 2 whole chips; none in others."""
        whole = 2 * self.chip + self.gap
        return tuple(range(self.chip, self.chip + self.gap)) if rows == columns == whole else ()


class Instrument:
    """An instrument by its circles. Most need nothing but the attributes; another kind overrides `geometry`.

    Attributes
    ----------
    name : str
        As start documents have it under `instrument`.
    frame : str
        That the axes are in, one of `analysis.geometry.vectors.FRAMES`.
    sample, arm : tuple of (str, str)
        Circles that turn the sample, and those that carry the detector.
    rows, columns : str
        Axes along which the detector's rows and columns grow when its arm is at zero.
    detector : Detector
    zone : str
        Time zone of the times that its files state without one.
    other_names : mapping of str to str
        Further names of circles in start documents and files, and the names above.
    often_zero : tuple of str
        Circles that many files leave out, for they stand at 0.
    """

    name: ClassVar[str]
    frame: ClassVar[str]
    sample: ClassVar[Circles]
    arm: ClassVar[Circles]
    rows: ClassVar[str]
    columns: ClassVar[str]
    detector: ClassVar[Detector]
    zone: ClassVar[str]
    other_names: ClassVar[Mapping[str, str]] = {}
    often_zero: ClassVar[tuple[str, ...]] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """Circles of the sample and of the detector's arm."""
        return tuple(name for name, _ in (*self.sample, *self.arm))

    def own(self, name: str) -> str:
        """Return the name of a circle as it stands in `axes`."""
        return self.other_names.get(name.lower(), name.lower())

    def placed(self, read: Mapping[str, float], given: Mapping[str, float]) -> dict[str, float]:
        """Return angles of circles under their own names: as they were ``given``, else as they were ``read``.

        A circle that a file calls Delta and a person delta is one.
        """
        return {self.own(name): float(angle) for name, angle in (*read.items(), *given.items())}

    def rocks(self, axis: str) -> bool:
        """Return whether ``axis`` is a circle of the sample, so that scanning it is a rocking scan."""
        return self.own(axis) in dict(self.sample)

    def lacking(self, axis: str, angles: Mapping[str, float]) -> list[str]:
        """Return the circles whose angle is needed and missing: the arm's, and those that carry ``axis``."""
        own, names = self.own(axis), [name for name, _ in self.sample]
        outer = names[: names.index(own)] if own in names else []
        known = {self.own(name) for name in angles} | set(self.often_zero)
        return [name for name in (*outer, *(name for name, _ in self.arm)) if name not in known]

    def standing(self, angles: Mapping[str, Any]) -> dict[str, float]:
        """Return the angles of this instrument's circles under their own names; all else is left out."""
        return dict.fromkeys(self.often_zero, 0.0) | {
            self.own(name): float(value) for name, value in angles.items() if self.own(name) in self.axes
        }

    def detector_directions(self, angles: Mapping[str, float]) -> Matrix:
        """Return `ScanGeometry.arm`, (3, 3): laboratory directions of row, arm and column."""
        stand = self.standing(angles)
        return circle_arm(
            [(axis, stand[name]) for name, axis in self.arm], self.rows, self.columns, self.frame
        )

    def rocking_axis(self, axis: str, angles: Mapping[str, float]) -> Matrix:
        """Return the laboratory direction (3,) about which the sample turns as ``axis`` moves.

        Parameters
        ----------
        axis : str
            The circle that is scanned; the circles outside it carry it along.
        angles : mapping of str to float, degrees
            Where those circles stand.
        """
        own, names = self.own(axis), [name for name, _ in self.sample]
        if own not in names:
            raise ValueError(
                f"the rocking axis must be one of {names}, circles of {self.name}; got {axis!r}: name the "
                "scanned circle"
            )
        stand = self.standing(angles)
        outer = [(axis, stand[name]) for name, axis in self.sample[: names.index(own)]]
        return circle_axis(outer, dict(self.sample)[own], self.frame)

    def geometry(self, start: Mapping[str, Any], angles: Mapping[str, float]) -> ScanGeometry:
        """Return the geometry of a rocking scan.

        Parameters
        ----------
        start : mapping
            Start document: ``energy`` keV, ``detector`` {distance_mm, pixel_size_mm, shape, and optionally
            roi, saturation, gaps, direct_beam (row, column)}, ``scan`` {axis}, and optionally ``reflection``,
            ``lattice``, ``crystal_size_nm``.
        angles : mapping of str to float, degrees
            The circles as they stood, the scanned one at the middle of its range.

        Raises
        ------
        ValueError
            Something is missing that q follows from.
        """
        for name in ("energy", "detector", "scan"):
            if name not in start:
                raise ValueError(
                    f"the start document must hold {name!r} to know q; it holds {sorted(start)!r}"
                )
        detector, axis = start["detector"], str(start["scan"]["axis"])
        if missing := self.lacking(axis, angles):
            raise ValueError(f"these angles are needed to know q: {missing!r}; given are {sorted(angles)!r}")
        rows, cols = (int(number) for number in detector["shape"])
        row, col = detector.get("direct_beam") or ((rows - 1) / 2, (cols - 1) / 2)
        size = start.get("crystal_size_nm") or detector.get("crystal_size_nm")
        row0, row1, col0, col1 = (int(number) for number in detector.get("roi") or (0, rows, 0, cols))
        return ScanGeometry(
            energy=float(start["energy"]),
            distance=float(detector["distance_mm"]),
            pixel_size=float(detector["pixel_size_mm"]),
            arm=self.detector_directions(angles),
            axis=self.rocking_axis(axis, angles),
            centre=(float(row), float(col)),
            shape=(rows, cols),
            roi=(row0, row1, col0, col1),
            gaps=gaps_of({**start, "instrument": self.name}),
            saturation=float(detector.get("saturation") or np.inf),
            expected_d=_expected_spacing(start),
            crystal_size=(float(size[0]), float(size[1]), float(size[2])) if size else None,
            instrument=self.name,
            angles=dict(angles),
        )


class I16(Instrument):
    """Diamond I16: six circles, a QuadMerlin on the arm.

    Circles as in You 1999, doi:10.1107/S0021889899001223.
    """

    name = "Diamond I16"
    frame = "you"
    sample = (("mu", "x+"), ("eta", "z-"), ("chi", "y+"), ("phi", "z-"))
    arm = (("gam", "x+"), ("delta", "z-"))
    rows, columns = "x+", "z+"
    detector = Detector("QuadMerlin", 0.055, 256, 3)
    zone = "Europe/London"
    other_names: ClassVar[Mapping[str, str]] = {"gamma": "gam"}


class Aps34idc(Instrument):
    """APS 34-ID-C: theta turns the sample about the vertical, delta and gamma the arm; one Timepix chip.

    Circles as in the instrument tables of the cohere package, BSD-2-Clause; x outboard, y up, z along the
    beam. Rows run downward and columns outboard.
    """

    name = "APS 34-ID-C"
    frame = "cxi"
    sample = (("theta", "y+"), ("chi", "z-"), ("phi", "y+"))
    arm = (("delta", "y+"), ("gamma", "x-"))
    rows, columns = "y-", "x+"
    detector = Detector("Timepix", 0.055, 256, 0)
    zone = "America/Chicago"
    other_names: ClassVar[Mapping[str, str]] = {"th": "theta", "gam": "gamma", "del": "delta"}


class Id01(Instrument):
    """ESRF ID01: `cdiutils.geometry.Geometry.from_setup("id01")`, its axes in the CXI frame; a Maxipix.

    Rows and columns 255 to 260 of a Maxipix of 516 lie between its chips (cdiutils masks them, too).
    """

    name = "ESRF ID01"
    frame = "cxi"
    sample = (("mu", "y-"), ("eta", "x-"), ("phi", "y-"))
    arm = (("nu", "y-"), ("delta", "x-"))
    rows, columns = "y-", "x+"
    detector = Detector("Maxipix", 0.055, 255, 6)
    zone = "Europe/Paris"
    other_names: ClassVar[Mapping[str, str]] = {"th": "eta", "del": "delta"}
    often_zero = ("mu",)


INSTRUMENTS: Mapping[str, Instrument] = {one.name: one for one in (I16(), Aps34idc(), Id01())}
"""By the name that start documents and experiments use."""


def instrument_named(name: str) -> Instrument:
    """Return an instrument by its name, or by a part of it that no other has: "i16", "34idc", "id01".

    Raises
    ------
    ValueError
        None is called so, or several are.
    """
    if name in INSTRUMENTS:
        return INSTRUMENTS[name]
    found = [one for full, one in INSTRUMENTS.items() if _plain(name) and _plain(name) in _plain(full)]
    if len(found) != 1:
        raise ValueError(
            f"the instrument must be one of {sorted(INSTRUMENTS)}; got {name!r}: correct the experiment, or "
            "add a class to analysis/geometry/instruments.py"
        )
    return found[0]


def gaps_of(start: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the rows and columns (the same numbers) that hold no sensor.

    Parameters
    ----------
    start : mapping
        Start document: its ``detector`` says ``gaps``, or they are those of its ``instrument``'s detector.
    """
    detector = start.get("detector", {})
    if detector.get("gaps") is not None:
        return tuple(int(number) for number in detector["gaps"])
    if not start.get("instrument") or "shape" not in detector:
        return ()
    rows, columns = (int(number) for number in detector["shape"])
    return instrument_named(str(start["instrument"])).detector.gaps(rows, columns)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _expected_spacing(start: Mapping[str, Any]) -> float | None:
    lattice, reflection = start.get("lattice"), start.get("reflection")
    if not lattice or reflection is None:
        return None
    cell = UnitCell(**{name: float(value) for name, value in lattice.items()})
    return cell.d_spacing((int(reflection[0]), int(reflection[1]), int(reflection[2])))
