"""Which faults there are, and which happens when: drawn from a seed, each kind as often as another."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

KINDS = {
    "pause": "a pause within an exposure",
    "abort": "an abort within an exposure",
    "ctrl_c": "Ctrl-C twice",
    "beam_lost": "the ring current is lost",
    "front_end": "the front end closes",
    "drift": "the sample drifts off its temperature",
    "weak_heater": "the heater does not reach its setpoint",
    "stuck_motor": "the rocking motor is stuck",
    "drop": "the detector drops a frame",
    "repeat": "the detector repeats a frame",
    "delay": "the detector delays a frame",
    "detector_down": "the detector gives no frame at all",
    "truncated": "a frame file is cut short",
    "kill_acquisition": "kill -9 of the acquisition",
    "kill_analysis": "kill -9 of the analysis",
    "kill_catalogue": "kill -9 of the catalogue's server",
}
"""Kind of fault to what it is."""

POINTS = 64
"""Points of a rocking scan of the campaign."""
PER_SERIES = 12
"""Faults in a series of two scans."""
WARM = (325.0, 330.0, 335.0, 340.0, 345.0, 350.0, 355.0, 360.0, 365.0)
"""Temperatures that follow the reference at 320 K, K."""
FIRST = 320.0


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes
    ----------
    number : int
        From 0, over the whole campaign.
    kind : str
        One of `KINDS`.
    moment : int
        Exposure of its series, from 1, at which it happens; those taken again count too.
    amount : float
        From 0 to 1: how strong, how late or how long, as the kind has it.
    """

    number: int
    kind: str
    moment: int
    amount: float


@dataclass(frozen=True)
class SeriesTask:
    """One series of the campaign: two temperatures and the faults that happen meanwhile."""

    number: int
    temperatures: tuple[float, float]
    faults: tuple[Fault, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild a task from what `to_dict` gave."""
        first, second = values["temperatures"]
        faults = tuple(Fault(**fault) for fault in values["faults"])
        return cls(int(values["number"]), (float(first), float(second)), faults)


def draw(count: int, seed: int) -> list[SeriesTask]:
    """Return the series of a campaign with `count` faults; the first series of a longer one are the same.

    Raises
    ------
    ValueError
        There are fewer faults than kinds.
    """
    if count < len(KINDS):
        raise ValueError(f"a campaign needs at least one fault of each of {len(KINDS)} kinds, {count!r} came")
    rng = np.random.default_rng([seed, 50])
    kinds: list[str] = []
    while len(kinds) < count:
        kinds += [str(kind) for kind in rng.permutation(list(KINDS))]
    tasks: list[SeriesTask] = []
    rng = np.random.default_rng([seed, 51])
    for first in range(0, count, PER_SERIES):
        chosen = kinds[first : min(first + PER_SERIES, count)]
        moments = np.sort(rng.integers(1, 2 * POINTS, PER_SERIES))[: len(chosen)]
        amounts, warm = rng.random(PER_SERIES), float(rng.choice(WARM))
        faults = tuple(
            Fault(first + n, kind, int(moments[n]), float(amounts[n])) for n, kind in enumerate(chosen)
        )
        tasks.append(SeriesTask(len(tasks), (FIRST, warm), faults))
    return tasks
