"""What closes the shutter when the session is gone: a heartbeat it writes, and a watch that misses it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from profile_collection.twin.ioc.database import Database, post

logger = logging.getLogger(__name__)

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
