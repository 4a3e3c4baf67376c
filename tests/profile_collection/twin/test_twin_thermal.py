import threading

import numpy as np
import pytest

from profile_collection.twin import Clock, ThermalConfig
from profile_collection.twin.instruments import HeatedStage


@pytest.fixture
def stage():
    return HeatedStage(ThermalConfig(start=320.0), Clock(start=0.0), seed=1)


def test_ramp_overshoot_and_settling(stage):
    stage.setpoint = 325.0
    times = np.arange(0.0, 600.0, 0.5)
    temperature = np.array([stage.temperature(t) for t in times])
    assert temperature[0] == pytest.approx(320, abs=0.02)
    # 5 K at 5 K/min take a minute.
    assert temperature[np.searchsorted(times, 30)] == pytest.approx(322.5, abs=0.02)
    overshoot = 5 / 60 * 15 / np.e
    assert temperature.max() - 325 == pytest.approx(overshoot, abs=0.03)
    assert np.abs(temperature[times > 200] - 325).max() < 0.03


def test_the_temperature_is_continuous_when_the_setpoint_changes_on_the_way(stage):
    stage.setpoint = 330.0
    stage._clock.sleep(50.0)
    before = stage.temperature()
    stage.setpoint = 310.0
    stage.ramp_rate = 10.0
    assert stage.temperature() == pytest.approx(before, abs=1e-9)
    stage._clock.sleep(6.0)
    assert stage.temperature() == pytest.approx(before - 1, abs=0.02)
    stage._clock.sleep(600.0)
    assert stage.temperature() == pytest.approx(310, abs=0.03)


def test_an_unchanged_setpoint_does_not_disturb(stage):
    stage.setpoint = 320.0
    temperature = [stage.temperature(t) for t in np.arange(0.0, 200.0)]
    assert np.abs(np.array(temperature) - 320).max() < 0.03


def test_diodes_have_small_offsets_and_noise(stage):
    readings = [stage.diodes(now=second) for second in range(300)]
    assert set(readings[0]) == {"Ta", "Tb", "Tc", "Td", "Tsample"}
    means = {n: np.mean([r[n] for r in readings]) for n in readings[0]}
    assert all(abs(m - 320) < 0.3 for m in means.values())
    assert np.std([means[n] for n in ("Ta", "Tb", "Tc", "Td")]) > 0.005
    true = np.mean([stage.temperature(second) for second in range(300)])
    assert means["Tsample"] == pytest.approx(true, abs=0.005)
    assert np.std([r["Ta"] for r in readings]) == pytest.approx(0.01, rel=0.3)
    again = HeatedStage(ThermalConfig(start=320.0), Clock(start=0.0), seed=1)
    assert again.diodes(now=0) == readings[0]
    assert again.diodes(now=0) == readings[0]  # looking does not change what is seen


def test_the_heater_works_harder_on_a_ramp(stage):
    settled = stage.heater
    stage.setpoint = 360.0
    assert 0 < settled < stage.heater <= 100
    stage.setpoint = 300.0
    assert stage.heater < settled


@pytest.mark.parametrize("value", [200.0, 401.0, float("nan"), float("inf")])
def test_a_bad_setpoint_is_refused_in_words(stage, value):
    with pytest.raises(ValueError, match=r"between 295\.0 and 400\.0 K; got"):
        stage.setpoint = value
    assert stage.setpoint == 320


@pytest.mark.parametrize("value", [0.0, -5.0, float("nan")])
def test_a_bad_ramp_rate_is_refused_in_words(stage, value):
    with pytest.raises(ValueError, match="positive number of K/min"):
        stage.ramp_rate = value


def test_virtual_time_costs_nothing():
    clock = Clock(start=100.0)
    assert clock.sleep(36000.0)  # ten hours: longer than any test may take
    assert clock.now() == 36100


def test_a_paced_clock_keeps_its_pace_and_can_be_cancelled():
    clock = Clock(pace=100.0)
    first = clock.now()
    assert clock.sleep(10.0)
    assert clock.now() - first >= 10
    cancel = threading.Event()
    threading.Timer(0.05, cancel.set).start()
    assert not clock.sleep(1e5, cancel)  # 1000 s at this pace: longer than any test may take
    assert not Clock().sleep(1.0, cancel)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_bad_duration_is_refused_in_words(value):
    with pytest.raises(ValueError, match="finite and not negative"):
        Clock().sleep(value)
    with pytest.raises(ValueError, match="pace must be above 0"):
        Clock(pace=0.0)
