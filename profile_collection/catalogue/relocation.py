"""A data folder that was moved or copied: absolute paths are put right before the catalogue is opened."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

_FRAMES = re.compile(r"file://(?:localhost)?(?P<folder>/[^\"]*?)(?=/raw/frames/|/\.vo2/arrays(?:/|$))")
_TABLES = re.compile(r"(?P<scheme>(?:sqlite|duckdb)://(?:localhost)?/)(?P<folder>/.*)(?=/\.vo2/tables\.db)")
JOURNALS = "*.jsonl"


def relocate(data: Path) -> int:
    """Have catalogue and journals in `data` name files where they are now; return how many names changed.

    Frames lie in ``raw/frames``, arrays and tables in ``.vo2``, so whatever stands before these in a stored
    address is where the folder was. Call it while no server has the database open.

    Parameters
    ----------
    data
        The data folder, absolute.
    """
    moved = 0
    database = data / ".vo2" / "catalog.db"
    if database.exists():
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            known = connection.execute("SELECT id, data_uri FROM assets").fetchall()
            changed = [(new, key) for key, uri in known if uri and (new := relocated(uri, data)) != uri]
            connection.executemany("UPDATE assets SET data_uri = ? WHERE id = ?", changed)
            moved += len(changed)
    for journal in (data / ".vo2" / "backup").glob(JOURNALS):
        text = journal.read_text(encoding="utf-8")
        if (new := _FRAMES.sub(_file_address(data), text)) != text:
            journal.write_text(new, encoding="utf-8")
            moved += 1
    return moved


def relocated(uri: str, data: Path) -> str:
    """Return the address of a file of the folder `data` as it is now.

    Examples
    --------
    >>> relocated("file://localhost/old/data/raw/frames/s/a.h5", Path("/new data"))
    'file://localhost/new%20data/raw/frames/s/a.h5'
    >>> relocated("sqlite://localhost//old/data/.vo2/tables.db", Path("/new"))
    'sqlite://localhost//new/.vo2/tables.db'
    """
    uri = _FRAMES.sub(_file_address(data), uri)
    return _TABLES.sub(lambda found: f"{found['scheme']}{data.as_posix()}", uri)


def _file_address(data: Path) -> Callable[[re.Match[str]], str]:
    address = f"file://localhost{quote(data.as_posix())}"
    return lambda _: address
