"""The EPICS devices against a real soft IOC: what plans rely on."""

import threading
import time
import uuid
from types import SimpleNamespace

import h5py
import hdf5plugin  # noqa: F401  registers the decompression filters
import numpy as np
import pytest
from ophyd.status import MoveStatus
from ophyd.utils import LimitError

from profile_collection.devices.epics.merlin import EpicsCounter
from profile_collection.devices.epics.signals import EpicsAxis, fresh_text, put_and_wait

START = {"uid": "0123456789", "series_uid": "epics", "purpose": "align", "plan_name": "test"}


def test_the_axes_have_plain_names_and_one_key(beamline):
    for axis in ("mu", "eta", "chi", "phi", "gam", "delta"):
        assert set(getattr(beamline.diffractometer, axis).read()) == {axis}
    assert set(beamline.beam.en.read()) == {"en"}
    assert set(beamline.heated_stage.sx.read()) == {"sx"}


def test_an_axis_refuses_what_it_cannot_reach(beamline):
    with pytest.raises(LimitError, match="eta must be a number from -20 to 100"):
        beamline.diffractometer.eta.set(500.0)


def test_limits_that_are_both_zero_are_none(monkeypatch):
    monkeypatch.setattr(EpicsAxis, "limits", (0.0, 0.0))
    monkeypatch.setattr(EpicsAxis, "egu", "degrees")
    axis = object.__new__(EpicsAxis)
    axis._name = "eta"
    axis.check_value(17.8)
    with pytest.raises(LimitError, match="eta must be a number from -inf to inf degrees, got nan"):
        axis.check_value(float("nan"))


def test_an_axis_arrives_and_is_read_where_it_stands(beamline):
    beamline.diffractometer.eta.set(18.0).wait(timeout=60)
    assert beamline.diffractometer.eta.position == 18.0
    assert beamline.diffractometer.eta.read()["eta"]["value"] == 18.0


def test_a_stopped_axis_fails_in_words_and_moves_again(beamline):
    eta = beamline.diffractometer.eta
    status = eta.set(60.0)
    time.sleep(0.5)
    eta.stop()
    with pytest.raises(RuntimeError, match="eta did not arrive at 60 ± 0.0001: it was stopped"):
        status.wait(timeout=30)
    eta.set(18.0).wait(timeout=60)
    assert eta.position == 18.0


def test_a_motion_ends_once_whoever_comes_first(beamline):
    class Late(MoveStatus):
        done = False  # as on a busy machine: the status's own thread has not heard of its end yet

    axis = SimpleNamespace(name="eta", _claim_lock=threading.Lock())
    status = Late(beamline.diffractometer.eta, 60.0)
    EpicsAxis._end(axis, status, "it was stopped")
    EpicsAxis._end(axis, status, "its record does not answer")
    with pytest.raises(RuntimeError, match="it was stopped"):
        status.wait(timeout=5)


def test_the_diffractometer_has_the_ub_of_the_mount(beamline):
    angles = beamline.diffractometer.forward(0, 1, 1)
    assert angles.eta == pytest.approx(17.8, abs=0.01)
    assert angles.delta == pytest.approx(24.8075, abs=0.01)


def test_the_angles_follow_the_energy(beamline, eventually):
    beamline.beam.en.set(9.05).wait(timeout=60)
    eventually(lambda: beamline.diffractometer.forward(0, 1, 1).delta < 24.75)
    beamline.beam.en.set(9.0).wait(timeout=60)
    eventually(lambda: beamline.diffractometer.forward(0, 1, 1).delta == pytest.approx(24.8075, abs=0.01))


@pytest.mark.parametrize("temperature", [500.0, 100.0, float("nan")])
def test_impossible_temperatures_are_refused_in_the_device(beamline, temperature):
    with pytest.raises(LimitError, match="temperature of heated_stage must be a number from 295 to 400 K"):
        beamline.heated_stage.set(temperature)


@pytest.mark.parametrize("rate", [0.0, 25.0, float("nan")])
def test_impossible_ramps_are_refused_in_the_device(beamline, rate):
    with pytest.raises(LimitError, match="must be a number from 0.1 to 20 K/min"):
        beamline.heated_stage.ramp_rate.put(rate)


def test_the_stage_settles_and_keeps_its_setpoint_when_stopped(beamline):
    stage = beamline.heated_stage
    stage.ramp_rate.set(20.0).wait(timeout=15)
    stage.set(302.0).wait(timeout=60)
    assert stage.position == pytest.approx(302.0, abs=0.3)
    status = stage.set(310.0)
    stage.stop(success=True)
    assert status.done
    assert stage.setpoint == 310.0
    stage.set(302.0).wait(timeout=60)


