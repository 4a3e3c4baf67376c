"""Documents into the catalogue, and the measurement goes on where the catalogue does not answer.

Every document goes into the run's journal first. A journal whose run the catalogue took whole is removed; the
others are stored from it when the server is back.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from callbacks.catalogue import Address, Catalogue, is_local, tiled_writer
from callbacks.journal.journal import SUFFIX, Document, Journal, keep
from callbacks.journal.reingest import reingest, report

logger = logging.getLogger(__name__)

LOOK_EVERY = 0.5
LOOK_FAR_EVERY = 10.0
"""Seconds between two looks whether the server answers, while it does: on this machine, and on another."""
CONNECT_TIMEOUT = 2.0


class CatalogueWriter:
    """Callback that stores the RunEngine's documents; nothing that goes wrong in here reaches the RunEngine.

    Parameters
    ----------
    catalogue
        Whose half ``raw`` receives the runs.
    folder
        Of the journals.
    batch_size
        Points written at a time.
    warn, say
        Show a sentence.
    revive
        Brings the server back, if that is ours to do; called in a thread of its own, may raise.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        folder: Path,
        *,
        batch_size: int,
        warn: Callable[[str], None],
        say: Callable[[str], None],
        revive: Callable[[], Any] | None = None,
    ) -> None:
        self._catalogue = catalogue
        self.folder = folder
        self.batch_size = batch_size
        self.warn = warn
        self._say = say
        self._revive = revive
        self._reviving: threading.Thread | None = None
        self._answers, self._looked = True, 0.0
        self._unsaved: dict[str, list[Document]] = {}  # uid to documents that are nowhere but in memory
        self._runs: dict[str, _RunKeeper] = {}  # by the uids of the run, its descriptors and its resources

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        """Take one document."""
        try:
            self._keeper(name, doc)(name, doc)
            if name == "stop":
                self._forget(doc["run_start"])
                self.catch_up()
        except Exception as error:
            logger.exception("a %s document could not be kept", name)
            self.warn(f"a {name} document could not be kept ({error}); the frame file has every frame")

    def _keeper(self, name: str, doc: Mapping[str, Any]) -> _RunKeeper:
        """Return who keeps the run that a document belongs to."""
        if name == "start":
            found = self._runs[doc["uid"]] = _RunKeeper(self, doc)
            return found
        found = self._runs[doc.get("run_start") or doc.get("descriptor") or doc["resource"]]
        if name in ("descriptor", "resource", "stream_resource"):
            self._runs[doc["uid"]] = found
        return found

    def _forget(self, uid: str) -> None:
        done = self._runs[uid]
        self._runs = {key: keeper for key, keeper in self._runs.items() if keeper is not done}

    def answers(self) -> bool:
        """Find out whether the server's port is open; Tiled itself would try for a minute."""
        now, address = time.monotonic(), self._catalogue.address
        every = LOOK_EVERY if is_local(address) else LOOK_FAR_EVERY
        if now - self._looked >= every or not self._answers:
            self._answers, self._looked = _is_there(address), now
        return self._answers

    def run_writer(self) -> Callable[[str, Any], None]:
        """Return what writes one run into the catalogue."""
        return tiled_writer(self._catalogue.raw.v3, batch_size=self.batch_size)

    def lost_contact(self, reason: str) -> None:
        """Tell the person what happens to the documents, and see to it that the server comes back."""
        self.warn(
            f"the catalogue does not take documents ({reason}); the measurement goes on. They are kept in "
            f"{self.folder} and stored when the catalogue is back"
        )
        if self._revive is not None and (self._reviving is None or not self._reviving.is_alive()):
            self._reviving = threading.Thread(target=self._bring_back, name="catalogue-revival", daemon=True)
            self._reviving.start()

    def _bring_back(self) -> None:
        try:
            assert self._revive is not None  # noqa: S101  lost_contact looked
            self._revive()
        except Exception as error:
            logger.exception("the catalogue's server could not be started again")
            self.warn(f"the catalogue's server could not be started again: {error}")

    def keep_in_memory(self, uid: str, documents: list[Document]) -> None:
        """Hold the documents of a run that neither catalogue nor journal took, until there is room."""
        self._unsaved[uid] = documents
        self.warn(
            f"documents of the run {uid[:8]} are in memory alone until there is room in {self.folder}; "
            f"should this session end before, 'vo2 recover {uid[:8]}' makes the run from its frame file"
        )

    def catch_up(self) -> None:
        """Store the runs that the catalogue missed, if it answers again."""
        self.save_unsaved()
        if any(self.folder.glob(f"*{SUFFIX}")) and self.answers():
            report(reingest(self._catalogue.raw, self.folder), say=self._say, warn=self.warn)

    def save_unsaved(self) -> None:
        """Write what is in memory alone into journals, if there is room now."""
        for uid, documents in list(self._unsaved.items()):
            with contextlib.suppress(OSError):
                keep(self.folder / f"{uid}{SUFFIX}", documents)
                del self._unsaved[uid]

    def close(self) -> None:
        """Give the journals of runs that never ended free, for others to read."""
        for keeper in self._runs.values():
            keeper.close()
        self._runs.clear()

    def wait_for_revival(self, seconds: float) -> bool:
        """Wait for a server that is coming up; return whether it answers."""
        if self._reviving is not None:
            self._reviving.join(seconds)
        return self.answers()


