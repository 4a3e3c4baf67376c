"""The judge's crystals: exact phase and photons, reproducible, and an integration that is right."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from analysis.benchmark import CLASSES, benchmark_pattern, draw_cases
from analysis.benchmark.crystals import SHAPES, draw_shape
from analysis.benchmark.detection import amplitude, draw_unrecorded, integrated, quadrature, whole_q
from analysis.benchmark.generator import STEEPEST, draw_crystal, steepest
from analysis.phasing.registration import overlap

SEED = 9001
"""Belongs to no table of seeds: tests only."""


def intensity_of(obj):
    return np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj)))) ** 2


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "detector"])
def pattern(request):
    return benchmark_pattern(SEED, peak_to_peak=3 * np.pi, photons=1e5, detector=request.param)


def test_the_brightest_voxel_holds_the_photons_that_were_asked_for(pattern):
    assert pattern.counts.max() == pytest.approx(1e5, abs=5 * 1e5**0.5)
    if not pattern.detector:
        assert intensity_of(pattern.truth).max() == pytest.approx(1e5, rel=1e-5)


def test_counts_are_what_the_truth_scatters(pattern):
    expected = intensity_of(pattern.truth)
    measured = pattern.counts[~pattern.mask]
    if not pattern.detector:
        # For Poisson counts the variance of (n - mean) / sqrt(mean) is 1.
        bright = expected > 20
        assert np.var((pattern.counts - expected)[bright] / expected[bright] ** 0.5) == pytest.approx(
            1, abs=0.1
        )
    # Integration and blur move counts between voxels and over the edge, but make none.
    assert measured.sum() / expected[~pattern.mask].sum() == pytest.approx(1, abs=0.02)


def test_detector_effects_are_there_and_passed_on(pattern):
    assert pattern.mask.any() == pattern.detector
    assert (pattern.background > 0) == pattern.detector
    assert pattern.pixel_kernel == ((0, 1, 1) if pattern.detector else (0, 0, 0))
    assert not pattern.counts[pattern.mask].any()
    assert not pattern.mask[np.unravel_index(pattern.counts.argmax(), pattern.counts.shape)]
    assert set(pattern.arguments()) == {"mask", "background", "pixel_kernel"}


def test_a_pattern_as_most_are_kept_says_nothing_of_its_detector():
    kept, recorded = (
        benchmark_pattern(SEED, photons=1e6, size=32, **{kind: True}) for kind in ("measured", "detector")
    )
    assert overlap(kept.truth, recorded.truth) == pytest.approx(1)  # the same crystal, in another exposure
    assert kept.pixel_kernel == (0, 0, 0)
    pixels = [pattern.counts.sum(axis=0) for pattern in (kept, recorded)]
    bright = np.minimum(*pixels) > 10_000  # Poisson noise alone: 1 %
    ratio = pixels[0][bright] / pixels[1][bright]
    assert np.count_nonzero(bright) > 10
    assert ratio.std() > 0.04


def test_responses_of_pixels_and_frames_have_a_mean_of_one():
    for seed in range(20):
        drawn = draw_unrecorded(np.random.default_rng(seed), (64, 32, 32))
        assert drawn.flat_field.mean() == pytest.approx(1)
        assert drawn.exposure.mean() == pytest.approx(1)
        assert 0.04 < drawn.flat_field.std() < 0.22
        assert 0.03 < drawn.exposure.std() < 0.07
        assert (drawn.flat_field > 0).all()
        assert 0 <= drawn.drift.min() < drawn.drift.max() <= 0.1
        assert np.allclose(
            drawn.counted(np.zeros((64, 32, 32)))[10], drawn.drift[10] * drawn.exposure[10] * drawn.flat_field
        )


def test_the_same_seed_gives_the_same_pattern():
    one, two = (benchmark_pattern(SEED, detector=True, size=32) for _ in range(2))
    assert np.array_equal(one.counts, two.counts)
    assert np.array_equal(one.truth, two.truth)
    assert not np.array_equal(one.counts, benchmark_pattern(SEED + 1, detector=True, size=32).counts)


@pytest.mark.parametrize("turns", [2, 3, 4])
def test_the_phase_spans_exactly_what_was_asked_for_beside_any_ramp(turns):
    crystal = draw_crystal(np.random.default_rng(turns), turns * np.pi, 48)
    values = crystal.phase[crystal.inside]
    assert np.ptp(values) == pytest.approx(turns * np.pi, rel=1e-12)
    grid = np.meshgrid(*crystal.positions, indexing="ij")
    columns = np.stack([np.ones(len(values)), *(g[crystal.inside] for g in grid)], axis=1)
    assert np.linalg.lstsq(columns, values)[0][1:] == pytest.approx(0, abs=1e-8)


def test_steepness_of_a_ramp_is_its_slope():
    crystal = draw_crystal(np.random.default_rng(1), np.pi, 48)
    line = 0.4 * np.arange(crystal.phase.shape[1])[:, None]
    ramp = type(crystal)(**{**vars(crystal), "phase": np.broadcast_to(line, crystal.phase.shape)})
    assert steepest(ramp) == pytest.approx(0.8)  # two fine points a voxel
    assert STEEPEST > 0.8


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_every_body_spans_the_cube_from_minus_one_to_one(number):
    class First:
        """A generator whose first choice is the body to test."""

        def __init__(self):
            self.rng, self.asked = np.random.default_rng(number), False

        def integers(self, *bounds):
            chosen = self.rng.integers(*bounds) if self.asked else number
            self.asked = True
            return chosen

        def __getattr__(self, name):
            return getattr(self.rng, name)

    name, level = draw_shape(First())
    assert name == SHAPES[number].__name__
    line = np.linspace(-1.5, 1.5, 61)
    inside = level((line[:, None, None], line[:, None], line)) > 0
    for axis in range(3):
        where = line[inside.any(axis=tuple(a for a in range(3) if a != axis))]
        assert where[0] == pytest.approx(-1, abs=0.16)
        assert where[-1] == pytest.approx(1, abs=0.16)


def test_amplitude_is_the_centred_transform():
    rng = np.random.default_rng(0)
    obj = rng.normal(size=(6, 8, 10)) + 1j * rng.normal(size=(6, 8, 10))
    positions = tuple((np.arange(n) - n // 2) / n for n in obj.shape)
    expected = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj)))
    assert np.allclose(amplitude(obj, positions, whole_q(obj.shape)), expected)


@pytest.mark.parametrize(("width", "sigma"), [(1, 0), (1, 0.3), (0, 0.25), (0.5, 0.1)])
def test_the_quadrature_multiplies_lags_with_sinc_and_gaussian(width, sigma):
    nodes, weights = quadrature(width, sigma)
    lags = np.linspace(0, 0.6, 13)
    summed = (weights * np.cos(2 * np.pi * lags[:, None] * nodes)).sum(axis=1)
    assert summed == pytest.approx(np.sinc(width * lags) * np.exp(-2 * (np.pi * sigma * lags) ** 2), abs=2e-3)


def test_an_integrated_pattern_of_two_points_has_analytic_fringes():
    # Points a lag L apart give 2 + 2 cos(2 pi q L); the pixel multiplies the cosine by sinc(L).
    lag = 0.5
    density = np.array([1.0, 1.0]).reshape(1, 1, 2).astype(complex)
    positions = (np.zeros(1), np.zeros(1), np.array([0.0, lag]))
    found = integrated(density, positions, whole_q((1, 1, 16)), (0, 0, 1), (0, 0, 0))[0, 0]
    expected = 2 + 2 * np.sinc(lag) * np.cos(2 * np.pi * (np.arange(16) - 8) * lag)
    assert found == pytest.approx(expected, abs=1e-4)


def test_seeds_of_the_training_are_refused():
    with pytest.raises(ValueError, match="1000 to 2999"):
        benchmark_pattern(2000)
    with pytest.raises(ValueError, match="positive"):
        benchmark_pattern(SEED, photons=0)


def test_any_part_of_the_cases_is_spread_over_the_classes():
    cases = draw_cases(range(9000, 9100), 2 * len(CLASSES))
    assert [case.kind for case in cases] == [*CLASSES, *CLASSES]
    assert len({case.seed for case in cases}) == len(cases)
    assert {case.photons for case in cases if case.kind.turns == 2} == {1e5, 1e6}
    with pytest.raises(ValueError, match="between 1 and 100"):
        draw_cases(range(9000, 9100), 101)


def test_the_contract_of_independence_names_what_it_must():
    config = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    contracts = config["tool"]["importlinter"]["contracts"]
    (judged,) = [c for c in contracts if c.get("source_modules") == ["analysis.benchmark"]]
    assert set(judged["forbidden_modules"]) == {
        f"analysis.phasing.network.{module}" for module in ("crystals", "training_data")
    }
    assert {allowed.split(" -> ")[0] for allowed in judged["ignore_imports"]} == {
        "analysis.benchmark.ablation"
    }
