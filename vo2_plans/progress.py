"""What exists of a series that was begun and not ended, as the plan that goes on with it needs to know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vo2_plans.run_metadata import Branch, SeriesPlace, branch_of


def setup_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a start document, or of a beamline's metadata, must not change within a series."""
    detector = metadata.get("detector", {})
    return {
        "sample": metadata.get("sample"),
        **{key: list(detector[key]) for key in ("shape", "roi") if key in detector},
    }


@dataclass(frozen=True)
class SeriesProgress:
    """A series as far as it has come; a new one has only its uid.

    Attributes
    ----------
    series_uid : str
    arguments : mapping
        What `temperature_series` was called with, as the start documents have it under `series_plan`.
    complete : mapping
        Place in the series to the uid of its complete scan.
    attempts : mapping
        Place in the series to the number of its last attempt, complete or not.
    branches : mapping
        Place in the series to the branch it was begun on.
    setup : mapping
        What must be the same when it goes on: `sample`, and the detector's `shape` and `roi`.
    pose : mapping
        Diffractometer axis to degrees in the last complete scan, `eta` at the middle of its curve; empty
        where none is known. The peak is followed from there: searched for anew, above the transition, it
        might be rutile's.
    """

    series_uid: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    complete: Mapping[int, str] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)
    branches: Mapping[int, Branch] = field(default_factory=dict)
    setup: Mapping[str, Any] = field(default_factory=dict)
    pose: Mapping[str, float] = field(default_factory=dict)

    def check_setup(self, metadata: Mapping[str, Any]) -> None:
        """Raise `ValueError`, in words, where the beamline's `metadata` is not that of the series."""
        now = setup_of(metadata)
        changed = [key for key, value in self.setup.items() if value != now.get(key)]
        if changed:
            told = "; ".join(f"{key} was {self.setup[key]!r} and is {now.get(key)!r}" for key in changed)
            raise ValueError(
                f"the series {self.series_uid} goes on only with the sample and the detector region it was "
                f"begun with: {told}. Open the session as it was then (--quick, VO2_SAMPLE)"
            )

    def left(self, temperatures: Sequence[float]) -> list[float]:
        """Return the temperatures that are still to be measured, K."""
        return [value for index, value in enumerate(temperatures) if index not in self.complete]

    def place(self, temperatures: Sequence[float], index: int, present: float) -> SeriesPlace:
        """Return the place of the next scan at temperature `index`; the stage stood at `present` K."""
        return SeriesPlace(
            self.series_uid,
            index,
            len(temperatures),
            float(temperatures[index]),
            self.branches.get(index) or branch_of(temperatures, index, present),
            self.attempts.get(index, 0) + 1,
        )
