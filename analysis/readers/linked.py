"""HDF5 files opened for reading; links to frames are followed where they may be, and named where absent."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  registers the decompression filters
import numpy as np
from numpy.typing import NDArray

from analysis.readers.scan import FrameSource, ReadError


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File | None]:
    """Open an HDF5 file, None where the file is of another kind."""
    if not path.is_file() or not h5py.is_hdf5(path):
        yield None
        return
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise ReadError(f"{path} is an HDF5 file that cannot be opened: {error}") from error
    with file:
        yield file


class Dataset:
    """Frames in an HDF5 file, read block by block; the file is open only while it is read.

    Parameters
    ----------
    path, name
        Of the file, and of the dataset in it.
    folder
        A further folder that files of a virtual dataset may lie in.
    """

    def __init__(self, path: Path, name: str, folder: Path | None = None) -> None:
        self.path, self.name = path, name
        with h5py.File(path, "r", locking=False) as file:
            found = file[name]
            _require_sources(path, found, folder)
            shape = tuple(int(size) for size in found.shape)
            self.dtype = found.dtype
        self._leading = len(shape) - 3
        if self._leading < 0 or any(size != 1 for size in shape[: self._leading]):
            raise ReadError(f"{path}: {name} must be (n, rows, columns); it is {shape!r}")
        self.shape = shape[self._leading :]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return frames as an array of the same key would."""
        inner = key if isinstance(key, tuple) else (key,)
        with h5py.File(self.path, "r", locking=False) as file:
            return np.asarray(file[self.name][(0,) * self._leading + inner])


class First:
    """The first ``count`` frames of a source: a scan that was cancelled has some that belong to no point."""

    def __init__(self, source: FrameSource, count: int) -> None:
        self._source, self.dtype = source, source.dtype
        self.shape = (count, *source.shape[1:])

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return frames as an array of the same key would."""
        frames, *rest = key if isinstance(key, tuple) else (key,)
        picked = slice(*frames.indices(self.shape[0])) if isinstance(frames, slice) else frames
        return np.asarray(self._source[(picked, *rest)])


def _require_sources(path: Path, dataset: h5py.Dataset, folder: Path | None) -> None:
    """Refuse frames that are kept in other files which are not there, or lie where none may be read.

    HDF5 gives zeros in the place of what is not there.

    Raises
    ------
    ReadError
        In words.
    """
    if not dataset.is_virtual:
        return
    allowed = _allowed(path, folder)
    kept = sorted({source.file_name for source in dataset.virtual_sources()} - {"."})
    found = {name: _source(path, name) for name in kept}
    gone = [name for name, place in found.items() if place is None]
    there = {name: place for name, place in found.items() if place is not None}
    away = [name for name in there if not any(there[name].is_relative_to(one) for one in allowed)]
    if gone:
        raise ReadError(
            f"{path}: the frames {dataset.name} are kept in {len(kept)} other files, and {len(gone)} of them "
            f"cannot be opened ({_first(gone)}): put them where they were beside it; HDF5 would give zeros "
            "in their place"
        )
    if away:
        raise ReadError(
            f"{path}: the frames {dataset.name} are kept in files that are not under {path.parent} "
            f"({_first(away)}): put them there, or give their folder with --frames"
        )


def _first(names: Sequence[str]) -> str:
    """Return the first names of many, in words."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _source(path: Path, name: str) -> Path | None:
    """Return where HDF5 finds a source: at its own path, or below the folder of the file that names it.

    A name that stands for many (HDF5's printf style) is not tried.
    """
    if "%" in name:
        return (path.parent / name).resolve()
    for place in (path.parent / name, path.parent / Path(name).name):
        with contextlib.suppress(OSError), h5py.File(place, "r", locking=False):
            return place.resolve()
    return None


def _allowed(path: Path, folder: Path | None) -> list[Path]:
    """Return the folders below which files that ``path`` names may be read."""
    return [path.parent.resolve()] + ([folder.resolve()] if folder is not None else [])


PLACES = frozenset({"transformations", "module"})
"""Groups that say where things are: what a geometry needs of them is read, the rest is bookkeeping."""


def left_over(group: h5py.Group, used: Collection[str]) -> tuple[str, ...]:
    """Return the arrays of numbers below a group that nothing uses, by name, with the shape of images.

    Parameters
    ----------
    group
        Of a file; links to other files are named, and not followed.
    used
        Names, or whole paths, of arrays that are used. An array at two places is one array.
    """
    found: dict[Any, str] = {}
    taken, seen = set(), set()

    def walk(at: h5py.Group) -> None:
        """Note the arrays of a group and of the groups in it."""
        for name in at:
            link, place = at.get(name, getlink=True), f"{at.name.rstrip('/')}/{name}"
            if isinstance(link, h5py.ExternalLink):
                key, said = (link.filename, link.path), f"{place.split('/')[-2]}/{name} (linked)"
            elif isinstance(link, h5py.SoftLink) or name in PLACES:
                continue
            else:
                node = at[name]
                key = h5py.h5o.get_info(node.id).addr
                if isinstance(node, h5py.Group):
                    if key not in seen:
                        seen.add(key)
                        walk(node)
                    continue
                numbers = isinstance(node, h5py.Dataset) and node.dtype.kind in "iuf"
                if not numbers or node.size in (None, 0, 1):
                    continue
                short = place.split("/")[-2] if name == "value" else name
                name, said = short, short if node.ndim == 1 else f"{short} {node.shape}"
            if place in used or name in used:
                taken.add(key)
            found.setdefault(key, said)

    walk(group)
    return tuple(sorted({said for key, said in found.items() if key not in taken}))


def linked_frames(
    path: Path, group: h5py.Group, name: str, folder: Path | None
) -> tuple[Dataset | None, str]:
    """Return the frames at ``group/name``, or what is missing, in words.

    An external link is followed if it leads to a file under the master's folder, or if a file of that name
    lies under ``folder``.
    """
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.ExternalLink):
        if link is None or group.get(name) is None:
            return None, f"the frames ({group.name}/{name} is not in the file)"
        return Dataset(path, f"{group.name}/{name}", folder), ""
    allowed = _allowed(path, folder)
    wanted = Path(link.filename)
    places = [base / one for base in allowed for one in (wanted, Path(wanted.name))]
    for place in places:
        target = place.resolve()
        if target.is_file() and any(target.is_relative_to(base) for base in allowed):
            return Dataset(target, link.path, folder), ""
    return None, (
        f"the frames (the file {link.filename!r} that they are linked to is not under {path.parent}: put it "
        "there, or give its folder with --frames)"
    )
