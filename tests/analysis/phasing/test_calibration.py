"""Blur and response, found with the object, and better for it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis import reconstruct
from analysis.phasing.calibration import Response, calibrate, fit_response
from analysis.phasing.config import DEFAULT
from analysis.phasing.forward import PixelKernel
from analysis.phasing.pattern import COHERENT
from analysis.phasing.projections import fixed_threads, to_centre, to_corner
from analysis.phasing.reconstruction import checked_pattern, from_truth
from analysis.phasing.refinement import final_support, finish
from analysis.phasing.registration import Candidate, overlap, register
from analysis.phasing.schedules import Level, support_of

SHAPE, THIN = (64, 48, 48), 24
"""The crystal lies within `THIN` of its box: of one that fills it frames say little of their exposure."""

BLUR = (0.0, 0.35, 0.35)

CALIBRATION = DEFAULT.calibration


def on_a_dirty_detector(truth, blur, uneven, unsteady, seed, peak=1e5):
    """Return counts (n0, n1, n2), the truth (corner order) at their scale, pixels' and frames' response."""
    rng = np.random.default_rng(seed)
    expected = PixelKernel(SHAPE, (0, 0, 0), blur).predict(truth)[1].clamp_min(0)
    scale = peak / expected.max()
    flat = np.exp(rng.normal(0, uneven, SHAPE[1:]))
    exposure = np.exp(rng.normal(0, unsteady, SHAPE[0]))
    counts = rng.poisson(np.fft.fftshift((expected * scale).numpy()) * exposure[:, None, None] * flat)
    return counts.astype(np.float32), truth * scale.sqrt(), flat, exposure


def thin_crystal(make_crystal, seed, peak_to_peak):
    crystal = make_crystal((THIN, *SHAPE[1:]), seed=seed, peak_to_peak=peak_to_peak)
    beside = (SHAPE[0] - THIN) // 2
    return to_corner(torch.from_numpy(np.pad(crystal, ((beside, beside), (0, 0), (0, 0)))))


@pytest.fixture(scope="module")
def truth(make_crystal):
    return thin_crystal(make_crystal, 8, 2 * np.pi)


@pytest.fixture(scope="module")
def dirty(truth):
    return on_a_dirty_detector(truth, BLUR, 0.15, 0.05, 3)


@pytest.fixture(scope="module")
def start(dirty):
    """Return the pattern and what phasing without regard to blur and response comes to from the truth."""
    counts, truth, *_ = dirty
    pattern = checked_pattern(counts, None, None, None)
    with fixed_threads(1):
        begun = Candidate(truth[None], final_support(pattern, truth[None]), 0.0, COHERENT, "truth")
        best, _ = finish(pattern, begun)
        support = support_of(Level(pattern.amplitude(), pattern.mask, SHAPE), best.x)
        return pattern, replace(best, x=best.x * support, support=support)


@pytest.fixture(scope="module")
def found(start):
    with fixed_threads(1):
        return calibrate(*start)


def lit(counts):
    return counts.sum(axis=0) > 10 * CALIBRATION.prior


def test_each_pixels_response_is_found(dirty, found):
    counts, _, true, _ = dirty
    flat = np.fft.fftshift(found.response.flat_field.numpy())
    assert np.corrcoef(flat[lit(counts)], true[lit(counts)])[0, 1] > 0.8
    assert flat[lit(counts)].std() == pytest.approx(true[lit(counts)].std(), rel=0.35)
    dark = counts.max(axis=0) < 2
    assert dark.sum() > 100
    np.testing.assert_array_equal(flat[dark], 1)


def test_each_frames_exposure_is_found(dirty, found):
    counts, _, _, true = dirty
    exposure = np.fft.fftshift(found.response.exposure.numpy())
    frames = counts.sum(axis=(1, 2))
    bright = frames > 5 * CALIBRATION.steady * frames.max()
    assert bright.sum() > 8
    assert np.corrcoef(exposure[bright], true[bright])[0, 1] > 0.8
    assert exposure[bright].std() < 1.5 * true[bright].std()


def test_the_blur_is_found(found):
    assert found.candidate.coherence[1:] == pytest.approx(BLUR[1:], abs=0.05)


def test_the_object_is_the_better_for_it(dirty, start, found):
    truth = dirty[1]
    before = register(start[1].x[0], truth).overlap
    after = register(found.candidate.x[0], truth).overlap
    assert 1 - after < 0.75 * (1 - before)
    assert after > 0.99
    assert found.history[-1] < 0.6 * found.history[0]


def test_a_flat_detector_in_a_steady_beam_is_found_so(truth):
    counts, truth, *_ = on_a_dirty_detector(truth, (0, 0, 0), 0.0, 0.0, 4)
    pattern = checked_pattern(counts, None, None, None)
    with fixed_threads(1):
        support = final_support(pattern, truth[None])
        same = calibrate(pattern, Candidate(truth[None], support, 0.0, COHERENT, "truth"))
    flat = np.fft.fftshift(same.response.flat_field.numpy())[lit(counts)]
    assert flat == pytest.approx(1, abs=0.1)
    assert flat.std() < 0.03
    exposure = np.fft.fftshift(same.response.exposure.numpy())
    assert exposure == pytest.approx(1, abs=0.08)  # some hundred counts in the faintest frames
    assert exposure[counts.sum(axis=(1, 2)) > 100 * CALIBRATION.prior] == pytest.approx(1, abs=0.03)
    assert register(same.candidate.x[0], truth).overlap > 0.99


def test_a_flat_field_and_a_dark_image_that_are_given_are_in_the_model_and_counts_stay_raw(truth):
    rng = np.random.default_rng(12)
    expected = PixelKernel(SHAPE, (0, 0, 0)).predict(truth)[1]
    scale = 1e4 / expected.max()
    flat, dark = np.exp(rng.normal(0, 0.2, SHAPE[1:])), rng.uniform(0, 0.9, SHAPE[1:])
    seen = np.fft.fftshift((expected * scale).numpy()) * flat + dark
    counts = rng.poisson(seen).astype(np.float32)
    start = to_centre(truth * scale.sqrt()).numpy()
    # Of a white field only the ratios matter.
    found = from_truth(counts, start, flat_field=5000 * flat, dark=dark)
    assert found.noise_ratio == pytest.approx(1, abs=0.05)
    assert found.flat_field == pytest.approx(flat / flat.mean(), rel=1e-4)
    assert from_truth(counts, start).noise_ratio > 1.15 * found.noise_ratio
    assert from_truth(counts / flat, start, background=dark / flat).noise_ratio > 1.02 * found.noise_ratio
    assert overlap(found.object, start) > overlap(from_truth(counts, start).object, start)
    found_blind = from_truth(counts, start, flat_field=np.where(flat < 0.8, 0, flat), dark=dark)
    assert found_blind.noise_ratio == pytest.approx(1, abs=0.05)  # a pixel of 0 was not measured
    blind = to_centre(checked_pattern(counts, None, None, None, np.where(flat < 0.8, 0, flat)).mask).numpy()
    np.testing.assert_array_equal(blind, np.broadcast_to(flat < 0.8, SHAPE))


def test_an_even_flat_field_changes_nothing(dirty):
    counts, truth, *_ = dirty
    start = to_centre(truth).numpy()
    with_one = from_truth(counts, start, flat_field=np.full(SHAPE[1:], 7.0), dark=np.zeros(SHAPE[1:]))
    np.testing.assert_array_equal(with_one.object, from_truth(counts, start).object)


@pytest.mark.parametrize("flat_field", [np.zeros(SHAPE[1:]), np.ones((3, 3))])
def test_a_flat_field_that_does_not_fit_is_refused(flat_field):
    with pytest.raises(ValueError, match="the flat field must"):
        checked_pattern(np.ones(SHAPE), None, None, None, flat_field)


def test_the_response_is_looked_for_from_the_flat_field_that_was_given():
    rng = np.random.default_rng(3)
    flat = np.exp(rng.normal(0, 0.2, SHAPE[1:]))
    counts = 100 * np.broadcast_to(flat, SHAPE)
    pattern = checked_pattern(counts, None, None, None, flat)
    beside = fit_response(pattern, torch.full(SHAPE, 100.0), Response.uniform(SHAPE))
    assert beside.factor.numpy() == pytest.approx(1, abs=1e-3)


def test_what_was_not_measured_says_nothing():
    counts = np.full((32, 32, 32), 100.0)
    mask = np.zeros(counts.shape, dtype=bool)
    mask[:16, 3, 4] = mask[:, 5, 6] = True
    counts[mask] = 1e6
    counts[16:, 3, 4] = 150
    pattern = checked_pattern(counts, mask, None, None)
    expected = torch.full(counts.shape, 100.0)
    response = fit_response(pattern, expected, Response.uniform(counts.shape))
    flat = np.fft.fftshift(response.flat_field.numpy())
    assert flat[3, 4] == pytest.approx(
        (CALIBRATION.prior + 16 * 150) / (CALIBRATION.prior + 16 * 100), rel=1e-3
    )
    assert flat[5, 6] == 1
    assert flat[0, 0] == pytest.approx(1, abs=1e-3)
    assert response.exposure.numpy() == pytest.approx(1, abs=1e-3)
    # Twice the counts everywhere is the object's, not the response's.
    doubled = fit_response(pattern, expected / 2, Response.uniform(counts.shape))
    assert doubled.factor.numpy() == pytest.approx(response.factor.numpy(), abs=0.01)


@pytest.mark.slow
def test_the_public_call_looks_for_them_where_nothing_else_explains_the_counts(dirty):
    counts, truth, flat, exposure = dirty
    result = reconstruct(counts, seed=1)
    assert result.trusted, result.reasons
    assert result.calibrated
    assert overlap(result.object, to_centre(truth).numpy()) > 0.98
    assert result.flat_field.shape == flat.shape
    assert result.exposure.shape == exposure.shape
    assert np.corrcoef(result.flat_field[lit(counts)], flat[lit(counts)])[0, 1] > 0.8
    assert result.noise_ratio < 2
