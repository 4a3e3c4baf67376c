"""Scans with fewer points than asked for: whole where a decision ended them, and in no other case."""

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import event_model
import numpy as np
import pytest

from callbacks import analyse
from callbacks.catalogue import _can_be_analysed
from callbacks.collect import ScanCollector
from callbacks.frames import write_frames
from callbacks.jobs import ScanSummary, SoFar
from callbacks.journal import recovery
from callbacks.journal.recovery import StoredScan
from callbacks.monitor import sections
from callbacks.monitor.follower import Measured, Run
from callbacks.queue import AnalysisQueue
from callbacks.scan_end import decided_end, is_complete
from callbacks.shift_log import ShiftLog

WHY = "stopped at 12 of 20 points: the early results from 11 and 12 points are trusted"


def decision(points=12, action="stop", **changes):
    return {
        "decision_action": action,
        "decision_points": points,
        "decision_points_wanted": 20,
        "decision_rule": "trusted",
        "decision_reason": WHY,
        "decision_overlap": 0.99,
        "decision_inputs": "[]",
    } | changes


def shortened(documents, path, points=12, data=None, least=11, exit_status="success", reason=WHY):
    """Return the documents of a scan of 20 points that ended after some, by the decision `data` if given."""
    stream = documents(path, points, exit_status=exit_status)
    start = stream[0][1]
    start["scan"] = {**start["scan"], "num": 20} | ({} if least is None else {"least": least})
    start["stop_rule"] = {"name": "trusted", "overlap": 0.98}
    stream[-1][1]["reason"] = reason
    if data is not None:
        keys = {key: {"dtype": "string", "shape": [], "source": "x"} for key in data}
        described = {
            "uid": "d",
            "run_start": start["uid"],
            "name": "decisions",
            "data_keys": keys,
            "time": 1.0,
        }
        event = {"uid": "e", "descriptor": "d", "seq_num": 1, "data": data, "timestamps": {}, "time": 3.0}
        stream[-1:-1] = [("descriptor", described), ("event", event)]
        stream[-1][1]["num_events"] = {"baseline": 1, "primary": points, "decisions": 1}
    return stream


@pytest.fixture
def long_file(tmp_path):
    """Return a file of 20 frames."""
    path = tmp_path / "frames" / "long.h5"
    path.parent.mkdir()
    write_frames(path, np.ones((20, 4, 5), dtype=np.uint32), {}, {})
    return path


def feed(collecting, stream):
    for name, doc in stream:
        collecting.collector(name, doc)
    return collecting


def test_a_scan_that_a_decision_ended_is_handed_on_as_whole(collecting, documents, long_file):
    feed(collecting, shortened(documents, long_file, data=decision()))
    (job,) = collecting.jobs
    assert (job.stage, len(job.eta), job.incomplete, job.notes) == ("final", 12, False, (WHY,))


def test_the_decision_may_come_before_the_points_as_a_replay_may_have_it(collecting, documents, long_file):
    stream = shortened(documents, long_file, data=decision())
    first = [one for one in stream if one[1].get("descriptor") == "d" or one[1]["uid"] == "d"]
    rest = [one for one in stream if one not in first]
    feed(collecting, [rest[0], *first, *rest[1:]])
    (job,) = collecting.jobs
    assert not job.incomplete


@pytest.mark.parametrize(
    "changed",
    [
        {"data": None},  # documents are missing
        {"data": decision(action="measure the rest")},
        {"data": decision(points=13)},  # a point after it is lost
        {"data": decision(), "least": 15},
        {"data": decision(), "least": None},
        {"data": decision(), "exit_status": "abort"},
    ],
)
def test_in_no_other_case_are_fewer_points_a_whole_scan(collecting, documents, long_file, changed):
    feed(collecting, shortened(documents, long_file, **changed))
    (job,) = collecting.jobs
    assert job.incomplete
    assert job.notes == ("incomplete: the scan was stopped after 12 of 20 points",)


def test_too_few_points_are_refused_without_a_decision(collecting, documents, long_file):
    feed(collecting, shortened(documents, long_file, points=9, data=decision(points=12)))
    assert collecting.jobs == []
    assert "20 points were asked for and 9 came" in collecting.remarks[0]


def test_a_stored_scan_is_complete_by_its_start_and_stop(documents, long_file):
    stream = shortened(documents, long_file, data=decision())
    start, stop = stream[0][1], stream[-1][1]
    assert decided_end(start, stop) == WHY
    assert is_complete(start, stop)
    assert _can_be_analysed(start, stop)
    for changed in (
        {"exit_status": "abort"},
        {"reason": ""},
        {"reason": WHY.replace("12", "13")},
        {"num_events": {"primary": 12}},
        {"num_events": {"primary": 10, "decisions": 1}},
    ):
        assert not is_complete(start, {**stop, **changed})
    assert not is_complete({**start, "scan": {"num": 20}}, stop)
    assert not is_complete(start, None)