class _RunKeeper:
    """Takes the documents of one run."""

    def __init__(self, owner: CatalogueWriter, start: Mapping[str, Any]) -> None:
        self._owner = owner
        self._uid = str(start["uid"])
        self._documents: list[Document] = []
        self._journal: Journal | None = None
        self._write: Callable[[str, Any], None] | None = None
        try:
            self._journal = Journal(owner.folder / f"{self._uid}{SUFFIX}")
        except OSError as error:
            self._journal_failed(error)
        if not owner.answers():
            self._lost("it does not answer")
            return
        try:
            self._write = owner.run_writer()
        except Exception as error:
            self._lost(f"{type(error).__name__}: {error}")

    def __call__(self, name: str, doc: Any) -> None:
        self._documents.append((name, doc))
        if self._journal is not None:
            self._note(self._journal, name, doc)
        if self._write is not None:
            self._store(self._write, name, doc)
        if name == "stop":
            self._end()

    def _note(self, journal: Journal, name: str, doc: Any) -> None:
        try:
            journal.note(name, doc)
        except OSError as error:
            journal.discard()
            self._journal = None
            self._journal_failed(error)

    def _store(self, write: Callable[[str, Any], None], name: str, doc: Any) -> None:
        if not self._owner.answers():
            self._lost("it does not answer")
            return
        try:
            write(name, doc)
        except Exception as error:
            logger.exception("the catalogue did not take a %s document of %s", name, self._uid)
            self._lost(f"{type(error).__name__}: {error}".splitlines()[0])

    def _end(self) -> None:
        stored = self._write is not None
        if self._journal is None:
            if not stored:
                self._owner.keep_in_memory(self._uid, self._documents)
        elif stored:
            self._journal.discard()
        else:
            self._journal.close()

    def close(self) -> None:
        """Keep what the journal has."""
        if self._journal is not None:
            self._journal.close()

    def _lost(self, reason: str) -> None:
        """Leave the run to its journal: what has missed one document must not receive the next."""
        self._write = None
        self._owner.lost_contact(reason)

    def _journal_failed(self, error: OSError) -> None:
        logger.error("the journal of %s cannot be written: %s", self._uid, error)
        self._owner.warn(f"the run's documents cannot be kept in {self._owner.folder}: {error}")


def _is_there(address: Address) -> bool:
    """Look whether somebody listens; a server on another machine may be behind a proxy, so it is asked."""
    if not is_local(address):
        import httpx

        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(address.uri, timeout=CONNECT_TIMEOUT, follow_redirects=True).status_code < 500
        return False
    parts = urlsplit(address.uri)
    with (
        contextlib.suppress(OSError),
        socket.create_connection((str(parts.hostname), parts.port or 80), timeout=CONNECT_TIMEOUT),
    ):
        return True
    return False
