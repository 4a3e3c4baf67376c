"""Virtual time: simulated durations pass as fast as the machine allows, or at a chosen pace."""

import math
import threading
import time


class Clock:
    """A clock whose seconds are the beamline's.

    Parameters
    ----------
    pace : float
        Virtual seconds per real second. ``inf`` (default): sleeping costs no real time and time stands
        still between sleeps. 1: real time.
    start : float or None
        Virtual epoch seconds at the beginning; None takes the real time.
    """

    def __init__(self, pace: float = math.inf, start: float | None = None) -> None:
        if not pace > 0:
            raise ValueError(f"pace must be above 0 virtual seconds per second; got {pace!r}: use inf or 1.0")
        self.pace = float(pace)
        self._start = time.time() if start is None else float(start)
        self._slept = 0.0
        self._origin = time.monotonic()
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return virtual epoch seconds."""
        if math.isinf(self.pace):
            return self._start + self._slept
        return self._start + (time.monotonic() - self._origin) * self.pace

    def sleep(self, duration: float, cancel: threading.Event | None = None) -> bool:
        """Let ``duration`` virtual seconds pass; return False if ``cancel`` was set before they had passed.

        A KeyboardInterrupt gets through at once.
        """
        if not (math.isfinite(duration) and duration >= 0):
            raise ValueError(
                f"duration must be finite and not negative, in s; got {duration!r}: give seconds"
            )
        if cancel is not None and cancel.is_set():
            return False
        if math.isinf(self.pace):
            with self._lock:
                self._slept += duration
            return True
        return not (cancel or threading.Event()).wait(duration / self.pace)
