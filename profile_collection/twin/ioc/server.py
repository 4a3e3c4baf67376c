"""The IOC as a process: caproto's server, on loopback and a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from profile_collection.process_variables import ChannelAccess
    from profile_collection.twin.ioc.beamline import TwinIoc

logger = logging.getLogger(__name__)


def prepare_server(access: ChannelAccess) -> None:
    """Set the server's environment: this address and port, no beacons to anybody."""
    os.environ |= access.environment() | {
        "EPICS_CAS_SERVER_PORT": str(access.port),
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": "",
    }


def serve(ioc: TwinIoc, access: ChannelAccess, *, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until interrupted; the shutter is closed at the end.

    Parameters
    ----------
    ioc : TwinIoc
    access : ChannelAccess
        Address and port to serve on.
    on_ready : callable, optional
        Called once clients are answered.
    """
    prepare_server(access)
    threading.Thread(target=_repeat, args=(access.address,), name="repeater", daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(ioc, access, on_ready))


def _repeat(address: str) -> None:
    """Be the repeater that the clients' library looks for, and complains about where none is installed."""
    from caproto.sync import repeater

    repeater.run(address)


async def _serve(ioc: TwinIoc, access: ChannelAccess, on_ready: Callable[[], None] | None) -> None:
    from caproto.asyncio.server import Context

    async def begin(async_lib: object) -> None:
        if on_ready is not None:
            on_ready()
        await ioc.run(async_lib)

    try:
        await Context(ioc.database.records, [access.address]).run(startup_hook=begin)
    finally:
        ioc.twin.shutter_open = False
