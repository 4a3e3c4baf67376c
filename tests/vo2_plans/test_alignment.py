"""Finding the reflection on the twin, following it, and refusing a peak near a gap."""

import dataclasses

import numpy as np
import pytest

from profile_collection.devices.simulated.beamline import make_simulated
from profile_collection.twin import Clock, MountConfig, Twin
from vo2_plans import SeriesPlace, locate_reflection, recentre
from vo2_plans.alignment import Alignment, Arm, RockingCurve, check_clear_of_gaps
from vo2_plans.rocking import measure

PLACE = SeriesPlace("series", 0, 1, 300.0)
ARM = Arm(1310.0, 0.055, (515, 515), (256, 257, 258))


@pytest.fixture
def run(engine):
    def run(plan):
        results = []

        def kept():
            results.append((yield from plan))

        engine(kept())
        return results[0]

    return run


@pytest.fixture
def misaligned(beamline, tmp_path):
    """Return a beamline whose crystal sits 0.1° off in eta and a little in the other directions."""
    config = dataclasses.replace(
        beamline.twin.config,
        mount=MountConfig(error=(0.05, 0.03, 0.1)),
        detector=dataclasses.replace(beamline.twin.config.detector, roi=(64, 192, 64, 192)),
    )
    twin = Twin(config, Clock())
    line = make_simulated(twin, tmp_path / "misaligned")
    line.twin = twin
    return line


def centre_of_mass(frame, roi):
    return [
        float(np.average(np.arange(roi[2 * axis], roi[2 * axis + 1]), weights=frame.sum(axis=1 - axis)))
        for axis in (0, 1)
    ]


def test_the_reflection_is_found_and_put_on_a_chips_centre(misaligned, run, documents):
    found = run(locate_reflection(misaligned, PLACE))
    assert found.eta == pytest.approx(17.9, abs=0.03)
    assert found.pixel == pytest.approx((128, 128), abs=3)
    assert misaligned.diffractometer.eta.position == pytest.approx(found.eta)
    assert {start["purpose"] for start in documents.of("start")} == {"align"}
    pattern = sum(noiseless_at(misaligned, found.eta + offset) for offset in np.arange(-0.1, 0.11, 0.02))
    assert centre_of_mass(pattern, (64, 192, 64, 192)) == pytest.approx([128, 128], abs=6)


def noiseless_at(beamline, eta):
    beamline.twin.set_axis("eta", eta)
    return beamline.twin.noiseless()


def test_an_absent_reflection_is_said(beamline, run):
    beamline.heated_stage.sx.set(4.0).wait(timeout=10)  # the crystal is out of the beam
    with pytest.raises(
        RuntimeError, match=r"reflection \(0, 1, 1\) was not found within 0.6° of eta = 17.800°"
    ):
        run(locate_reflection(beamline, PLACE))


def test_a_drifted_peak_is_brought_back(beamline, run):
    """The arm is 10 and 8 pixels off: afterwards the pattern's own centre is where it shall be."""
    circles = beamline.diffractometer
    aimed = (circles.delta.position, circles.gam.position)
    off = ARM.angles(ARM.ray((128, 128), delta=aimed[0], gam=aimed[1]), (138, 120))
    circles.delta.set(off[0]).wait(timeout=10)
    circles.gam.set(off[1]).wait(timeout=10)
    found = run(recentre(beamline, PLACE, Alignment(17.8, (128, 128))))
    pattern = sum(noiseless_at(beamline, found.eta + offset) for offset in np.arange(-0.1, 0.11, 0.02))
    assert centre_of_mass(pattern, (96, 160, 96, 160)) == pytest.approx([128, 128], abs=3)
    assert found.pixel == (128.0, 128.0)
    assert found.eta == pytest.approx(17.8, abs=0.02)


def test_a_small_drift_leaves_the_detector_alone(misaligned, run):
    found = run(locate_reflection(misaligned, PLACE))
    before = misaligned.diffractometer.delta.position
    again = run(recentre(misaligned, PLACE, found))
    assert misaligned.diffractometer.delta.position == before
    assert again.eta == pytest.approx(found.eta, abs=0.01)


def test_without_a_peak_the_last_alignment_stays(beamline, run, caplog):
    beamline.heated_stage.sx.set(4.0).wait(timeout=10)
    previous = Alignment(17.81, (128.0, 128.0))
    assert run(recentre(beamline, PLACE, previous)) == previous
    assert "No peak at 300 K" in caplog.text


@pytest.mark.parametrize("pixel", [(128, 250), (257, 128), (240, 400), (-3, 128), (128, 530), (128, 264)])
def test_a_peak_near_a_gap_or_off_the_detector_is_refused(pixel):
    with pytest.raises(RuntimeError, match="at least 20 pixels from a gap; it is at row"):
        check_clear_of_gaps(pixel, ARM)


@pytest.mark.parametrize("pixel", [(128, 128), (386, 128), (230, 290)])
def test_a_peak_on_a_chip_is_accepted(pixel):
    check_clear_of_gaps(pixel, ARM)


def test_centre_of_a_curve_with_missing_points():
    curve = RockingCurve("merlin")
    for eta, counts in [(17.0, 0.0), (17.1, 50.0), (17.2, 100.0), (17.3, 50.0), (17.4, float("nan"))]:
        readings = {
            "eta": eta,
            "merlin_peak_row": 128,
            "merlin_peak_column": 120,
            "merlin_peak_total": counts,
        }
        curve.add(eta, {key: {"value": value} for key, value in readings.items()})
    curve.add(17.5, {})
    assert curve.centre() == pytest.approx(17.2)
    assert curve.maximum() == 17.2
    assert curve.pixel() == pytest.approx((128, 120))
    assert len(curve.eta) == 4


def test_a_curve_without_readings_has_no_peak():
    curve = RockingCurve("merlin")
    curve.add(17.0, {})
    assert not curve.has_peak


def test_points_report_their_readings(beamline, run):
    seen = []
    run(
        measure(
            beamline,
            [17.79, 17.8],
            exposure=1.0,
            temperature=300.0,
            md={},
            on_point=lambda eta, readings: seen.append((eta, readings["eta"]["value"])),
        )
    )
    assert seen == [(17.79, 17.79), (17.8, 17.8)]
