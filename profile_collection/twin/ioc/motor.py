"""A motor record: limits that hold, speed, backlash, STOP and DMOV, on an axis of the simulated beamline."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from profile_collection.twin.ioc.database import Database, Record, pass_time, post

if TYPE_CHECKING:
    from profile_collection.twin.instruments import Clock

REAL_SECONDS_PER_STEP = 0.1
"""How often a slow motion tells where it is."""


@dataclass(frozen=True)
class Axis:
    """What a motor moves.

    Attributes
    ----------
    position : callable
        Returns where the axis stands (its encoder), in `units`.
    move : callable
        Takes the axis there.
    limits : tuple of float
    speed : float
        Units per second.
    units, description : str
    """

    position: Callable[[], float]
    move: Callable[[float], None]
    limits: tuple[float, float]
    speed: float
    units: str
    description: str


class MotorRecord:
    """A motor record with the fields that clients use: VAL, RBV, DMOV, STOP, SPMG, HLM, LLM, LVIO, VELO.

    Further BDST, DRBV, RRBV, MOVN, TDIR, ACCL, BVEL, OFF, DIR, SET, EGU, DESC. User = sign(DIR) · dial + OFF.
    Nothing is rounded to whole steps: MRES only scales the raw fields. caproto's `fake_motor_record` declares
    the same fields and moves VAL, RBV, DMOV, MOVN and STOP; it has no soft limits (HLM, LLM, LVIO), backlash,
    offset, direction, SET or virtual time, and confirms a write before the motion has ended.

    Parameters
    ----------
    database : Database
    name : str
        Of the record.
    axis : Axis
        Its positions are dial positions.
    clock : Clock
        A motion takes distance / VELO + ACCL of its time.
    """

    def __init__(self, database: Database, name: str, axis: Axis, clock: Clock) -> None:
        self._axis, self._clock = axis, clock
        low, high = axis.limits
        self.record: Record = database.add(
            name,
            axis.position(),
            put=self._on_value,
            record="motor",
            units=axis.units,
            precision=5,
            lower_ctrl_limit=low,
            upper_ctrl_limit=high,
        )
        self._fields: dict[str, Record] = self.record.fields
        self._motion: asyncio.Task[None] | None = None
        self._settings = {
            "EGU": axis.units,
            "DESC": axis.description,
            "VELO": axis.speed,
            "BVEL": axis.speed,
            "ACCL": 0.0,
            "BDST": 0.0,
            "MRES": 1e-5,
            "HLM": high,
            "LLM": low,
            "DHLM": high,
            "DLLM": low,
            "DMOV": 1,
            "SPMG": "Go",
        }
        for field, hook in {
            "STOP": self._on_stop,
            "SPMG": self._on_mode,
            "HLM": self._on_high_limit,
            "LLM": self._on_low_limit,
            "VELO": _positive("VELO"),
            "BVEL": _positive("BVEL"),
            "ACCL": _not_negative("ACCL"),
            "OFF": self._on_offset,
        }.items():
            self._fields[field].putter = _as_putter(hook)

    async def start(self) -> None:
        """Give every field its first value."""
        for field, value in self._settings.items():
            await post(self._fields[field], value)
        low, high = self._axis.limits
        for record in (self.record, self._fields["RBV"]):
            await record.write_metadata(
                lower_ctrl_limit=low, upper_ctrl_limit=high, units=self._axis.units, precision=5
            )
        await self._publish()

    # -- coordinates -------------------------------------------------------------------------------------

    def _value(self, field: str) -> Any:
        return self._fields[field].value

    @property
    def _sign(self) -> float:
        return -1.0 if self._value("DIR") == "Neg" else 1.0

    @property
    def _position(self) -> float:
        """Where the axis stands, in user coordinates."""
        return self._sign * self._axis.position() + float(self._value("OFF"))

    def _dial(self, user: float) -> float:
        return self._sign * (user - float(self._value("OFF")))

    async def _publish(self) -> None:
        dial, user = self._axis.position(), self._position
        step = float(self._value("MRES")) or 1.0
        for field, value in {"DRBV": dial, "RRBV": round(dial / step), "RBV": user}.items():
            await post(self._fields[field], value)

    # -- puts --------------------------------------------------------------------------------------------

    async def _on_value(self, target: float) -> float:
        """VAL: move, and confirm the write when the motion has ended, as a motor record does."""
        if self._value("SET") in (1, "Set"):
            return await self._calibrate(float(target))
        low, high = float(self._value("LLM")), float(self._value("HLM"))
        free = low == high == 0  # the motor record's way to say that there are no limits
        inside = math.isfinite(target) and (free or low <= target <= high)
        await post(self._fields["LVIO"], int(not inside))
        if not inside or self._value("SPMG") in ("Stop", "Pause"):
            return float(self.record.value)
        await self._break_off()
        await post(self.record, float(target))
        self._motion = motion = asyncio.get_running_loop().create_task(self._move(float(target)))
        await asyncio.gather(motion, return_exceptions=True)
        return float(self.record.value)

    async def _calibrate(self, user: float) -> float:
        """SET: the axis stays, its position is called `user` from now on."""
        offset = float(self._value("OFF")) + user - self._position
        await post(self._fields["OFF"], offset)
        await self._publish()
        return user

    async def _on_stop(self, asked: int) -> int:
        if asked:
            await self._break_off()
            await post(self.record, self._position)
        return 0

    async def _on_mode(self, mode: Any) -> Any:
        if mode in ("Stop", "Pause", 0, 1):
            await self._on_stop(1)
        return mode

    async def _on_high_limit(self, high: float) -> None:
        await self._limit(float(self._value("LLM")), float(high))

    async def _on_low_limit(self, low: float) -> None:
        await self._limit(float(low), float(self._value("HLM")))

    async def _limit(self, low: float, high: float) -> None:
        for record in (self.record, self._fields["RBV"]):
            await record.write_metadata(lower_ctrl_limit=low, upper_ctrl_limit=high)

    async def _on_offset(self, offset: float) -> float:
        await post(self._fields["OFF"], float(offset))
        await self._publish()
        return float(offset)

    # -- motion ------------------------------------------------------------------------------------------

    async def _break_off(self) -> None:
        motion, self._motion = self._motion, None
        if motion is not None and not motion.done():
            motion.cancel()
            await asyncio.gather(motion, return_exceptions=True)

    async def _move(self, target: float) -> None:
        await post(self._fields["TDIR"], int(target >= self._position))
        await post(self._fields["MOVN"], 1)
        await post(self._fields["DMOV"], 0)
        try:
            for stop, speed in self._legs(target):
                await self._travel(stop, speed)
        finally:
            await self._publish()
            await post(self._fields["MOVN"], 0)
            await post(self._fields["DMOV"], 1)

    def _legs(self, target: float) -> list[tuple[float, float]]:
        """Return stops and speeds: with backlash BDST the last part is always driven in BDST's direction."""
        speed, backlash = float(self._value("VELO")), float(self._value("BDST"))
        way = target - self._position
        if backlash == 0 or way * backlash >= 0:
            return [(target, speed)]
        return [(target - backlash, speed), (target, float(self._value("BVEL")))]

    async def _travel(self, stop: float, speed: float) -> None:
        start = self._position
        duration = abs(stop - start) / speed + float(self._value("ACCL"))
        steps = max(1, math.ceil(duration / self._clock.pace / REAL_SECONDS_PER_STEP))
        for step in range(1, steps + 1):
            await pass_time(self._clock, duration / steps)
            part = stop if step == steps else start + (stop - start) * step / steps
            self._axis.move(self._dial(part))
            await self._publish()


def _as_putter(hook: Callable[[Any], Any]) -> Any:
    async def putter(_record: Record, value: Any) -> Any:
        return await hook(value)

    return putter


def _positive(field: str) -> Callable[[float], Any]:
    return _at_least(field, lambda value: value > 0, "above 0")


def _not_negative(field: str) -> Callable[[float], Any]:
    return _at_least(field, lambda value: value >= 0, "0 or more")


def _at_least(field: str, fits: Callable[[float], bool], words: str) -> Callable[[float], Any]:
    async def check(value: float) -> None:
        if not (math.isfinite(value) and fits(value)):
            raise ValueError(f"{field} must be {words}, got {value!r}")

    return check
