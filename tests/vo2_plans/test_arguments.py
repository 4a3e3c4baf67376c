"""What a person gives a plan is taken where it is clear, and refused in words where it is not."""

import numpy as np
import pytest

from vo2_plans import EtaWindow, call_of, dry_run, series_name, setpoints, temperature_series

WINDOW = EtaWindow(17.7, 17.9, 0.1, 5.0)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (320, [320.0]),
        (np.float64(320.0), [320.0]),
        (np.array(320), [320.0]),
        ("320", [320.0]),
        ("320, 335;350", [320.0, 335.0, 350.0]),
        ((320, 335), [320.0, 335.0]),
        (["320", 335], [320.0, 335.0]),
        (np.arange(320, 331, 5), [320.0, 325.0, 330.0]),
        ((300 + kelvin for kelvin in (20, 30)), [320.0, 330.0]),
        ([], []),
    ],
)
def test_temperatures_that_are_clear(given, taken):
    assert setpoints(given) == taken


@pytest.mark.parametrize(
    "given",
    [{320, 330}, {320: 1}, [True], True, [[320, 330]], np.ones((2, 2)), ["warm"], "warm", [320, None], None],
)
def test_temperatures_that_are_not_clear_are_refused_with_what_came(given):
    with pytest.raises(ValueError, match="numbers of K in the order of measurement.*; got"):
        setpoints(given)


def test_a_single_temperature_is_a_series_of_one(beamline):
    runs = dry_run(temperature_series(beamline, 320, WINDOW.as_metadata())).runs
    scans = [run.md for run in runs if run.md["purpose"] == "rocking"]
    assert [(scan["temperature_setpoint"], scan["series_size"]) for scan in scans] == [(320.0, 1)]


@pytest.mark.parametrize("given", [-1, "-1", " -1", np.int64(-1)])
def test_the_last_series_is_named_by_number_or_text(given):
    assert series_name(given) == "-1"


@pytest.mark.parametrize("given", [-2, 0, 1.5, True, "", None, ["a"]])
def test_what_names_no_series_is_refused_with_what_came(given):
    with pytest.raises(ValueError, match=r"named by its uid \(text\), or -1 for the last one; got"):
        series_name(given)


def test_a_series_is_called_again_as_its_start_documents_have_it(beamline):
    plan = temperature_series(beamline, [320, 330], WINDOW, locate=False)
    first = dry_run(plan).runs[-1].md["series_plan"]
    again = dry_run(temperature_series(beamline, **call_of(first))).runs[-1].md["series_plan"]
    assert again == first
