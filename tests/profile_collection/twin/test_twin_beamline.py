from dataclasses import replace

import numpy as np
import pytest

from profile_collection.twin import (
    BeamConfig,
    Clock,
    CrystalConfig,
    DetectorConfig,
    MountConfig,
    ThermalConfig,
    Twin,
    TwinConfig,
)
from profile_collection.twin.diffraction import LookAhead
from profile_collection.twin.instruments import Counter

SMALL = TwinConfig(
    crystal=CrystalConfig(size=(250.0, 300.0, 350.0)),
    thermal=ThermalConfig(start=320.0),
    detector=DetectorConfig(roi=(200, 320, 190, 330), hot_pixels=400, dead_pixels=400),
    threads=1,
)
CLEAN = replace(SMALL, detector=replace(SMALL.detector, hot_pixels=0, dead_pixels=0))


def open_twin(config=SMALL, seed=0, **kwargs):
    twin = Twin(config, Clock(start=1.0e9), seed, **kwargs)
    twin.shutter_open = True
    return twin


def test_the_peak_has_the_photons_asked_for():
    twin = open_twin(CLEAN)
    brightest = 0.0
    for eta in 17.8 + 0.01 * np.arange(-10, 11):
        twin.set_axis("eta", eta)
        brightest = max(brightest, float(twin.noiseless().max()))
    assert brightest == pytest.approx(1e6, rel=0.02)


def test_counts_scale_with_exposure_transmission_and_stage_position():
    twin = open_twin(CLEAN)
    full = twin.expose(30.0)
    twin.transmission = 0.01
    weak = twin.expose(30.0)
    assert weak.frame.sum() / full.frame.sum() == pytest.approx(0.01, rel=0.02)
    assert weak.monitor / full.monitor == pytest.approx(1, rel=0.01)
    twin.transmission = 1.0
    assert twin.expose(3.0).frame.sum() / full.frame.sum() == pytest.approx(0.1, rel=0.02)
    twin.set_axis("sz", 0.04)
    assert twin.noiseless().max() / open_twin(CLEAN).noiseless().max() == pytest.approx(
        np.exp(-0.5), rel=1e-4
    )


def test_the_monitor_drifts_with_the_flux_and_normalises_it_away():
    twin = open_twin(replace(CLEAN, beam=BeamConfig(drift=0.1, peak_photons=1e7)))
    readings = []
    for _ in range(12):
        taken = twin.expose(30.0)
        readings.append((taken.monitor, int(taken.frame.sum(dtype=np.int64)), taken.ring_current))
        twin.clock.sleep(400.0)
    monitor, counts, current = np.array(readings).T
    assert np.ptp(monitor) / monitor.mean() > 0.05
    np.testing.assert_allclose(counts / monitor, (counts / monitor).mean(), rtol=0.005)
    assert np.all((current > 297) & (current <= 300))
    assert np.ptp(current) > 0.1


def test_a_closed_shutter_leaves_the_dark_only():
    twin = Twin(SMALL, Clock(), seed=3)
    taken = twin.expose(30.0)
    hot = twin._counter.hot_rate > 0
    assert taken.monitor == 0
    assert taken.frame[~hot].max() == 0
    assert taken.frame[hot & twin._counter.alive].max() > 0


def test_the_exposure_takes_its_time():
    twin = open_twin()
    begin = twin.clock.now()
    assert twin.expose(30.0).timestamp == begin
    assert twin.clock.now() == begin + 30


def test_gap_and_dead_pixels_count_nothing_and_hot_ones_too_much():
    twin = open_twin()
    frame = twin.expose(30.0).frame
    assert frame.dtype == np.uint32
    assert frame.shape == (120, 140)
    assert frame[256 - 200 : 259 - 200].max() == 0
    assert frame[:, 256 - 190 : 259 - 190].max() == 0
    assert frame[255 - 200].max() > 0
    assert frame[259 - 200].max() > 0
    whole = Counter(DetectorConfig(), seed=0)
    assert (whole.hot_rate > 0).sum() == 24
    assert (~whole.alive).sum() == 3 * 515 * 2 - 9 + (~whole.alive[:256, :256]).sum() + sum(
        (~whole.alive[a, b]).sum()
        for a, b in ((np.s_[259:], np.s_[259:]), (np.s_[:256], np.s_[259:]), (np.s_[259:], np.s_[:256]))
    )


def test_the_region_is_a_cut_of_the_whole_detector():
    whole = Counter(SMALL.detector.__class__(hot_pixels=400, dead_pixels=400), seed=5)
    part = Counter(SMALL.detector, seed=5)
    np.testing.assert_array_equal(part.alive, whole.alive[200:320, 190:330])
    np.testing.assert_array_equal(part.hot_rate, whole.hot_rate[200:320, 190:330])


