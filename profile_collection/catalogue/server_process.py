"""The process that opens the catalogue: a Tiled server over SQLite and a folder, on loopback, behind a key.

Only this process opens the database (several on one SQLite catalogue lose runs); all others are its HTTP
clients. `profile_collection.catalogue.client` runs it, as ``python -m
profile_collection.catalogue.server_process <data>``.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import json
import logging
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from callbacks.locks import exclusive_lock, lock_holder, this_process
from profile_collection.catalogue.addresses import decode_paths, guard_assets, relocate
from profile_collection.catalogue.background import announce, leave_signals_to_uvicorn, private_folder

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
ANYWHERE = "0.0.0.0"  # noqa: S104  only where a person asks for it
ADDRESS_FILE = "server.json"
LOCK_FILE = "server.lock"
LOG_FILE = "server.log"
ALREADY_RUNNING = 3
STREAMED = {"uri": "memory", "data_ttl": 60, "seq_ttl": 86400, "maxsize": 1000}
"""What subscribers are told of: updates are kept for 60 s, so that one who reconnects misses none of them."""


class ServerRunningError(RuntimeError):
    """Another process already serves this data folder."""


def serve(data: Path, *, host: str = HOST, port: int = 0) -> None:
    """Serve the catalogue of `data` until SIGTERM or SIGINT.

    Parameters
    ----------
    data
        The folder.
    host, port
        Where to listen; on loopback, at a free port, by default.

    Raises
    ------
    ServerRunningError
        Another process serves this folder.
    """
    folder = private_folder(data)
    leave_signals_to_uvicorn()
    try:
        with exclusive_lock(folder / LOCK_FILE):
            if moved := relocate(data.resolve()):
                logger.warning("%s was moved: %d stored addresses name it where it is now", data, moved)
            with asyncio.Runner(loop_factory=event_loop()) as runner:
                runner.run(_serve(data, folder, (host, port)))
    except BlockingIOError as error:
        holder = lock_holder(folder / LOCK_FILE)
        raise ServerRunningError(f"{data} is already served by {holder}; see 'vo2 serve --status'") from error


async def _serve(data: Path, folder: Path, where: tuple[str, int]) -> None:
    """Open the catalogue, listen, publish address and key, serve."""
    import uvicorn

    listener, key = _listen(folder / ADDRESS_FILE, where)
    host, port = listener.getsockname()[:2]
    uri = f"http://{HOST if host == ANYWHERE else host}:{port}"
    config = uvicorn.Config(
        await _application(data, folder, key), log_config=_log_config(), timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    record = {"uri": uri, "api_key": key, "data": str(data.resolve()), **this_process()}

    def ready() -> None:
        logger.info("catalogue served at %s", uri)

    announced = asyncio.create_task(announce(server, folder / ADDRESS_FILE, record, ready))
    try:
        await server.serve(sockets=[listener])
    finally:
        announced.cancel()
        listener.close()
        (folder / ADDRESS_FILE).unlink(missing_ok=True)


def _listen(address: Path, where: tuple[str, int]) -> tuple[socket.socket, str]:
    """Return a listening socket and the key.

    Address and key are new, but for a server that was killed: there its successor takes over what is still in
    the address file, so that a session in mid-scan finds the catalogue where it was.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(address.read_text(encoding="utf-8"))
        address.unlink()  # lest it be taken for ours, with the dead one's process, before we answer
        parts = urlsplit(stored["uri"])
        here = where[0] in (HOST, parts.hostname) and where[1] in (0, parts.port)
        here = here and stored["data"] == str(address.parents[1].resolve())
        if here and stored["host"] == socket.gethostname() and len(stored["api_key"]) == 64:
            return socket.create_server((where[0], int(parts.port or 0))), str(stored["api_key"])
    return socket.create_server(where), secrets.token_hex(32)


