"""The writer without a server: nothing reaches the RunEngine, and every document is kept somewhere."""

import socket
from types import SimpleNamespace

import pytest

from callbacks.catalogue import Address
from callbacks.journal.catalogue_writer import CatalogueWriter
from callbacks.journal.journal import left_behind


@pytest.fixture
def dead_catalogue():
    """Return a catalogue at a port where nobody listens; opening one of its halves would fail the test."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return SimpleNamespace(address=Address(f"http://127.0.0.1:{port}", "key"))


@pytest.fixture
def writing(dead_catalogue, tmp_path):
    """Return a writer and what it said."""
    said, revived = [], []
    writer = CatalogueWriter(
        dead_catalogue,
        tmp_path / "backup",
        batch_size=1,
        warn=said.append,
        say=said.append,
        revive=lambda: revived.append(True),
    )
    yield SimpleNamespace(writer=writer, said=said, revived=revived, folder=tmp_path / "backup")
    writer.close()


def feed(writing, documents):
    for name, doc in documents:
        writing.writer(name, doc)


def test_where_nobody_listens_every_document_is_kept_and_one_sentence_said(writing, documents, frame_file):
    stream = documents(frame_file, 5)
    feed(writing, stream)
    (kept,) = left_behind(writing.folder)
    assert list(kept.documents) == stream
    assert (kept.ended, kept.path.stem) == (True, stream[0][1]["uid"])
    (sentence,) = writing.said
    assert "the measurement goes on" in sentence
    assert "key" not in sentence
    assert not writing.writer.wait_for_revival(30)
    assert writing.revived == [True]


def test_two_runs_at_once_are_kept_apart(writing, documents, frame_file):
    one, two = documents(frame_file, 5), documents(frame_file, 5)
    for pair in zip(one, two, strict=True):
        feed(writing, pair)
    kept = {run.start["uid"]: list(run.documents) for run in left_behind(writing.folder)}
    assert kept == {one[0][1]["uid"]: one, two[0][1]["uid"]: two}


def test_without_a_place_for_journals_documents_wait_in_memory(writing, documents, frame_file):
    writing.folder.write_text("a file where the folder should be")
    stream = documents(frame_file, 5)
    feed(writing, stream)
    assert any("are in memory alone until there is room" in sentence for sentence in writing.said)
    writing.folder.unlink()
    writing.writer.save_unsaved()
    (kept,) = left_behind(writing.folder)
    assert list(kept.documents) == stream


@pytest.mark.parametrize("name", ["start", "descriptor", "event", "stream_datum", "stop"])
def test_a_malformed_document_never_reaches_the_run_engine(writing, documents, frame_file, name):
    stream = documents(frame_file, 5)
    feed(writing, [(kind, {"odd": object()} if kind == name else doc) for kind, doc in stream])
    assert any("could not be kept" in sentence for sentence in writing.said)
