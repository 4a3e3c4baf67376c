"""The beamline of a session: simulated in this process, or process variables; one setting chooses.

Over EPICS the session gives a sign of life, without which the IOC closes the shutter, as after a ``kill -9``.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping

from ophyd import EpicsSignal

from profile_collection.devices.beamline import Beamline
from profile_collection.devices.epics.beamline import make_epics
from profile_collection.devices.simulated.beamline import make_simulated
from profile_collection.session.settings import Settings
from profile_collection.session.simulation import described, make_twin
from profile_collection.session.startup_checks import prepare_client, process_variables
from profile_collection.twin import Twin

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


def connect_beamline(
    settings: Settings, identity: Mapping[str, str], undo: contextlib.ExitStack
) -> tuple[Twin | None, Beamline]:
    """Return the simulation that runs in this process, if any, and the devices, shutter closed.

    Parameters
    ----------
    settings
        `devices` chooses.
    identity
        Who measures what, for the start documents.
    undo
        Takes what ends with the session: the heartbeat that keeps the shutter's permit.
    """
    experiment = described(settings).document()
    if settings.devices == "simulated":
        twin = make_twin(settings)
        return twin, make_simulated(twin, settings.data, identity=identity, experiment=experiment)
    prepare_client(settings)
    names = process_variables(settings)
    beamline = make_epics(names, settings.data, identity=identity, experiment=experiment)
    if names.safety is not None:
        heartbeat = Heartbeat(names.safety.heartbeat)
        undo.callback(heartbeat.stop)
        heartbeat.start()
    return None, beamline


def close_shutter(beamline: Beamline, fail: Callable[[str], None]) -> None:
    """Close the shutter; hardware that does not answer must not keep the analysis from being finished."""
    try:
        beamline.beam.shutter.close()
    except Exception as error:
        logger.exception("the shutter could not be closed")
        fail(f"the shutter could not be closed, close it by hand: {error}")
