"""An adaptive series with hand-made results: decisions as documents, interruptions, resuming.

Scans are runs without points here, but in the one test that says otherwise: what is tested is the choosing.
"""

import json
import math
import threading
from dataclasses import replace

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import RunEngineInterrupted

from vo2_plans import (
    AdaptiveSettings,
    EtaWindow,
    OrderReading,
    SeriesProgress,
    adaptive_call_of,
    adaptive_temperature_series,
    dry_run,
)
from vo2_plans.alignment import Alignment
from vo2_plans.run_metadata import start_metadata
from vo2_plans.steering import Steering

WINDOW = EtaWindow(17.75, 17.85, 0.05, 10.0)  # three points
ASKED = AdaptiveSettings(320.0, 350.0, min_step=1.0, max_step=7.5, hours=0.5, patience=0.0)


def step(temperature, t_c=336.0):
    return -100.0 * (1 + math.tanh((temperature - t_c) / 2.0)) / 2


class Results:
    """Reads what the documents say was measured, as if it had been analysed at once."""

    def __init__(self, documents, late=(), distrusted=()):
        self.documents, self.late, self.distrusted = documents, late, distrusted

    def __call__(self, series_uid):
        return [
            OrderReading(
                start["series_index"],
                step(start["temperature_setpoint"]),
                1.0,
                start["series_index"] not in self.distrusted,
                "made up",
            )
            for start in rocking(self.documents)
            if start["series_index"] not in self.late and start["series_uid"] == series_uid
        ]


class Scans:
    """Measures no points; the scan of number `broken` fails."""

    def __init__(self):
        self.begun, self.broken = 0, None

    def __call__(self, beamline, place, found, how, md, wishes):
        self.begun += 1
        document = start_metadata(
            beamline, place, plan_name="rocking_scan", purpose="rocking", window=how.window, md=md
        )

        def nothing():
            yield from bps.checkpoint()
            if self.begun == self.broken:
                raise RuntimeError("the read-out electronics do not answer")

        yield from bps.checkpoint()
        yield from bps.mv(beamline.heated_stage, place.temperature)
        uid = yield from bpp.run_wrapper(nothing(), md=document)
        return uid, found or Alignment(how.window.centre, (math.nan, math.nan))


@pytest.fixture
def scans(monkeypatch):
    scans = Scans()
    monkeypatch.setattr("vo2_plans.adaptive_series.measure_temperature", scans)
    return scans


pytestmark = pytest.mark.usefixtures("scans")


def rocking(documents):
    return [start for start in documents.of("start") if start["purpose"] == "rocking"]


def decisions(documents):
    return [start["decision"] for start in documents.of("start") if start["purpose"] == "decision"]


def kelvin(documents):
    return [start["temperature_setpoint"] for start in rocking(documents)]


def quick(beamline, asked=ASKED, **options):
    options = {"locate": False, "pre_expose": False, "series_uid": "mine"} | options
    return adaptive_temperature_series(beamline, asked, WINDOW, **options)


def progress_of(documents, **changed):
    """Return the progress as a session reads it from the catalogue."""
    stops = {stop["run_start"]: stop for stop in documents.of("stop")}
    ended = [s for s in rocking(documents) if stops.get(s["uid"], {}).get("exit_status") == "success"]
    return SeriesProgress(
        "mine",
        documents.of("start")[0]["series_plan"],
        {start["series_index"]: start["uid"] for start in ended},
        {start["series_index"]: start["attempt"] for start in rocking(documents)},
        decisions={one["index"]: one for one in decisions(documents)},
        **changed,
    )


