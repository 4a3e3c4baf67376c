"""The monitor's own process: found, started, stopped; where it listens and its key are private files.

It outlives the session, as the catalogue's server does, and takes up the address and key of one that was
killed, so that the browsers find it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callbacks.catalogue import Address
from callbacks.locks import exclusive_lock, lock_holder, this_process
from profile_collection.catalogue import background, client
from profile_collection.catalogue.background import private_folder
from profile_collection.session.settings import Settings, load_settings

ADDRESS_FILE, LOCK_FILE, LOG_FILE = "monitor.json", "monitor.lock", "monitor.log"
HOST = "127.0.0.1"
START_TIMEOUT = 60.0
NICE = 5
"""What a monitor adds to its niceness: it gives way to the acquisition, and goes before the analysis."""


class MonitorError(RuntimeError):
    """The monitor could not be started or stopped."""


@dataclass(frozen=True)
class MonitorStatus:
    """A monitor that answers.

    Parameters
    ----------
    uri
        Where it answers.
    pid, host, since
        Which process, and since when.
    key
        Opens the page.
    """

    uri: str
    pid: int
    host: str
    since: str
    key: str = field(repr=False)

    @property
    def address(self) -> str:
        """What a person opens in a browser; it holds the key."""
        return f"{self.uri}/?key={self.key}"


def monitor_status(settings: Settings) -> MonitorStatus | None:
    """Return the live monitor of a data folder, None where none answers."""
    import httpx

    try:
        stored = json.loads((settings.private / ADDRESS_FILE).read_text(encoding="utf-8"))
        found = MonitorStatus(**{name: stored[name] for name in ("uri", "pid", "host", "since", "key")})
        reply = httpx.get(found.address, timeout=5.0, trust_env=False, follow_redirects=False)
    except (OSError, ValueError, KeyError, TypeError, httpx.HTTPError):
        return None
    return found if reply.status_code == 303 else None


def ensure_monitor(settings: Settings) -> MonitorStatus:
    """Return the live monitor of a data folder, starting one, detached, where there is none.

    Raises
    ------
    MonitorError
        It did not come up.
    """
    if found := monitor_status(settings):
        return found
    log = private_folder(settings.data) / LOG_FILE
    process = background.start(
        "profile_collection.session.monitor_process", log=log, environment=settings.environment()
    )
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if found := monitor_status(settings):
            return found
        if process.poll() is not None and not _held(settings):
            break
        time.sleep(0.1)
    raise MonitorError(f"the monitor of {settings.data} did not start; {log} says why")


def _held(settings: Settings) -> bool:
    """Whether a monitor lives, though it may not answer yet."""
    try:
        with exclusive_lock(private_folder(settings.data) / LOCK_FILE):
            return False
    except BlockingIOError:
        return True


def stop_monitor(settings: Settings) -> bool:
    """End the monitor of a data folder; return False where none ran.

    Raises
    ------
    MonitorError
        It runs on another machine, or does not end.
    """
    found = monitor_status(settings)
    if found is None:
        return False
    background.end(found, f"the monitor of {settings.data}", lambda: not _held(settings), error=MonitorError)
    return True


def serve_monitor(
    settings: Settings, *, host: str = HOST, port: int = 0, opened: Path | None = None, say: Any = None
) -> None:
    """Serve the monitor of a data folder until SIGTERM or SIGINT.

    Parameters
    ----------
    settings
    host, port
        Where to listen; on loopback, at a free port, by default.
    opened
        Folder of a stored series to show first.
    say
        Called with the status once it answers.

    Raises
    ------
    MonitorError
        Another process serves it, or the port is taken.
    """
    lock = private_folder(settings.data) / LOCK_FILE
    background.leave_signals_to_uvicorn()
    try:
        with exclusive_lock(lock):
            os.nice(NICE)
            asyncio.run(_serve(settings, host, port, opened, say))
    except BlockingIOError as error:
        raise MonitorError(
            f"{settings.data} has a monitor already, {lock_holder(lock)}; see 'vo2 monitor --status'"
        ) from error


async def _serve(settings: Settings, host: str, port: int, opened: Path | None, say: Any) -> None:
    import uvicorn

    from callbacks.monitor.server import MonitorSettings, application

    path = settings.private / ADDRESS_FILE
    listener, key = _listen(path, host, port)
    at, number = listener.getsockname()[:2]
    uri = f"http://{at}:{number}"
    app = application(
        MonitorSettings(lambda: catalogue_address(settings), settings.results, settings.frames, key, opened)
    )
    # The access log would hold the key.
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    record = {"uri": uri, "key": key, **this_process()}

    def ready() -> None:
        if say is not None:
            say(f"{uri}/?key={key}")

    announced = asyncio.create_task(background.announce(server, path, record, ready))
    try:
        await server.serve(sockets=[listener])
    finally:
        announced.cancel()
        listener.close()


def catalogue_address(settings: Settings) -> Address | None:
    """Return where the catalogue is served now, None where it is not."""
    if settings.tiled_uri:
        return Address(settings.tiled_uri, settings.tiled_api_key)
    found = client.status(settings.data)
    return found.address if found else None


def _listen(path: Path, host: str, port: int) -> tuple[socket.socket, str]:
    """Return a listening socket and the key: those of an earlier monitor where its port is free still."""
    key, earlier = secrets.token_urlsafe(24), 0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(path.read_text(encoding="utf-8"))
        key, earlier = str(stored["key"]), int(str(stored["uri"]).rsplit(":", 1)[-1])
    if not port and earlier:
        with contextlib.suppress(OSError):
            return socket.create_server((host, earlier)), key
    try:
        return socket.create_server((host, port)), key
    except OSError as error:
        raise MonitorError(
            f"a free port of {host} was expected, {port} came ({error.strerror}); choose another with --port"
        ) from error


if __name__ == "__main__":
    serve_monitor(load_settings())
