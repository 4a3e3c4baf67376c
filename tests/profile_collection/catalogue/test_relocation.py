"""A data folder that is elsewhere now: moved with its server running, copied, a blank in its name."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from analysis.readers import Given, read_scans
from callbacks.ingest import Extras, checked, ingest_documents
from profile_collection.catalogue.addresses import relocate, relocated
from profile_collection.catalogue.client import ensure_server, status, stop_server
from profile_collection.session.storage import open_catalogue

THETA = Given(
    instrument="34idc",
    energy=9.0,
    distance=500.0,
    pixel_size=0.055,
    axis="th",
    start=-0.28,
    step=0.005,
    positions={"delta": 32.174, "gamma": 12.6346},
)
COUNTS = np.random.default_rng(2).poisson(5.0, (4, 6, 5))


@pytest.mark.parametrize(
    ("stored", "now"),
    [
        ("file://localhost/a/raw/frames/s/x.h5", "file://localhost/new%20place/data/raw/frames/s/x.h5"),
        ("file:///a%20b/c/raw/frames/s/x.h5", "file://localhost/new%20place/data/raw/frames/s/x.h5"),
        ("file://localhost/a/.vo2/arrays/k/0", "file://localhost/new%20place/data/.vo2/arrays/k/0"),
        ("sqlite://localhost//a b/.vo2/tables.db", "sqlite://localhost//new place/data/.vo2/tables.db"),
        ("file://localhost/elsewhere/x.h5", "file://localhost/elsewhere/x.h5"),
    ],
)
def test_an_address_inside_the_folder_follows_it_and_another_stays(stored, now):
    assert relocated(stored, Path("/new place/data")) == now
    assert relocated(now, Path("/new place/data")) == now


def test_a_catalogue_and_a_journal_are_put_right_once(tmp_path):
    private = tmp_path / ".vo2"
    (private / "backup").mkdir(parents=True)
    journal = private / "backup" / "a.jsonl"
    document = {"name": "stream_resource", "doc": {"uri": "file://localhost/old/raw/frames/s/x.h5"}}
    journal.write_text(json.dumps(document) + "\n")
    with contextlib.closing(sqlite3.connect(private / "catalog.db")) as database, database:
        database.execute("CREATE TABLE assets (id INTEGER, data_uri TEXT)")
        database.execute("INSERT INTO assets VALUES (1, 'sqlite://localhost//old/.vo2/tables.db')")
    assert relocate(tmp_path) == 2
    assert relocate(tmp_path) == 0
    assert json.loads(journal.read_text())["doc"]["uri"] == f"file://localhost{tmp_path}/raw/frames/s/x.h5"


@pytest.mark.slow
def test_a_moved_folder_is_read_where_it_is_and_a_copy_has_a_server_of_its_own(own_settings, tmp_path):
    np.savez(tmp_path / "scan.npz", counts=COUNTS)
    measured = tmp_path / "scan.npz"
    with contextlib.closing(open_catalogue(own_settings)) as catalogue:
        from bluesky_tiled_plugins import TiledWriter

        writer = TiledWriter(catalogue.raw.v3)
        ready = checked(read_scans(measured, THETA), Extras())
        for name, doc in ingest_documents(ready, own_settings.frames, name="gold"):
            writer(name, doc)
            uid = doc["uid"] if name == "start" else uid  # noqa: F821
    (tmp_path / "a copy").mkdir()
    copy = shutil.copytree(own_settings.data, tmp_path / "a copy" / "data")
    assert status(copy) is None
    moved = own_settings.data.rename(tmp_path / "moved data")
    try:
        for data in (moved, copy):
            with contextlib.closing(open_catalogue(own_settings.changed(data=data))) as catalogue:
                run = catalogue.raw.v3[uid]
                np.testing.assert_array_equal(run["primary/merlin_image"].read(), COUNTS)
                assert run["primary/th"].read()[1] == pytest.approx(-0.275)
        assert ensure_server(moved).pid != ensure_server(copy).pid
    finally:
        stop_server(moved)
        stop_server(copy)
