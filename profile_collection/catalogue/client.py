"""Finding, starting and stopping the catalogue's server, from the side of those who use it."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from callbacks.catalogue import Address
from profile_collection.catalogue import background
from profile_collection.catalogue.background import private_folder, require_writable
from profile_collection.catalogue.server_process import ADDRESS_FILE, ALREADY_RUNNING, LOG_FILE

START_TIMEOUT = 240.0
"""Seconds a server may need to come up: about ten, on a busy machine several times that."""
NO_ADDRESS = "?#"
"""What cuts a path short where it becomes an address: Tiled would serve another folder, or none."""
READ_ONLY = (
    "choose another with VO2_DATA; of a read-only archive, or another user's folder, take a copy ('cp -r', "
    "'.vo2' with it)"
)
TRY_AGAIN = 4.0
"""Seconds until a server that found the folder locked is started once more."""


class ServerError(RuntimeError):
    """The catalogue's server could not be reached, started or stopped."""


@dataclass(frozen=True)
class ServerStatus:
    """A server that answers: where, and which process."""

    uri: str
    pid: int
    host: str
    since: str
    api_key: str = field(repr=False)

    @property
    def address(self) -> Address:
        """Address and key for a client."""
        return Address(self.uri, self.api_key)


def status(data: Path) -> ServerStatus | None:
    """Return the live server of `data`, or None where none answers to the stored key."""
    found = _stored(data)
    # A killed server's successor listens where it did and may have answered to the dead one's record, which
    # it removes before it listens.
    return found if found and _answers(found) and _stored(data) == found else None


def _stored(data: Path) -> ServerStatus | None:
    """Return what the address file says."""
    try:
        stored = json.loads((data / ".vo2" / ADDRESS_FILE).read_text(encoding="utf-8"))
        if stored["data"] != str(data.resolve()):
            return None  # it came along in a copied or moved folder, and is of the server of the other one
        return ServerStatus(**{name: stored[name] for name in ("uri", "pid", "host", "since", "api_key")})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _answers(server: ServerStatus) -> bool:
    """Ask the server something only the holder of its key is told."""
    import httpx

    try:
        reply = httpx.get(
            f"{server.uri}/api/v1/metadata/",
            headers={"Authorization": f"Apikey {server.api_key}"},
            timeout=5.0,
            trust_env=False,
        )
    except httpx.HTTPError:
        return False
    return reply.status_code == 200


def ensure_server(data: Path, *, timeout: float = START_TIMEOUT) -> ServerStatus:
    """Return the live server of `data`, starting one, detached, where there is none.

    Raises
    ------
    ServerError
        It did not come up; the message quotes its log.
    """
    if found := status(data):
        return found
    check_writable(data)
    process = _start(data)
    deadline, again = time.monotonic() + timeout, time.monotonic() + TRY_AGAIN
    while time.monotonic() < deadline:
        if found := status(data):
            return found
        # A loser of the race for the lock leaves at once; the winner answers soon.
        if process.poll() not in (None, ALREADY_RUNNING):
            break
        if process.poll() == ALREADY_RUNNING and time.monotonic() > again:
            # Who holds the lock may be the server of this folder's former place, which ends by itself.
            process, again = _start(data), time.monotonic() + TRY_AGAIN
        time.sleep(0.1)
    raise ServerError(
        f"the catalogue of {data} did not start: {_last_words(data)}; see {data / '.vo2' / LOG_FILE}"
    )


def check_writable(data: Path) -> None:
    """Find out that nothing can be written before a server says it in a traceback.

    Raises
    ------
    ServerError
        In words.
    """
    path = str(data.resolve())
    if found := next((sign for sign in NO_ADDRESS if sign in path), None):
        raise ServerError(
            f"the data folder must have no {found!r} in its path, {path!r} has: rename it, or choose another "
            "with VO2_DATA"
        )
    try:
        require_writable(data, READ_ONLY)
        require_writable(private_folder(data), READ_ONLY)
    except (ValueError, OSError) as error:
        raise ServerError(str(error)) from error


def _start(data: Path) -> subprocess.Popen[bytes]:
    module = "profile_collection.catalogue.server_process"
    return background.start(module, str(data), log=private_folder(data) / LOG_FILE)


def _last_words(data: Path) -> str:
    try:
        lines = [
            line
            for line in (data / ".vo2" / LOG_FILE).read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
    except OSError:
        return "it left no log"
    return lines[-1] if lines else "it left no log"


def stop_server(data: Path) -> bool:
    """End the server of `data`; return False where none ran.

    Raises
    ------
    ServerError
        It runs on another machine, or does not end.
    """
    server = status(data)
    if server is None:
        return False

    def gone() -> bool:
        return status(data) is None and not (data / ".vo2" / ADDRESS_FILE).exists()

    background.end(server, f"the server of {data}", gone, error=ServerError)
    return True
