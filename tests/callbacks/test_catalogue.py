"""What the catalogue says of analysed and unanalysed scans."""

from types import SimpleNamespace

from callbacks.catalogue import derived_runs, unanalysed_runs


class Runs(dict):
    """Stored runs by uid, as a Tiled client gives them."""

    def search(self, query):
        head, key = query.key.split(".")
        return Runs({uid: run for uid, run in self.items() if run.metadata[head].get(key) == query.value})


def stored(uid, stop="success", **start):
    metadata = {"start": {"uid": uid, "time": 0.0, **start}}
    if stop:
        metadata["stop"] = {"exit_status": stop}
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
