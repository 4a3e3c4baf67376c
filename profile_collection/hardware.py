"""The beamline of a session: simulated in this process, or process variables; one setting chooses."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from profile_collection.channel_access import prepare_client, process_variables
from profile_collection.devices import make_epics, make_simulated
from profile_collection.heartbeat import Heartbeat
from profile_collection.settings import Settings
from profile_collection.simulation import make_twin

if TYPE_CHECKING:
    from profile_collection.devices import Beamline
    from profile_collection.twin import Twin


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
    if settings.devices == "simulated":
        twin = make_twin(settings)
        return twin, make_simulated(twin, settings.data, identity=identity)
    prepare_client(settings)
    names = process_variables(settings)
    beamline = make_epics(names, settings.data, identity=identity)
    if names.safety is not None:
        heartbeat = Heartbeat(names.safety.heartbeat)
        undo.callback(heartbeat.stop)
        heartbeat.start()
    return None, beamline
