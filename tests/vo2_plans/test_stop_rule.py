"""A scan that ends when it is known, with hand-made early results: the rule, the documents, interruptions."""

import json
from dataclasses import asdict, replace

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky.simulators import RunEngineSimulator
from bluesky.utils import RunEngineInterrupted

from vo2_plans import (
    EarlyReading,
    EtaWindow,
    SeriesPlace,
    SeriesProgress,
    StopRule,
    call_of,
    dry_run,
    rocking_scan,
    temperature_series,
)
from vo2_plans.stop_rule import Until

WINDOW = EtaWindow(17.7, 17.9, 0.01, 5.0)  # 21 points, 12 of them at least
PLACE = SeriesPlace("mine", 0, 1, 295.0)
nan = float("nan")

FIRST = EarlyReading(12, trusted=True, overlap=nan, covered=False)
SECOND = EarlyReading(14, trusted=True, overlap=0.991, covered=True)


class Published:
    """Tells one early result more each time it is asked, and remembers when it was asked."""

    def __init__(self, *readings):
        self.readings, self.asked = readings, []

    def __call__(self, run_uid):
        self.asked.append(run_uid)
        return list(self.readings[: len(self.asked)])


def scan(beamline, reader, **options):
    return rocking_scan(beamline, WINDOW, place=PLACE, until="trusted", early=reader, **options)


@pytest.mark.parametrize(
    ("readings", "known"),
    [
        ([], False),
        ([FIRST], False),
        ([SECOND], False),  # nothing to agree with
        ([FIRST, SECOND], True),
        ([FIRST, replace(SECOND, covered=False)], False),
        ([FIRST, replace(SECOND, trusted=False)], False),
        ([replace(FIRST, trusted=False), SECOND], False),
        ([FIRST, replace(SECOND, overlap=0.979)], False),
        ([FIRST, replace(SECOND, overlap=nan)], False),
        ([FIRST, SECOND, replace(SECOND, points=15, trusted=False)], False),
    ],
)
def test_a_scan_is_known_where_the_newest_results_are_trusted_agree_and_cover_the_crop(readings, known):
    assert bool(StopRule().fulfilled(readings)) is known


def test_the_rule_asks_for_as_many_results_as_it_says():
    three = [FIRST, replace(SECOND, points=13), SECOND]
    assert StopRule(agreeing=3).fulfilled(three)
    assert not StopRule(agreeing=3).fulfilled([FIRST, replace(SECOND, points=13, overlap=0.9), SECOND])
    assert not StopRule(agreeing=3).fulfilled(three[1:])


@pytest.mark.parametrize("given", ["known", 1, {"name": "other"}, {"name": "trusted", "patience": 3}])
def test_an_unknown_rule_is_refused_by_name(beamline, given):
    with pytest.raises(ValueError, match="until must be 'trusted'"):
        next(rocking_scan(beamline, WINDOW, place=PLACE, until=given))


def test_rest_without_a_rule_and_numbers_out_of_range_are_refused(beamline):
    with pytest.raises(ValueError, match="give until='trusted' with it"):
        next(rocking_scan(beamline, WINDOW, place=PLACE, rest=True))
    with pytest.raises(ValueError, match=r"begin of the rule must be a number from 0.5 to 1"):
        StopRule(begin=0.1)
    with pytest.raises(ValueError, match="agreeing must be a whole number of at least 2"):
        StopRule(agreeing=1)


