"""Records of everything upstream of the sample: shutter, ring current, monitor, attenuator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from profile_collection.twin.ioc.database import Database, post

if TYPE_CHECKING:
    from profile_collection.process_variables import BeamNames
    from profile_collection.twin.beamline import Twin

DEMANDS = ("Open", "Close", "Reset")
STATES = ("Fault", "Open", "Opening", "Closed", "Closing")


class BeamRecords:
    """Records of the beam.

    Parameters
    ----------
    database : Database
    names : BeamNames
    twin : Twin
    """

    def __init__(self, database: Database, names: BeamNames, twin: Twin) -> None:
        self._twin = twin
        self._steps = tuple(sorted(twin.config.beam.transmissions, reverse=True))
        self.on_open: Callable[[], None] = lambda: None
        database.add(names.shutter_demand, "Close", put=self._on_shutter, choices=DEMANDS)
        self._state = database.add(
            names.shutter_state, self._shutter(), get=self._shutter, read_only=True, choices=STATES
        )
        database.add(
            names.ring_current,
            twin.ring_current(),
            get=twin.ring_current,
            read_only=True,
            units="mA",
            precision=3,
        )
        database.add(
            names.permit,
            int(twin.faults.front_end_open),
            get=lambda: int(twin.faults.front_end_open),
            read_only=True,
        )
        self.monitor = database.add(names.monitor, 0.0, read_only=True, units="counts")
        database.add(names.transmission, twin.transmission, put=self._on_transmission, precision=6)
        self._transmission = database.add(
            names.transmission_readback,
            twin.transmission,
            get=lambda: twin.transmission,
            read_only=True,
            precision=6,
        )
        steps = database.add(
            names.transmission_steps, self._steps[0], max_length=len(self._steps), read_only=True
        )
        self._first = (steps, list(self._steps))

    async def start(self) -> None:
        """Give the waveform its values."""
        await post(*self._first)

    def _shutter(self) -> str:
        return "Open" if self._twin.shutter_open else "Closed"

    async def _on_shutter(self, demand: str) -> None:
        self._twin.shutter_open = demand == "Open"
        if self._twin.shutter_open:
            self.on_open()
        await post(self._state, self._shutter())

    async def close_shutter(self) -> None:
        """Block the beam."""
        await self._on_shutter("Close")

    async def _on_transmission(self, asked: float) -> Any:
        """Take the thinnest absorber that lets no more through than was asked for."""
        fitting = [step for step in self._steps if step <= asked * (1 + 1e-9)]
        self._twin.transmission = fitting[0] if fitting else self._steps[-1]
        await post(self._transmission, self._twin.transmission)
        return self._twin.transmission