async def _application(data: Path, folder: Path, key: str) -> Any:
    """Build the ASGI application: SQLite catalogue, SQLite tables, arrays in a folder, frames read-only."""
    from tiled.catalog import from_uri
    from tiled.config import Authentication
    from tiled.server.app import build_app

    frames = data / "raw" / "frames"
    arrays = folder / "arrays"
    for needed in (frames, arrays):
        needed.mkdir(parents=True, exist_ok=True)
    await _create_database(folder / "catalog.db")
    tree = from_uri(
        f"sqlite:///{folder / 'catalog.db'}",
        readable_storage=[str(frames)],
        writable_storage=[str(arrays), f"sqlite:///{folder / 'tables.db'}"],
        cache_config=dict(STREAMED),
    )
    _register_exporter()
    guard_assets()
    decode_paths()
    remember_dependencies()
    authentication = Authentication(single_user_api_key=key, allow_anonymous_access=False)
    return build_app(tree, authentication)


async def _create_database(path: Path) -> None:
    """Make an empty catalogue database and stamp its schema version, once."""
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.alembic_utils import stamp_head
    from tiled.catalog.alembic_constants import ALEMBIC_DIR, ALEMBIC_INI_TEMPLATE_PATH
    from tiled.catalog.core import initialize_database
    from tiled.utils import ensure_specified_sql_driver

    if path.exists():
        return
    uri = ensure_specified_sql_driver(f"sqlite:///{path}")
    engine = create_async_engine(uri)
    await initialize_database(engine)
    await engine.dispose()
    await asyncio.to_thread(stamp_head, ALEMBIC_INI_TEMPLATE_PATH, ALEMBIC_DIR, uri)


def _register_exporter() -> None:
    """Let ``BlueskyRun.documents()`` be answered; without it the server says 406."""
    from bluesky_tiled_plugins.exporters import json_seq_exporter
    from tiled.media_type_registration import default_serialization_registry

    default_serialization_registry.register("BlueskyRun", "application/json-seq", json_seq_exporter)


def event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop that Uvicorn would choose: uvloop's, where that is installed."""
    import uvicorn

    return uvicorn.Config(lambda: None).get_loop_factory()


def remember_dependencies() -> None:
    """Let FastAPI analyse each overridden dependency once, and keep the classes of Tiled's answers.

    Where a dependency is overridden, as Tiled's settings are, FastAPI analyses all of a route's at every
    request; pydantic forgets a generic class once its last instance is gone. Both are much of what a request
    costs. A version that has no such function is left alone.
    """
    from fastapi.dependencies import utils
    from tiled.server import schemas

    analyse = getattr(utils, "get_dependant", None)
    if analyse is None or hasattr(analyse, "remembered"):
        return
    remembered: dict[Any, Any] = {}

    @functools.wraps(analyse)
    def remembering(**arguments: Any) -> Any:
        key = tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in sorted(arguments.items()))
        try:
            return remembered.get(key) or remembered.setdefault(key, analyse(**arguments))
        except TypeError:  # something that cannot be a key
            return analyse(**arguments)

    remembering.remembered = remembered  # type: ignore[attr-defined]
    utils.get_dependant = remembering
    nodes, links = schemas.NodeAttributes, schemas.resource_links_type_by_structure_family.values()
    remembered["classes"] = [
        schemas.Resource[nodes, schemas.ContainerLinks, schemas.ContainerMeta],
        *(schemas.Resource[nodes, kind, schemas.EmptyDict] for kind in (*links, schemas.SelfLinkOnly)),
    ]


def _log_config() -> dict[str, Any]:
    """Return Tiled's logging without one line per request: a scan makes thousands."""
    from tiled.server.logging_config import LOGGING_CONFIG

    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    for formatter in config["formatters"].values():
        formatter["use_colors"] = False
    config["loggers"]["uvicorn.access"]["level"] = "WARNING"
    return config


def main() -> int:
    """Serve the folder named on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        serve(Path(sys.argv[1]).resolve())
    except ServerRunningError as error:
        logger.info("%s", error)
        return ALREADY_RUNNING
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
