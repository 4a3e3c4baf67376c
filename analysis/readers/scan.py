"""What a file says of a rocking scan, whatever its format; and what a person says where the file does not."""

import contextlib
import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.geometry import Instrument, ScanGeometry, check_units
from analysis.unit_cells import UnitCell

Column = NDArray[np.float64]


class ReadError(ValueError):
    """A file that cannot be read, or lacks what is needed; the message says how to give it."""


class FrameSource(Protocol):
    """Frames of a scan, read where they are asked for: an array, a dataset, a folder of images."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def dtype(self) -> Any: ...  # noqa: D102

    def __getitem__(self, key: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a person says of a scan: it completes what the file says, and overrides it.

    Attributes
    ----------
    instrument : str or None
        "Diamond I16", "APS 34-ID-C" or "ESRF ID01": how its circles turn.
    energy : float or None, keV
    distance, pixel_size : float or None, mm
    centre : tuple of float or None, pixels
        (row, column) of the direct beam when the arm is at zero.
    axis : str or None
        The circle that was scanned.
    start, step : float or None, degrees
        First rocking angle and step; or ``angles``, one for each frame.
    angles : tuple of float or None, degrees
    positions : mapping of str to float, degrees
        Circles that stood still.
    temperature : float or None, K
    exposure : float or None, s
    lattice : float or mapping or None
        Cubic lattice constant in Å, or {a, b, c, alpha, beta, gamma}.
    reflection : tuple of int or None
        (h, k, l).
    dataset : str or None
        Name of the array or dataset of frames, where a file holds several.
    scan : str or None
        Number or name of the scan, where a file holds several.
    """

    instrument: str | None = None
    energy: float | None = None
    distance: float | None = None
    pixel_size: float | None = None
    centre: tuple[float, float] | None = None
    axis: str | None = None
    start: float | None = None
    step: float | None = None
    angles: tuple[float, ...] | None = None
    positions: Mapping[str, float] = field(default_factory=dict)
    temperature: float | None = None
    exposure: float | None = None
    lattice: float | Mapping[str, float] | None = None
    reflection: tuple[int, int, int] | None = None
    dataset: str | None = None
    scan: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that are impossible or in another unit."""
        lengths = {"energy": self.energy, "distance": self.distance, "pixel_size": self.pixel_size}
        check_units(**{name: float(value) for name, value in lengths.items() if value is not None})
        if self.step is not None and (not np.isfinite(self.step) or self.step == 0):
            raise ReadError(f"step must be degrees from one frame to the next, not 0; got {self.step!r}")
        if self.temperature is not None and not 0 < self.temperature < 5000:
            raise ReadError(f"temperature must be in K, above 0; got {self.temperature!r}")

    @property
    def said(self) -> dict[str, Any]:
        """What was given, by name, as plain values."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
            if value is not None and value != {}
        }

    def completed(self, other: "Given") -> "Given":
        """Return this, with what ``other`` says put over it."""
        said = {name: getattr(other, name) for name in other.said}
        if "positions" in said:
            said["positions"] = {**self.positions, **other.positions}
        return replace(self, **said)

    @property
    def rocks(self) -> bool:
        """Whether it says at which angles the sample was rocked."""
        return self.angles is not None or (self.start is not None and self.step is not None)

    def rocking(self, points: int) -> Column:
        """Return the angle of each of ``points`` frames, as given: `rocks` must hold."""
        if self.angles is not None:
            return np.array(self.angles, dtype=np.float64)
        return np.asarray((self.start or 0.0) + (self.step or 0.0) * np.arange(points), dtype=np.float64)

    def cell(self) -> UnitCell | None:
        """Return the lattice, if it was given."""
        if self.lattice is None:
            return None
        if isinstance(self.lattice, Mapping):
            return UnitCell(**{name: float(value) for name, value in self.lattice.items()})
        a = float(self.lattice)
        return UnitCell(a, a, a, 90.0, 90.0, 90.0)

    def geometry(
        self, instrument: Instrument, axis: str, angles: Mapping[str, float], shape: tuple[int, ...]
    ) -> ScanGeometry:
        """Return the geometry of a scan of ``axis``; energy, distance and pixel size must be given.

        Parameters
        ----------
        instrument : Instrument
        axis : str
        angles : mapping of str to float, degrees
            The circles as they stood.
        shape : tuple of int
            (rows, columns) of the frames.
        """
        detector = {
            "distance_mm": np.nan if self.distance is None else self.distance,
            "pixel_size_mm": np.nan if self.pixel_size is None else self.pixel_size,
            "shape": shape,
            "direct_beam": self.centre,
        }
        energy = np.nan if self.energy is None else self.energy
        return instrument.geometry({"energy": energy, "detector": detector, "scan": {"axis": axis}}, angles)


