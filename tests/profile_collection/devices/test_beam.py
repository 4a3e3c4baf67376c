"""Beam, shutter, signals, and whether all devices are what Bluesky takes them for."""

import threading
import time

import pytest
from bluesky import protocols
from bluesky.run_engine import RunEngineInterrupted
from bluesky.suspenders import SuspendFloor
from ophyd.utils import LimitError, ReadOnlyError

from vo2_plans import EtaWindow, rocking_scan, soak


@pytest.mark.parametrize("how", ["pause", "resume", "stop"])
def test_the_shutter_closes(beamline, how):
    shutter = beamline.beam.shutter
    shutter.set("open").wait(timeout=1)
    assert beamline.twin.shutter_open
    getattr(shutter, how)()
    assert not beamline.twin.shutter_open
    assert shutter.read()["shutter"]["value"] == "closed"


def test_a_shutter_position_that_does_not_exist_is_refused(beamline):
    with pytest.raises(ValueError, match='shutter must be set to "open" or "closed", got \'ajar\''):
        beamline.beam.shutter.set("ajar")


def test_a_new_session_finds_the_shutter_closed(make_beamline):
    beamline = make_beamline()
    assert beamline.beam.shutter.position == "closed"


def test_readings_of_the_beamline_cannot_be_written(beamline):
    with pytest.raises(ReadOnlyError, match="rc can only be read, 500 was to be written"):
        beamline.beam.rc.put(500)


def test_the_attenuator(beamline):
    beamline.beam.transmission.set(0.01).wait(timeout=5)
    assert beamline.twin.transmission == 0.01
    with pytest.raises(LimitError, match="transmission must be a number from 1e-09 to 1, got 2"):
        beamline.beam.transmission.put(2)


def test_energy_moves_the_bragg_angle_with_it(beamline):
    beamline.beam.en.set(9.5).wait(timeout=5)
    assert beamline.twin.energy == 9.5
    delta = beamline.diffractometer.forward(0, 1, 1).delta
    assert delta == pytest.approx(2 * beamline.lattice.bragg_angle((0, 1, 1), 9.5), abs=1e-3)
    assert beamline.metadata()["energy"] == 9.5


def test_subscribers_learn_of_a_change_that_nobody_reads(beamline, eventually):
    current = [300.0]
    rc = beamline.beam.rc
    rc.connect_source(lambda: current[0])
    seen = []
    number = rc.subscribe(lambda value, **_: seen.append(value))
    current[0] = 12.0
    eventually(lambda: 12.0 in seen)
    rc.unsubscribe(number)
    current[0] = 7.0
    time.sleep(1.2)
    assert seen[-1] == 12.0


def test_a_lost_ring_current_suspends_the_scan_and_its_return_resumes_it(make_beamline, engine, documents):
    beamline = make_beamline(pace=4.0)
    beamline.heated_stage.settle_time.put(0)
    current, states = [300.0], []
    beamline.beam.rc.connect_source(lambda: current[0])
    engine.install_suspender(SuspendFloor(beamline.beam.rc, 100.0))

    def lose(name, document):
        if name == "event" and document["data"].get("merlin_frame_index") == 1:
            current[0] = 0.0

    def regain(state, before):
        states.append(state)
        if state == "suspending":
            threading.Timer(0.3, lambda: current.__setitem__(0, 300.0)).start()

    engine.subscribe(lose)
    engine.state_hook = regain
    engine(rocking_scan(beamline, EtaWindow(17.75, 17.8, 0.01, 2.0)))
    assert states == ["running", "suspending", "running", "idle"]
    events = {event["seq_num"]: event["data"]["eta"] for event in documents.events()}
    assert list(events.values()) == pytest.approx([17.75, 17.76, 17.77, 17.78, 17.79, 17.8])
    assert documents.of("stop")[-1]["exit_status"] == "success"
    assert beamline.heated_stage.setpoint == 300.0


def test_a_pause_within_a_soak_keeps_the_setpoint_and_soaks_to_the_end(make_beamline, engine):

    beamline = make_beamline(pace=50.0)
    stage = beamline.heated_stage
    threading.Timer(0.6, engine.request_pause).start()
    with pytest.raises(RunEngineInterrupted):
        engine(soak(beamline, 305.0))
    assert stage.setpoint == 305.0
    engine.resume()
    assert stage.position == pytest.approx(305.0, abs=0.3)


@pytest.mark.parametrize(
    ("attribute", "wanted"),
    [
        ("merlin", ["Readable", "Triggerable", "Stageable", "Pausable", "Stoppable", "WritesStreamAssets"]),
        ("heated_stage", ["Readable", "Movable", "Stoppable", "Configurable"]),
        ("beam.shutter", ["Readable", "Movable", "Stoppable", "Pausable"]),
        ("beam.en", ["Readable", "Movable", "Stoppable", "Checkable"]),
        ("diffractometer.eta", ["Readable", "Movable", "Stoppable"]),
    ],
)
def test_devices_satisfy_blueskys_protocols(beamline, attribute, wanted):
    device = beamline
    for part in attribute.split("."):
        device = getattr(device, part)
    missing = [name for name in wanted if not isinstance(device, getattr(protocols, name))]
    assert missing == []
