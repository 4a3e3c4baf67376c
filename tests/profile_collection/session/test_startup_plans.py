"""The startup files as the queue server sees them."""

import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import profile_collection
from analysis.experiment import load_experiment
from profile_collection.session.session import Session
from vo2_plans.steering import Steering

STARTUP = Path(profile_collection.__file__).parent / "startup"

PLANS = {
    "temperature_series": [
        "temperatures",
        "eta_start",
        "eta_stop",
        "eta_step",
        "exposure",
        "locate",
        "pre_expose",
        "guard",
        "until",
        "rest",
        "undersampled",
        "resume",
    ],  # fmt: skip
    "adaptive_temperature_series": [
        "start",
        "stop",
        "min_step",
        "max_step",
        "hours",
        "branches",
        "patience",
        "eta_start",
        "eta_stop",
        "eta_step",
        "exposure",
        "locate",
        "pre_expose",
        "until",
        "rest",
        "undersampled",
    ],  # fmt: skip
    "rocking_scan": ["eta_start", "eta_stop", "eta_step", "exposure", "until", "rest"],
    "locate_reflection": ["exposure"],
    "soak": ["temperature"],
}


@pytest.fixture
def namespace(tmp_path):
    """Return what 10-plans.py defines over the devices of a session."""
    from profile_collection.devices.simulated.beamline import make_simulated
    from profile_collection.twin import Twin

    beamline = make_simulated(Twin(), tmp_path)
    session = SimpleNamespace(beamline=beamline, steering=Steering(), experiment=load_experiment("quick"))
    session.temperature_series = partial(Session.temperature_series, session)
    names = {name: getattr(beamline, name) for name in ("diffractometer", "heated_stage", "merlin", "beam")}
    defined = {"session": session, "beamline": beamline, **names}
    found = runpy.run_path(str(STARTUP / "10-plans.py"), init_globals=defined)
    return {name: value for name, value in found.items() if name not in names}


@pytest.fixture
def listed(namespace):
    """Return the plans that the queue server would list, with its description of each."""
    from bluesky_queueserver.manager.profile_ops import existing_plans_and_devices_from_nspace

    plans, *_ = existing_plans_and_devices_from_nspace(nspace=namespace)
    return plans


def test_the_queue_server_lists_these_plans_with_these_parameters(listed):
    found = {name: [item["name"] for item in plan["parameters"]] for name, plan in listed.items()}
    assert found == PLANS


def test_every_plan_and_parameter_is_described_and_typed(listed):
    for plan in listed.values():
        assert plan["description"]
        for parameter in plan["parameters"]:
            assert parameter["description"], parameter
            assert parameter["annotation"]["type"], parameter


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ({"temperatures": 320}, True),
        ({"temperatures": [320, 335.0]}, True),
        ({"resume": -1}, True),
        ({"resume": "-1"}, True),
        ({"temperatures": 3200}, False),
        ({"temperatures": [320, 3200]}, False),
        ({"temperatures": {"a": 1}}, False),
        ({"resume": [1]}, False),
    ],
)
def test_the_queue_takes_what_the_prompt_takes_and_refuses_the_rest(listed, given, accepted):
    from bluesky_queueserver.manager.profile_ops import validate_plan

    plan = {"name": "temperature_series", "kwargs": given, "item_type": "plan"}
    found, said = validate_plan(plan, allowed_plans=listed, allowed_devices={})
    assert found == accepted, said


def test_users_may_run_the_plans_and_nothing_else(listed):
    from bluesky_queueserver.manager.profile_ops import load_allowed_plans_and_devices

    devices = {
        "merlin": {"is_readable": True, "is_movable": False, "is_flyable": False, "classname": "Merlin"}
    }
    others = {**listed, "mv": {**listed["soak"], "name": "mv"}}
    plans, allowed_devices = load_allowed_plans_and_devices(
        existing_plans=others,
        existing_devices=devices,
        path_user_group_permissions=str(STARTUP / "user_group_permissions.yaml"),
    )
    assert sorted(plans["primary"]) == sorted(PLANS)
    assert allowed_devices["primary"] == {}


def test_a_plan_of_the_session_moves_nothing_in_a_dry_run_and_has_the_sessions_defaults(namespace):
    import vo2_plans

    rehearsal = vo2_plans.dry_run(namespace["temperature_series"]())
    scans = [run for run in rehearsal.runs if run.md["purpose"] == "rocking"]
    assert [run.md["temperature_setpoint"] for run in scans] == [320.0, 335.0, 350.0]
    assert {run.points for run in scans} == {101}
