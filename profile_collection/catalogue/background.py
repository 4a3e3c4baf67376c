"""Servers that outlive the session: started, ended, and found by files of one user in a private folder.

The catalogue's server and the monitor are such processes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

logger = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between two looks whether the file that a server is found by still exists."""

_started: list[subprocess.Popen[bytes]] = []
"""Those that are children of this process, kept to be reaped when they end."""


class Running(Protocol):
    """A process, and the machine it runs on."""

    @property
    def pid(self) -> int: ...  # noqa: D102
    @property
    def host(self) -> str: ...  # noqa: D102


def private_folder(data: Path) -> Path:
    """Return ``<data>/.vo2``, made for this user alone."""
    folder = data / ".vo2"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def require_writable(folder: Path, remedy: str) -> None:
    """Make `folder` where it is missing, and find out whether anything can be written into it.

    Parameters
    ----------
    folder
        To be made and tried.
    remedy
        What to do where it cannot be.

    Raises
    ------
    ValueError
        It is a file, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-"):
            pass
    except OSError as error:
        raise ValueError(
            f"a folder that can be written was expected, {str(folder)!r} came ({error.strerror}); {remedy}"
        ) from error


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that only this user may read, in one step."""
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def start(
    module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a module of this package in a session of its own: it outlives us and our Ctrl-C.

    Parameters
    ----------
    module, arguments
        As behind ``python -m``.
    log
        Receives what it prints; private.
    environment
        On top of ours.
    """
    _started[:] = [process for process in _started if process.poll() is None]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, **(environment or {})},
        )
    finally:
        os.close(descriptor)
    _started.append(process)
    return process


def end(
    process: Running, what: str, gone: Callable[[], bool], *, error: type[RuntimeError], timeout: float = 15.0
) -> None:
    """End a process of this machine and wait until it is gone.

    Parameters
    ----------
    process
        From its record.
    what
        Names it, as "the monitor of data".
    gone
        Asked until it is true.
    error
        Raised where it does not end.
    timeout
        Seconds.

    Raises
    ------
    RuntimeError
        An ``error``: it runs on another machine, or does not end.
    """
    if process.host != socket.gethostname():
        raise error(f"{what} runs on {process.host!r}; stop it there")
    os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if gone():
            return
        time.sleep(0.05)
    raise error(f"{what}, process {process.pid}, did not end within {timeout:g} s; end it by hand")


def leave_signals_to_uvicorn() -> None:
    """Do nothing on SIGTERM and SIGINT: uvicorn shuts down on them, and raises them again when it has."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)


async def announce(server: Any, path: Path, record: dict[str, Any], ready: Callable[[], None]) -> None:
    """Write where a server is found once it answers; end it when that file is gone.

    Parameters
    ----------
    server
        Of uvicorn.
    path, record
        The private file and what it says.
    ready
        Called when it is written.
    """
    while not server.started:
        await asyncio.sleep(0.02)
    write_private(path, record)
    ready()
    while path.exists():
        await asyncio.sleep(LOOK_EVERY)
    logger.warning("%s is gone: nobody can find this server any more", path)
    server.should_exit = True
