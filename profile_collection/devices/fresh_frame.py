"""A frame that belongs to the exposure it was asked for; a lost or repeated one is exposed again."""

from __future__ import annotations

import logging
import threading
from typing import Any

from profile_collection.devices.beam import FastShutter

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Exposures spent on one frame: a fourth would only add dose."""


class NoFrameError(RuntimeError):
    """The detector hands over no fresh frame."""


def fresh_exposure(
    twin: Any,
    shutter: FastShutter,
    acquire_time: float,
    *,
    cancelled: threading.Event,
    lock: threading.RLock,
    name: str,
) -> Any | None:
    """Expose until the frame is the exposure's own; return it, or None where it was broken off.

    Parameters
    ----------
    twin : Twin
        Its `exposures` counts what the detector was asked for, the `number` of an exposure what came.
    shutter : FastShutter
        Open during each exposure, and no longer.
    acquire_time : float
        Seconds.
    cancelled : threading.Event
        Breaks the exposure off.
    lock : threading.RLock
        Held while the shutter opens, so that a broken-off exposure does not open it again.
    name : str
        Of the detector, for messages.

    Raises
    ------
    NoFrameError
        No fresh frame in `ATTEMPTS` exposures.
    """
    problem = ""
    for attempt in range(1, ATTEMPTS + 1):
        taken, problem = _expose_once(twin, shutter, acquire_time, cancelled, lock)
        if cancelled.is_set():
            return None
        if not problem:
            return taken
        logger.warning("%s: %s (attempt %d of %d)", name, problem, attempt, ATTEMPTS)
    raise NoFrameError(
        f"{problem}, {ATTEMPTS} times in a row. Check the detector's link and restart its server, then "
        "measure this scan again"
    )


def _expose_once(
    twin: Any, shutter: FastShutter, acquire_time: float, cancelled: threading.Event, lock: threading.RLock
) -> tuple[Any, str]:
    """Return what the detector handed over, and what is wrong with it, in words."""
    with lock:
        if cancelled.is_set():
            return None, ""
        shutter.open()
    due = twin.exposures + 1
    try:
        taken = twin.expose(acquire_time, cancelled)
    except TimeoutError as lost:
        return None, str(lost)
    finally:
        shutter.close()
    if taken.number != due:
        return None, f"frame {taken.number} was handed over again where frame {due} was due"
    return taken, ""
