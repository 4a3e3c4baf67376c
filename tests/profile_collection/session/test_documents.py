"""Every document, wherever it comes from, keeps event-model's schemas."""

import contextlib

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from callbacks.catalogue import derived_runs
from callbacks.journal.journal import keep, left_behind
from callbacks.journal.recovery import scan_documents
from callbacks.journal.reingest import contents, reingest, stored_documents
from vo2_plans import EtaWindow

WINDOW = EtaWindow(17.76, 17.84, 0.02, 30.0)


def check(documents):
    """Validate documents; a run is complete only from its start to its stop."""
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    names = [name for name, _ in documents]
    assert (names[0], names[-1]) == ("start", "stop")
    assert {"descriptor", "event"} <= set(names)


@pytest.fixture(scope="module")
def emitted(served):
    """Keep what a session emits, for the tests of this module."""
    return {}


@pytest.fixture
def measured(served, make_session, emitted):
    """Return the documents of each run of a short series, as emitted, and a session on its catalogue."""
    session = make_session(served)
    if not emitted:
        live = []
        session.RE.subscribe(lambda name, doc: live.append((name, dict(doc))))
        uids = session.RE(
            session.temperature_series([320.0, 333.0], WINDOW, locate=False)
        )  # 333: its analysis fails
        session.drain()
        for uid in uids:
            emitted[uid] = of_run(live, uid)
    return emitted, session


def of_run(documents, uid):
    mine = {uid} | {doc["uid"] for name, doc in documents if name == "descriptor" and doc["run_start"] == uid}
    return [
        (name, doc)
        for name, doc in documents
        if mine & {doc.get("run_start"), doc.get("descriptor"), doc["uid"] if name == "start" else None}
    ]


def test_live_replayed_and_derived_documents_keep_the_schemas(measured):
    runs, session = measured
    kinds = set()
    for uid, live in runs.items():
        check(live)
        check(stored_documents(session.catalogue.raw.v3, uid))
        kinds |= {name for name, _ in live}
        for derived in derived_runs(session.catalogue, uid):
            documents = [(name, dict(doc)) for name, doc in derived.documents()]
            if derived.stop["exit_status"] == "success":
                check(documents)
            else:  # a failed analysis has a reason and no numbers
                assert [name for name, _ in documents] == ["start", "stop"]
                for name, doc in documents:
                    schema_validators[DocumentNames[name]].validate(doc)
    assert {"stream_resource", "stream_datum"} <= kinds
    purposes = [live[0][1]["purpose"] for live in runs.values()]
    assert purposes.count("rocking") == 2


def test_documents_made_from_a_frame_file_keep_the_schemas(tmp_path):
    columns = {"eta": np.arange(3.0), "Tsample": np.full(3, 320.0)}
    start = {"uid": "a", "time": 1.0, "purpose": "rocking"}
    check(list(scan_documents(start, tmp_path / "a.h5", (4, 5), columns, baseline={"mu": 0.0})))


def test_a_run_from_its_journal_keeps_the_schemas_and_is_the_run_that_was_measured(measured, tmp_path):
    runs, session = measured
    raw = session.catalogue.raw.v3
    uid, live = next((uid, live) for uid, live in runs.items() if live[0][1]["purpose"] == "rocking")
    keep(tmp_path / "whole.jsonl", live)
    (kept,) = left_behind(tmp_path)
    check(list(kept.documents))
    assert [one.outcome for one in reingest(session.catalogue.raw, tmp_path)] == ["known"]
    raw[uid].delete(recursive=True, external_only=False)
    keep(tmp_path / "whole.jsonl", live)
    assert [one.outcome for one in reingest(session.catalogue.raw, tmp_path)] == ["stored"]
    again = stored_documents(raw, uid)
    check(again)
    assert contents(again) == contents(live)
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_half_written_run_is_replaced_and_a_journal_cut_short_is_left_alone(measured, tmp_path):
    runs, session = measured
    raw = session.catalogue.raw.v3
    uid, live = next((uid, live) for uid, live in runs.items() if live[0][1]["purpose"] == "rocking")
    raw[uid].delete(recursive=True, external_only=False)
    from bluesky_tiled_plugins import TiledWriter

    writer = TiledWriter(session.catalogue.raw, batch_size=1)
    for name, doc in live[: len(live) // 2]:
        writer(name, dict(doc))
    assert contents(stored_documents(raw, uid)) != contents(live)
    keep(tmp_path / "cut.jsonl", live)
    whole = (tmp_path / "cut.jsonl").read_text()
    (tmp_path / "cut.jsonl").write_text(whole[: len(whole) * 2 // 3])
    assert [one.outcome for one in reingest(session.catalogue.raw, tmp_path)] == ["unfinished"]
    (tmp_path / "cut.jsonl").write_text("no document\n")
    assert [one.outcome for one in reingest(session.catalogue.raw, tmp_path)] == ["failed"]
    (tmp_path / "cut.jsonl").write_text(whole)
    assert [one.outcome for one in reingest(session.catalogue.raw, tmp_path)] == ["stored"]
    assert contents(stored_documents(raw, uid)) == contents(live)


def test_a_journal_that_is_being_written_is_not_touched(measured, tmp_path):
    from callbacks.journal.journal import Journal

    _, session = measured
    with contextlib.closing(Journal(tmp_path / "live.jsonl")) as journal:
        journal.note("start", {"uid": "0123456789", "time": 1.0})
        assert reingest(session.catalogue.raw, tmp_path) == []
        assert journal.path.stat().st_mode & 0o077 == 0
    assert [one.outcome for one in reingest(session.catalogue.raw, tmp_path)] == ["unfinished"]
