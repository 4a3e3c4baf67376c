"""Records that only a simulation has: its time, which a client may wait in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profile_collection.twin.ioc.database import Database, pass_time

if TYPE_CHECKING:
    from profile_collection.process_variables import SimulationNames
    from profile_collection.twin.clock import Clock

LONGEST_NAP = 3600.0
"""Simulated seconds that one write may let pass."""


class TimeRecords:
    """The simulation's clock: NOW is read, a write to SLEEP is confirmed when that time has passed.

    Parameters
    ----------
    database : Database
    names : SimulationNames
    clock : Clock
    seed : int
        Of the simulation, to be read.
    """

    def __init__(self, database: Database, names: SimulationNames, clock: Clock, seed: int) -> None:
        self._clock = clock
        database.add(names.now, clock.now(), get=clock.now, read_only=True, units="s", precision=3)
        database.add(names.sleep, 0.0, put=self._on_sleep, units="s", precision=3)
        database.add(names.pace, clock.pace, read_only=True)
        database.add(names.seed, seed, read_only=True)

    async def _on_sleep(self, seconds: float) -> None:
        if not 0 <= seconds <= LONGEST_NAP:
            raise ValueError(f"between 0 and {LONGEST_NAP:g} s may pass at a time, {seconds!r} came")
        await pass_time(self._clock, float(seconds))
