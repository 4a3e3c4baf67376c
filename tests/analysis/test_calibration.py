"""Blur and flat field that nobody measured: found with the object, and better for it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis import reconstruct
from analysis.phasing.agreement import Candidate, match
from analysis.phasing.ambiguities import overlap
from analysis.phasing.calibration import PRIOR, calibrated, flat_field
from analysis.phasing.coherence import COHERENT
from analysis.phasing.engine import fixed_threads, to_centre, to_corner
from analysis.phasing.kernels import PixelKernel
from analysis.phasing.levels import Level
from analysis.phasing.recipes import support_of
from analysis.phasing.refinement import final_support, finish
from analysis.phasing.validation import checked_pattern

SHAPE = (48, 48, 48)
BLUR = (0.0, 0.35, 0.35)


def on_a_dirty_detector(truth, blur, uneven, seed, peak=1e5):
    """Return counts (n0, n1, n2), the truth (corner order) at their scale, and each pixel's response."""
    rng = np.random.default_rng(seed)
    expected = PixelKernel(SHAPE, (0, 0, 0), blur).predict(truth)[1].clamp_min(0)
    scale = peak / expected.max()
    response = np.exp(rng.normal(0, uneven, SHAPE[1:]))
    counts = rng.poisson(np.fft.fftshift((expected * scale).numpy()) * response)
    return counts.astype(np.float32), truth * scale.sqrt(), response


@pytest.fixture(scope="module")
def truth(make_crystal):
    return to_corner(torch.from_numpy(make_crystal(SHAPE, seed=8)))


@pytest.fixture(scope="module")
def dirty(truth):
    return on_a_dirty_detector(truth, BLUR, 0.15, 3)


@pytest.fixture(scope="module")
def start(dirty):
    """Return the pattern and what phasing without regard to blur and flat field comes to from the truth."""
    counts, truth, _ = dirty
    pattern = checked_pattern(counts, None, None, None)
    with fixed_threads(1):
        begun = Candidate(truth[None], final_support(pattern, truth[None]), 0.0, COHERENT, "truth")
        best, _ = finish(pattern, begun)
        support = support_of(Level(pattern.amplitude(), pattern.mask, SHAPE), best.x)
        return pattern, replace(best, x=best.x * support, support=support)


@pytest.fixture(scope="module")
def found(start):
    with fixed_threads(1):
        return calibrated(*start)


def lit(counts):
    return counts.sum(axis=0) > 10 * PRIOR


def test_each_pixels_response_is_found(dirty, found):
    counts, _, response = dirty
    flat = to_centre(found.flat_field[None])[0].numpy()
    assert np.corrcoef(flat[lit(counts)], response[lit(counts)])[0, 1] > 0.8
    assert flat[lit(counts)].std() == pytest.approx(response[lit(counts)].std(), rel=0.35)
    dark = counts.max(axis=0) < 2
    assert dark.sum() > 100
    np.testing.assert_array_equal(flat[dark], 1)


def test_the_blur_is_found(found):
    assert found.candidate.coherence[1:] == pytest.approx(BLUR[1:], abs=0.05)


def test_the_object_is_the_better_for_it(dirty, start, found):
    truth = dirty[1]
    before = match(start[1].x[0], truth).overlap
    after = match(found.candidate.x[0], truth).overlap
    assert 1 - after < 0.75 * (1 - before)
    assert after > 0.99
    assert found.history[-1] < 0.6 * found.history[0]


def test_a_flat_detector_is_found_flat(truth):
    counts, truth, _ = on_a_dirty_detector(truth, (0, 0, 0), 0.0, 4)
    pattern = checked_pattern(counts, None, None, None)
    with fixed_threads(1):
        support = final_support(pattern, truth[None])
        same = calibrated(pattern, Candidate(truth[None], support, 0.0, COHERENT, "truth"))
    flat = to_centre(same.flat_field[None])[0].numpy()[lit(counts)]
    assert flat == pytest.approx(1, abs=0.1)
    assert flat.std() < 0.03
    assert match(same.candidate.x[0], truth).overlap > 0.99


def test_what_was_not_measured_says_nothing_of_a_pixel():
    counts = np.full((32, 32, 32), 100.0)
    mask = np.zeros(counts.shape, dtype=bool)
    mask[:16, 3, 4] = mask[:, 5, 6] = True
    counts[:16, 3, 4] = counts[:, 5, 6] = 1e6
    counts[16:, 3, 4] = 150
    pattern = checked_pattern(counts, mask, None, None)
    flat = to_centre(flat_field(pattern, torch.full(counts.shape, 100.0))[None])[0].numpy()
    assert flat[3, 4] == pytest.approx((PRIOR + 16 * 150) / (PRIOR + 16 * 100))
    assert flat[5, 6] == 1
    assert flat[0, 0] == 1


@pytest.mark.slow
def test_the_public_call_looks_for_them_where_nothing_else_explains_the_counts(make_crystal):
    crystal = to_corner(torch.from_numpy(make_crystal(SHAPE, seed=9, peak_to_peak=np.pi)))
    counts, truth, response = on_a_dirty_detector(crystal, (0.0, 0.4, 0.4), 0.2, 5)
    result = reconstruct(counts, seed=1)
    assert result.trusted, result.reasons
    assert overlap(result.object, to_centre(truth).numpy()) > 0.95
    assert result.flat_field.shape == SHAPE[1:]
    assert np.corrcoef(result.flat_field[lit(counts)], response[lit(counts)])[0, 1] > 0.5
    assert result.noise_ratio < 2
