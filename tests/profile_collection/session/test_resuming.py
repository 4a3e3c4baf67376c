"""Going on with a series: what counts as complete, what is repeated, and what is refused."""

import pytest

import vo2_plans
from callbacks.catalogue import UnknownRunError, derived_runs
from profile_collection.session.resuming import (
    PublishedOrder,
    fixed_by_decisions,
    is_complete,
    series_progress,
)
from vo2_plans import AdaptiveSettings, EtaWindow, SeriesProgress
from vo2_plans.scan_guard import Finding, ScanGuard

WINDOW = EtaWindow(17.76, 17.84, 0.02, 10.0)


def test_a_run_is_complete_if_it_succeeded_with_all_its_points():
    start = {"scan": {"num": 5}}
    assert is_complete(start, {"exit_status": "success", "num_events": {"primary": 5}})
    assert not is_complete(start, None)
    assert not is_complete(start, {"exit_status": "abort", "num_events": {"primary": 5}})
    assert not is_complete(start, {"exit_status": "success", "num_events": {"primary": 4}})


def test_a_series_that_failed_is_resumed_to_its_end(served, make_session):
    """The heater gives up at the second of three temperatures, and is mended; the arm has lost its place."""
    session = make_session(served)
    session.twin.thermal.ceiling = 325.0
    with pytest.raises(RuntimeError, match="did not settle at 330"):
        session.RE(session.temperature_series([320.0, 330.0, 335.0], WINDOW, locate=False))
    uid = session.catalogue.raw.v3.values()[-1].start["series_uid"]
    session.twin.thermal.ceiling = float("inf")
    before = series_progress(session.catalogue, uid)
    assert (list(before.complete), before.attempts) == ([0], {0: 1})
    delta = session.beamline.diffractometer.delta
    assert before.pose["delta"] == pytest.approx(delta.position)
    assert before.pose["eta"] == pytest.approx(17.8, abs=0.05)
    delta.move(delta.position - 1.0, wait=True)

    uids = session.RE(session.temperature_series(resume=uid))
    session.drain()
    after = series_progress(session.catalogue, uid)
    assert sorted(after.complete) == [0, 1, 2]
    assert after.complete[0] == before.complete[0]
    assert set(after.complete.values()) - set(before.complete.values()) <= set(uids)
    assert after.attempts == {0: 1, 1: 1, 2: 1}
    assert after.pose["delta"] == pytest.approx(before.pose["delta"], abs=0.05)
    assert [len(derived_runs(session.catalogue, run)) for run in after.complete.values()] == [1, 1, 1]
    runs = [session.catalogue.raw.v3[run].start for run in after.complete.values()]
    assert {run["series_uid"] for run in runs} == {uid}
    assert {run["series_size"] for run in runs} == {3}
    assert {run["branch"] for run in runs} == {"heating"}

    assert session.RE(session.temperature_series(resume=uid)) == ()
    assert "is complete: nothing is left to measure" in session.view.console.file.getvalue()


def test_a_scan_that_its_guard_wants_again_is_measured_again_when_the_series_goes_on(
    served, make_session, monkeypatch
):
    """The detector fails between the guard's decision and the second attempt."""
    session = make_session(served)
    objections = [(Finding("made up", "retake"),)]
    monkeypatch.setattr(ScanGuard, "findings", lambda self, window: objections.pop() if objections else ())
    expose, detector = session.twin.expose, session.twin

    def break_down(exposure_time, cancel=None):
        raise OSError("the read-out electronics do not answer")

    def after_the_decision(name, doc):
        if name == "stop" and "made up" in str(doc.get("reason")):
            detector.expose = break_down

    token = session.RE.subscribe(after_the_decision)
    with pytest.raises(RuntimeError, match="read-out electronics"):
        session.RE(session.temperature_series([320.0], WINDOW, locate=False, guard="mend"))
    session.RE.unsubscribe(token)
    detector.expose = expose
    before = series_progress(session.catalogue, "-1")
    assert (before.complete, before.attempts[0]) == ({}, 2)
    assert before.arguments["guard"] == "mend"
    session.RE(session.temperature_series(resume=-1))
    session.drain()
    after = series_progress(session.catalogue, before.series_uid)
    assert session.catalogue.raw.v3[after.complete[0]].start["attempt"] == 3


def test_an_adaptive_series_is_resumed_with_the_same_decisions(served, make_session):
    session = make_session(served)
    session.twin.thermal.ceiling = 322.0
    asked = AdaptiveSettings(320.0, 330.0, max_step=5.0, hours=0.13, patience=0.0)
    with pytest.raises(RuntimeError, match="did not settle at 325"):
        session.RE(session.adaptive_temperature_series(asked, WINDOW, locate=False, pre_expose=False))
    uid = session.catalogue.raw.v3.values()[-1].start["series_uid"]
    session.twin.thermal.ceiling = float("inf")
    before = series_progress(session.catalogue, uid)
    assert {index: one["temperature"] for index, one in before.decisions.items()} == {0: 320.0, 1: 325.0}
    assert (before.arguments["plan"], list(before.complete)) == ("adaptive_temperature_series", [0])

    session.RE(session.temperature_series(resume=uid))
    session.drain()
    after = series_progress(session.catalogue, uid)
    assert {index: after.decisions[index] for index in before.decisions} == before.decisions
    assert after.decisions[3]["action"] == "end"
    assert sorted(after.complete) == [0, 1, 2]
    runs = [session.catalogue.raw.v3[run].start for run in after.complete.values()]
    assert [run["temperature_setpoint"] for run in runs] == [320.0, 325.0, 330.0]
    assert fixed_by_decisions(after).arguments["temperatures"] == [320.0, 325.0, 330.0]


def test_what_is_published_is_read_from_the_folder_with_the_error_that_the_figure_shows(tmp_path):
    published = PublishedOrder(lambda uid: tmp_path / uid)
    assert published("s") == []
    (tmp_path / "s" / "scans").mkdir(parents=True)
    (tmp_path / "s" / "order_parameter.csv").write_text(
        "series_index,order_parameter_rad,bootstrap_error_rad,seed_spread_rad,repeat_error_rad,trusted,reasons\n"
        "0,0.0,0.0,,,True,\n1,-5.5,4.0,3.0,2.0,True,\n2,-9.0,4.0,,6.0,False,too few counts\n"
    )
    (tmp_path / "s" / "scans" / "x.failed.json").write_text('{"series_index": 3, "error": "no peak"}')
    found = published("s")
    assert [(one.index, one.value, one.error) for one in found[:3]] == [
        (0, 0.0, 0.0),
        (1, -5.5, 3.0),
        (2, -9.0, 6.0),
    ]
    assert [(one.trusted, one.reason) for one in found[2:]] == [(False, "too few counts"), (False, "no peak")]


def test_what_cannot_be_resumed_is_refused_in_words(served, make_session):
    session = make_session(served)
    with pytest.raises(UnknownRunError, match="'20250101-nothing' came"):
        session.RE(session.temperature_series(resume="20250101-nothing"))
    with pytest.raises(ValueError, match="resume is given "):
        session.RE(session.temperature_series([320.0], resume="-1"))
    progress = SeriesProgress("s", setup={"sample": "X"})
    with pytest.raises(ValueError, match=r"sample was 'X' and is 'VO2 nanocrystal'. Open the session as"):
        session.RE(vo2_plans.temperature_series(session.beamline, [320.0], WINDOW, progress=progress))
