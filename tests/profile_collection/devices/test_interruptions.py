"""Pauses and suspensions of a real RunEngine: frames stay with their points, the heater stays where it is."""

import threading
import time

import h5py
import numpy as np
import pytest
from bluesky.run_engine import RunEngineInterrupted
from bluesky.suspenders import SuspendBoolHigh
from bluesky.utils import Msg
from ophyd import Signal

from profile_collection.twin.frame_file import DETECTOR_GROUP, FRAMES
from vo2_plans import EtaWindow, rocking_scan

ETAS = [17.75, 17.76, 17.77, 17.78, 17.79, 17.80]
SCAN = EtaWindow(17.75, 17.80, 0.01, 1.0)


def check_aligned(documents, beamline, *, frames=6):
    """Each point, the last event of its seq_num, has the frame that was taken at its eta."""
    last = {event["seq_num"]: event["data"] for event in documents.events()}
    assert [data["eta"] for data in last.values()] == pytest.approx(ETAS)
    (resource,) = documents.of("stream_resource")
    path = resource["uri"].removeprefix("file://localhost")
    with h5py.File(path) as stored:
        assert stored[FRAMES].shape[0] == frames
        for data in last.values():
            index = data["merlin_frame_index"]
            assert stored[FRAMES][index].sum() == data["merlin_total"]
            assert stored[DETECTOR_GROUP]["eta"][index] == pytest.approx(data["eta"])
            assert stored[DETECTOR_GROUP]["monitor"][index] == data["ic1monitor"]
    indices = [data["merlin_frame_index"] for data in last.values()]
    assert len(set(indices)) == len(ETAS)
    assert beamline.beam.shutter.position == "closed"
    return indices


def at_exposure(beamline, number, act):
    """Call `act` in the middle of exposure `number`, from another thread."""
    expose, count = beamline.twin.expose, [0]

    def watched(exposure_time, cancel=None):
        count[0] += 1
        if count[0] == number:
            threading.Timer(0.02, act).start()
        return expose(exposure_time, cancel)

    beamline.twin.expose = watched


def test_undisturbed(beamline, engine, documents):
    engine(rocking_scan(beamline, SCAN))
    assert check_aligned(documents, beamline) == [0, 1, 2, 3, 4, 5]
    datums = documents.of("stream_datum")
    assert [d["indices"] for d in datums] == [{"start": i, "stop": i + 1} for i in range(6)]
    assert [d["seq_nums"] for d in datums] == [{"start": i + 1, "stop": i + 2} for i in range(6)]