def test_a_known_scan_ends_and_its_documents_say_why(beamline, engine, documents):
    reader = Published(FIRST, SECOND)
    (uid,) = engine(scan(beamline, reader))
    (start,), (stop,) = documents.of("start"), documents.of("stop")
    assert reader.asked == [uid, uid]  # after points 12 and 13, not before
    assert (start["scan"]["num"], start["scan"]["least"]) == (21, 12)
    assert start["stop_rule"] == {**StopRule().as_metadata(), "rest": False}
    assert len(documents.events()) == 13
    (event,) = documents.events("decisions")
    assert event["data"]["decision_action"] == "stop"
    assert (event["data"]["decision_points"], event["data"]["decision_points_wanted"]) == (13, 21)
    assert json.loads(event["data"]["decision_inputs"])[0]["overlap"] is None
    assert stop["reason"] == event["data"]["decision_reason"]
    assert stop["reason"].startswith("stopped at 13 of 21 points: the early results from 12 and 14 points")
    assert (stop["exit_status"], stop["num_events"]["primary"]) == ("success", 13)
    assert len(documents.events("baseline")) == 2
    assert beamline.beam.shutter.position == "closed"
    assert beamline.merlin.file_path is None


def test_without_results_the_scan_goes_to_its_end(beamline, engine, documents):
    reader = Published(FIRST, replace(SECOND, trusted=False))
    engine(scan(beamline, reader))
    assert len(documents.events()) == 21
    assert documents.events("decisions") == []
    assert "reason" not in documents.of("stop")[0] or not documents.of("stop")[0]["reason"]
    assert len(reader.asked) == 21 - 12  # not after the last point


def test_the_rest_is_measured_where_it_is_asked_for(beamline, engine, documents):
    reader = Published(FIRST, SECOND)
    engine(scan(beamline, reader, rest=True))
    (event,) = documents.events("decisions")
    assert event["data"]["decision_action"] == "measure the rest"
    assert len(documents.events()) == 21
    assert len(reader.asked) == 2  # decided once
    assert documents.of("start")[0]["stop_rule"]["rest"] is True


def test_a_fixed_scan_is_what_it_was(beamline, engine, documents):
    engine(rocking_scan(beamline, WINDOW, place=PLACE))
    (start,) = documents.of("start")
    assert "stop_rule" not in start
    assert set(start["scan"]) == {"axis", "start", "stop", "step", "num", "exposure"}
    assert {one["name"] for one in documents.of("descriptor")} == {"baseline", "primary"}


def test_a_checkpoint_comes_before_the_decision_and_after_it(beamline):
    messages = RunEngineSimulator().simulate_plan(scan(beamline, Published(FIRST, SECOND)))
    at = next(n for n, one in enumerate(messages) if one.kwargs.get("name") == "decisions")
    around = [one.command for one in messages[at - 1 : at + 4]]
    assert around == ["checkpoint", "create", "read", "save", "checkpoint"]
    assert "sleep" not in {one.command for one in messages}


def paused_in_decision(plan, after):
    """Return the plan with a pause right after one message of its decision."""
    inside = []

    def insert(message):
        if message.kwargs.get("name") == "decisions":
            inside.append(message)
        if inside and message.command == after:
            inside.clear()
            return None, bps.pause()
        return None, None

    return bpp.plan_mutator(plan, insert)


@pytest.mark.parametrize("after", ["create", "read", "save"])
def test_a_pause_in_the_middle_of_a_decision_repeats_the_decision_and_no_point(
    beamline, engine, documents, after
):
    exposed, expose = [], beamline.twin.expose

    def count(exposure_time, cancel=None):
        exposed.append(exposure_time)
        return expose(exposure_time, cancel)

    beamline.twin.expose = count
    with pytest.raises(RunEngineInterrupted):
        engine(paused_in_decision(scan(beamline, Published(FIRST, SECOND)), after))
    engine.resume()
    assert len(exposed) == 13
    assert [event["seq_num"] for event in documents.events()] == list(range(1, 14))
    assert {event["seq_num"] for event in documents.events("decisions")} == {1}
    assert documents.of("stop")[0]["reason"].startswith("stopped at 13 of 21 points")


