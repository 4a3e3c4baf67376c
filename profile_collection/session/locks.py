"""The session's lock: one acquisition session a data folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

from profile_collection.catalogue.private_folder import exclusive_lock, lock_holder, private_folder
from profile_collection.session.startup_checks import StartupError

LOCK_FILE = "session.lock"


def take_lock(data: Path, stack: contextlib.ExitStack) -> None:
    """Become the one acquisition session of the folder `data`; the lock is freed where `stack` is closed.

    Raises
    ------
    StartupError
        Another session holds it.
    """
    path = private_folder(data) / LOCK_FILE
    try:
        stack.enter_context(exclusive_lock(path))
    except BlockingIOError:
        raise StartupError(
            f"another session measures into {data}: {lock_holder(path)}",
            "close it, or choose another folder with VO2_DATA",
        ) from None
