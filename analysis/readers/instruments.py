"""Which circles turn what at the beamlines whose files are read, and the geometry that follows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.geometry import ScanGeometry, chip_gaps, circle_arm, circle_axis
from analysis.readers.scan import Given

Circles = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Circled:
    """An instrument by its circles, the outermost first, each with its axis; see `analysis.geometry.vectors`.

    Attributes
    ----------
    name : str
    frame : str
        That the axes are in.
    sample, detector : tuple of (str, str)
        Name and axis of each circle.
    rows, columns : str
        Axes along which the detector's rows and columns grow when its arm is at zero.
    others : mapping of str to str
        Further names of circles in this instrument's files, and the names above.
    rarely : tuple of str
        Circles that many files leave out, for they stand at 0.
    """

    name: str
    frame: str
    sample: Circles
    detector: Circles
    rows: str
    columns: str
    others: Mapping[str, str]
    rarely: tuple[str, ...] = ()

    def own(self, name: str) -> str:
        """Return the name of a circle as it stands in ``sample`` and ``detector``."""
        return self.others.get(name.lower(), name.lower())

    def lacking(self, axis: str, positions: Mapping[str, float]) -> list[str]:
        """Return the circles whose angle is needed and missing: the arm's, and those that carry ``axis``."""
        names = [name for name, _ in self.sample]
        own = self.own(axis)
        outer = names[: names.index(own)] if own in names else []
        known = {self.own(name) for name in positions}
        return [
            name
            for name in (*outer, *(name for name, _ in self.detector))
            if name not in (*known, *self.rarely)
        ]

    def geometry(
        self, *, axis: str, positions: Mapping[str, float], shape: tuple[int, int], given: Given
    ) -> ScanGeometry:
        """Return the geometry of a scan of ``axis``; ``given`` must hold energy, distance and pixel size."""
        own, angles = self.own(axis), {self.own(name): float(value) for name, value in positions.items()}
        angles = dict.fromkeys(self.rarely, 0.0) | angles
        names = [name for name, _ in self.sample]
        if own not in names:
            raise ValueError(f"{self.name} rocks one of {names}; got {axis!r}: name the scanned circle")
        outer = [(direction, angles[name]) for name, direction in self.sample[: names.index(own)]]
        arm = [(direction, angles[name]) for name, direction in self.detector]
        lengths = (given.energy, given.distance, given.pixel_size)
        energy, distance, pixel_size = (np.nan if value is None else float(value) for value in lengths)
        rows, columns = shape
        return ScanGeometry(
            energy=energy,
            distance=distance,
            pixel_size=pixel_size,
            arm=circle_arm(arm, self.rows, self.columns, self.frame),
            axis=circle_axis(outer, dict(self.sample)[own], self.frame),
            centre=given.centre or ((rows - 1) / 2, (columns - 1) / 2),
            shape=shape,
            roi=(0, rows, 0, columns),
            gaps=chip_gaps(rows) if rows == columns else (),
            instrument=self.name,
            angles=dict(positions),
        )


I16 = Circled(
    name="Diamond I16",
    frame="you",
    sample=(("mu", "x+"), ("eta", "z-"), ("chi", "y+"), ("phi", "z-")),
    detector=(("gam", "x+"), ("delta", "z-")),
    rows="x+",
    columns="z+",
    others={"gamma": "gam"},
)
"""You 1999, doi:10.1107/S0021889899001223."""

APS_34IDC = Circled(
    name="APS 34-ID-C",
    frame="cxi",
    sample=(("theta", "y+"), ("chi", "z-"), ("phi", "y+")),
    detector=(("delta", "y+"), ("gamma", "x-")),
    rows="y-",
    columns="x+",
    others={"th": "theta", "gam": "gamma", "del": "delta"},
)
"""The instrument tables of the cohere package, BSD-2-Clause; x outboard, y up, z along the beam."""

ID01 = Circled(
    name="ESRF ID01",
    frame="cxi",
    sample=(("mu", "y-"), ("eta", "x-"), ("phi", "y-")),
    detector=(("nu", "y-"), ("delta", "x-")),
    rows="y-",
    columns="x+",
    others={"th": "eta", "del": "delta"},
    rarely=("mu",),
)
"""`cdiutils.geometry.Geometry.from_setup("id01")`, its axes in the CXI frame."""

CIRCLED: Mapping[str, Circled] = {one.name: one for one in (I16, APS_34IDC, ID01)}


def named(name: str) -> Circled:
    """Return an instrument by its name; "i16", "34idc" and "id01" will do.

    Raises
    ------
    ValueError
        None is called so.
    """
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    for full, one in CIRCLED.items():
        if plain and plain in "".join(letter for letter in full.lower() if letter.isalnum()):
            return one
    raise ValueError(f"the instrument must be one of {sorted(CIRCLED)}; got {name!r}")
