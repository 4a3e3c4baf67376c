"""One scan with early result, preview and final result; and one whose early result's process is killed."""

import contextlib
import io
import os
import signal
import threading

import pytest
from rich.console import Console

from analysis.phasing.registration import overlap
from analysis.results import read_scan
from callbacks.catalogue import as_v3, derived_runs, unanalysed_runs
from callbacks.live import LiveView
from profile_collection.catalogue.client import stop_server
from profile_collection.session.session import open_session
from profile_collection.session.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE = 300.0


class Watch(LiveView):
    """Remembers results that are not final."""

    def __init__(self):
        super().__init__(Console(file=io.StringIO(), width=200))
        self.others, self.changed = [], threading.Condition()

    def other_result(self, summary):
        super().other_result(summary)
        with self.changed:
            self.others.append(summary)
            self.changed.notify_all()

    def wait_for(self, wanted):
        with self.changed:
            assert self.changed.wait_for(lambda: any(wanted(one) for one in self.others), PATIENCE)

    @property
    def said(self):
        return self.console.file.getvalue()


class Holds:
    """Holds the first scan until it has an early result; kills the process that is at one of the second."""

    def __init__(self, session, view):
        self.queue, self.view = session.pipeline.queue, view
        self.scans, self.points, self.killed = [], 0, False

    def __call__(self, name, doc):
        if name == "start":
            self.points = 0
            if doc.get("purpose") == "rocking":
                self.scans.append(doc["uid"])
        elif name == "event" and self.scans and "merlin_total" in doc["data"]:
            self.points += 1
            if len(self.scans) == 1 and self.points == 85:
                self.view.wait_for(lambda one: one.stage == "early" and not one.error)
            elif len(self.scans) == 2 and self.points == 70:
                self.queue.drain()  # no early result is begun while a final one is at work
            elif len(self.scans) == 2 and self.points > 70 and not self.killed:
                self.kill()

    def kill(self):
        """Kill the process beside the worker if it is at an early result."""
        beside, uid = self.queue._beside, self.scans[1]
        if [job.run_uid for job in beside.running.values()] != [uid]:
            return
        for process in list(beside.executor._processes.values()):
            os.kill(process.pid, signal.SIGKILL)
        self.killed = True
        self.view.wait_for(lambda one: one.run_uid == uid and "died" in one.error)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Measure two temperatures; yield session, view and the uids of the scans, the first run's first."""
    folder = tmp_path_factory.mktemp("stages")
    settings = Settings(data=folder / "data", results=folder / "results", quick=True, early_results="on")
    view = Watch()
    session = open_session(settings, view=view)
    try:
        holds = Holds(session, view)
        session.RE.subscribe(holds)
        session.RE(session.temperature_series([320.0, 330.0]))
        session.drain()
        yield session, view, holds.scans
    finally:
        session.close()
        with contextlib.suppress(Exception):
            stop_server(settings.data)


def results_of(session, uid, stage):
    runs = derived_runs(session.catalogue, uid, stage)
    return [as_v3(run)["primary"].base["internal"].read().to_dict("records")[0] for run in runs]


def test_a_scan_has_an_early_result_a_preview_and_a_final_one_each_in_its_place(measured):
    session, view, (uid, _) = measured
    (preview,) = results_of(session, uid, "preview")
    (final,) = results_of(session, uid, "final")
    early = results_of(session, uid, "early")
    assert early
    assert early[0]["points"] < early[0]["points_wanted"] == 101
    folders = [row["result_file"].split("/")[-2] for row in (preview, early[0], final)]
    assert folders == ["previews", "early", "scans"]
    assert not preview["trusted"]
    assert preview["chi_squared"] > final["chi_squared"]
    assert "trusted so far" in view.said or "not trusted yet" in view.said
    (start,) = [run.metadata["start"] for run in derived_runs(session.catalogue, uid, "preview")]
    assert "guess" in start["caption"]


def test_an_early_result_is_near_the_final_one_and_a_preview_is_a_guess(measured):
    session, _, (uid, _) = measured
    found = {
        stage: read_scan(results_of(session, uid, stage)[-1]["result_file"])
        for stage in ("preview", "early", "final")
    }
    objects = {stage: scan.object for stage, scan in found.items()}
    assert overlap(objects["early"], objects["final"]) > 0.9
    assert 0.2 < overlap(objects["preview"], objects["final"]) < overlap(objects["early"], objects["final"])


def test_only_the_final_results_count(measured):
    session, _, (first, second) = measured
    assert unanalysed_runs(session.catalogue) == []
    summaries = session.pipeline.summaries
    assert [one.run_uid for one in summaries] == [first, second]
    assert [point.run_uid for point in summaries[-1].order] == [first, second]
    assert summaries[-1].complete


def test_a_killed_early_result_takes_nothing_with_it(measured):
    session, view, (_, second) = measured
    assert results_of(session, second, "final")
    assert [one.error for one in session.pipeline.summaries] == ["", ""]
    assert any("died" in one.error for one in view.others if one.run_uid == second)
    assert "trying it once more" not in view.said  # the worker of the final results was not touched
