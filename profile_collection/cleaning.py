"""Old simulated series, listed and removed with all that is theirs. Measured data is never touched."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from callbacks.catalogue import Catalogue
from callbacks.journal import SUFFIX
from profile_collection.settings import Settings


@dataclass(frozen=True)
class OldSeries:
    """A simulated series and all that belongs to it.

    Parameters
    ----------
    uid
        Of the series.
    begun
        Epoch seconds of its first run.
    raw, processed
        Uids of its measured and derived runs.
    folders
        Its frames, truth and results.
    journals
        Documents of those of its runs that never ended.
    """

    uid: str
    begun: float
    raw: tuple[str, ...]
    processed: tuple[str, ...]
    folders: tuple[Path, ...]
    journals: tuple[Path, ...] = ()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(
            file.stat().st_size for folder in self.folders for file in folder.rglob("*") if file.is_file()
        )


def old_series(catalogue: Catalogue, settings: Settings, keep: int) -> list[OldSeries]:
    """Return the simulated series but for the `keep` newest, oldest first.

    Raises
    ------
    ValueError
        `keep` is negative.
    """
    from tiled.queries import Key

    if keep < 0:
        raise ValueError(f"the number of series to keep must be 0 or more, {keep!r} came")
    raw: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for run in catalogue.raw.v3.search(Key("start.simulated") == True).values():  # noqa: E712  a query
        start = run.metadata["start"]
        if "series_uid" in start:
            raw[start["series_uid"]].append((float(start["time"]), start["uid"]))
    derived: dict[str, list[str]] = defaultdict(list)
    for run in catalogue.processed.v3.values():
        derived[run.metadata["start"].get("series_uid", "")].append(run.metadata["start"]["uid"])
    newest_last = sorted(raw, key=lambda uid: min(raw[uid]))
    return [
        OldSeries(
            uid=uid,
            begun=min(raw[uid])[0],
            raw=tuple(run for _, run in raw[uid]),
            processed=tuple(derived[uid]),
            folders=_folders(settings, uid),
            journals=tuple(settings.backup / f"{run}{SUFFIX}" for _, run in raw[uid]),
        )
        for uid in newest_last[: len(newest_last) - keep]
    ]


def _folders(settings: Settings, uid: str) -> tuple[Path, ...]:
    """Return the folders of a series that exist, each directly inside its own parent."""
    candidates = [parent / uid for parent in (settings.frames, settings.data / "truth", settings.results)]
    return tuple(path for path in candidates if path.is_dir() and path.name == uid and not path.is_symlink())


def remove(catalogue: Catalogue, series: Sequence[OldSeries]) -> None:
    """Remove series: first their runs, then their files."""
    for one in series:
        for client, uids in ((catalogue.raw.v3, one.raw), (catalogue.processed.v3, one.processed)):
            for uid in uids:
                client[uid].delete(recursive=True, external_only=False)
        for folder in one.folders:
            shutil.rmtree(folder)
        for journal in one.journals:
            journal.unlink(missing_ok=True)
