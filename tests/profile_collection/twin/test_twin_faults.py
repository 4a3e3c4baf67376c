"""Faults of the simulated hardware, each seen from outside."""

import numpy as np
import pytest

from profile_collection.twin import Clock, CrystalConfig, DetectorConfig, FrameLostError, Twin, TwinConfig
from profile_collection.twin.beamline import PATIENCE


@pytest.fixture
def twin():
    crystal = CrystalConfig(size=(300.0, 300.0, 300.0), pitch=(12.5, 12.5, 12.5))
    return Twin(
        TwinConfig(crystal=crystal, detector=DetectorConfig(roi=(116, 140, 116, 140)), threads=1), Clock()
    )


def test_a_dropped_frame_never_comes_and_the_next_one_does(twin):
    twin.faults.drop_frames()
    with pytest.raises(FrameLostError, match="no frame came within 5 s"):
        twin.expose(1.0)
    assert twin.expose(1.0).number == twin.exposures == 2


def test_a_repeated_frame_is_the_last_one_with_its_number(twin):
    first = twin.expose(1.0)
    twin.faults.repeat_frames()
    again = twin.expose(1.0)
    assert (again.number, twin.exposures) == (1, 2)
    np.testing.assert_array_equal(again.frame, first.frame)


def test_a_delayed_frame_comes_late_and_a_very_late_one_in_place_of_the_next(twin):
    twin.faults.delay_frames(PATIENCE - 1)
    begun = twin.clock.now()
    assert twin.expose(1.0).number == 1
    assert twin.clock.now() - begun == pytest.approx(PATIENCE)
    twin.faults.delay_frames(PATIENCE + 1)
    with pytest.raises(FrameLostError):
        twin.expose(1.0)
    assert [twin.expose(1.0).number for _ in range(2)] == [2, 4]


def test_a_stuck_axis_stays_where_it_is(twin):
    before = twin.axes
    twin.faults.stuck.add("eta")
    twin.set_axis("eta", 18.5)
    twin.set_axis("delta", 25.5)
    assert twin.axes == before | {"delta": 25.5}


@pytest.mark.parametrize("fault", ["beam_lost", "front_end"])
def test_without_beam_neither_monitor_nor_detector_counts(twin, fault):
    twin.shutter_open = True
    assert twin.expose(30.0).monitor > 0
    twin.faults.beam_lost = fault == "beam_lost"
    twin.faults.front_end_open = fault != "front_end"
    assert twin.expose(30.0).monitor == 0
    assert (twin.ring_current() == 0) == twin.faults.beam_lost


def test_a_weak_heater_stops_short_and_goes_on_when_it_is_mended(twin):
    thermal = twin.thermal
    thermal.ceiling = 310.0
    thermal.setpoint = 330.0
    twin.clock.sleep(3600)
    assert thermal.temperature() == pytest.approx(310.0, abs=0.1)
    thermal.ceiling = np.inf
    assert thermal.temperature() == pytest.approx(310.0, abs=0.1)
    twin.clock.sleep(3600)
    assert thermal.temperature() == pytest.approx(330.0, abs=0.1)


def test_a_drift_is_no_regulation(twin):
    before = twin.thermal.temperature()
    twin.thermal.drift = 1.0
    assert twin.thermal.temperature() == pytest.approx(before + 1.0)
    assert twin.thermal.setpoint == twin.config.thermal.start
