from dataclasses import replace

import numpy as np
import pytest

from profile_collection.twin import CrystalConfig, TwinConfig, oversampling
from profile_collection.twin.config import BeamConfig, DetectorConfig, ThermalConfig
from profile_collection.twin.crystal import Crystal, crystal
from profile_collection.twin.shape import faceted_crystal

COARSE = CrystalConfig(pitch=(12.5, 12.5, 12.5))
TEMPERATURES = np.arange(320.0, 366.0, 5.0)


@pytest.fixture(scope="module")
def states():
    return [crystal(COARSE).state(t) for t in TEMPERATURES]


def test_the_body_has_the_size_asked_for_and_turns():
    np.testing.assert_allclose(faceted_crystal(CrystalConfig()).extent(), (1100, 1600, 1800), rtol=1e-9)
    turned = faceted_crystal(CrystalConfig(orientation=(0.0, 0.0, 90.0)))
    np.testing.assert_allclose(turned.extent(), (1600, 1100, 1800), rtol=1e-9)


def test_the_body_is_faceted_and_has_a_monoclinic_angle():
    facets = faceted_crystal(CrystalConfig(truncation=0.0, size=(1000.0, 1000.0, 1000.0)))
    assert len(facets.normals) == 6 + 10
    grid = crystal(COARSE)
    inside = grid.support > 0.999
    empty = grid.support < 0.001
    assert inside.sum() + empty.sum() > 0.85 * grid.support.size
    volume = grid.support.sum() * 12.5**3
    assert 0.4 < volume / np.prod(COARSE.size) < 0.8


def test_320_kelvin_has_a_tensile_rim_and_a_compressive_core(states):
    state = states[0]
    depth = crystal(COARSE).facets.depth(state.axes, 30.0)
    inside = state.support > 0.9
    rim, core = inside & (depth < 60), depth > 0.85 * depth.max()
    assert state.phase[rim].mean() > 0.5 > -0.5 > state.phase[core].mean()
    assert state.rutile_fraction == 0
    assert state.m2_fraction < 0.002


def test_the_phase_is_strong_at_every_temperature_and_fits_the_voxels(states):
    for state in states:
        visible = state.support * (1 - state.rutile) > 0.6
        phase = state.phase[visible]
        assert np.abs(phase).max() > np.pi / 2
        assert 1.9 * np.pi < np.ptp(phase) < 3 * np.pi
        for axis, voxel in enumerate((29, 52, 51)):
            slope = np.abs(np.gradient(state.phase, 12.5, axis=axis))[visible] * voxel
            assert slope.max() < np.pi
            assert np.percentile(slope, 99) < 0.75 * np.pi


def test_rutile_rises_and_m2_goes_through_a_maximum(states):
    rutile = np.array([s.rutile_fraction for s in states])
    m2 = np.array([s.m2_fraction for s in states])
    assert np.all(np.diff(rutile) > -0.01)
    assert rutile[:2].max() == 0
    assert 0.02 < rutile[3] < 0.08
    assert rutile[5] == pytest.approx(0.20, abs=0.03)
    assert rutile[7] == pytest.approx(0.45, abs=0.02)
    assert m2[1] > 0.4
    assert m2[5] > 0.1
    assert m2[6] > 0.05
    assert m2[-1] < 0.01


def test_rutile_begins_at_the_surface_more_than_inside(states):
    state = states[5]
    depth = crystal(COARSE).facets.depth(state.axes, 30.0)
    inside = state.support > 0.9
    near, deep = inside & (depth < 80), inside & (depth > 150)
    assert state.rutile[near].mean() > 1.3 * state.rutile[deep].mean() > 0


def test_the_order_parameter_is_zero_drops_and_oscillates(states):
    """Field-level version of the analysis' definition: wrapped differences, zero where missing, uncentred."""
    reference = np.exp(-1j * states[0].phase) * (states[0].support > 0.5)
    inside, rows = states[0].support > 0.5, []
    for state in states:
        ratio = np.exp(-1j * state.phase) * (1 - state.rutile > 0.5) * reference.conj()
        ratio *= np.exp(-1j * np.angle(ratio.sum()))
        rows.append(-np.angle(ratio[inside]) * (np.abs(ratio[inside]) > 0))
    gram = np.array(rows) @ np.array(rows).T
    values, vectors = np.linalg.eigh(gram)
    score = vectors[:, -1] * np.sqrt(values[-1])
    score *= -np.sign(score.sum()) / np.abs(score).max()
    assert values[-1] > 0.4 * values.sum()
    assert score[0] == pytest.approx(0, abs=1e-3)
    assert np.abs(score[1:3]).max() < 0.65
    assert score[3] < score[2] - 0.2
    assert np.count_nonzero(np.diff(np.sign(np.diff(score[4:])))) >= 3


