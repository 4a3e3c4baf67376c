"""What breaks on a beamline: faults of detector, motors, heater and source, switched on and off.

They change what the hardware does, never what the software says about it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from profile_collection.twin.clock import Clock
from profile_collection.twin.requirements import require

if TYPE_CHECKING:
    from profile_collection.twin.beamline import Exposure

PATIENCE = 5.0
"""Seconds after an exposure's end within which the detector's frame must arrive."""


class FrameLostError(TimeoutError):
    """No frame came from the detector."""


class Faults:
    """The faults that are present; none at first.

    Attributes
    ----------
    beam_lost : bool
        The stored current is gone.
    front_end_open : bool
        The permit of the front end: closed, no beam arrives.
    stuck : set of str
        Axes that do not move, whatever they are told.
    """

    def __init__(self) -> None:
        self.beam_lost = False
        self.front_end_open = True
        self.stuck: set[str] = set()
        self._frames: deque[tuple[str, float]] = deque()
        self._late: Exposure | None = None
        self._last: Exposure | None = None
        self._lock = threading.Lock()

    @property
    def beam(self) -> float:
        """Share of the photons that arrive: 1, or 0."""
        return float(self.front_end_open and not self.beam_lost)

    def drop_frames(self, count: int = 1) -> None:
        """Have the detector lose the next `count` frames."""
        self._plan("drop", count, 0.0)

    def repeat_frames(self, count: int = 1) -> None:
        """Have the detector hand over its last frame in place of each of the next `count`."""
        self._plan("repeat", count, 0.0)

    def delay_frames(self, seconds: float, count: int = 1) -> None:
        """Have the next `count` frames arrive `seconds` late.

        One that is later than `PATIENCE` is given up, and is handed over in place of the one after it.
        """
        require(seconds >= 0, "a delay must not be negative, in s", seconds, "for example 2")
        self._plan("delay", count, seconds)

    def _plan(self, kind: str, count: int, seconds: float) -> None:
        require(count >= 1, "the number of frames must be at least 1", count, "for example 1")
        with self._lock:
            self._frames.extend([(kind, seconds)] * count)

    def deliver(self, taken: Exposure, clock: Clock, cancel: threading.Event | None = None) -> Exposure:
        """Return what the detector hands over for the exposure just `taken`.

        Raises
        ------
        FrameLostError
            Nothing came within `PATIENCE` seconds.
        """
        with self._lock:
            kind, seconds = self._frames.popleft() if self._frames else ("", 0.0)
            late, self._late = self._late, None
            if kind == "delay" and seconds > PATIENCE:
                self._late = taken
            last = self._last
        if kind == "drop" or (kind == "delay" and seconds > PATIENCE):
            clock.sleep(PATIENCE, cancel)
            raise FrameLostError(f"no frame came within {PATIENCE:g} s of the exposure's end")
        clock.sleep(seconds, cancel)
        handed = last if kind == "repeat" and last is not None else late or taken
        self._last = taken
        return replace(handed)
