"""Two temperature controllers in the shapes of I16's: a LakeShore 336 that heats, and a LakeShore 340.

Names of fields: the 336 numbers its loops (`SETP1`, `SETP_S1`), the 340 has one (`SETP`, `SETP_S`); `_S` is
the demand, the plain name its readback, `KRDG0` to `KRDG3` are the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from profile_collection.twin.ioc.database import Database, Record, post

if TYPE_CHECKING:
    from profile_collection.twin.instruments import HeatedStage

FASTEST_RAMP = 20.0
"""K/min; a demand above it is cut down to it, and so fast the heater goes with the ramp switched off."""

SLOWEST_RAMP = 0.1

RANGES_336 = ("Off", "Low", "Medium", "High")
RANGES_340 = ("Off", "1", "2", "3", "4", "5")


@dataclass
class Loop:
    """What a controller's loop has been told, and the heater it drives; without one it drives nothing."""

    thermal: HeatedStage | None
    setpoint: float
    ramp: float
    ramping: bool = True
    range: int = 3

    def apply(self) -> None:
        """Let the heater do what the loop says; switched off, the sample goes to the surroundings."""
        if self.thermal is None:
            return
        self._set_rate(self.ramp if self.ramping and self.range else FASTEST_RAMP)
        goal = self.setpoint if self.range else self.thermal.config.start
        if goal != self.thermal.setpoint:
            self.thermal.setpoint = goal

    def _set_rate(self, rate: float) -> None:
        if self.thermal is not None and rate != self.thermal.ramp_rate:
            self.thermal.ramp_rate = rate

    @property
    def output(self) -> float:
        """Heater output, %."""
        return self.thermal.heater if self.thermal is not None and self.range else 0.0


class LakeShore:
    """Records of one controller.

    Parameters
    ----------
    database : Database
    prefix : str
        Before each field, with its colon.
    inputs : tuple of callable
        Four; each returns a temperature, K.
    loop : Loop
    loop_number : str
        "1" for the 336, empty for the 340.
    ranges : tuple of str
        Names of the heater's ranges.
    limits : tuple of float
        DRVL and DRVH of the setpoint, K.
    """

    def __init__(
        self,
        database: Database,
        prefix: str,
        *,
        inputs: tuple[Callable[[], float], ...],
        loop: Loop,
        loop_number: str,
        ranges: tuple[str, ...],
        limits: tuple[float, float],
    ) -> None:
        self._database, self._prefix, self._number, self._loop = database, prefix, loop_number, loop
        for number, read in enumerate(inputs):
            database.add(f"{prefix}KRDG{number}", read(), get=read, read_only=True, units="K", precision=4)
        database.add(
            f"{prefix}HTR{loop_number}",
            0.0,
            get=lambda: loop.output,
            read_only=True,
            units="%",
            precision=2,
        )
        self._limited: list[tuple[Record, float, float]] = []
        self._setting("SETP", "setpoint", limits, units="K", precision=4)
        self._setting("RAMP", "ramp", (SLOWEST_RAMP, FASTEST_RAMP), units="K/min", precision=2)
        self._setting("RAMPST", "ramping", None, choices=("Off", "On"))
        self._setting("RANGE", "range", None, choices=ranges)
        for name, value in (("P", 50.0), ("I", 20.0), ("D", 0.0), ("MOUT", 0.0)):
            self._gain(name, value)

    def _setting(
        self, field: str, attribute: str, limits: tuple[float, float] | None, **options: Any
    ) -> None:
        """Add a demand and its readback for an attribute of the loop."""
        choices = options.get("choices")

        def read() -> Any:
            value = getattr(self._loop, attribute)
            return choices[int(value)] if choices else float(value)

        async def write(value: Any) -> Any:
            if limits is not None:
                value = min(max(float(value), limits[0]), limits[1])  # as DRVL and DRVH of an ao record do
            kept = choices.index(value) if choices and isinstance(value, str) else value
            setattr(self._loop, attribute, kept)
            self._loop.apply()
            return value

        if limits is not None:
            low, high = limits
            options |= {"lower_ctrl_limit": low, "upper_ctrl_limit": high}
        self._database.add(
            f"{self._prefix}{field}{self._number}", read(), get=read, read_only=True, **options
        )
        record = "ao" if limits is not None else None
        demand = self._database.add(
            f"{self._prefix}{field}_S{self._number}", read(), put=write, record=record, **options
        )
        if limits is not None:
            self._limited.append((demand, *limits))

    def _gain(self, name: str, value: float) -> None:
        readback = self._database.add(f"{self._prefix}{name}{self._number}", value, read_only=True)

        async def follow(asked: float) -> None:
            await post(readback, asked)

        self._database.add(f"{self._prefix}{name}_S{self._number}", value, put=follow)

    async def start(self) -> None:
        """Write the limits into the records; clients may read them and not change them."""
        for record, low, high in self._limited:
            for field, value in (("DRVL", low), ("DRVH", high)):
                await post(record.fields[field], value)
                record.fields[field].putter = _fixed(field)
            await record.write_metadata(lower_ctrl_limit=low, upper_ctrl_limit=high)


def _fixed(field: str) -> Any:
    async def putter(_record: Record, value: Any) -> Any:
        raise PermissionError(f"{field} protects the sample and can only be read, {value!r} came")

    return putter


def heating_336(database: Database, prefix: str, thermal: HeatedStage) -> LakeShore:
    """Return the controller that heats the sample; its inputs are the diodes Ta to Td."""
    return LakeShore(
        database,
        prefix,
        inputs=tuple(_diode(thermal, name) for name in ("Ta", "Tb", "Tc", "Td")),
        loop=Loop(thermal, thermal.setpoint, thermal.ramp_rate),
        loop_number="1",
        ranges=RANGES_336,
        limits=(thermal.config.minimum, thermal.config.maximum),
    )


def reading_340(database: Database, prefix: str, thermal: HeatedStage) -> LakeShore:
    """Return the controller that reads the sample's own diode as its first input; its loop drives nothing."""
    return LakeShore(
        database,
        prefix,
        inputs=tuple(_diode(thermal, name) for name in ("Tsample", "Ta", "Tb", "Tc")),
        loop=Loop(None, thermal.setpoint, thermal.ramp_rate, range=0),
        loop_number="",
        ranges=RANGES_340,
        limits=(thermal.config.minimum, thermal.config.maximum),
    )


def _diode(thermal: HeatedStage, name: str) -> Callable[[], float]:
    return lambda: float(thermal.diodes()[name])
