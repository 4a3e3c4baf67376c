"""A dry run tells what will be done and how long it takes, and does nothing."""

import bluesky.plan_stubs as bps
import pytest
from bluesky.utils import Msg
from ophyd.utils import LimitError

from vo2_plans import EtaWindow, dry_run, duration_text, estimate_time, rocking_scan, temperature_series

PAPER = EtaWindow(16.7, 18.9, 0.01, 30.0)


def test_the_published_series(beamline):
    before = (beamline.twin.axes, beamline.twin.clock.now(), beamline.heated_stage.setpoint)
    result = dry_run(temperature_series(beamline, range(320, 370, 5), PAPER))
    scans = [run for run in result.runs if run.md["purpose"] == "rocking"]
    assert len(scans) == 10
    assert [run.md["temperature_setpoint"] for run in scans] == [320 + 5 * n for n in range(10)]
    assert all(run.points == 221 for run in scans)
    assert all(run.seconds == pytest.approx(1.84 * 3600, rel=0.01) for run in scans)
    assert result.exposing_seconds == pytest.approx(18.42 * 3600, rel=0.01)
    assert result.heating_seconds == pytest.approx((65 / 5 + 10) * 60, rel=1e-3)
    assert result.seconds / 3600 == pytest.approx(18.9, abs=0.2)
    assert (beamline.twin.axes, beamline.twin.clock.now(), beamline.heated_stage.setpoint) == before
    assert beamline.merlin.file_path is None
    assert not (beamline.merlin.data_folder / "raw").exists()


def test_the_report_has_a_line_per_run_and_the_whole(beamline):
    text = dry_run(temperature_series(beamline, [320, 330], PAPER)).text()
    lines = text.splitlines()
    assert sum("rocking_scan" in line for line in lines) == 2
    assert "320.0 K" in lines[0]
    assert any("221 × 30 s" in line and "1.85 h" in line for line in lines)
    assert "the whole plan" in lines[-1]


def test_points_move_their_distance_and_wait_their_exposure(beamline):
    seconds = estimate_time(rocking_scan(beamline, EtaWindow(17.0, 18.0, 0.5, 10.0)))
    travel = 1.0 / 0.5
    settle = 60  # the temperature is made sure of while eta goes to its first position
    assert seconds == pytest.approx(30 + travel + settle, abs=0.5)


def test_motions_at_the_same_time_count_once(beamline):
    circles = beamline.diffractometer

    def plan():
        yield from bps.mv(circles.chi, 80.0, circles.phi, 10.0)  # 10 s and 5 s

    assert estimate_time(plan()) == pytest.approx(10, abs=0.1)


def test_targets_beyond_the_limits_are_found(beamline):
    with pytest.raises(LimitError, match="chi must be a number from -10 to 105"):
        dry_run(bps.mv(beamline.diffractometer.chi, 170.0))


def test_sleep_counts_and_the_plans_value_comes_back():
    def plan():
        yield Msg("sleep", None, 12.5)
        return "done"

    result = dry_run(plan())
    assert result.seconds == pytest.approx(12.5, abs=0.01)
    assert result.value == "done"


@pytest.mark.parametrize(("seconds", "text"), [(12, "12 s"), (750, "12.5 min"), (66300, "18.42 h")])
def test_durations_read_well(seconds, text):
    assert duration_text(seconds) == text
