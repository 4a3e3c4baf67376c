"""Files of one user or one process: private folder, private JSON, a lock that says who holds it."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


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


def this_process() -> dict[str, Any]:
    """Return what tells this process from others: pid, host and the time now."""
    now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an advisory lock on `path` and say in it who holds it.

    The system frees it however the process ends.

    Raises
    ------
    BlockingIOError
        Another process holds it; `lock_holder` tells which.
    """
    with path.open("a+", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        handle.truncate(0)
        json.dump(this_process(), handle)
        handle.flush()
        yield


def lock_holder(path: Path) -> str:
    """Return who holds the lock on `path`, in words."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that left no name"
