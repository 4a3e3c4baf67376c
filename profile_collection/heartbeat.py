"""The session's sign of life: without it the IOC closes the shutter, as after a ``kill -9``."""

from __future__ import annotations

import logging
import threading

from ophyd import EpicsSignal

logger = logging.getLogger(__name__)

PERIOD = 1.0
"""Real seconds between two beats; the IOC waits some times longer."""


class Heartbeat:
    """Counts a process variable up, from a thread of its own, as long as this process lives.

    Parameters
    ----------
    name
        Process variable that receives the beats.
    """

    def __init__(self, name: str) -> None:
        self._signal = EpicsSignal(name, name="heartbeat")
        self._signal.wait_for_connection(timeout=15.0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the thread is gone on return."""
        self._ended.set()
        self._thread.join(timeout=5 * PERIOD)

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(PERIOD if count else 0.0):
            count = (count + 1) % 1_000_000
            try:
                self._signal.put(count, connection_timeout=PERIOD)
            except Exception as error:  # noqa: BLE001 - an IOC that restarts is no reason to stop beating
                logger.warning("no heartbeat could be written: %s", error)
