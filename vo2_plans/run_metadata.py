"""What makes a run findable: the series it belongs to, its place in it, and the start document as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from vo2_plans.protocols import BeamlineLike
from vo2_plans.scan_window import EtaWindow

Purpose = Literal["align", "rocking"]
Branch = Literal["heating", "cooling"]
HKL = tuple[int, int, int]


@dataclass(frozen=True)
class SeriesPlace:
    """A run's place in its series.

    Attributes
    ----------
    series_uid : str
        The same for all runs of a series.
    index, size : int
        Number of the temperature, from 0, and how many there are.
    temperature : float
        Setpoint, K.
    branch : str
        "heating" or "cooling".
    attempt : int
        1 for the first measurement of this temperature.
    """

    series_uid: str
    index: int
    size: int
    temperature: float
    branch: Branch = "heating"
    attempt: int = 1


def new_series_uid(now: datetime | None = None) -> str:
    """Return a uid that sorts by time and can be a folder's name, such as 20261122-143000-a1b2c3."""
    return f"{now or datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"


def branch_of(temperatures: Sequence[float], index: int, present: float) -> Branch:
    """Return whether temperature `index` is reached by heating or cooling, coming from `present` (K)."""
    previous = temperatures[index - 1] if index else present
    return "heating" if temperatures[index] >= previous else "cooling"


def start_metadata(
    beamline: BeamlineLike,
    place: SeriesPlace,
    *,
    plan_name: str,
    purpose: Purpose,
    window: EtaWindow,
    reflection: HKL,
    md: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the whole start document that a plan contributes; `md` has the last word."""
    return {
        **beamline.metadata(),
        "plan_name": plan_name,
        "purpose": purpose,
        "series_uid": place.series_uid,
        "series_index": place.index,
        "series_size": place.size,
        "branch": place.branch,
        "attempt": place.attempt,
        "temperature_setpoint": float(place.temperature),
        "reflection": list(reflection),
        "scan": window.as_metadata(),
        "detectors": [beamline.merlin.name],
        "motors": ["eta"],
        "num_points": window.num,
        **(md or {}),
    }