def test_the_state_is_smooth_in_temperature_and_seeded():
    other = replace(COARSE, seed=COARSE.seed + 1)
    one, near = crystal(COARSE).state(341.0), crystal(COARSE).state(341.05)
    jump = np.abs(one.monoclinic() - near.monoclinic())[one.support > 0.5]
    assert 0 < jump.mean() < 0.02
    np.testing.assert_array_equal(one.phase, Crystal(COARSE).state(341.0).phase)
    assert np.abs(Crystal(other).state(341.0).phase[:20, :20, :20] - one.phase[:20, :20, :20]).max() > 0.1


def test_rutile_has_its_own_spacing_and_the_m1_lattice_expands():
    cold, hot = crystal(COARSE).state(320.0), crystal(COARSE).state(365.0)
    assert cold.q_m1 / cold.q_rutile == pytest.approx(1.0043, abs=5e-5)
    assert cold.q_m1 / hot.q_m1 == pytest.approx(1 + 1.5e-5 * 45, rel=1e-9)


def test_the_clamped_m2_variant_stays_within_its_eigenstrain():
    plain = Crystal(replace(COARSE, m2_fraction=0.0)).state(325.0)
    m2 = Crystal(replace(COARSE, m2_fraction=1.0, m2_strain=5e-4)).state(325.0)
    extra = (m2.strain() - plain.strain())[:, 2:-2]
    np.testing.assert_allclose(extra, 5e-4, rtol=1e-3)


def test_the_papers_crystal_is_oversampled_less_than_twice_along_two_axes():
    sampled = oversampling(TwinConfig())
    assert (sampled.rocking, sampled.along_q, sampled.horizontal) == pytest.approx(
        (1.67, 2.05, 1.82), abs=0.005
    )
    assert "rocking 1.67" in sampled.warning
    assert "horizontal 1.82" in sampled.warning
    assert "along q" not in sampled.warning
    smaller = TwinConfig(crystal=CrystalConfig(size=(700.0, 900.0, 1000.0)))
    assert oversampling(smaller).warning is None
    assert oversampling(TwinConfig(), step=0.005).rocking == pytest.approx(3.34, abs=0.01)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CrystalConfig(size=(1100.0, -1.0, 1800.0)), "three lengths in nm"),
        (lambda: CrystalConfig(pitch=(25.0, 25.0, 25.0)), "ghosts"),
        (lambda: CrystalConfig(m2_strain=1e-3), "5e-4"),
        (lambda: CrystalConfig(orientation=(0.0, float("nan"), 0.0)), "finite angles"),
        (lambda: CrystalConfig(rutile_fraction=1.5), "rutile_fraction must lie"),
        (lambda: CrystalConfig(domain_length=20.0), "at least 100 nm"),
        (lambda: DetectorConfig(roi=(0, 600, 0, 10)), "inside the detector"),
        (lambda: DetectorConfig(counter_depth=16), "12 or 24"),
        (lambda: DetectorConfig(quadrature=5), "1, 2 or 3"),
        (lambda: BeamConfig(energy=80.0), "5 and 15 keV"),
        (lambda: BeamConfig(peak_photons=0.0), "positive"),
        (lambda: ThermalConfig(start=1000.0), "starting temperature"),
        (lambda: TwinConfig(threads=0), "at least 1"),
        (lambda: crystal(COARSE).state(float("nan")), "between 0 and 1000 K"),
    ],
)
def test_bad_configurations_are_refused_in_words(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_configuration_survives_json():
    import json

    config = TwinConfig(
        crystal=CrystalConfig(seed=9, size=(500.0, 600.0, 700.0)),
        detector=DetectorConfig(roi=(64, 192, 64, 192)),
    )
    assert TwinConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert TwinConfig().thread_count == TwinConfig(threads=8).thread_count == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert TwinConfig(threads=1).thread_count == 1
    assert TwinConfig().thread_count >= 1
