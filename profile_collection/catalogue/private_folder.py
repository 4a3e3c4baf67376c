"""Files of one user: private folder, private JSON, and whether a folder can be written."""

from __future__ import annotations

import json
import os
import tempfile
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
