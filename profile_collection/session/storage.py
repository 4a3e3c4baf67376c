"""What a session keeps beyond its life: documents in the catalogue, the RunEngine's metadata, the truth."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bluesky.utils import PersistentDict

from analysis.file_names import file_name
from callbacks.catalogue import Address, Catalogue, connect
from callbacks.journal.catalogue_writer import CatalogueWriter
from callbacks.journal.reingest import Reingested, reingest
from callbacks.pipeline import PipelineSettings
from callbacks.publish import UNPUBLISHED
from profile_collection.catalogue.client import ensure_server
from profile_collection.session.settings import Settings

logger = logging.getLogger(__name__)

BATCH_AT_REAL_PACE = 1
"""Points written to the catalogue at a time: a kill loses none."""
BATCH_IN_SIMULATION = 10
"""A write costs 0.1 s, more than a simulated point; the frame file has the points that a kill would lose."""
NEWEST = 100
"""Runs that are looked at for the last scan_id."""


def pipeline_settings(
    catalogue: Catalogue,
    settings: Settings,
    folder_of: Callable[[str], Path] | None = None,
    replayed: bool = False,
) -> PipelineSettings:
    """Return what the analysis is told of a session.

    Parameters
    ----------
    catalogue, settings
        Where runs and files are.
    folder_of
        Folder of a series' results, by its uid; the usual one by default.
    replayed
        Whether stored runs are sent through it: their jobs are not kept for later.
    """
    return PipelineSettings(
        folder_of=folder_of or settings.series_folder,
        folders=(settings.frames,),
        address=catalogue.address,
        pending=None if replayed else settings.private / "pending",
        seed=settings.seed,
        crop=settings.crop_shape,
        threads=settings.analysis_threads,
        replayed=replayed,
        log=settings.log,
        analysis=settings.analysis,
    )


def open_catalogue(settings: Settings) -> Catalogue:
    """Open the configured catalogue: the Tiled server that is named, else that of ``settings.data``.

    Raises
    ------
    ServerError
        Our own server does not start.
    ConnectionError
        The named server does not let us in.
    """
    if settings.tiled_uri:
        return connect(Address(settings.tiled_uri, settings.tiled_api_key))
    return connect(ensure_server(settings.data).address)


def facade(catalogue: Catalogue) -> Any:
    """Return databroker's facade; it turns the runs it touches into their V2 form, ours stay V3."""
    from databroker import Broker

    return Broker(catalogue.raw)


def document_writer(
    catalogue: Catalogue,
    settings: Settings,
    *,
    warn: Callable[[str], None],
    say: Callable[[str], None] | None = None,
) -> CatalogueWriter:
    """Return what stores documents in the catalogue; it starts our own server again where that died."""
    return CatalogueWriter(
        catalogue,
        settings.backup,
        batch_size=BATCH_AT_REAL_PACE if settings.realtime else BATCH_IN_SIMULATION,
        warn=warn,
        say=say or warn,
        revive=None if settings.tiled_uri else partial(ensure_server, settings.data),
    )


def store_kept(catalogue: Catalogue, settings: Settings) -> list[Reingested]:
    """Put into the catalogue what it missed while it did not answer: measured runs, then derived ones."""
    found = reingest(catalogue.raw, settings.backup)
    for folder in sorted(settings.results.glob(f"**/{UNPUBLISHED}")):
        found += reingest(catalogue.processed, folder)
    return found


class StoredMetadata(PersistentDict):
    """The RunEngine's metadata on disk; closed with its session, lest it overwrite the next one's at exit."""

    def close(self) -> None:
        """Write everything, and write no more."""
        self.flush()
        self._finalizer.detach()


def persistent_metadata(folder: Path, catalogue: Catalogue, warn: Callable[[str], None]) -> StoredMetadata:
    """Return the RunEngine's persistent metadata; a damaged store is put aside, not fatal.

    ``scan_id`` goes on from the catalogue's largest, whatever the store says.
    """
    store = _open_store(folder, warn)
    store["scan_id"] = max(int(store.get("scan_id", 0)), last_scan_id(catalogue))
    return store


def _open_store(folder: Path, warn: Callable[[str], None]) -> StoredMetadata:
    try:
        store = StoredMetadata(folder)
        int(store.get("scan_id", 0))
    except Exception as error:
        aside = folder.with_name(f"{folder.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        shutil.move(folder, aside)
        warn(f"the stored metadata could not be read ({error}); put aside as {aside.name}, begun anew")
        store = StoredMetadata(folder)
    return store


def last_scan_id(catalogue: Catalogue) -> int:
    """Return the largest scan_id among the newest runs of the catalogue, 0 where it is empty.

    Compared here: how the server sorts such numbers, and runs that have none, is not to be relied on.
    """
    newest = catalogue.raw.v3.sort(("start.time", -1)).values()[:NEWEST]
    return max((int(run.metadata["start"].get("scan_id", 0)) for run in newest), default=0)


class TruthRecorder:
    """Callback that has the twin note what it takes to compute a scan's truth, apart from the data.

    Parameters
    ----------
    write
        ``Twin.write_truth(path, run_uid, etas)``.
    folder
        Truth folder; a subfolder per series.
    """

    def __init__(self, write: Callable[[Path, str, Any], None], folder: Path) -> None:
        self._write = write
        self._folder = folder
        self._start: Mapping[str, Any] | None = None
        self._etas: dict[int, float] = {}

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Follow a rocking scan; its truth is noted at the end, while the crystal is as it was."""
        if name == "start" and doc.get("purpose") == "rocking":
            self._start, self._etas = doc, {}
        elif (
            name == "event" and self._start is not None and "eta" in doc["data"] and "Tsample" in doc["data"]
        ):
            self._etas[doc["seq_num"]] = float(doc["data"]["eta"])
        elif name == "stop" and self._start is not None and doc["run_start"] == self._start["uid"]:
            self._note(self._start)
            self._start = None

    def _note(self, start: Mapping[str, Any]) -> None:
        etas = np.array([self._etas[number] for number in sorted(self._etas)])
        if etas.size < 2:
            return
        path = self._folder / file_name(str(start["series_uid"])) / f"{start['uid']}.json"
        try:
            self._write(path, str(start["uid"]), etas)
        except Exception:
            logger.exception("the truth of %s could not be noted", start["uid"])
