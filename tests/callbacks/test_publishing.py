from dataclasses import replace

from event_model import DocumentNames, schema_validators

from callbacks.jobs import OrderPoint, ScanSummary, SoFar, failed
from callbacks.publish import derived_documents


def summary_of(job, **changes):
    order = tuple(OrderPoint(f"uid-{n}", 320.0 + n, 0.5 * n, 0.1, n > 0, "because" * n) for n in range(3))
    names = job.run_uid, job.series_uid
    return replace(ScanSummary(*names, 320.0, "heating", 1, 320.1, 0.01, 1.1, 2e-4, order, True), **changes)


def test_a_derived_run_is_valid_and_names_its_parent(job):
    documents = derived_documents(job, summary_of(job), {"weights_hash": "abc"})
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    start = documents[0][1]
    assert start["parent_run_uid"] == job.run_uid
    assert start["series_uid"] == job.series_uid
    assert (start["purpose"], start["weights_hash"], start["simulated"]) == ("analysis", "abc", True)
    rows = [doc["data"] for name, doc in documents if name == "event"]
    assert rows[0]["chi_squared"] == 0.01
    assert [row["order_parameter"] for row in rows[1:]] == [0.0, 0.5, 1.0]
    assert [row["provisional"] for row in rows[1:]] == [False, True, True]


def test_a_failure_is_a_run_that_failed_with_the_reason(job):
    documents = derived_documents(job, failed(job, "no peak was found"), {})
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    assert [name for name, _ in documents] == ["start", "stop"]
    assert documents[-1][1]["exit_status"] == "fail"
    assert documents[-1][1]["reason"] == "no peak was found"


def test_a_derived_run_says_its_stage_and_an_early_one_how_far_it_has_come(job):
    final = derived_documents(job, summary_of(job), {})[0][1]
    assert (final["stage"], "caption" in final) == ("final", False)
    preview = derived_documents(replace(job, stage="preview"), summary_of(job, order=()), {})[0][1]
    assert preview["stage"] == "preview"
    assert "guess" in preview["caption"]
    so_far = SoFar(points=126, wanted=221, overlap=0.99, covered=False)
    early = derived_documents(replace(job, stage="early"), summary_of(job, order=(), so_far=so_far), {})
    for name, doc in early:
        schema_validators[DocumentNames[name]].validate(doc)
    (row,) = [doc["data"] for name, doc in early if name == "event"]
    assert (row["points"], row["points_wanted"], row["overlap_before"]) == (126, 221, 0.99)
    assert row["crop_covered"] is False
