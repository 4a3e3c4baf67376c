"""The attenuator is chosen so that the detector does not saturate: by a pre-exposure on the twin itself."""

import pytest

from vo2_plans import EtaWindow, SeriesPlace, dry_run, temperature_series
from vo2_plans.attenuation import attenuate, brightest_step, upper_estimate

PLACE = SeriesPlace("series", 0, 1, 320.0)
WINDOW = EtaWindow(17.76, 17.84, 0.02, 30.0)


def rocking(documents):
    return [start for start in documents.of("start") if start["purpose"] == "rocking"]


def brightest(documents):
    """Return the brightest pixel of the rocking scans, lone ones aside."""
    uids = {start["uid"] for start in rocking(documents)}
    ours = {d["uid"] for d in documents.of("descriptor") if d["run_start"] in uids and d["name"] == "primary"}
    return max(e["data"]["merlin_peak_max"] for e in documents.of("event") if e["descriptor"] in ours)


def test_the_brightest_allowed_step_is_taken():
    assert brightest_step([0.01, 0.1, 1.0], 0.5) == 0.1
    assert brightest_step([0.01, 0.1, 1.0], 7.0) == 1.0
    assert brightest_step([0.01, 0.1, 1.0], 1e-5) == 0.01


def test_few_counts_are_not_taken_at_their_word():
    assert upper_estimate(0.0) == 3.0
    assert upper_estimate(100.0) == pytest.approx(133.0)


def test_a_deep_counter_takes_the_full_beam(beamline, engine, documents):
    engine(temperature_series(beamline, [320], WINDOW, locate=False))
    assert beamline.beam.transmission.get() == 1.0
    decided = rocking(documents)[0]["attenuation"]
    assert decided["transmission"] == 1.0
    assert decided["pre_transmission"] == 1e-4
    assert brightest(documents) <= decided["predicted_peak"] < 2**24 - 1


def test_a_shallow_counter_is_protected(beamline, engine, documents):
    beamline.merlin.counter_depth.put(12)
    engine(temperature_series(beamline, [320], WINDOW, locate=False))
    start = rocking(documents)[0]
    assert start["attenuation"]["transmission"] == beamline.beam.transmission.get() < 1.0
    assert 100 < brightest(documents) < start["detector"]["saturation"] == 4095


def test_saturated_frames_are_told(beamline, engine, documents, caplog):
    beamline.merlin.counter_depth.put(12)
    engine(temperature_series(beamline, [320], WINDOW, locate=False, pre_expose=False))
    assert brightest(documents) == 4095
    assert "5 of 5 points at 320 K are saturated (4095 counts and more)" in caplog.text
    assert "attenuation" not in rocking(documents)[0]


def test_a_peak_too_bright_for_every_absorber_is_told(beamline, engine, caplog):
    beamline.merlin.counter_depth.put(12)
    beamline.twin.config.beam.__dict__["transmissions"] = (1.0, 0.5)
    engine(attenuate(beamline, PLACE, eta=17.8, exposure=3000.0))
    assert beamline.beam.transmission.get() == 0.5
    assert "saturates the detector even with the strongest absorber" in caplog.text


def test_a_dry_run_leaves_the_attenuator_alone(beamline):
    result = dry_run(attenuate(beamline, PLACE, eta=17.8, exposure=30.0))
    assert result.value is None
    assert beamline.beam.transmission.get() == 1.0
