"""What a pattern's autocorrelation says of its sampling, on crystals whose size is known."""

import numpy as np
import pytest

from analysis.benchmark.generator import benchmark_pattern
from analysis.preprocessing.sampling_guard import MeasuredSampling, measured_sampling, sampling_words


@pytest.mark.parametrize("seed", range(5310, 5322))
def test_oversampling_is_measured_above_2_and_wrapping_is_seen_below(seed):
    """On every axis: within 10 % from 2.1 on, and None below 1.9; between them either may be said."""
    found = benchmark_pattern(seed, photons=1e5, detector=seed % 2 == 0)
    counts = np.where(found.mask, found.background, found.counts)
    measured = measured_sampling(counts, found.background)
    for ratio, share in zip(measured.oversampling, found.extent, strict=True):
        true = 1 / share
        if true >= 2.1:
            assert ratio == pytest.approx(true, rel=0.1)
        elif true < 1.9:
            assert ratio is None
    assert measured.wraps is (None in measured.oversampling)


def test_faint_counts_are_not_taken_for_a_crystal_that_fills_the_box():
    """Counting noise reaches everywhere; of a crystal in 1e4 counts the core alone is seen, not the box."""
    at = np.indices((48, 48, 48)) - 24
    body = (np.abs(at) < 5).all(axis=0)
    rate = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(body)))) ** 2
    counts = np.random.default_rng(5005).poisson(1e4 * rate / rate.sum())
    assert all(ratio is not None and ratio >= 4 for ratio in measured_sampling(counts).oversampling)


NUMBERS = {"step": 0.01, "distance": 1310.0, "energy": 9.0}


def test_what_would_mend_it_is_said_in_numbers():
    found = MeasuredSampling((None, 2.3, None), (0.017, 0.0, 0.009))
    rocking, columns = sampling_words(found, **NUMBERS, object_ratio=(1.67, 2.3, 1.82))
    assert "wraps along the rocking direction (level 0.017" in rocking
    assert "1.67 times by the reconstructed object; a step of 0.0083° would do" in rocking
    assert "a distance of 1440 mm, or 8.1 keV would do" in columns


def test_where_nobody_knows_the_size_it_is_said():
    (said,) = sampling_words(MeasuredSampling((None, 2.3, 2.4), (0.02, 0.0, 0.0)), **NUMBERS)
    assert "how much less is not known: a step of 0.0075° would do for 1.5 times" in said
    assert sampling_words(MeasuredSampling((2.2, 2.3, 2.4), (0.0, 0.0, 0.0)), **NUMBERS) == ()
