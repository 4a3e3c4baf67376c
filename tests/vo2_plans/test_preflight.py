"""Bad input is refused in words before anything moves; what is allowed but unwise is said."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from vo2_plans import EtaWindow, dry_run, preflight, rocking_scan, temperature_series
from vo2_plans.sampling import check_sampling, sampling_of, window_needs

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
    assert "cannot be phased" in preflight(beamline, [320.0], PAPER, undersampled=True).warnings[0]
    beamline.crystal_size_nm = (500.0, 500.0, 500.0)
    assert preflight(beamline, [320.0], PAPER).warnings == []
    beamline.crystal_size_nm = None
    assert "not known beforehand" in preflight(beamline, [320.0], PAPER).warnings[0]


def test_check_happens_when_the_plan_starts_not_when_it_is_made(beamline):
    """The queue server makes plans early; a generator that nobody runs must raise nothing."""
    plan = temperature_series(beamline, [1000], PAPER)
    plan.close()


def test_a_crystal_too_coarsely_sampled_to_be_phased_is_refused_with_what_would_mend_it(beamline):
    beamline.crystal_size_nm = (1900.0, 500.0, 3000.0)
    with pytest.raises(ValueError, match="Nothing was moved: .*1900 nm along the rocking") as raised:
        preflight(beamline, [320.0], PAPER)
    said = str(raised.value)
    assert "oversampled 0.97 times, at least 1.2 times is needed" in said
    assert "a step of 0.0048° would give 2" in said
    assert "3000 nm horizontally are oversampled 1.09 times" in said
    assert "a distance of 2396 mm, or 4.9 keV would give 2" in said
    assert "undersampled=True (--undersampled)" in said
    beamline.crystal_size_nm = (1900.0, 500.0, 500.0)
    mended = preflight(beamline, [320.0], PAPER.changed(step=0.0048))
    assert mended.oversampling[0] >= 2


def test_a_series_that_is_told_to_go_on_says_so_in_its_documents(beamline):
    beamline.crystal_size_nm = (1900.0, 500.0, 500.0)
    runs = dry_run(temperature_series(beamline, [320.0], PAPER, undersampled=True)).runs
    assert all(run.md["series_plan"]["undersampled"] is True for run in runs)
    beamline.crystal_size_nm = (500.0, 500.0, 500.0)
    usual = dry_run(temperature_series(beamline, [320.0], PAPER)).runs
    assert not any("undersampled" in run.md["series_plan"] for run in usual)


DESCRIBED = {"crop": [64, 64, 64], "wide_crop": [96, 168, 168], "counterpart": {"phase": "rutile"}}


def test_the_range_of_eta_that_the_crops_need_is_told_in_numbers():
    usual, wide = window_needs({"experiment": DESCRIBED}, PAPER)
    assert (usual.start, usual.stop, usual.points) == (17.44, 18.16, 73)
    assert "needs eta 17.440° to 18.160°: 73 points, 33 % of the window's 221" in usual.text
    assert (wide.start, wide.stop, wide.points) == (17.28, 18.32, 105)
    assert "the peak of the rutile" in wide.text
    assert usual.warning == wide.warning == ""
    window = EtaWindow(usual.start, usual.stop, PAPER.step, PAPER.exposure)
    assert window.num == usual.points
    narrow = window_needs({"experiment": DESCRIBED}, PAPER.changed(start=17.6, stop=18.0))[0]
    assert "the window has 41 points, the crop 64 planes" in narrow.warning
    assert window_needs({}, PAPER) == []


def test_a_window_too_narrow_to_be_phased_is_no_reason_to_refuse(beamline):
    """A look at the peak in coarse steps; the same steps over a whole rocking curve are refused."""
    metadata = {**beamline.metadata(), "experiment": DESCRIBED}
    size, coarse = (1100.0, 500.0, 500.0), PAPER.changed(step=0.03)
    assert len(check_sampling(metadata, coarse, size).refusals) == 1
    look = check_sampling(metadata, coarse.changed(start=17.7, stop=17.9), size)
    assert look.refusals == []
    assert len(look.warnings) == 1
