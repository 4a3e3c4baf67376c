"""The heated stage: ramps, settles, reports, times out in words, keeps its setpoint when stopped."""

import time

import pytest
from ophyd.utils import LimitError

from profile_collection.devices.simulated.beamline import HeatedStage
from profile_collection.twin import Clock, ThermalConfig


class Hardware:
    """Just enough of a twin: the thermal model with axes for the sample's translations."""

    def __init__(self, clock):
        from profile_collection.twin.instruments import HeatedStage as Thermal

        self.thermal = Thermal(ThermalConfig(), clock, seed=0)
        self.axes = {"sx": 0.0, "sy": 0.0, "sz": 0.0}

    def set_axis(self, name, value):
        self.axes[name] = value


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stage(clock):
    return HeatedStage(twin=Hardware(clock), clock=clock)


def test_set_ends_when_the_temperature_has_settled(stage, clock):
    begin = clock.now()
    stage.set(320.0).wait(timeout=10)
    ramp, settle = 20 / 5 * 60, 60
    assert stage.position == pytest.approx(320, abs=0.3)
    assert ramp + settle <= clock.now() - begin <= ramp + settle + 120


def test_reading_has_the_plain_names(stage):
    assert set(stage.read()) == {"Ta", "Tb", "Tc", "Td", "Tsample", "Theater", "Tset"}
    assert stage.describe()["Tsample"]["units"] == "K"


def test_progress_runs_from_one_to_zero():
    clock = Clock(pace=200)
    stage = HeatedStage(twin=Hardware(clock), clock=clock)
    seen = []
    status = stage.set(310.0)
    status.watch(lambda **progress: seen.append(progress))
    status.wait(timeout=10)
    assert {"name", "current", "initial", "target", "unit", "precision"} <= set(seen[0])
    fractions = [progress["fraction"] for progress in seen]
    assert len(seen) > 20
    assert fractions[0] > 0.5
    assert fractions[-1] < 0.1
    assert seen[0]["target"] == 310.0


def test_a_settled_temperature_is_done_at_once(stage, clock):
    stage.set(305.0).wait(timeout=10)
    begin = clock.now()
    assert stage.set(305.0).done
    assert clock.now() == begin


def test_a_sample_that_has_drifted_away_soaks_again(stage, clock):
    stage.set(305.0).wait(timeout=10)
    stage._thermal.setpoint = 310.0  # somebody at the controller's front panel
    clock.sleep(600)
    begin = clock.now()
    stage.set(305.0).wait(timeout=10)
    assert clock.now() - begin > 60
    assert stage.setpoint == 305.0
    assert stage.position == pytest.approx(305, abs=0.3)


@pytest.mark.parametrize("success", [True, False])
def test_stop_keeps_setpoint_and_ramp(success):
    clock = Clock(pace=60)
    stage = HeatedStage(twin=Hardware(clock), clock=clock)
    stage.ramp_rate.put(2.0)
    status = stage.set(350.0)
    time.sleep(0.2)
    stage.stop(success=success)
    assert status.done
    assert status.success == success
    assert stage.setpoint == 350.0
    assert stage.ramp_rate.get() == 2.0
    before = stage.position
    time.sleep(0.5)  # 30 virtual seconds: the ramp goes on
    assert stage.position > before + 0.5


def test_a_soak_that_takes_too_long_fails_in_words(stage):
    stage.timeout.put(60.0)
    status = stage.set(360.0)
    error = status.exception(timeout=10)
    assert isinstance(error, TimeoutError)
    assert "did not settle at 360 ± 0.3 K within 60 s" in str(error)
    assert "The setpoint is kept" in str(error)
    assert stage.setpoint == 360.0


@pytest.mark.parametrize("temperature", [float("nan"), float("inf"), 100.0, 500.0, "hot", None])
def test_impossible_temperatures_are_refused_before_anything_happens(stage, temperature):
    with pytest.raises(
        LimitError, match=r"temperature of heated_stage must be a number from 290 to 420 K, got"
    ):
        stage.set(temperature)
    assert stage.setpoint == 300.0


@pytest.mark.parametrize("rate", [0.0, -1.0, 50.0, float("nan")])
def test_the_ramp_is_limited_in_the_device(stage, rate):
    with pytest.raises(LimitError, match="must be a number from 0.1 to 20 K/min"):
        stage.ramp_rate.put(rate)
    assert stage._thermal.ramp_rate == pytest.approx(5.0)


def test_the_sample_is_moved_too(stage):
    stage.sy.set(0.25).wait(timeout=5)
    assert stage.sy.read()["sy"]["value"] == 0.25