def read_given(path: Path) -> Given:
    """Read a TOML file of geometry; its keys are the fields of `Given`.

    Raises
    ------
    ReadError
        It is no TOML, or holds a key that is none of them.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ReadError(f"a TOML file of geometry was expected, {str(path)!r} came ({error})") from error
    known = {one.name for one in fields(Given)}
    if unknown := sorted(set(table) - known):
        raise ReadError(f"{path} says {unknown}, which is not known; known are {sorted(known)}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in table.items()
    }
    try:
        return Given(**values)
    except TypeError as error:
        raise ReadError(f"{path}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class MeasuredScan:
    """One rocking scan, as its file and the person say.

    Attributes
    ----------
    path : Path
    format : str
        Of the file, in words.
    instrument : str
    name : str
        Of the sample, if the file has one.
    title : str
        The command that measured it, if the file has it.
    frames : FrameSource or None
        (n, rows, columns) counts; None where they are not at hand.
    axis : str
        Name of what was scanned.
    angles : ndarray, (n,) float64, degrees
        Rocking angle of each frame; empty where it is not known.
    positions : mapping of str to float
        Of what stood still, under the instrument's own names.
    geometry : ScanGeometry or None
        None where something that it needs is missing.
    energy : float or None, keV
        Also where no geometry could be made.
    temperature : ndarray, (n,) float64, K, or None
    monitor : ndarray, (n,) float64, or None
    transmission : float or None
        Of the attenuator.
    exposure : float or None, s
    started : datetime or None
        With its time zone, where the file has one.
    cell : UnitCell or None
    reflection : tuple of int or None
    ub : ndarray, (3, 3) float64, Å⁻¹, or None
        With 2π, in the frame of You 1999.
    mask : ndarray, (rows, columns) or (n, rows, columns) bool, or None
        True where a pixel is bad.
    flat_field, dark : ndarray, (rows, columns) float, or None
    missing : tuple of str
        What is needed and not there, and how to give it.
    notes : tuple of str
        What else a person should know.
    unused : tuple of str
        Arrays of the file that nothing uses.
    refusal : str
        Why it cannot be analysed as a rocking scan, whatever is given; empty if it can.
    """

    path: Path
    format: str
    instrument: str = ""
    name: str = ""
    title: str = ""
    frames: FrameSource | None = None
    axis: str = ""
    angles: Column = field(default_factory=lambda: np.zeros(0))
    positions: Mapping[str, float] = field(default_factory=dict)
    geometry: ScanGeometry | None = None
    energy: float | None = None
    temperature: Column | None = None
    monitor: Column | None = None
    transmission: float | None = None
    exposure: float | None = None
    started: datetime | None = None
    cell: UnitCell | None = None
    reflection: tuple[int, int, int] | None = None
    ub: NDArray[np.float64] | None = None
    mask: NDArray[np.bool_] | None = None
    flat_field: NDArray[Any] | None = None
    dark: NDArray[Any] | None = None
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def expected_d(self) -> float | None:
        """Plane spacing of the reflection in Å, if lattice and reflection are known."""
        if self.cell is None or self.reflection is None:
            return None
        return self.cell.d_spacing(self.reflection)

    def require(self) -> None:
        """Raise `ReadError` where the scan cannot be analysed, with everything that is missing."""
        if self.refusal:
            raise ReadError(f"{self.path}: {self.refusal}")
        if self.missing:
            raise ReadError(f"{self.path} ({self.format}) lacks: {'; '.join(self.missing)}")


class Reader(Protocol):
    """Reads one format. It is asked by content: the name of a file decides nothing."""

    format: str

    def accepts(self, path: Path) -> bool:
        """Return whether ``path`` is of this format."""

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the scans of a file; ``frames`` is a further folder that frame files may lie in."""


def measured(values: Any, points: int) -> Column | None:
    """Return temperatures with 0 K read as not measured: (points,) float64, or None where none is."""
    if values is None:
        return None
    column = np.broadcast_to(np.asarray(values, dtype=float), (points,)).copy()
    column[~(column > 0)] = np.nan
    return column if np.isfinite(column).any() else None


def lacks(**needed: tuple[Any, str]) -> tuple[str, ...]:
    """Return "what (how to give it)" for each value that is None."""
    absent = {name: how for name, (value, how) in needed.items() if value is None}
    return tuple(f"{name.replace('_', ' ')} ({how})" for name, how in absent.items())


def mean(values: Any) -> float | None:
    """Return the mean of what is there of a column, or the one number."""
    return None if values is None else float(np.nanmean(values))


def text(value: Any) -> str:
    """Return what a file holds as bytes, string or an array of one of them."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def moment(value: Any) -> datetime | None:
    """Return the time that an ISO 8601 text states, None where it states none."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text(value)) if value is not None else None
    return None


class Images:
    """Frames of a folder of images, read one by one with fabio: TIFF, EDF, CBF and whatever else it knows."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        first = self._one(0)
        self.shape = (len(self._paths), *first.shape)
        self.dtype = first.dtype

    def _one(self, number: int) -> NDArray[Any]:
        from fabio.openimage import openimage

        logging.getLogger("fabio").setLevel(logging.ERROR)  # it remarks on a tag in each image of 34-ID-C
        try:
            with openimage(str(self._paths[number])) as image:
                return np.asarray(image.data)
        except Exception as error:  # fabio raises whatever its formats do
            raise ReadError(f"an image was expected in {self._paths[number]}; {error}") from error

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return frames as an array of the same key would."""
        frames, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(frames, slice):
            picked = range(*frames.indices(len(self._paths)))
            return np.stack([self._one(number)[tuple(rest)] for number in picked])
        return self._one(int(frames))[tuple(rest)]
