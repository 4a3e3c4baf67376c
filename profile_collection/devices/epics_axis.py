"""A motor record as an axis with the names and the errors of the simulated one."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ophyd import Component as Cpt
from ophyd import EpicsMotor, EpicsSignal
from ophyd.device import required_for_connection
from ophyd.status import MoveStatus
from ophyd.utils.errors import InvalidState

from profile_collection.devices.epics_signals import PATIENCE, EpicsReading
from profile_collection.devices.signals import check_number

DEADBAND = 1e-4
"""How far from its target an axis may stand when it has arrived, in its unit."""


class EpicsAxis(EpicsMotor):
    """A motor; only its readback is recorded, under the axis' own name.

    A motion ends when the record confirms the write of its target, not when DMOV is seen to rise: a monitor
    that belongs to a motion broken off before would end the next one's status.
    """

    user_readback = Cpt(EpicsReading, ".RBV", kind="hinted", auto_monitor=True)
    user_setpoint = Cpt(EpicsSignal, ".VAL", limits=True, auto_monitor=True, kind="omitted")

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any):
        self._claim_lock = threading.Lock()
        self._motion: MoveStatus | None = None
        super().__init__(prefix, name=name, **kwargs)

    @required_for_connection
    @user_readback.sub_value
    def _pos_changed(self, timestamp: Any = None, value: Any = None, **_: Any) -> None:
        """Tell subscribers, the diffractometer's pseudo axes among them, where the axis is."""
        self._set_position(value)

    @property
    def position(self) -> float:
        """Where the axis stands now."""
        return float(self.user_readback.get())

    @property
    def speed(self) -> float:
        """Units per second."""
        return float(self.velocity.get())

    def check_value(self, pos: float) -> None:
        """Raise `LimitError`, in words, for a position that cannot be reached."""
        check_number(self.name, pos, self.limits, self.egu)

    def move(
        self,
        position: float,
        wait: bool = False,
        timeout: float | None = None,
        moved_cb: Callable[..., None] | None = None,
    ) -> MoveStatus:
        """Start moving to `position` and return a status, unless told to wait."""
        self.check_value(position)
        self._end(self._motion, "a new target came")
        if timeout is None:  # a record whose IOC has died never confirms
            timeout = 2 * abs(float(position) - self.position) / self.speed + 2 * PATIENCE
        status = self._motion = MoveStatus(
            self, float(position), timeout=timeout, settle_time=self._settle_time
        )
        if moved_cb is not None:
            status.add_callback(partial(moved_cb, obj=self))
        self.user_setpoint.put(
            float(position), use_complete=True, callback=lambda **_: self._confirmed(status)
        )
        if wait:
            status.wait()
        return status

    def _confirmed(self, status: MoveStatus) -> None:
        """End a motion that the record says is over, well or not, by where the axis stands."""
        if status.done:
            return
        try:
            stands = self.position
        except Exception as error:  # noqa: BLE001 - an IOC that died belongs into the status, not this thread
            self._end(status, f"its record does not answer ({error})")
            return
        if abs(stands - status.target) <= DEADBAND:
            self._end(status, "")
        else:
            self._end(
                status,
                f"it stands at {stands:g}. Free the motor and check its driver and limit switches, then "
                "measure again",
            )

    def stop(self, *, success: bool = False) -> None:
        """Stop where the axis is; the status of a running motion ends with `success`."""
        motion = self._motion
        if motion is None or motion.done:
            return
        self.motor_stop.put(1, wait=False)
        self._end(motion, "" if success else "it was stopped")

    def _end(self, status: MoveStatus | None, problem: str) -> None:
        """End a motion's status once, whoever comes first.

        A status that was told of its end is not `done` before its own thread has heard of it.
        """
        if status is None:
            return
        with self._claim_lock, suppress(InvalidState):
            if problem:
                status.set_exception(
                    RuntimeError(
                        f"{self.name} did not arrive at {status.target:g} ± {DEADBAND:g}: {problem}."
                    )
                )
            else:
                status.set_finished()
