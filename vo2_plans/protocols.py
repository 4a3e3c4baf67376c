"""What the plans need to know of the devices they are given; nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class DiffractometerLike(Protocol):
    """Six circles (degrees) with a UB matrix behind `forward`."""

    mu: Any
    eta: Any
    chi: Any
    phi: Any
    delta: Any
    gam: Any

    def forward(self, *hkl: float) -> Any:
        """Return the angles, as attributes mu … delta, at which (h, k, l) diffracts."""
        ...


class HeatedStageLike(Protocol):
    """Sets and holds the temperature (K); carries the sample's translations."""

    name: str
    limits: tuple[float, float]
    Tsample: Any
    ramp_rate: Any
    tolerance: Any
    settle_time: Any
    timeout: Any
    sx: Any
    sy: Any
    sz: Any

    @property
    def setpoint(self) -> float:
        """Temperature that the controller is asked for."""
        ...


class MerlinLike(Protocol):
    """The detector; rows and columns count on the whole detector, whatever region is read out."""

    name: str
    data_folder: Path
    acquire_time: Any
    counter_depth: Any
    search_row: Any
    search_column: Any
    search_half_width: Any

    def note_document(self, name: str, document: dict[str, Any]) -> None:
        """Follow the run's documents."""
        ...


class BeamLike(Protocol):
    """Energy, shutter, attenuator, ring current, monitor."""

    en: Any
    shutter: Any
    rc: Any
    ic1monitor: Any
    transmission: Any

    @property
    def transmissions(self) -> Sequence[float]:
        """What the attenuator can be set to."""
        ...


class BeamlineLike(Protocol):
    """All devices, and what every start document says about the experiment."""

    @property
    def diffractometer(self) -> DiffractometerLike:
        """The circles."""
        ...

    @property
    def heated_stage(self) -> HeatedStageLike:
        """The sample's temperature and place."""
        ...

    @property
    def merlin(self) -> MerlinLike:
        """The detector."""
        ...

    @property
    def beam(self) -> BeamLike:
        """What arrives at the sample."""
        ...

    @property
    def reflection(self) -> tuple[int, int, int]:
        """Miller indices of what is measured."""
        ...

    @property
    def crystal_size_nm(self) -> tuple[float, float, float] | None:
        """Extent along the rocking direction, along Q, and horizontally, nm, where it is known."""
        ...

    def metadata(self) -> dict[str, Any]:
        """Return `lattice`, `reflection`, `UB`, `energy`, `detector`, `sample`, … for the start document."""
        ...


Readings = Mapping[str, Mapping[str, Any]]


def value_of(readings: Readings | None, key: str) -> float:
    """Return a scalar from readings; NaN where there is none, as in a dry run or after a rewind."""
    if not readings or key not in readings:
        return float("nan")
    return float(readings[key]["value"])