def test_the_counter_saturates_at_its_depth():
    twin = open_twin(CLEAN)
    assert twin.expose(30.0).frame.max() > 4095
    twin.counter_depth = 12
    assert twin.expose(30.0).frame.max() == 4095
    assert Counter.saturation(24) == 16777215
    counter = Counter(CLEAN.detector, 0)
    bright = np.full(counter.alive.shape, 3e7)
    assert counter.read(bright, 1.0, 24, np.random.default_rng(0)).max() == 16777215


def test_noise_is_poisson_and_background_is_there():
    config = replace(CLEAN, detector=replace(CLEAN.detector, background=0.5))
    twin = open_twin(config)
    twin.set_axis("eta", 12.0)
    counts = np.stack([twin.expose(30.0).frame for _ in range(60)])[:, :50, :60]
    assert counts.mean() == pytest.approx(0.5, rel=0.05)
    assert counts.var(axis=0).mean() == pytest.approx(counts.mean(), rel=0.05)


def test_frames_are_reproducible_from_the_seed_and_independent_when_taken_again():
    scans = []
    for seed, retaken in ((1, False), (1, True), (2, False)):
        twin, frames = open_twin(seed=seed), []
        for eta in (17.78, 17.80, 17.82):
            twin.set_axis("eta", eta)
            frames.append(twin.expose(30.0).frame)
            if retaken and eta == 17.80:
                begin = twin.clock.now()
                again = twin.expose(30.0).frame
                assert not np.array_equal(again, frames[-1])
                twin.clock._slept -= twin.clock.now() - begin
        scans.append(np.stack(frames))
    np.testing.assert_array_equal(scans[0], scans[1])
    assert not np.array_equal(scans[0], scans[2])


def test_the_look_ahead_changes_nothing_and_works_in_blocks():
    twin = open_twin(CLEAN)
    etas = np.round(17.6 + 0.01 * np.arange(30), 5)
    calls = []
    ahead = twin._look_ahead()
    compute = ahead.diffraction.intensity
    ahead.diffraction.intensity = lambda e: (calls.append(len(e)), compute(e))[1]
    frames = []
    for eta in etas:
        twin.set_axis("eta", float(eta))
        frames.append(twin.noiseless().copy())
    ahead.diffraction.intensity = compute
    assert calls[0] == 1
    assert max(calls) >= 16
    direct = compute(etas)
    scale = frames[0].max() / direct[0].max()
    np.testing.assert_allclose(np.stack(frames), direct * scale, atol=1e-4 * direct.max() * scale)
    before = ahead.computed
    twin.set_axis("eta", float(etas[3]))
    twin.noiseless()
    assert ahead.computed == before


def test_the_look_ahead_follows_a_scan_in_either_direction():
    ahead = LookAhead(open_twin(CLEAN)._look_ahead().diffraction)
    for eta in 17.9 - 0.01 * np.arange(25):
        ahead.frame(float(eta))
    assert ahead.computed < 25 + 60
    assert min(ahead._frames) < 17.66


def test_the_crystal_is_computed_anew_only_when_its_temperature_moves():
    twin = open_twin(CLEAN)
    first = twin.state()
    twin.clock.sleep(1000.0)
    assert twin.state() is first
    twin.thermal.setpoint = 321.0
    twin.clock.sleep(1000.0)
    assert twin.state() is not first
    assert twin.state().temperature == pytest.approx(321, abs=0.03)


def test_a_misaligned_crystal_has_to_be_found():
    config = replace(CLEAN, mount=MountConfig(error=(0.0, 0.0, -0.05), position=(0.02, 0.0, 0.0)))
    twin = open_twin(config)
    found = []
    for eta in 17.6 + 0.01 * np.arange(41):
        twin.set_axis("eta", eta)
        found.append(twin.noiseless().sum())
    assert abs(17.6 + 0.01 * int(np.argmax(found)) - 17.8) == pytest.approx(0.05, abs=0.011)
    before = twin.noiseless().sum()
    twin.set_axis("sx", 0.02)
    assert twin.noiseless().sum() / before == pytest.approx(np.exp(0.5), rel=1e-3)


def test_what_describes_the_twin_is_plain_data():
    import json

    description = Twin().describe()
    assert json.loads(json.dumps(description))["config"]["crystal"]["size"] == [1100, 1600, 1800]
    assert "less than 2" in description["warning"]


def put(name, value):
    def act(twin):
        setattr(twin, name, value)

    return act


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda t: t.set_axis("kappa", 1.0), "one of mu, eta"),
        (lambda t: t.set_axis("eta", float("nan")), "eta must be finite"),
        (lambda t: t.expose(0.0), "positive number of seconds; got 0.0"),
        (lambda t: t.expose(float("inf")), "positive number of seconds"),
        (put("transmission", 1.5), "transmission must lie"),
        (put("energy", float("nan")), "5 and 15 keV"),
        (put("counter_depth", 8), "12 or 24"),
    ],
)
def test_bad_input_is_refused_in_words(act, words):
    with pytest.raises(ValueError, match=words):
        act(Twin(SMALL, Clock()))