def test_every_choice_is_a_document_before_its_scan(beamline, engine, documents):
    engine(quick(beamline, reader=Results(documents)))
    order = [start["purpose"] for start in documents.of("start") if start["purpose"] != "align"]
    assert order == ["decision", "rocking"] * (len(order) // 2) + ["decision"]
    events = [event["data"] for event in documents.events("decisions")]
    assert [event["decision_temperature"] for event in events][:-1] == kelvin(documents)
    assert {event["decision_rule"] for event in events} == {"follow the change"}
    assert json.loads(events[2]["decision_inputs"])[0]["value"] == step(320.0)
    assert events[-1]["decision_action"] == "end"
    assert documents.of("stop")[-1]["reason"].startswith("the series ends: ")
    assert kelvin(documents) == sorted(kelvin(documents))
    assert {start["series_size"] for start in rocking(documents)} == {15}  # half an hour, the ramps taken off
    assert len(rocking(documents)) <= 15
    assert documents.of("start")[0]["series_plan"]["plan"] == "adaptive_temperature_series"


def test_where_it_changes_the_steps_are_small(beamline, engine, documents):
    engine(quick(beamline, reader=Results(documents)))
    found = kelvin(documents)
    assert 1.0 in [round(b - a, 3) for a, b in zip(found, found[1:], strict=False)]


@pytest.mark.parametrize("lacking", [{"late": range(20)}, {"distrusted": range(20)}])
def test_a_result_that_is_late_or_distrusted_leaves_the_fixed_grid(beamline, engine, documents, lacking):
    engine(quick(beamline, reader=Results(documents, **lacking)))
    assert any(one["fallback"] for one in decisions(documents))
    found = kelvin(documents)
    steps = {round(b - a, 1) for a, b in zip(found[1:], found[2:], strict=False)}
    assert max(steps) - min(steps) < 0.2


def test_it_waits_for_a_result_it_depends_on_and_no_longer_than_asked(
    beamline, engine, documents, monkeypatch
):
    monkeypatch.setattr("vo2_plans.adaptive_series.POLL", 0.01)
    asked = AdaptiveSettings(320.0, 350.0, max_step=7.5, hours=0.5, patience=0.05)
    engine(quick(beamline, asked, reader=Results(documents, late={1})))
    waited = [event["data"]["decision_waited"] for event in documents.events("decisions")]
    assert waited[:2] == [0.0, 0.0]
    assert waited[2] == pytest.approx(0.05)


def test_heating_and_cooling_are_branches_of_their_own(beamline, engine, documents):
    asked = AdaptiveSettings(320.0, 350.0, max_step=7.5, hours=1.0, branches="heating,cooling", patience=0.0)
    engine(quick(beamline, asked, reader=Results(documents)))
    down = [s["temperature_setpoint"] for s in rocking(documents) if s["branch"] == "cooling"]
    up = [s["temperature_setpoint"] for s in rocking(documents) if s["branch"] == "heating"]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert down[-1] == 320.0


def test_between_two_heating_passes_the_sample_goes_back_to_the_start(beamline, engine, documents):
    asked = AdaptiveSettings(320.0, 350.0, max_step=7.5, hours=0.7, branches="heating,heating", patience=0.0)
    plan = list(_setpoints(quick(beamline, asked)))
    assert plan[:5] == [320.0, 327.5, 335.0, 342.5, 350.0]
    assert plan[5] == 320.0
    assert plan[6] > 320.0


def _setpoints(plan):
    """Return the temperatures that a plan goes to, one after the other."""
    last = None
    for message in RunEngineSimulator().simulate_plan(plan):
        if message.command == "set" and getattr(message.obj, "name", "") == "heated_stage":
            if message.args[0] != last:
                yield message.args[0]
            last = message.args[0]


def test_a_checkpoint_stands_before_every_decision(beamline):
    messages = RunEngineSimulator().simulate_plan(quick(beamline))
    for number, message in enumerate(messages):
        if message.command == "open_run" and message.kwargs.get("purpose") == "decision":
            assert messages[number - 1].command == "checkpoint"


def test_a_resumed_series_keeps_its_decisions(beamline, engine, documents, scans):
    results, scans.broken = Results(documents), 5
    with pytest.raises(RuntimeError, match="read-out electronics"):
        engine(quick(beamline, reader=results))
    before = decisions(documents)
    call = adaptive_call_of(documents.of("start")[0]["series_plan"])
    assert call["asked"] == ASKED
    engine(adaptive_temperature_series(beamline, reader=results, progress=progress_of(documents), **call))
    after = decisions(documents)
    assert after[: len(before)] == before
    assert [one["index"] for one in after] == list(range(len(after)))  # none decided twice
    again = [start for start in rocking(documents) if start["attempt"] == 2]
    assert [start["series_index"] for start in again] == [before[-1]["index"]]
    assert [start["temperature_setpoint"] for start in again] == [before[-1]["temperature"]]
    assert after[-1]["action"] == "end"


@pytest.mark.parametrize("method", ["resume", "abort"])
def test_a_pause_in_the_middle_of_a_decision(beamline, engine, documents, monkeypatch, method):
    monkeypatch.setattr("vo2_plans.adaptive_series.POLL", 0.01)
    asked = AdaptiveSettings(320.0, 350.0, max_step=7.5, hours=0.4, patience=1000.0)
    results, withheld = Results(documents), [threading.Thread(target=engine.request_pause)]

    def reader(series_uid):
        found = results(series_uid)
        if len(found) < 3 or not withheld:
            return found
        if not withheld[0].is_alive() and engine.state == "running" and withheld[0].ident is None:
            withheld[0].start()
        return found[:2]  # the choice has to wait, and the pause comes meanwhile

    with pytest.raises(RunEngineInterrupted):
        engine(quick(beamline, asked, reader=reader))
    withheld.clear()
    if method == "abort":
        engine.abort()
        call = adaptive_call_of(documents.of("start")[0]["series_plan"])
        engine(adaptive_temperature_series(beamline, reader=results, progress=progress_of(documents), **call))
    else:
        engine.resume()
    found = decisions(documents)
    assert [one["index"] for one in found] == list(range(len(found)))
    assert found[-1]["action"] == "end"
    assert len(kelvin(documents)) == len(found) - 1


def test_a_series_that_was_stopped_by_hand_goes_on(beamline, engine, documents):
    wishes, results = Steering(), Results(documents)

    def reader(series_uid):
        wishes.stop = len(results(series_uid)) >= 2
        return results(series_uid)

    engine(quick(beamline, reader=reader, steering=wishes))
    assert decisions(documents)[-1]["action"] == "stopped"
    engine(quick(beamline, reader=results, progress=progress_of(documents)))
    assert decisions(documents)[-1]["action"] == "end"
    assert kelvin(documents) == sorted(kelvin(documents))


def test_a_series_at_its_end_measures_nothing_more(beamline, engine, documents):
    engine(quick(beamline, reader=Results(documents)))
    measured = len(rocking(documents))
    engine(quick(beamline, reader=Results(documents), progress=progress_of(documents)))
    assert len(rocking(documents)) == measured


@pytest.mark.slow
def test_with_real_scans_of_the_simulated_crystal(beamline, engine, documents, monkeypatch):
    monkeypatch.undo()
    asked = AdaptiveSettings(320.0, 330.0, max_step=10.0, hours=0.11, patience=0.0)
    engine(quick(beamline, asked, reader=Results(documents)))
    assert kelvin(documents)[0] == 320.0
    assert kelvin(documents)[-1] == 330.0
    assert {stop["exit_status"] for stop in documents.of("stop")} == {"success"}
    scans = {start["uid"] for start in rocking(documents)}
    points = [stop["num_events"]["primary"] for stop in documents.of("stop") if stop["run_start"] in scans]
    assert points == [3, 3]


def test_a_dry_run_shows_the_fixed_grid(beamline):
    found = dry_run(quick(beamline))
    scans = [run for run in found.runs if run.md["purpose"] == "rocking"]
    assert scans[0].md["temperature_setpoint"] == 320.0
    assert scans[-1].md["temperature_setpoint"] == 350.0
    assert "decide_temperature" in found.text()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"hours": 0.1}, "must be enough for 5 scans"),
        ({"hours": float("nan")}, "hours must be a finite number"),
        ({"branches": "both"}, "branches must be one of"),
        ({"stop": 300.0}, "stop must be hotter than start"),
        ({"stop": 3000.0, "max_step": 500.0, "hours": 90.0}, "temperatures must be finite numbers from"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_moves(beamline, engine, documents, changed, told):
    with pytest.raises(ValueError, match=told):
        engine(quick(beamline, replace(ASKED, **changed)))
    assert documents == []
