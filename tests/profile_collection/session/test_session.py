"""A session of real devices, RunEngine and server; only the analysis stands in."""

import os
import subprocess
import sys

import numpy as np
import pytest

from callbacks.catalogue import UnknownRunError, derived_runs, unanalysed_runs
from profile_collection.session.session import open_session
from profile_collection.session.startup_checks import StartupError, check_start
from profile_collection.session.storage import TruthRecorder
from vo2_plans import EtaWindow

WINDOW = EtaWindow(17.76, 17.84, 0.02, 30.0)
POINTS = 5


def measure(session, temperatures):
    """Return the uids of the rocking scans of a small series."""
    uids = session.RE(session.temperature_series(temperatures, WINDOW, locate=False))
    session.drain()
    return [uid for uid in uids if session.catalogue.raw.v3[uid].start["purpose"] == "rocking"]


def shown(session):
    return session.view.console.file.getvalue()


@pytest.fixture
def session(served, make_session):
    return make_session(served)


def test_a_series_is_stored_analysed_published_and_replayed(session, served, make_session):
    first, second = measure(session, [320.0, 330.0])

    # databroker's facade: the last measurement, whatever was derived from it.
    header = session.db[-1]
    assert header.start["uid"] == second
    assert len(header.table()) == POINTS

    # After that, clients of this process turn V2; ours must not.
    for uid in (first, second):
        run = session.catalogue.raw.v3[uid]
        frames = run["primary/merlin_image"].read()
        assert frames.shape == (POINTS, 24, 24)
        (derived,) = derived_runs(session.catalogue, uid)
        assert derived.start["parent_run_uid"] == uid
        assert derived.start["versions"] == {"fake": "1"}
        total = derived["order_parameter/order_parameter"].read()[0]
        assert total == frames.sum()

    live = {s.run_uid: s.order[0].value for s in session.pipeline.summaries}
    series = session.catalogue.raw.v3[first].start["series_uid"]
    assert session.replay(header)[0].value == pytest.approx(live[second], rel=1e-12)
    assert session.replay(second[:12])[0].value == pytest.approx(live[second], rel=1e-12)
    assert session.replay(series)[0].value == pytest.approx(live[second], rel=1e-12)
    assert session.replay(-1)[0].value == pytest.approx(live[second], rel=1e-12)
    replayed = derived_runs(session.catalogue, first)[-1]
    assert replayed.start["replayed"] is True

    text = shown(session)
    assert "320 K heating" in text
    assert f"measured {POINTS} points" in text
    assert (served.data / "truth" / series / f"{first}.json").exists()


def test_a_failing_analysis_is_a_document_and_a_red_line_and_the_series_goes_on(session):
    first, second = measure(session, [333.0, 336.0])
    (failure,) = derived_runs(session.catalogue, first)
    assert failure.stop["exit_status"] == "fail"
    assert failure.stop["reason"] == "this temperature always fails"
    assert derived_runs(session.catalogue, second)[0].stop["exit_status"] == "success"
    assert "✗ 333 K heating  analysis failed: this temperature always fails" in shown(session)


def test_a_series_uid_that_leads_elsewhere_is_refused_before_anything_is_stored(session, served):
    """Metadata come with `RE(...)` in IPython, and with `meta` over the queue server."""
    stored = len(session.catalogue.raw.v3)
    with pytest.raises(ValueError, match=r"'\.\./\.\./x' came"):
        session.RE(session.temperature_series([320.0], WINDOW, locate=False), series_uid="../../x")
    assert len(session.catalogue.raw.v3) == stored
    assert not (served.data.parent / "x").exists()


def test_an_unknown_uid_is_refused_in_words(session):
    with pytest.raises(UnknownRunError, match="'20250101-nothing' came"):
        session.replay("20250101-nothing")
    with pytest.raises(UnknownRunError, match="12345 came"):
        session.replay(12345)


def test_there_is_one_session_at_a_time_and_the_other_is_named(session, served):
    code = "from profile_collection.session.session import open_session; open_session()"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | served.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert other.returncode != 0
    assert f"another session measures into {served.data}: process" in other.stderr
    assert "VO2_DATA" in other.stderr


def test_scan_ids_go_on_from_the_catalogue_after_the_store_was_damaged(served, make_session):
    session = make_session(served)
    (uid,) = measure(session, [321.0])
    before = session.catalogue.raw.v3[uid].start["scan_id"]
    session.close()
    store = served.private / "md"
    for path in store.rglob("*"):
        if path.is_file():
            path.write_bytes(b"\xc1 no msgpack")
    again = make_session(served)
    (uid,) = measure(again, [321.0])
    assert again.catalogue.raw.v3[uid].start["scan_id"] > before
    assert "could not be read" in shown(again)
    assert list(served.private.glob("md.damaged-*"))


def test_the_shutter_is_closed_at_the_start_and_at_the_end(session):
    assert not session.twin.shutter_open
    session.twin.shutter_open = True
    session.close()
    assert not session.twin.shutter_open


def test_what_a_session_left_undone_is_named_with_its_command(served, make_session):
    session = make_session(served)
    before = len(unanalysed_runs(session.catalogue))
    session.pipeline.queue.submit = lambda job: None  # as if killed before the analysis
    session.pipeline.collector._submit = lambda job: None
    measure(session, [322.0])
    session.close()
    again = make_session(served)
    assert f"{before + 1} stored scans are not analysed yet; do it: vo2 replay --pending" in shown(again)


@pytest.mark.parametrize("value", [{1, 2}, object(), 1 + 2j])
def test_metadata_that_cannot_be_stored_are_refused_before_the_run(value):
    """bluesky/bluesky#1913, DiamondLightSource/blueapi#808."""
    check_start({"uid": "a", "series_uid": "s", "sizes": np.arange(3), "note": [1, "two", None]})
    with pytest.raises(ValueError, match="metadata must be numbers, text, lists.*'note' is"):
        check_start({"uid": "a", "note": value})


def test_a_startup_error_shows_as_one_red_line():
    (line,) = StartupError("the disk is full", "free some space")._render_traceback_()
    assert line.startswith("\x1b[1;31m")
    assert "the disk is full; free some space" in line
    assert "\n" not in line


def test_an_analysis_that_does_not_exist_is_refused_at_startup(served, make_session):
    settings = served.changed(analysis="callbacks.worker:nothing")
    with pytest.raises(StartupError, match="an importable 'module:function' was expected"):
        open_session(settings)


def test_truth_that_cannot_be_written_does_not_reach_the_run_engine(tmp_path):
    recorder = TruthRecorder(lambda *_: 1 / 0, tmp_path)
    recorder("start", {"uid": "a", "purpose": "rocking", "series_uid": "s"})
    for number in (1, 2):
        recorder("event", {"seq_num": number, "data": {"eta": 1.0, "Tsample": 320.0}})
    recorder("stop", {"run_start": "a"})
