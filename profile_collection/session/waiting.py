"""What the main thread does while a plan runs: it waits, and hears a Ctrl-C whoever the system gave it to."""

from __future__ import annotations

import threading

from bluesky.utils import DefaultDuringTask

_SLICE = 0.1
"""Seconds between two looks."""


class HearingTask(DefaultDuringTask):
    """Waits for a plan in slices, for the ``during_task`` of a RunEngine.

    Python runs signal handlers in the main thread only. The system may hand a signal to any thread, and a
    main thread that waits without limit then hears of it when the plan has ended: a Ctrl-C was lost.
    """

    def block(self, blocking_event: threading.Event) -> None:
        """Wait until the plan has finished or is paused."""
        super().block(_SlicedEvent(blocking_event))


class _SlicedEvent(threading.Event):
    """Another event, waited for in slices."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self._event = event

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            return self._event.wait(timeout)
        while not self._event.wait(_SLICE):
            pass
        return True
