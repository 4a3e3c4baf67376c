"""The whole simulated beamline as records: beam, heartbeat watch, time, and what the other modules serve.

The beam is everything upstream of the sample: shutter, ring current, monitor, attenuator. A session writes a
heartbeat; the watch that misses it closes the shutter, for the session is gone. Only a simulation has records
of its time, which a client may wait in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.file_names import file_name
from profile_collection.twin.geometry import MOTOR_LIMITS, MOTOR_SPEEDS
from profile_collection.twin.ioc.database import Database, pass_time, post
from profile_collection.twin.ioc.detector import Camera, FilePlugin
from profile_collection.twin.ioc.motor import Axis, MotorRecord
from profile_collection.twin.ioc.temperature import heating_336, reading_340

if TYPE_CHECKING:
    from profile_collection.twin.beamline import Exposure, Twin
    from profile_collection.twin.instruments import Clock


logger = logging.getLogger(__name__)

DEMANDS = ("Open", "Close", "Reset")
STATES = ("Fault", "Open", "Opening", "Closed", "Closing")


class BeamRecords:
    """Records of the beam.

    Parameters
    ----------
    database : Database
    names : Any
    twin : Twin
    """

    def __init__(self, database: Database, names: Any, twin: Twin) -> None:
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


PERIOD = 0.2
"""Real seconds between two looks."""


class HeartbeatWatch:
    """Closes the shutter when it is open and no heartbeat has come for a while; real time, not simulated.

    Parameters
    ----------
    database : Database
    heartbeat, timeout, tripped : str
        Names of the records: a number that the session writes, the seconds allowed between two, and how often
        the watch had to close the shutter.
    is_open : callable
        Whether the shutter is open.
    close : callable
        Closes it.
    seconds : float
        First value of `timeout`.
    """

    def __init__(
        self,
        database: Database,
        *,
        heartbeat: str,
        timeout: str,
        tripped: str,
        is_open: Callable[[], bool],
        close: Callable[[], Awaitable[None]],
        seconds: float = 5.0,
    ) -> None:
        self._is_open, self._close = is_open, close
        self._alive = time.monotonic()
        database.add(heartbeat, 0, put=self._on_beat)
        self._timeout = database.add(timeout, float(seconds), put=_at_least_one_second, units="s")
        self._tripped = database.add(tripped, 0, read_only=True)

    async def _on_beat(self, _count: int) -> None:
        self._alive = time.monotonic()

    def opened(self) -> None:
        """Count the time from here: whoever opens the shutter is alive."""
        self._alive = time.monotonic()

    async def run(self) -> None:
        """Look, as long as the IOC lives."""
        while True:
            await asyncio.sleep(PERIOD)
            silence = time.monotonic() - self._alive
            if self._is_open() and silence > self._timeout.value:
                logger.warning("no heartbeat for %.1f s with the shutter open: closed", silence)
                await self._close()
                await post(self._tripped, self._tripped.value + 1)


async def _at_least_one_second(seconds: float) -> float:
    return min(max(float(seconds), 1.0), 60.0)


LONGEST_NAP = 3600.0
"""Simulated seconds that one write may let pass."""


class TimeRecords:
    """The simulation's clock: NOW is read, a write to SLEEP is confirmed when that time has passed.

    Parameters
    ----------
    database : Database
    names : Any
    clock : Clock
    seed : int
        Of the simulation, to be read.
    """

    def __init__(self, database: Database, names: Any, clock: Clock, seed: int) -> None:
        self._clock = clock
        database.add(names.now, clock.now(), get=clock.now, read_only=True, units="s", precision=3)
        database.add(names.sleep, 0.0, put=self._on_sleep, units="s", precision=3)
        database.add(names.pace, clock.pace, read_only=True)
        database.add(names.seed, seed, read_only=True)

    async def _on_sleep(self, seconds: float) -> None:
        if not 0 <= seconds <= LONGEST_NAP:
            raise ValueError(f"between 0 and {LONGEST_NAP:g} s may pass at a time, {seconds!r} came")
        await pass_time(self._clock, float(seconds))


TICK = 0.5
"""Real seconds between two publications of what changes by itself."""


class TwinIoc:
    """All records over one twin.

    Parameters
    ----------
    twin : Twin
    names : Any
        Must have the sections safety and simulation.
    data_folder : Path
        Frames are written below `<data_folder>/raw/frames`, the truth of each scan below
        `<data_folder>/truth`.
    heartbeat_timeout : float
        Real seconds without a heartbeat after which an open shutter is closed.

    Attributes
    ----------
    database : Database
        Everything that is served.
    """

    def __init__(self, twin: Twin, names: Any, data_folder: Path, *, heartbeat_timeout: float = 5.0) -> None:
        if names.safety is None or names.simulation is None:
            raise ValueError(
                "the soft IOC needs the sections [safety] and [simulation] in its file of process variables; "
                "add them, see soft_ioc.toml"
            )
        self.twin, self._data = twin, Path(data_folder)
        self.database = Database()
        self._motors = [
            self._motor(axis, name) for axis, name in (names.circles | names.sample_stage).items()
        ]
        self._motors.append(MotorRecord(self.database, names.beam.energy, _energy(twin), twin.clock))
        self._beam = BeamRecords(self.database, names.beam, twin)
        self._controllers = [
            heating_336(self.database, names.temperature.controller, twin.thermal),
            reading_340(self.database, names.temperature.thermometer, twin.thermal),
        ]
        detector = names.detector
        r0, r1, c0, c1 = twin.config.detector.region
        self._files = FilePlugin(
            self.database,
            detector.prefix,
            run_start=detector.run_start,
            shape=(r1 - r0, c1 - c0),
            scalars=self._scalars,
            folder=self._data / "raw" / "frames",
            on_closed=self._note_truth,
        )
        self._camera = Camera(self.database, detector.prefix, twin, self._on_frame)
        self._watch = HeartbeatWatch(
            self.database,
            heartbeat=names.safety.heartbeat,
            timeout=names.safety.timeout,
            tripped=names.safety.tripped,
            is_open=lambda: twin.shutter_open,
            close=self._beam.close_shutter,
            seconds=heartbeat_timeout,
        )
        self._beam.on_open = self._watch.opened
        TimeRecords(self.database, names.simulation, twin.clock, twin.seed)

    def _motor(self, axis: str, name: str) -> MotorRecord:
        units = "mm" if axis.startswith("s") else "degrees"
        what = Axis(
            lambda: float(self.twin.axes[axis]),
            partial(self.twin.set_axis, axis),
            MOTOR_LIMITS[axis],
            MOTOR_SPEEDS[axis],
            units,
            f"simulated {axis}",
        )
        return MotorRecord(self.database, name, what, self.twin.clock)

    async def run(self, _async_lib: Any = None) -> None:
        """Give the records their first values, then look after them as long as the IOC lives."""
        parts: tuple[Any, ...] = (*self._motors, *self._controllers, self._beam)
        for part in parts:
            await part.start()
        await asyncio.gather(self._watch.run(), self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            await self.database.tick()

    def _scalars(self) -> Mapping[str, float]:
        """Return what the file keeps beside each frame."""
        thermal = self.twin.thermal
        return {
            **self.twin.axes,
            **thermal.diodes(),
            "Theater": thermal.heater,
            "Tset": thermal.setpoint,
            "transmission": self.twin.transmission,
        }

    async def _on_frame(self, taken: Exposure, exposure_time: float, unique: int) -> None:
        await self._files.write(taken, exposure_time, unique)
        await post(self._beam.monitor, float(taken.monitor))

    def _note_truth(self, start: Mapping[str, Any], etas: list[float]) -> None:
        """Note what it takes to compute a rocking scan's truth later; a retaken position counts once."""
        positions = np.array(list(dict.fromkeys(etas)))
        if start.get("purpose") != "rocking" or positions.size < 2:
            return
        folder = self._data / "truth" / file_name(str(start.get("series_uid")), otherwise="unassigned")
        run = str(start.get("uid"))
        try:
            self.twin.write_truth(folder / f"{file_name(run, otherwise='unnamed')}.json", run, positions)
        except Exception:
            logger.exception("the truth of %s could not be noted", run)


def _energy(twin: Twin) -> Axis:
    def move(energy: float) -> None:
        twin.energy = energy

    return Axis(lambda: float(twin.energy), move, (5.0, 14.0), 0.05, "keV", "simulated energy")
