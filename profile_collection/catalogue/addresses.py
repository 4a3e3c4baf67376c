"""Stored addresses of files: put right where the data folder was moved, refused where they lead out of it."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from callbacks.frames import path_of

_FRAMES = re.compile(r"file://(?:localhost)?(?P<folder>/[^\"]*?)(?=/raw/frames/|/\.vo2/arrays(?:/|$))")
_TABLES = re.compile(r"(?P<scheme>(?:sqlite|duckdb)://(?:localhost)?/)(?P<folder>/.*)(?=/\.vo2/tables\.db)")
JOURNALS = "*.jsonl"
_GUARDED = "_of_vo2_bcdi"


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


def guard_assets() -> None:
    """Have Tiled's catalogue refuse assets that lie outside once ``..`` and links are followed.

    Tiled 0.2 compares paths as they are written, so both lead out, and lets every scheme but ``file`` pass.
    """
    from tiled.catalog.adapter import CatalogNodeAdapter

    ensure = CatalogNodeAdapter._ensure_uri_within_readable_storage  # noqa: SLF001
    if not hasattr(ensure, _GUARDED):
        CatalogNodeAdapter._ensure_uri_within_readable_storage = _strict(ensure)  # noqa: SLF001


def decode_paths() -> None:
    """Have Tiled's HDF5 reader decode ``%20`` and the like; it would look for a folder of that name."""
    from tiled.adapters import hdf5

    plain = hdf5.path_from_uri
    if not hasattr(plain, _GUARDED):
        hdf5.path_from_uri = _decoding(plain)


def _decoding(plain: Callable[[str], Path]) -> Callable[[str], Path]:
    def path_from_uri(uri: str) -> Path:
        """Return the path that a ``file`` URI stands for, decoded."""
        return Path(unquote(str(plain(uri))))

    setattr(path_from_uri, _GUARDED, True)
    return path_from_uri


def _strict(ensure: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    from tiled.storage import FileStorage

    def ensure_strictly(self: Any, data_uri: str) -> None:
        """Raise where an asset lies outside the folders, links followed, or in no storage of the server."""
        storages = self.context.readable_storage
        if urlsplit(data_uri).scheme == "file":
            # Tiled's own look does not decode the path, and refuses every folder with a blank in its name.
            folders = [
                Path(storage.path) for storage in storages.values() if isinstance(storage, FileStorage)
            ]
            path_of(data_uri, folders)
            # Other readers of Tiled's do not decode the path either: as spelt it must lead nowhere else.
            spelt = [Path(quote(folder.as_posix())) for folder in folders]
            path_of(data_uri.replace("%", "%25"), [*folders, *spelt])
            return
        ensure(self, data_uri)
        if data_uri not in storages:
            raise RuntimeError(f"Refusing to serve {data_uri}: it is not this server's own storage.")

    setattr(ensure_strictly, _GUARDED, True)
    return ensure_strictly
