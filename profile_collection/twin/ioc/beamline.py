"""The whole simulated beamline as records."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from profile_collection.motor_ranges import LIMITS, SPEEDS
from profile_collection.twin.ioc.beam import BeamRecords
from profile_collection.twin.ioc.camera import Camera
from profile_collection.twin.ioc.database import Database, post
from profile_collection.twin.ioc.file_plugin import FilePlugin
from profile_collection.twin.ioc.motor import Axis, MotorRecord
from profile_collection.twin.ioc.safety import HeartbeatWatch
from profile_collection.twin.ioc.simulation import TimeRecords
from profile_collection.twin.ioc.temperature import heating_336, reading_340

if TYPE_CHECKING:
    from profile_collection.process_variables import ProcessVariables
    from profile_collection.twin.beamline import Exposure, Twin

logger = logging.getLogger(__name__)

TICK = 0.5
"""Real seconds between two publications of what changes by itself."""


class TwinIoc:
    """All records over one twin.

    Parameters
    ----------
    twin : Twin
    names : ProcessVariables
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

    def __init__(
        self, twin: Twin, names: ProcessVariables, data_folder: Path, *, heartbeat_timeout: float = 5.0
    ) -> None:
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
            LIMITS[axis],
            SPEEDS[axis],
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
        folder, run = self._data / "truth" / str(start.get("series_uid")), str(start.get("uid"))
        if "/" in run or not folder.resolve().is_relative_to((self._data / "truth").resolve()):
            return
        try:
            self.twin.write_truth(folder / f"{run}.json", run, positions)
        except Exception:
            logger.exception("the truth of %s could not be noted", run)


def _energy(twin: Twin) -> Axis:
    def move(energy: float) -> None:
        twin.energy = energy

    return Axis(lambda: float(twin.energy), move, (5.0, 14.0), 0.05, "keV", "simulated energy")