def expose(merlin):
    merlin.trigger().wait(timeout=60)
    return merlin.read(), list(merlin.collect_asset_docs())


@pytest.fixture
def merlin(beamline):
    merlin = beamline.merlin
    merlin.note_start({**START, "uid": uuid.uuid4().hex[:8]})
    merlin.acquire_time.set(1.0).wait(timeout=15)
    merlin.stage()
    yield merlin
    merlin.unstage()


def test_the_ioc_writes_the_frames_that_are_announced(merlin, beamline):
    readings, documents = zip(*(expose(merlin) for _ in range(3)), strict=True)
    assert [reading["merlin_frame_index"]["value"] for reading in readings] == [0, 1, 2]
    assert [name for name, _ in documents[0]] == ["stream_resource", "stream_datum"]
    assert documents[2][0][1]["indices"] == {"start": 2, "stop": 3}
    assert beamline.beam.shutter.position == "closed"
    path = merlin.file_path
    merlin.unstage()
    with h5py.File(path) as stored:
        group = stored["/entry/instrument/merlin"]
        frames = group["data"][:]
        assert frames.shape == (3, 64, 64)
        np.testing.assert_array_equal(
            frames.sum(axis=(1, 2)), [reading["merlin_total"]["value"] for reading in readings]
        )
        np.testing.assert_allclose(group["eta"][:], beamline.diffractometer.eta.position)
        assert '"series_uid": "epics"' in stored["entry"].attrs["start"]
    assert path.is_relative_to(merlin.data_folder / "raw" / "frames")


def test_a_pause_breaks_the_exposure_off(merlin, beamline, eventually):
    merlin.acquire_time.set(100.0).wait(timeout=15)  # five real seconds
    status = merlin.trigger()
    eventually(lambda: beamline.beam.shutter.position == "open")
    merlin.pause()
    assert status.done
    assert beamline.beam.shutter.position == "closed"
    merlin.acquire_time.set(1.0).wait(timeout=15)
    reading, _ = expose(merlin)
    assert reading["merlin_frame_index"]["value"] == 0


def test_twelve_bits_saturate(merlin):
    merlin.counter_depth.put(12)
    merlin.acquire_time.set(60.0).wait(timeout=15)
    try:
        reading, _ = expose(merlin)
        assert merlin.saturation == reading["merlin_max"]["value"] == 4095
    finally:
        merlin.counter_depth.put(24)


def test_a_file_that_exists_is_not_overwritten(beamline):
    merlin = beamline.merlin
    start = {**START, "uid": "twice"}
    merlin.note_start(start)
    merlin.stage()
    merlin.unstage()
    merlin.note_start(start)
    with pytest.raises(OSError, match="merlin cannot write its frames to .*exists"):
        merlin.stage()


def test_a_text_is_read_whole_after_an_empty_one(beamline, monkeypatch):
    text = beamline.merlin.hdf5.file_name
    put_and_wait(text, "a name of some length")
    # What pyepics remembers of an empty text, whose monitor may come in between a new text and its reading.
    monkeypatch.setitem(text._read_pv._args, "count", 1)
    assert fresh_text(text) == "a name of some length"


def test_a_new_session_finds_the_shutter_open_and_closes_it(beamline, pv, data_folder):
    from analysis.experiment import paper
    from profile_collection.devices.epics.beamline import make_epics
    from profile_collection.devices.epics.process_variables import read_process_variables

    pv("EA-SHTR-01:CON").put("Open", wait=True)
    assert beamline.beam.shutter.position == "open"
    make_epics(read_process_variables(port=None), data_folder, identity={}, experiment=paper().document())
    assert beamline.beam.shutter.position == "closed"


def test_an_image_that_is_late_is_asked_for_again_and_missed_in_words():
    answers = [None, np.arange(6)]
    image = SimpleNamespace(get=lambda count: answers.pop(0))
    merlin = SimpleNamespace(
        geometry=SimpleNamespace(frame_shape=(2, 3)), arr=SimpleNamespace(array_data=image)
    )
    source = object.__new__(EpicsCounter)
    source._merlin = merlin
    np.testing.assert_array_equal(source._frame(), [[0, 1, 2], [3, 4, 5]])
    answers += [None, None, None]
    with pytest.raises(TimeoutError, match="asked 3 times, the detector's server gave 1 values"):
        source._frame()
