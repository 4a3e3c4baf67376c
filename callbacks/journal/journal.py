"""The journal of a run: its documents on disk, line by line as they come, until the catalogue has them all.

Whoever writes or reads a journal holds a lock on it, so that the run being measured is not taken for one that
was left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import event_model

Document = tuple[str, dict[str, Any]]

SUFFIX = ".jsonl"


class Journal:
    """Documents of one run, appended to a file of this user's own.

    Parameters
    ----------
    path
        The file; its folder is made too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = os.fdopen(
            os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+", encoding="utf-8"
        )
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def note(self, name: str, doc: Mapping[str, Any]) -> None:
        """Append one document; after this a kill of the process does not lose it.

        Raises
        ------
        OSError
            The disk is full or gone.
        """
        self._file.write(json.dumps({"name": name, "doc": doc}, cls=event_model.NumpyEncoder) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Keep what is written."""
        with contextlib.suppress(OSError):  # a full disk has been reported by `note`
            self._file.close()

    def discard(self) -> None:
        """Remove it: the catalogue has the run."""
        self.path.unlink(missing_ok=True)
        self.close()


@dataclass(frozen=True)
class KeptRun:
    """A run that lies in a journal.

    Parameters
    ----------
    path
        The journal.
    documents
        What it holds; a last line that was cut short is left out.
    """

    path: Path
    documents: tuple[Document, ...]

    @property
    def start(self) -> dict[str, Any]:
        """Start document, empty where there is none."""
        return next((doc for name, doc in self.documents if name == "start"), {})

    @property
    def ended(self) -> bool:
        """Whether the stop document is among them."""
        return any(name == "stop" for name, _ in self.documents)


def keep(path: Path, documents: Iterable[Document]) -> None:
    """Write documents into a new journal at once."""
    path.unlink(missing_ok=True)
    with contextlib.closing(Journal(path)) as journal:
        try:
            for name, doc in documents:
                journal.note(name, doc)
        except OSError:
            journal.discard()
            raise


def left_behind(folder: Path) -> Iterator[KeptRun]:
    """Yield the journals in `folder` that nobody is writing, oldest first, locked while looked at."""
    paths = folder.glob(f"*{SUFFIX}") if folder.is_dir() else ()
    for path in sorted(paths, key=lambda found: found.stat().st_mtime):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), path.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield KeptRun(path, tuple(_documents(file)))


def _documents(lines: Iterable[str]) -> Iterator[Document]:
    for line in lines:
        try:
            entry = json.loads(line)
            yield entry["name"], entry["doc"]
        except (ValueError, KeyError, TypeError):
            return  # cut short by a kill or a full disk: nothing after it belongs together
