"""A lock between processes that says who holds it; the system frees it however its holder ends."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return what tells this process from others: pid, host and the time now."""
    now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an advisory lock on `path` and say in it who holds it.

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


@contextlib.contextmanager
def alone(path: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock on `path`, its folder made; where another process has it, say `otherwise` and which.

    Raises
    ------
    RuntimeError
        In words.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(path))
        except BlockingIOError:
            raise RuntimeError(f"{otherwise}: {lock_holder(path)}; wait for it, or end it") from None
        yield
