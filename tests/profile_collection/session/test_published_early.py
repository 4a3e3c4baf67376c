"""What a plan is told of a running scan's published early results, over a real catalogue."""

from pathlib import Path

import numpy as np
import pytest

from callbacks.catalogue import Address
from callbacks.jobs import ScanJob, ScanSummary, SoFar
from callbacks.publish import publish
from profile_collection.session.published_early import PublishedEarly, require_early_results
from profile_collection.session.settings import Settings
from profile_collection.session.storage import open_catalogue
from vo2_plans import EarlyReading, EtaWindow


def early(address, points, *, error="", run_uid="run-1", stage="early"):
    column = np.ones(points)
    job = ScanJob(
        start={"uid": run_uid, "series_uid": "s"},
        frame_file=Path("x.h5"),
        dataset="/data",
        frame_index=np.arange(points),
        eta=column,
        monitor=column,
        temperature=column,
        positions={},
        folder=Path("s"),
        stage=stage,
    )
    so_far = SoFar(points, 20, 0.9 + points / 1000, covered=points > 12) if stage == "early" else None
    publish(
        address,
        job,
        ScanSummary(run_uid, "s", 320.0, "heating", 1, trusted=True, stage=stage, so_far=so_far, error=error),
    )


def test_it_tells_what_is_published_of_the_scan_and_returns_at_once(served, eventually):
    catalogue = open_catalogue(served)
    reader = PublishedEarly(catalogue.address, every=0.05)
    early(catalogue.address, 14)
    early(catalogue.address, 12)
    early(catalogue.address, 15, error="the peak has not passed")
    early(catalogue.address, 16, run_uid="run-2")
    early(catalogue.address, 20, stage="final")
    assert reader("run-1") == []  # it has only begun to look
    found = eventually(lambda: reader("run-1"))
    first, second = found
    assert (first.points, first.trusted, first.covered) == (12, True, False)
    assert second == EarlyReading(14, trusted=True, overlap=pytest.approx(0.914), covered=True)
    early(catalogue.address, 17)
    assert [one.points for one in eventually(lambda: len(reader("run-1")) > 2 and reader("run-1"))] == [
        12,
        14,
        17,
    ]
    assert reader("run-2") == []
    assert [one.points for one in eventually(lambda: reader("run-2"))] == [16]
    reader.close()
    catalogue.close()


def test_a_catalogue_that_does_not_answer_ends_no_scan_and_raises_nothing(eventually):
    reader = PublishedEarly(Address("http://127.0.0.1:9/"), every=0.01)
    for _ in range(3):
        assert reader("run-1") == []
        eventually(lambda: not reader._looking.is_alive())
    reader.close()


def test_without_early_results_the_rule_is_refused_and_without_time_people_are_warned():
    said = []
    with pytest.raises(ValueError, match="VO2_EARLY_RESULTS=off"):
        require_early_results(Settings(early_results="off"), said.append)
    with pytest.raises(ValueError, match="the analysis 'other:one'"):
        require_early_results(Settings(analysis="other:one"), said.append)
    require_early_results(Settings(realtime=True), said.append)
    assert said == []
    require_early_results(Settings(), said.append)
    assert "may come too late" in said[0]


def test_a_series_resumes_by_its_rule_and_takes_no_other(served, make_session, monkeypatch):
    """The heater gives up at the second temperature; what is resumed asks for early results again."""
    monkeypatch.setattr("profile_collection.session.session.require_early_results", lambda *given: None)
    session, asked = make_session(served), []
    monkeypatch.setattr(session, "_early", lambda run_uid: asked.append(run_uid) or [])
    session.twin.thermal.ceiling = 325.0
    window = EtaWindow(17.76, 17.84, 0.01, 10.0)
    options = {"locate": False, "pre_expose": False, "until": "trusted", "rest": True}
    with pytest.raises(RuntimeError, match="did not settle at 330"):
        session.RE(session.temperature_series([320.0, 330.0], window, **options))
    session.twin.thermal.ceiling = float("inf")
    assert len(asked) == 4  # after points 5 to 8 of 9
    uid = session.catalogue.raw.v3.values()[-1].start["series_uid"]
    with pytest.raises(ValueError, match="keeps its own temperatures, rocking curve and rule"):
        session.temperature_series(until="trusted", resume=uid)
    session.RE(session.temperature_series(resume=uid))
    assert len(asked) == 8
    start = session.catalogue.raw.v3.values()[-1].start
    assert (start["temperature_setpoint"], start["stop_rule"]["rest"]) == (330.0, True)