def test_a_scan_that_may_end_early_has_early_results_though_the_session_makes_none(
    tmp_path, documents, long_file
):
    from callbacks.collect import EarlyRule

    for until, stages in ((EarlyRule(least_left=0.0), ["early", "early", "final"]), (None, ["final"])):
        jobs = []
        collector = ScanCollector(
            jobs.append,
            warn=lambda message: None,
            folder_of=lambda uid: tmp_path / uid,
            folders=[long_file.parent],
            until=until,
        )
        feed(SimpleNamespace(collector=collector), shortened(documents, long_file, data=decision()))
        assert [job.stage for job in jobs] == stages
    jobs.clear()
    for name, doc in documents(long_file, 20):
        collector(name, doc)
    assert [job.stage for job in jobs] == ["final"]


class Done:
    """An executor that has done a job as soon as it has it."""

    def submit(self, function, *args):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(*args))
        return future

    def shutdown(self, **options):
        pass


def test_early_results_go_on_until_they_agree_as_closely_as_the_rule_asks(listener, job):
    overlaps = iter([0.97, 0.985, 0.99])

    def early(one, address):
        so_far = SoFar(12, 20, next(overlaps), covered=True)
        return ScanSummary(
            one.run_uid, one.series_uid, 320.0, "heating", 1, trusted=True, stage="early", so_far=so_far
        )

    queue = AnalysisQueue(early, Done, listener=listener, beside=early)
    asked = replace(job, start={**job.start, "stop_rule": {"overlap": 0.98}}, stage="early")
    for _ in range(3):
        queue.submit(asked)
    assert [one.so_far.overlap for one in listener.others] == [0.97, 0.985]
    queue.close()


@pytest.mark.parametrize(
    ("known", "complete"), [(decision(), True), (decision(points=13), False), (None, False)]
)
def test_a_scan_whose_session_was_killed_after_the_decision_is_recovered_as_whole(
    monkeypatch, tmp_path, documents, long_file, collecting, known, complete
):
    """The session died between decision and stop document; the frame file has all points."""
    stored = shortened(documents, long_file, data=known)[:-1]
    start, written = stored[0][1], []
    columns = {
        name: np.full(12, value) for name, value in {"eta": 17.0, "Tsample": 320.0, "ic1monitor": 1.0}.items()
    }
    scan = StoredScan(long_file, start, (4, 5), columns, np.arange(12.0) + start["time"], {"mu": 0.0})
    catalogue = SimpleNamespace(raw=SimpleNamespace(v3=None))
    monkeypatch.setattr(recovery, "stored_documents", lambda container, uid: stored)
    monkeypatch.setattr(recovery, "replace_run", lambda container, uid, docs: written.extend(docs))
    found = recovery.recover(catalogue, scan, tmp_path / "backup")
    assert (found.after, found.complete) == (12, complete)
    for name, doc in written:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)
    stop = written[-1][1]
    assert is_complete(start, stop) is complete
    (job,) = feed(collecting, written).jobs
    assert job.incomplete is not complete
    if complete:
        assert stop["reason"].startswith(WHY)
        assert "restored from long.h5" in stop["reason"]


def test_progress_shows_the_points_and_not_that_some_are_missing(tmp_path, documents, long_file):
    stream = shortened(documents, long_file, data=decision())
    start, stop = dict(stream[0][1], series_size=2), stream[-1][1]
    run = Run(start)
    run.stop, run.points = stop, {n: {"time": start["time"] + n} for n in range(1, 13)}
    found = sections.progress(Measured(runs={run.uid: run}), SimpleNamespace(record={}, failures={}))
    assert (found["points"], found["size"], found["scan_share"], found["share"]) == (12, 20, 1.0, 0.5)
    assert found["activity"] == "between scans, after 320 K, stopped at 12 of 20 points"
    run.stop = {**stop, "reason": ""}
    found = sections.progress(Measured(runs={run.uid: run}), SimpleNamespace(record={}, failures={}))
    assert (found["scan_share"], found["activity"]) == (0.6, "between scans, after 320 K")
    log = ShiftLog(lambda uid: tmp_path / uid)
    for name, doc in stream:
        log(name, doc)
    text = next(tmp_path.glob("2026*/*.md")).read_text()
    assert "11 to 20 points" in text
    assert f"12 of 20 points measured, **decided**: {WHY}" in text


@pytest.mark.parametrize(("stage", "refused"), [("early", False), ("final", True)])
def test_only_a_scan_that_was_broken_off_needs_a_quarter_of_the_crop_behind_its_peak(
    job, monkeypatch, stage, refused
):
    """An early result needs an eighth, as `analyse_early` says."""
    asked = []
    monkeypatch.setattr(analyse, "scan_geometry", lambda job: None)
    monkeypatch.setattr(analyse, "known_bad_pixels", lambda job, geometry: None)
    monkeypatch.setattr(analyse, "open_frames", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(analyse, "locate_scan", lambda *_, stopped_early, **__: asked.append(stopped_early))
    with analyse.located(replace(job, incomplete=True, stage=stage)):
        pass
    assert asked == [refused]
