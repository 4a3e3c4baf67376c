"""Thinned counts are those of a shorter exposure: by their statistics, and through the preparation."""

import numpy as np
import pytest
from scipy import stats

from analysis.preprocessing import Thinning, thinned


def test_thinned_poisson_counts_are_poisson_of_the_shorter_exposure():
    """Every probability of the distribution, not mean and variance alone."""
    rng = np.random.default_rng(5001)
    kept = thinned(rng.poisson(6.0, 200_000), 0.3, rng)
    seen = np.bincount(kept, minlength=8)[:8]
    expected = stats.poisson.pmf(np.arange(8), 1.8) * kept.size
    assert np.all(np.abs(seen - expected) < 4.5 * np.sqrt(expected))


def test_what_is_kept_and_what_is_left_are_independent():
    """Rounding or scaling counts would keep the mean and fail here."""
    rng = np.random.default_rng(5002)
    counts = rng.poisson(20.0, 100_000)
    kept = thinned(counts, 0.25, rng)
    assert abs(np.corrcoef(kept, counts - kept)[0, 1]) < 4 / np.sqrt(counts.size)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (np.array([1.0, 2.5]), "got 2.5 and 0 more"),
        (np.array([1, -1]), "got -1"),
        (np.array([1.0, np.nan]), "got nan"),
        (np.array([True, False]), "whole numbers"),
        (np.array([1j]), "whole numbers"),
    ],
)
def test_what_are_no_raw_counts_is_refused_in_words(counts, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        thinned(counts, 0.5, np.random.default_rng(0))


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, float("nan"), True])
def test_a_share_that_is_none_is_refused(fraction):
    with pytest.raises(ValueError, match="share of the exposure"):
        Thinning(fraction, np.random.default_rng(0))(np.array([3]))
