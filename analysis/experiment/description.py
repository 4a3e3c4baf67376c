"""The experiment as a typed description, read from TOML; the paper's stands beside this module.

It travels in every start document (`experiment`, plain JSON), so that a stored run is analysed with the
reference, crop and lattices it was measured with, whatever the files say later.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from analysis.unit_cells import UNIT_CELLS, UnitCell, bragg_angle

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Size = Annotated[int, Field(ge=16)]
Crop = tuple[int, int, int]

FOLDER = Path(__file__).parent
PAPER, QUICK = "paper", "quick"


class _Part(BaseModel):
    """A part of the description: it does not change, and names nothing that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sample(_Part):
    """The crystal.

    Attributes
    ----------
    name : str
    size_nm : tuple of float or None, nm
        Extent along the rocking direction, along Q, and horizontally, where it is known beforehand.
    """

    name: str
    size_nm: tuple[Positive, Positive, Positive] | None = None


class Reflection(_Part):
    """A reflection of one of the crystal's lattices.

    Attributes
    ----------
    phase : str
        Name of the structural phase, for figures and messages.
    hkl : tuple of int
        Miller indices.
    lattice : UnitCell
        Lengths in Å, angles in degrees; in a file also the name of one of `analysis.unit_cells`.
    """

    phase: str
    hkl: tuple[int, int, int]
    lattice: UnitCell

    @field_validator("lattice", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        if given not in UNIT_CELLS:
            raise ValueError(f"a cell by name is one of {sorted(UNIT_CELLS)}; give another's six numbers")
        return UNIT_CELLS[given]

    @property
    def d_spacing(self) -> float:
        """Spacing of its planes, Å."""
        return self.lattice.d_spacing(self.hkl)

    @property
    def label(self) -> str:
        """Phase and indices in words, as "M1 (011)"."""
        return f"{self.phase} ({''.join(str(index) for index in self.hkl)})"


class Window(_Part):
    """Positions of the rocking axis.

    Attributes
    ----------
    start, stop, step : float, degrees
        Both ends are measured.
    exposure : float, s
        Per position.
    """

    start: Finite
    stop: Finite
    step: Positive
    exposure: Positive

    @property
    def centre(self) -> float:
        """Middle of the window, degrees."""
        return round((self.start + self.stop) / 2, 6)

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        if self.stop <= self.start:
            raise ValueError(f"stop must lie above start, got {self.start!r} to {self.stop!r}")
        return self


class Analysed(Protocol):
    """What of a stored scan says which experiment it belongs to (`analysis.results.ScanResult`)."""

    @property
    def experiment(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def temperature_setpoint(self) -> float: ...  # noqa: D102
    @property
    def sample(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def instrument(self) -> Mapping[str, Any]: ...  # noqa: D102


class Experiment(_Part):
    """What is measured and how it is analysed.

    Attributes
    ----------
    name : str
    instrument : str
        Name of the instrument (`analysis.geometry.instruments`).
    energy : float, keV
    sample : Sample
    reflection : Reflection or None
        The measured one, with the lattice that UB is computed from; None where it is not known, as in a file
        of another beamline that does not say it.
    counterpart : Reflection or None
        The reflection of the lattice that the crystal transforms into, where it lies beside the measured one.
    temperatures : tuple of float, K
        In the order of measurement.
    reference_temperature : float, K
        The order parameter counts from here.
    critical_region : tuple of float or None, K
        First and last temperature that figures mark.
    window : Window
    region : tuple of int or None, pixels
        (row0, row1, column0, column1) of the detector that are read out; None reads all.
    crop : tuple of int, voxels
        (rocking, row, column) about the peak that are phased.
    wide_crop : tuple of int or None, voxels
        The same where the counterpart's peak is to lie inside.
    """

    name: str
    instrument: str
    energy: Positive
    sample: Sample
    reflection: Reflection | None
    counterpart: Reflection | None = None
    temperatures: Annotated[tuple[Positive, ...], Field(min_length=1)]
    reference_temperature: Positive
    critical_region: tuple[Positive, Positive] | None = None
    window: Window
    region: tuple[int, int, int, int] | None = None
    crop: tuple[Size, Size, Size]
    wide_crop: tuple[Size, Size, Size] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Refuse a reference that is not measured and a reflection that the energy does not reach."""
        if self.reference_temperature not in self.temperatures:
            raise ValueError(
                f"reference_temperature must be one of the temperatures {list(self.temperatures)}, got "
                f"{self.reference_temperature:g}"
            )
        for reflection in (self.reflection, self.counterpart):
            if reflection is not None:
                bragg_angle(reflection.d_spacing, self.energy)
        return self

    @property
    def transformation_strain(self) -> float | None:
        """Strain along Q of the counterpart's lattice against the measured one's; None without one.

        It is (abs(Q) − abs(Q'))/abs(Q), the slope of the counterpart's phase about the measured peak over
        abs(Q): +0.0043 for the paper's.
        """
        if self.counterpart is None or self.reflection is None:
            return None
        return 1 - self.reflection.d_spacing / self.counterpart.d_spacing

    @property
    def crops(self) -> dict[str, Crop]:
        """The crops that have a name: "m1" (the usual one) and "20nm" (with the counterpart's peak)."""
        return {"m1": self.crop} | ({"20nm": self.wide_crop} if self.wide_crop else {})

    def document(self) -> dict[str, Any]:
        """Return all of it as plain values, for start documents and result files."""
        return self.model_dump(mode="json")

    @classmethod
    def of_start(cls, start: Mapping[str, Any]) -> Experiment:
        """Return the experiment that a run belongs to.

        Runs that do not say it, measured before the description travelled or by another beamline, are the
        paper's where its reflection was measured; else what their start documents say, and one lattice alone.
        """
        known = start.get("experiment")
        if known:
            return cls.model_validate(known)
        usual = paper()
        lattice, hkl = start.get("lattice"), start.get("reflection")
        if hkl is not None and usual.reflection is not None and tuple(hkl) == usual.reflection.hkl:
            return usual
        changed: dict[str, Any] = {"counterpart": None, "wide_crop": None, "reflection": None}
        if start.get("instrument"):
            changed["instrument"] = str(start["instrument"])
        if lattice and hkl is not None:
            kelvin = float(start.get("temperature_setpoint", usual.reference_temperature))
            changed |= {
                "name": str(start.get("sample") or start.get("name") or ""),
                "sample": Sample(name=str(start.get("sample") or start.get("name") or "")),
                "reflection": Reflection(phase="", hkl=tuple(hkl), lattice=UnitCell(**lattice)),
                "temperatures": (kelvin,),
                "reference_temperature": kelvin,
                "critical_region": None,
            }
        return usual.model_copy(update=changed)

    @classmethod
    def of_scan(cls, scan: Analysed) -> Experiment:
        """Return the experiment that a stored scan belongs to; older files are read as `of_start` does."""
        told = {
            "experiment": scan.experiment,
            "instrument": scan.instrument.get("name"),
            "temperature_setpoint": scan.temperature_setpoint,
        }
        return cls.of_start({**scan.sample, **told})


def load_experiment(which: str | Path) -> Experiment:
    """Return a described experiment.

    Parameters
    ----------
    which : str or Path
        "paper", "quick", or a TOML file; a file may say ``extends = "paper"`` (or another file, relative to
        it) and then only what differs.

    Raises
    ------
    ValueError
        It is no such file, or says something that cannot be; each problem in words.
    """
    try:
        return Experiment.model_validate(_values(Path(which), seen=()))
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in one['loc']) or 'the whole'}: "
            f"{one['msg'].removeprefix('Value error, ')}, got {one['input']!r}"
            for one in error.errors()
        ]
        raise ValueError(
            f"the experiment {str(which)!r} cannot be used: {'; '.join(problems)}. Compare it with "
            "analysis/experiment/paper.toml"
        ) from None


@lru_cache(maxsize=1)
def paper() -> Experiment:
    """Return the published experiment, the default."""
    return load_experiment(PAPER)


def _values(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """Return what a file says, on top of what it extends."""
    packaged = FOLDER / f"{path}.toml"
    if str(path) in (PAPER, QUICK):
        path = packaged
    if path in seen:
        raise ValueError(f"the experiment {str(path)!r} extends itself: {[str(one) for one in seen]}")
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(
            f"an experiment is {PAPER!r}, {QUICK!r} or a TOML file; {str(path)!r} cannot be read: {error}"
        ) from error
    base = given.pop("extends", None)
    if base is None:
        return given
    under = Path(str(base))
    under = under if str(base) in (PAPER, QUICK) else path.parent / under
    return _merged(_values(under, (*seen, path)), given)


def _merged(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with what is given on top; sample and window part by part, all else as a whole.

    A counterpart of another reflection would be wrong, so that it goes with the reflection it belongs to.
    """
    if "reflection" in given:
        base = {key: value for key, value in base.items() if key not in ("counterpart", "wide_crop")}
        given = {**given, "reflection": {**base["reflection"], **given["reflection"]}}
    for part in ("sample", "window"):
        if part in given and part in base:
            given = {**given, part: {**base[part], **given[part]}}
    return {**base, **given}
