"""The IOC as a process: caproto's server, on loopback and a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profile_collection.twin.ioc.beamline import TwinIoc

logger = logging.getLogger(__name__)


def prepare_server(access: Any) -> None:
    """Set the server's environment: this address and port, no beacons to anybody."""
    os.environ |= access.environment() | {
        "EPICS_CAS_SERVER_PORT": str(access.port),
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": "",
    }


def serve(ioc: TwinIoc, access: Any, *, on_ready: Callable[[], None] | None = None) -> None:
    """Serve until interrupted or terminated; the shutter is closed at the end.

    Parameters
    ----------
    ioc : TwinIoc
    access : Any
        Address and port to serve on.
    on_ready : callable, optional
        Called once clients are answered.

    Raises
    ------
    OSError
        Another IOC serves there.
    """
    prepare_server(access)
    _refuse_second(access)
    asyncio.run(_serve(ioc, access, on_ready))


def _refuse_second(access: Any) -> None:
    """Two IOCs with the same names on one port would answer by turns."""
    try:
        with socket.create_connection((access.address, access.port), timeout=2):
            pass
    except OSError:
        return
    raise OSError(
        f"a program serves at {access.address}:{access.port} already; end it, or choose another --port"
    )


class _Repeater(asyncio.DatagramProtocol):
    """The repeater that the clients' library looks for, and complains about where none is installed.

    It confirms each registration (Channel Access protocol, message REPEATER_CONFIRM) and has no beacons to
    repeat.
    """

    _CONFIRM = struct.pack(">HHHHI", 17, 0, 0, 0, 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Confirm a registration; libca sends an empty one."""
        self._transport.sendto(self._CONFIRM + socket.inet_aton(addr[0]), addr)


async def _repeat(access: Any) -> None:
    """Answer registrations, unless another repeater has the port."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        await loop.create_datagram_endpoint(_Repeater, local_addr=(access.address, access.port + 1))


async def _serve(ioc: TwinIoc, access: Any, on_ready: Callable[[], None] | None) -> None:
    from caproto.asyncio.server import Context
    from caproto.server import common

    common.HIGH_LOAD_WARN_LATENCY_SEC = 0.0  # a busy machine is not worth a line per batch

    async def begin(async_lib: object) -> None:
        if on_ready is not None:
            on_ready()
        await ioc.run(async_lib)

    await _repeat(access)
    context = Context(ioc.database.records, [access.address])
    serving = asyncio.ensure_future(context.run(startup_hook=begin))
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores SIGINT otherwise
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        ioc.twin.shutter_open = False