@pytest.mark.parametrize("number", [1, 3, 6])
def test_a_pause_within_an_exposure(make_beamline, engine, documents, number):
    beamline = make_beamline(pace=4.0)  # 0.25 s per exposure
    beamline.heated_stage.settle_time.put(0)
    at_exposure(beamline, number, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(rocking_scan(beamline, SCAN))
    assert beamline.beam.shutter.position == "closed"
    assert beamline.heated_stage.setpoint == 300.0
    engine.resume()
    assert check_aligned(documents, beamline) == [0, 1, 2, 3, 4, 5]


def test_a_deferred_pause_between_points(make_beamline, engine, documents):
    beamline = make_beamline(pace=4.0)
    beamline.heated_stage.settle_time.put(0)
    at_exposure(beamline, 3, lambda: engine.request_pause(defer=True))
    with pytest.raises(RunEngineInterrupted):
        engine(rocking_scan(beamline, SCAN))
    assert beamline.beam.shutter.position == "closed"
    engine.resume()
    assert check_aligned(documents, beamline) == [0, 1, 2, 3, 4, 5]


def test_a_suspension_within_an_exposure(make_beamline, engine, documents):
    beamline = make_beamline(pace=4.0)
    beamline.heated_stage.settle_time.put(0)
    trip = Signal(name="trip", value=0)
    engine.install_suspender(SuspendBoolHigh(trip))
    seen = []

    def dump_the_beam():
        trip.put(1)
        time.sleep(0.3)
        seen.append((beamline.beam.shutter.position, beamline.heated_stage.setpoint, engine.state))
        trip.put(0)

    at_exposure(beamline, 3, dump_the_beam)
    engine(rocking_scan(beamline, SCAN))
    assert seen == [("closed", 300.0, "running")]
    assert check_aligned(documents, beamline) == [0, 1, 2, 3, 4, 5]


def pausing_after(plan, belongs, number):
    """Pause right after the message of that number (from 1) for which `belongs` is true."""
    count, response = 0, None
    while True:
        try:
            message = plan.send(response)
        except StopIteration:
            return
        response = yield message
        if belongs(message):
            count += 1
            if count == number:
                yield Msg("pause", defer=False)


@pytest.mark.parametrize("number", [1, 3])
def test_a_pause_between_reading_and_saving(beamline, engine, documents, number):
    """The detector's document was collected and thrown away: the frame must be overwritten all the same."""
    plan = rocking_scan(beamline, SCAN)
    with pytest.raises(RunEngineInterrupted):
        engine(pausing_after(plan, lambda m: m.command == "read" and m.obj is beamline.merlin, number))
    engine.resume()
    assert check_aligned(documents, beamline) == [0, 1, 2, 3, 4, 5]


def test_a_pause_after_saving_repeats_the_point_with_a_frame_of_its_own(beamline, engine, documents):
    """The event went out and the point is taken again: same seq_num, another frame, the last counts."""
    plan = rocking_scan(beamline, SCAN)
    with pytest.raises(RunEngineInterrupted):
        engine(pausing_after(plan, lambda m: m.command == "save", 4))  # the first event is the baseline's
    engine.resume()
    assert [event["seq_num"] for event in documents.events()] == [1, 2, 3, 3, 4, 5, 6]
    assert check_aligned(documents, beamline, frames=7) == [0, 1, 3, 4, 5, 6]


def test_the_temperature_is_held_again_after_a_pause(beamline, engine, documents):
    """Somebody changed the setpoint during the pause: the point waits until the sample is back."""
    thermal = beamline.twin.thermal
    plan = rocking_scan(beamline, SCAN)
    with pytest.raises(RunEngineInterrupted):
        engine(pausing_after(plan, lambda m: m.command == "trigger", 3))
    thermal.setpoint = 310.0
    beamline.twin.clock.sleep(600)
    engine.resume()
    temperatures = [event["data"]["Tsample"] for event in documents.events()]
    np.testing.assert_allclose(temperatures, 300.0, atol=0.3)
    assert thermal.setpoint == 300.0
    check_aligned(documents, beamline)


def test_abort_closes_the_shutter_and_keeps_heater_and_frames(make_beamline, engine, documents):
    beamline = make_beamline(pace=4.0)
    beamline.heated_stage.settle_time.put(0)
    at_exposure(beamline, 4, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(rocking_scan(beamline, SCAN))
    engine.abort("test")
    assert beamline.beam.shutter.position == "closed"
    assert beamline.heated_stage.setpoint == 300.0
    assert documents.of("stop")[-1]["exit_status"] == "abort"
    path = documents.of("stream_resource")[0]["uri"].removeprefix("file://localhost")
    with h5py.File(path) as stored:
        assert stored[FRAMES].shape[0] == 3


def test_halt_closes_the_shutter(make_beamline, engine):
    """`halt` skips every finalizer of the plan; the detector closes the shutter by itself."""
    beamline = make_beamline(pace=4.0)
    beamline.heated_stage.settle_time.put(0)
    at_exposure(beamline, 2, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(rocking_scan(beamline, SCAN))
    engine.halt()
    time.sleep(0.3)
    assert beamline.beam.shutter.position == "closed"
    assert beamline.heated_stage.setpoint == 300.0


def pausing_at_random(plan, rng, probability):
    """Pause after messages drawn by chance, from the plan's first message to its last."""
    response = None
    while True:
        try:
            message = plan.send(response)
        except StopIteration:
            return
        response = yield message
        if rng.random() < probability:
            yield Msg("pause", defer=False)


@pytest.mark.parametrize("seed", range(10))
def test_pauses_at_any_moment_leave_every_frame_with_its_point(beamline, engine, documents, seed):
    plan = pausing_at_random(rocking_scan(beamline, SCAN), np.random.default_rng(seed), 0.06)
    pauses = 0
    try:
        engine(plan)
    except RunEngineInterrupted:
        pauses += 1
    while engine.state == "paused":
        try:
            engine.resume()
        except RunEngineInterrupted:
            pauses += 1
    events = documents.events()
    assert pauses > 0
    repeated = len(events) - len({event["seq_num"] for event in events})
    check_aligned(documents, beamline, frames=len(ETAS) + repeated)
    assert documents.of("stop")[-1]["exit_status"] == "success"