def test_an_abort_in_a_decision_does_not_say_that_the_decision_ended_the_scan(beamline, engine, documents):
    with pytest.raises(RunEngineInterrupted):
        engine(paused_in_decision(scan(beamline, Published(FIRST, SECOND)), "save"))
    engine.abort("enough")
    (stop,) = documents.of("stop")
    assert stop["exit_status"] == "abort"
    assert not stop["reason"].startswith("stopped at")
    assert beamline.beam.shutter.position == "closed"


def test_what_is_given_up_is_said_before_anything_moves(beamline, caplog):
    lattice = {"a": 4.5546, "b": 4.5546, "c": 2.8514, "alpha": 90.0, "beta": 90.0, "gamma": 90.0}
    beamline.experiment = {
        "instrument": "Diamond I16",
        "counterpart": {"phase": "rutile", "hkl": [1, 1, 0], "lattice": lattice},
        "wide_crop": [96, 168, 168],
    }
    wide = EtaWindow(16.7, 18.9, 0.01, 30.0)
    with caplog.at_level("WARNING"):
        next(temperature_series(beamline, [320], wide, until="trusted"))
    assert "given up is the rest of the window, at most eta 17.91° to 18.9°" in caplog.text
    # The Bragg angles are 12.404° and 12.349° (docs/science.md, section 1).
    assert "rutile's peak, expected at eta 17.75°, is measured, but the wide crop" in caplog.text
    assert "needs eta up to 18.28°: rest=True measures it" in caplog.text


def test_a_second_peak_in_the_rest_is_named(beamline):
    lattice = {"a": 4.5, "b": 4.5, "c": 2.8, "alpha": 90.0, "beta": 90.0, "gamma": 90.0}
    beamline.experiment = {
        "instrument": "Diamond I16",
        "counterpart": {"phase": "other", "hkl": [1, 1, 0], "lattice": lattice},
    }
    said = Until(StopRule()).given_up(beamline.metadata(), EtaWindow(17.3, 18.3, 0.01, 30.0))
    assert "other's peak, expected at eta 17.9" in said
    assert "lies in it: rest=True measures it" in said
    assert "the rest is measured as asked" in Until(StopRule(), rest=True).given_up(
        beamline.metadata(), WINDOW
    )


def test_a_series_keeps_its_rule_when_it_goes_on(beamline, engine, documents):
    rule = StopRule(overlap=0.9)
    options = {"locate": False, "pre_expose": False, "series_uid": "mine"}
    plan = temperature_series(beamline, [295, 296], WINDOW, until=rule, early=Published(), **options)
    engine(plan)
    arguments = documents.of("start")[0]["series_plan"]
    assert arguments["until"] == asdict(rule)
    begun = [start for start in documents.of("start") if start["purpose"] == "rocking"]
    progress = SeriesProgress("mine", json.loads(json.dumps(arguments)), {0: begun[0]["uid"]})
    documents.clear()
    reader = Published(FIRST, replace(SECOND, overlap=0.93))
    engine(temperature_series(beamline, progress=progress, early=reader, **call_of(progress.arguments)))
    (start,) = [one for one in documents.of("start") if one["purpose"] == "rocking"]
    assert start["stop_rule"]["overlap"] == 0.9
    assert start["series_plan"] == arguments
    assert documents.of("stop")[-1]["reason"].startswith("stopped at 13 of 21 points")


def test_a_series_without_a_rule_says_nothing_of_one(beamline, engine, documents):
    engine(temperature_series(beamline, [295], WINDOW, locate=False, pre_expose=False))
    assert not {"until", "rest"} & set(documents.of("start")[0]["series_plan"])


def test_a_dry_run_says_how_many_points_there_may_be(beamline):
    plan = temperature_series(beamline, [320], WINDOW, until="trusted", locate=False, pre_expose=False)
    assert "12–21 × 5 s" in dry_run(plan).text()


def test_a_guard_and_a_rule_exclude_each_other(beamline):
    with pytest.raises(ValueError, match="guard='mend' looks for wings that are cut off"):
        next(temperature_series(beamline, [320], WINDOW, guard="mend", until="trusted"))
