"""What exists of a series that was begun and not ended, as the plan that goes on with it needs to know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vo2_plans.run_metadata import Branch, SeriesPlace, branch_of


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
    """

    series_uid: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    complete: Mapping[int, str] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)
    branches: Mapping[int, Branch] = field(default_factory=dict)

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
