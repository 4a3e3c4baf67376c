"""The order of a plan's messages, by Bluesky's own simulator: nothing is run."""

import pytest
from bluesky.simulators import RunEngineSimulator, assert_message_and_return_remaining, check_limits
from ophyd.utils import LimitError

from vo2_plans import EtaWindow, SeriesPlace, rocking_scan, temperature_series

WINDOW = EtaWindow(16.7, 18.9, 0.1, 30.0)
PLACE = SeriesPlace("series", 0, 1, 320.0)


def commands(messages, *wanted):
    return [message.command for message in messages if message.command in wanted]


@pytest.fixture
def scan(beamline):
    plan = rocking_scan(beamline, EtaWindow(17.7, 17.9, 0.1, 5.0), place=PLACE)
    return RunEngineSimulator().simulate_plan(plan)


def test_the_run_is_opened_before_the_detector_is_staged(scan, beamline):
    """The frame file is named after the start document, and closed before the stop document."""
    order = commands(scan, "subscribe", "open_run", "stage", "unstage", "close_run", "unsubscribe")
    assert order == ["subscribe", "open_run", "stage", "unstage", "close_run", "unsubscribe"]
    staged = [message.obj for message in scan if message.command == "stage"]
    assert staged == [beamline.merlin]


def test_exposure_time_is_set_before_the_run_records_it(scan, beamline):
    rest = assert_message_and_return_remaining(
        scan, lambda m: m.command == "set" and m.obj is beamline.merlin.acquire_time and m.args == (5.0,)
    )
    assert_message_and_return_remaining(rest, lambda m: m.command == "open_run")


def test_each_point_begins_with_a_checkpoint_and_ends_with_an_event(scan, beamline):
    begin = next(i for i, message in enumerate(scan) if message.command == "stage")
    end = next(i for i, message in enumerate(scan) if message.command == "unstage")
    point = ["checkpoint", "set", "set", "wait", "trigger", "wait", "create", *6 * ["read"], "save"]
    assert [message.command for message in scan[begin + 1 : end]] == 3 * point
    reads = [message.obj for message in scan[begin + 1 : end] if message.command == "read"]
    assert reads[5] is beamline.merlin  # last, so that its document goes out with the event


def test_each_point_holds_the_temperature(scan, beamline):
    held = [m.args for m in scan if m.command == "set" and m.obj is beamline.heated_stage]
    assert held == 3 * [(320.0,)]


def test_the_shutter_is_closed_at_the_end(scan, beamline):
    last = [message for message in scan if message.command == "set"][-1]
    assert last.obj is beamline.beam.shutter
    assert last.args == ("closed",)


def test_baseline_is_read_before_and_after(scan, beamline):
    streams = [m.kwargs["name"] for m in scan if m.command == "create"]
    assert streams == ["baseline", "primary", "primary", "primary", "baseline"]


def test_limits_of_every_message(beamline, engine):
    check_limits(temperature_series(beamline, [320, 330], WINDOW, undersampled=True))
    assert engine.state == "idle"


def test_limits_are_found_in_a_plan_that_breaks_them(beamline, engine):
    beamline.heated_stage.limits = (295.0, 321.0)
    plan = rocking_scan(beamline, WINDOW, place=SeriesPlace("series", 0, 1, 330.0))
    with pytest.raises(LimitError, match="temperature of heated_stage must be a number from 295 to 321 K"):
        check_limits(plan)


def test_a_series_soaks_aligns_and_scans_at_each_temperature(beamline):
    plan = temperature_series(beamline, [320, 330], WINDOW, undersampled=True, series_uid="here")
    messages = RunEngineSimulator().simulate_plan(plan)
    runs = [message.kwargs for message in messages if message.command == "open_run"]
    assert [(run["temperature_setpoint"], run["plan_name"]) for run in runs] == [
        (320, "locate_reflection"),
        (320, "locate_reflection"),
        (320, "pre_exposure"),
        (320, "rocking_scan"),
        (330, "recentre"),
        (330, "pre_exposure"),
        (330, "rocking_scan"),
    ]
    assert {run["series_uid"] for run in runs} == {"here"}


def test_the_heater_is_left_as_it_is(beamline):
    plan = temperature_series(beamline, [320, 330], WINDOW, undersampled=True)
    messages = RunEngineSimulator().simulate_plan(plan)
    setpoints = [m.args[0] for m in messages if m.command == "set" and m.obj is beamline.heated_stage]
    assert setpoints == sorted(setpoints)
    assert setpoints[-1] == 330
