"""A scan that ends when it is known: points, documents, result, and the same result from a replay."""

import contextlib
import io
import threading
import time

import numpy as np
import pytest
from rich.console import Console

from analysis.results import read_scan
from callbacks.catalogue import as_v3, derived_runs, find_run, rocking_starts, unanalysed_runs
from callbacks.live import LiveView
from callbacks.scan_end import decided_end
from profile_collection.catalogue.client import stop_server
from profile_collection.session.resuming import series_progress
from profile_collection.session.session import open_session
from profile_collection.session.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PATIENCE = 300.0


class Watch(LiveView):
    """Remembers results that are not final."""

    def __init__(self):
        super().__init__(Console(file=io.StringIO(), width=300))
        self.early, self.changed = [], threading.Condition()

    def other_result(self, summary):
        super().other_result(summary)
        with self.changed:
            self.early.append(summary)
            self.changed.notify_all()

    @property
    def said(self):
        return self.console.file.getvalue()


class Pace:
    """Takes, from the middle of the rocking scan on, the time that early results need: two that agree."""

    def __init__(self, view):
        self.view, self.points, self.rocking = view, 0, False

    def __call__(self, name, doc):
        if name == "start":
            self.points, self.rocking = 0, doc.get("purpose") == "rocking"
        elif name == "event" and self.rocking and "merlin_total" in doc["data"]:
            self.points += 1
            if self.points == 74:  # the peak has passed, and the crop is not whole yet
                self.wait(lambda one: not one.error)
            elif self.points > 86:  # the peak is at point 51 or so, and the crop has 64 planes
                self.wait(lambda one: one.settled)
                time.sleep(0.5)

    def wait(self, wanted):
        with self.view.changed:
            assert self.view.changed.wait_for(lambda: any(map(wanted, self.view.early)), PATIENCE)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("known")
    settings = Settings(data=folder / "data", results=folder / "results", quick=True, transfer_epochs=0)
    view = Watch()
    session = open_session(settings, view=view)
    try:
        session.RE.subscribe(Pace(view))
        session.RE(session.temperature_series([320.0], until="trusted"))
        session.drain()
        yield session, view, str(rocking_starts(session.catalogue)[-1]["uid"])
    finally:
        session.close()
        with contextlib.suppress(Exception):
            stop_server(settings.data)


def test_the_scan_ends_before_its_last_point_and_its_documents_say_why(measured):
    session, view, uid = measured
    metadata = find_run(session.catalogue, uid).metadata
    points = metadata["stop"]["num_events"]["primary"]
    assert metadata["start"]["scan"]["least"] == 56
    assert 56 <= points < metadata["start"]["scan"]["num"] == 101
    assert metadata["stop"]["reason"].startswith(f"stopped at {points} of 101 points: the early results from")
    assert decided_end(metadata["start"], metadata["stop"]) == metadata["stop"]["reason"]
    assert "may come too late" in view.said
    assert f"stopped at {points} of 101 points" in view.said


def test_it_is_a_whole_scan_with_a_final_result_that_counts(measured):
    session, _, uid = measured
    (final,) = derived_runs(session.catalogue, uid)
    row = as_v3(final)["primary"].base["internal"].read().to_dict("records")[0]
    assert row["trusted"]
    assert "stopped at" in row["notes"]
    assert "incomplete" not in row["notes"]
    assert not read_scan(row["result_file"]).parameters["incomplete"]
    assert unanalysed_runs(session.catalogue) == []
    start = find_run(session.catalogue, uid).metadata["start"]
    assert series_progress(session.catalogue, start["series_uid"]).complete == {0: uid}
    assert session.pipeline.summaries[0].complete
    assert [point.run_uid for point in session.pipeline.summaries[0].order] == [uid]


def test_its_replay_gives_the_same_result(measured):
    session, _, uid = measured
    summary = session.pipeline.summaries[0]
    session.replay(find_run(session.catalogue, uid), session.settings.results / "again")
    (again,) = (session.settings.results / "again").rglob(summary.result_file.name)
    first, second = read_scan(summary.result_file), read_scan(again)
    np.testing.assert_array_equal(first.intensity, second.intensity)
    np.testing.assert_allclose(first.object, second.object, rtol=1e-4, atol=1e-4 * np.abs(first.object).max())
    assert first.notes == second.notes
