"""Bad input is refused in words before anything moves; what is allowed but unwise is said."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from vo2_plans import EtaWindow, preflight, rocking_scan, temperature_series
from vo2_plans.preflight import sampling_of

PAPER = EtaWindow(16.7, 18.9, 0.01, 30.0)


def series_of(beamline, temperatures=(320.0,), align_exposure=1.0, **changes):
    window = PAPER.changed(**changes)
    return temperature_series(beamline, temperatures, window, align_exposure=align_exposure)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperatures": []}, "at least one setpoint"),
        ({"temperatures": [320.0, float("nan")]}, "finite numbers from 295 to 400 K .* got nan"),
        ({"temperatures": [320.0, float("inf")]}, "got inf"),
        ({"temperatures": [320.0, 500.0]}, "got 500.0"),
        ({"temperatures": [100]}, "got 100"),
        ({"temperatures": []}, "got none"),
        ({"start": -50.0}, "eta must stay within its limits -20° to 100°, got -50°"),
        ({"stop": 200.0}, "got 200°"),
        ({"start": 19.0}, "upwards"),
        ({"step": 0.0}, "positive number of degrees, got 0.0"),
        ({"step": -0.01}, "positive number of degrees, got -0.01"),
        ({"exposure": 0.0}, "positive number of seconds, got 0.0"),
        ({"exposure": float("nan")}, "positive number of seconds, got nan"),
        ({"align_exposure": 0.0}, "alignment exposure must be a positive number of seconds, got 0.0"),
        ({"exposure": 1e5}, "at most 3600 s"),
    ],
)
def test_impossible_series_are_refused_before_anything_moves(beamline, documents, engine, options, said):
    before = (beamline.twin.axes, beamline.twin.clock.now(), beamline.heated_stage.setpoint)
    with pytest.raises(ValueError, match=f"Nothing was moved: .*{said}"):
        engine(series_of(beamline, **options))
    assert (beamline.twin.axes, beamline.twin.clock.now(), beamline.heated_stage.setpoint) == before
    assert documents == []


def test_all_problems_are_told_at_once(beamline):
    with pytest.raises(ValueError, match="got 1000") as raised:
        preflight(beamline, [1000, 2000], EtaWindow(16.7, 18.9, 0, 0))
    assert str(raised.value).count(";") == 3


@pytest.mark.parametrize("options", [{"step": 0.0}, {"exposure": -1.0}, {"stop": 101.0}])
def test_a_single_scan_is_checked_too(beamline, documents, engine, options):
    with pytest.raises(ValueError, match="Nothing was moved"):
        engine(rocking_scan(beamline, PAPER.changed(**options)))
    assert documents == []


def test_numbers_of_numpy_are_numbers(beamline):
    assert preflight(beamline, list(np.arange(320, 330, 5)), PAPER).points == 442


def test_a_full_disk_is_refused(beamline, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000_000))
    with pytest.raises(ValueError, match=r"must have \d+ MB free .* it has 10 MB"):
        preflight(beamline, [320.0], PAPER)


def test_time_and_space_of_the_published_series(beamline):
    report = preflight(beamline, np.arange(320, 370, 5).tolist(), PAPER)
    assert report.points == 2210
    assert report.seconds / 3600 == pytest.approx(18.9, abs=0.3)
    assert report.disk_bytes == pytest.approx(2210 * 64 * 64 * 4 / 3, rel=1e-6)
    assert "2210 frames" in report.text()


def test_fields_of_view_are_those_of_the_experiment(beamline):
    """Science notes, section 1: 1837 nm along the rocking direction and 3281 nm on the detector's axes."""
    sampling = sampling_of(beamline.metadata(), PAPER)
    assert sampling.fields_of_view == pytest.approx((1837, 3281, 3281), rel=1e-3)
    assert sampling.oversampling((1100, 1600, 1800)) == pytest.approx((1.67, 2.05, 1.82), abs=0.01)


def test_undersampling_is_said(beamline):
    beamline.crystal_size_nm = (1100.0, 1600.0, 1800.0)
    warnings = preflight(beamline, [320.0], PAPER).warnings
    assert len(warnings) == 2
    assert "1100 nm along the rocking direction are oversampled 1.67 times" in warnings[0]
    assert "the autocorrelation wraps; a step of 0.0083° would do" in warnings[0]
    mended = preflight(beamline, [320.0], PAPER.changed(step=0.0083)).warnings
    assert [warning for warning in mended if "rocking" in warning] == []
    assert "a distance of 1438 mm, or 8.2 keV would do" in warnings[1]
    beamline.crystal_size_nm = (1900.0, 500.0, 500.0)
    assert "cannot be phased" in preflight(beamline, [320.0], PAPER).warnings[0]
    beamline.crystal_size_nm = (500.0, 500.0, 500.0)
    assert preflight(beamline, [320.0], PAPER).warnings == []
    beamline.crystal_size_nm = None
    assert "not known beforehand" in preflight(beamline, [320.0], PAPER).warnings[0]


def test_check_happens_when_the_plan_starts_not_when_it_is_made(beamline):
    """The queue server makes plans early; a generator that nobody runs must raise nothing."""
    plan = temperature_series(beamline, [1000], PAPER)
    plan.close()
