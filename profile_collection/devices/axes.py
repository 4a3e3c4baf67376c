"""A simulated motor axis: limits, speed, and a position that the twin follows during the motion."""

import threading
import time
from collections.abc import Callable
from math import ceil
from typing import Any, Protocol

from ophyd import SoftPositioner
from ophyd.status import MoveStatus

from profile_collection.devices.signals import check_number


class VirtualClock(Protocol):
    """Time as the simulation counts it."""

    pace: float

    def now(self) -> float:
        """Return virtual epoch seconds."""
        ...

    def sleep(self, duration: float, cancel: threading.Event | None = None) -> bool:
        """Let `duration` virtual seconds pass; return False if `cancel` was set before they had passed."""
        ...


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
        self._set_position(float(position))
        self._motion_lock = threading.Lock()
        self._stop_requested = threading.Event()
        self._stop_requested.set()

    def follow_with(self, on_position: Callable[[float], None]) -> None:
        """Hand each position on the way to this function from now on."""
        self._on_position = on_position

    def check_value(self, pos: float) -> None:
        """Raise `LimitError`, in words, for a position that cannot be reached."""
        check_number(self.name, pos, self.limits, self.egu)

    def move(self, position: float, wait: bool = False, **kwargs: Any) -> MoveStatus:
        """Start moving to `position` and return a status, unless told to wait."""
        return super().move(float(position), wait=wait, **kwargs)

    def _setup_move(self, position: float, status: MoveStatus) -> None:
        self._stop_requested.set()  # a motor has one target: a new one ends the motion to the old
        stop = threading.Event()
        self._stop_requested = stop
        self._run_subs(sub_type=self.SUB_START, timestamp=time.time())
        self._started_moving = self._moving = True
        worker = threading.Thread(
            target=self._travel, args=(position, stop), name=f"{self.name}-motion", daemon=True
        )
        worker.start()

    def _travel(self, target: float, stop: threading.Event) -> None:
        with self._motion_lock:
            start = self._position
            duration = abs(target - start) / self.speed
            steps = max(1, ceil(duration / self._clock.pace / _REAL_SECONDS_PER_STEP))
            for step in range(1, steps + 1):
                if stop.is_set() or not self._clock.sleep(duration / steps, stop):
                    return
                self._arrive_at(target if step == steps else start + (target - start) * step / steps)
            if not stop.is_set():
                stop.set()
                self._moving = False
                self._done_moving()

    def _arrive_at(self, position: float) -> None:
        if self._on_position is not None:
            self._on_position(position)
        self._set_position(position)

    def stop(self, *, success: bool = False) -> None:
        """Stop where the axis is; the status of a running motion ends with `success`."""
        if not self._stop_requested.is_set():
            self._stop_requested.set()
            self._moving = False
            self._done_moving(success=success)
