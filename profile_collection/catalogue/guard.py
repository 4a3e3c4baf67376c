"""The server reads no file outside its declared folders, whatever a client has registered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from callbacks.frames import path_of

_GUARDED = "_of_vo2_bcdi"


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
