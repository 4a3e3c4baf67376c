"""A simulated motor axis: limits, speed, and a position that the twin follows during the motion."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Any

from ophyd import SoftPositioner
from ophyd.status import MoveStatus

from profile_collection.devices.signals import VirtualClock, check_number

DEADBAND = 1e-4
"""How far from its target an axis may stand when it has arrived, in its unit."""

_REAL_SECONDS_PER_STEP = 0.05  # how often a slow motion tells where it is


class SimulatedAxis(SoftPositioner):
    """A motor that needs distance / speed of virtual time and can be stopped on its way.

    Parameters
    ----------
    clock : VirtualClock
        The time that a motion takes passes on this clock.
    on_position : callable, optional
        Receives each position on the way (the twin's `set_axis`).
    speed : float
        Units per virtual second.
    limits : tuple of float
        Lowest and highest position.
    position : float
        Where the axis stands at first.
    """

    def __init__(
        self,
        *,
        clock: VirtualClock,
        limits: tuple[float, float],
        speed: float,
        on_position: Callable[[float], None] | None = None,
        position: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(limits=limits, **{"source": "simulated", **kwargs})
        self.speed = float(speed)
        self._clock = clock
        self._on_position = on_position
        self._encoder: Callable[[], float] | None = None
        self._set_position(float(position))
        self._motion_lock = threading.Lock()
        self._claim_lock = threading.RLock()
        self._motion: _Motion | None = None

    def follow_with(
        self, on_position: Callable[[float], None], encoder: Callable[[], float] | None = None
    ) -> None:
        """Hand positions on the way to `on_position` from now on, and take the readback from `encoder`."""
        self._on_position, self._encoder = on_position, encoder

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
        """Start moving to `position` and return a status, unless told to wait.

        ophyd's own way, one list of "done" subscriptions per axis, loses a status when the next motion begins
        in the moment the last one ends; here each motion ends its own status.
        """
        self.check_value(position)
        self.stop(success=False)  # a motor has one target: a new one ends the motion to the old
        status = MoveStatus(self, float(position), timeout=timeout, settle_time=self._settle_time)
        if moved_cb is not None:
            status.add_callback(partial(moved_cb, obj=self))
        motion = self._motion = _Motion(float(position), status)
        self._run_subs(sub_type=self.SUB_START, timestamp=time.time())
        self._started_moving = self._moving = True
        threading.Thread(target=self._travel, args=(motion,), name=f"{self.name}-motion", daemon=True).start()
        if wait:
            status.wait()
        return status

    def _travel(self, motion: "_Motion") -> None:
        with self._motion_lock:
            start = self._position
            duration = abs(motion.target - start) / self.speed
            steps = max(1, ceil(duration / self._clock.pace / _REAL_SECONDS_PER_STEP))
            for step in range(1, steps + 1):
                if not self._clock.sleep(duration / steps, motion.ended):
                    return
                part = step / steps
                with self._claim_lock:  # whoever stops the motion finds the axis where it then stays
                    if motion.ended.is_set():
                        return
                    self._arrive_at(
                        motion.target if step == steps else start + (motion.target - start) * part
                    )
        arrived = abs(self._position - motion.target) <= DEADBAND
        self._end(motion, success=arrived, reason="" if arrived else self._stuck(motion.target))

    def _stuck(self, target: float) -> str:
        return (
            f"{self.name} did not arrive at {target:g} ± {DEADBAND:g}: it stands at {self._position:g}. "
            "Free the motor and check its driver and limit switches, then measure again."
        )

    def _arrive_at(self, position: float) -> None:
        if self._on_position is not None:
            self._on_position(position)
        self._set_position(position if self._encoder is None else self._encoder())

    def stop(self, *, success: bool = False) -> None:
        """Stop where the axis is; the status of a running motion ends with `success`."""
        if self._motion is not None:
            self._end(self._motion, success=success)

    def _end(self, motion: "_Motion", *, success: bool, reason: str = "") -> None:
        """End a motion's status once, whoever comes first: its worker or `stop`."""
        with self._claim_lock:
            if motion.ended.is_set():
                return
            motion.ended.set()
        self._moving = False
        if success:
            motion.status.set_finished()
            self._run_subs(sub_type=self.SUB_DONE, timestamp=time.time(), value=self._position)
        else:
            motion.status.set_exception(
                RuntimeError(
                    reason
                    or f"{self.name} was stopped at {self._position:g} on its way to {motion.target:g}."
                )
            )


@dataclass
class _Motion:
    """One move: where to, its status, and whether it has come to an end."""

    target: float
    status: MoveStatus
    ended: threading.Event = field(default_factory=threading.Event)
