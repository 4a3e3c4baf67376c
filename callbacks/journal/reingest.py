"""Runs that the catalogue missed, put into it from their journals: none lost, none doubled."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from callbacks.catalogue import tiled_writer
from callbacks.journal.journal import Document, KeptRun, left_behind

logger = logging.getLogger(__name__)

Outcome = Literal["stored", "known", "unfinished", "failed"]


@dataclass(frozen=True)
class Reingested:
    """What became of one journal.

    Parameters
    ----------
    uid
        Of the run.
    outcome
        "stored": now in the catalogue, whole; "known": it was there already; "unfinished": it has no end,
        because its session was killed, and stays in the journal; "failed": the catalogue did not take it.
    reason
        Why it failed.
    """

    uid: str
    outcome: Outcome
    reason: str = ""


def reingest(container: Any, folder: Path) -> list[Reingested]:
    """Store every finished run that lies in a journal in `folder`, and remove the journals that are done.

    A run that is half there, because the server died while it was written, is replaced under its own uid.
    The journal is removed only after the run was read back whole, so this may be interrupted at any time.

    Parameters
    ----------
    container
        Tiled client of the catalogue's half that the runs belong to.
    folder
        Of the journals.
    """
    return [_reingest_one(container.v3, run) for run in left_behind(folder)]


def report(found: Sequence[Reingested], *, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Tell a person what became of the journals; of runs that still wait for ``vo2 recover`` nothing."""
    if stored := sum(one.outcome == "stored" for one in found):
        say(f"{stored} {'run' if stored == 1 else 'runs'} the catalogue had missed, stored now")
    for one in found:
        if one.outcome == "failed":
            warn(f"the run {one.uid[:8]} is not in the catalogue yet: {one.reason}")


def _reingest_one(container: Any, run: KeptRun) -> Reingested:
    uid = str(run.start.get("uid", ""))
    if not uid:
        return Reingested(run.path.stem, "failed", f"no start document in {run.path}")
    try:
        if not run.ended:
            return _unfinished(container, run, uid)
        wanted = contents(run.documents)
        if contents(stored_documents(container, uid)) == wanted:
            run.path.unlink()
            return Reingested(uid, "known")
        replace_run(container, uid, run.documents)
        if contents(stored_documents(container, uid)) != wanted:
            return Reingested(uid, "failed", "read back, it differs from its journal, which is kept")
        run.path.unlink()
    except Exception as error:
        logger.exception("the run %s could not be stored from %s", uid, run.path)
        return Reingested(uid, "failed", f"{type(error).__name__}: {error}".splitlines()[0])
    return Reingested(uid, "stored")


def _unfinished(container: Any, run: KeptRun, uid: str) -> Reingested:
    """Leave a run without an end to ``vo2 recover``, which has every frame; forget it where that was done."""
    if uid in container and container[uid].metadata.get("stop"):
        run.path.unlink()
        return Reingested(uid, "known")
    return Reingested(uid, "unfinished")


@dataclass(frozen=True)
class Contents:
    """What a run holds, as far as two copies of it can be compared.

    Parameters
    ----------
    events
        Stream name to its sorted event numbers; a number that is there twice counts.
    frames
        Data key to number of frames announced.
    exit_status
        None where the run never ended.
    """

    events: Mapping[str, list[int]]
    frames: Mapping[str, int]
    exit_status: str | None


def contents(documents: Iterable[Document]) -> Contents:
    """Summarise the documents of one run."""
    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    events: dict[str, list[int]] = {}
    frames: Counter[str] = Counter()
    exit_status = None
    for name, doc in documents:
        if name == "descriptor":
            names[doc["uid"]] = doc.get("name", "primary")
        elif name == "event":
            events.setdefault(names[doc["descriptor"]], []).append(int(doc["seq_num"]))
        elif name == "event_page":  # what a RunRouter, and so a journal, makes of an event
            events.setdefault(names[doc["descriptor"]], []).extend(int(number) for number in doc["seq_num"])
        elif name == "stream_resource":
            keys[doc["uid"]] = doc["data_key"]
        elif name == "stream_datum":
            indices = doc["indices"]
            frames[keys[doc["stream_resource"]]] += int(indices["stop"]) - int(indices["start"])
        elif name == "stop" and doc:
            exit_status = str(doc.get("exit_status", ""))
    return Contents({stream: sorted(numbers) for stream, numbers in events.items()}, frames, exit_status)


def stored_documents(container: Any, uid: str) -> list[Document]:
    """Return what the catalogue has of a run, nothing where it has none or cannot be read."""
    if uid not in container:
        return []
    try:
        return [(name, dict(doc)) for name, doc in container[uid].documents()]
    except Exception:  # half-written: the server was killed between two of its parts
        logger.warning("the stored part of %s cannot be read; it is replaced", uid, exc_info=True)
        return []


def replace_run(container: Any, uid: str, documents: Iterable[Document]) -> None:
    """Write a run into the catalogue in place of whatever it has under this uid."""
    if uid in container:
        container[uid].delete(recursive=True, external_only=False)
    writer = tiled_writer(container)
    for name, doc in documents:
        writer(name, dict(doc))
