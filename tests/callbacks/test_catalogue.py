"""What the catalogue says of analysed and unanalysed scans."""

from types import SimpleNamespace

import httpx
import numpy as np
import pyarrow as pa
import pytest
from bluesky_tiled_plugins.writing.tiled_writer import _RunWriter

from callbacks import catalogue as catalogue_module
from callbacks.catalogue import derived_runs, server_said, tiled_writer, unanalysed_runs


class Runs(dict):
    """Stored runs by uid, as a Tiled client gives them."""

    def search(self, query):
        head, key = query.key.split(".")
        return Runs({uid: run for uid, run in self.items() if run.metadata[head].get(key) == query.value})


def stored(uid, stop="success", points=0, **start):
    metadata = {"start": {"uid": uid, "time": 0.0, **start}}
    if stop:
        metadata["stop"] = {"exit_status": stop, "num_events": {"primary": points}}
    return uid, SimpleNamespace(metadata=metadata)


def halves(raw, processed):
    return SimpleNamespace(raw=SimpleNamespace(v3=raw), processed=SimpleNamespace(v3=processed))


def test_a_scan_with_an_early_result_or_a_preview_alone_is_not_analysed():
    raw = Runs([stored(uid, purpose="rocking") for uid in "abcd"])
    results = [
        stored("w", parent_run_uid="a", stage="early"),
        stored("x", parent_run_uid="b", stage="preview"),
        stored("y", parent_run_uid="c", stage="final"),
        stored("z", parent_run_uid="d"),  # of before there were stages
    ]
    catalogue = halves(raw, Runs(results))
    assert [start["uid"] for start in unanalysed_runs(catalogue)] == ["a", "b"]
    assert derived_runs(catalogue, "a") == []
    assert [run.metadata["start"]["uid"] for run in derived_runs(catalogue, "a", "early")] == ["w"]
    assert len(derived_runs(catalogue, "c")) == len(derived_runs(catalogue, "d")) == 1


def test_a_result_whose_writer_was_killed_does_not_count():
    raw = Runs(
        [stored("a", purpose="rocking"), stored("b", purpose="rocking"), stored("c", None, purpose="rocking")]
    )
    processed = Runs([stored("x", None, parent_run_uid="a"), stored("y", parent_run_uid="b")])
    catalogue = halves(raw, processed)
    assert [start["uid"] for start in unanalysed_runs(catalogue)] == ["a"]
    assert derived_runs(catalogue, "a") == []
    assert [run.metadata["start"]["uid"] for run in derived_runs(catalogue, "b")] == ["y"]


def test_a_scan_that_was_stopped_waits_for_its_analysis_if_it_has_points_enough():
    scan = {"purpose": "rocking", "scan": {"num": 101}}
    raw = Runs(
        [
            stored("whole", points=101, **scan),
            stored("aborted", "abort", points=85, **scan),
            stored("stopped", points=85, **scan),
            stored("few", "abort", points=40, **scan),
            stored("few and a success", points=40, **scan),
            stored("running", None, **scan),
        ]
    )
    waiting = [start["uid"] for start in unanalysed_runs(halves(raw, Runs()))]
    assert waiting == ["whole", "aborted", "stopped"]


class Table:
    """A table of a server that fails in one way, then in the next, then works."""

    def __init__(self, *failures):
        self.rows, self._failures = [], list(failures)

    def append_partition(self, partition, rows):
        """Store, fail, or both."""
        failure = self._failures.pop(0) if self._failures else "none"
        if failure in ("none", "stored and 500", "stored and silent"):
            self.rows += rows["seq_num"].to_pylist()
        if failure in ("stored and silent", "silent"):
            raise httpx.ReadTimeout("no answer")
        if failure != "none":
            reply = httpx.Response(
                400 if failure == "400" else 500, request=httpx.Request("PATCH", "http://a")
            )
            reply.raise_for_status()

    def read(self, columns):
        """Return the stored rows as pandas would."""
        return {name: np.array(self.rows) for name in columns}


@pytest.fixture
def append(monkeypatch):
    """Return how our writers append rows, without the waits."""
    monkeypatch.setattr(catalogue_module, "APPEND_AGAIN", (0.0, 0.0))
    tiled_writer(SimpleNamespace(include_data_sources=SimpleNamespace))
    return lambda table, *numbers: _RunWriter._append_with_retry(
        None, table, pa.table({"seq_num": list(numbers)}), "primary"
    )


@pytest.mark.parametrize(
    "failures", [(), ("stored and 500",), ("500",), ("500", "500"), ("500", "stored and 500")]
)
def test_rows_of_a_server_that_fails_before_or_after_storing_are_there_once(append, failures):
    table = Table(*failures)
    append(table, 1, 2)
    append(table, 3)
    assert table.rows == [1, 2, 3]


@pytest.mark.parametrize("failures", [("silent",), ("stored and silent",), ("400",), ("500", "500", "500")])
def test_what_became_of_rows_that_nobody_answered_for_is_not_guessed(append, failures):
    table = Table(*failures)
    with pytest.raises(httpx.HTTPError):
        append(table, 1)
    assert len(table.rows) <= 1


def test_an_error_of_the_server_is_one_line():
    error = httpx.HTTPStatusError("500 Internal\nmore", request=None, response=None)
    assert server_said(error).startswith("the catalogue's server could not do what was asked (500 Internal);")
    assert "\n" not in server_said(error)
    assert server_said(ValueError("no")) is None
