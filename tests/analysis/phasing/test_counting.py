"""Counts are told from what was made of them, and a peak that is cut off from one that is not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from analysis.benchmark.generator import CLASSES, draw_cases
from analysis.phasing.config import DEFAULT
from analysis.phasing.counting import least_bend, lone_share, looks_saturated, not_counted, not_poisson


def test_saturation_is_several_equal_peaks():
    counts = np.random.default_rng(0).poisson(50.0, (8, 8, 8)).astype(float)
    mask = np.zeros(counts.shape, bool)
    assert not looks_saturated(counts, mask)
    counts[3:5, 3:5, 3:5] = 65535
    assert looks_saturated(counts, mask)
    mask[3:5, 3:5, 3:5] = True
    assert not looks_saturated(counts, mask)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda n: n, None),
        (lambda n: n * np.linspace(0.85, 1.2, len(n))[:, None, None], None),  # factors of the monitor
        (lambda n: n * 3, "multiples of 3"),
        (lambda n: n * 0.7, "faint neighbours"),
        (lambda n: ndimage.gaussian_filter(n, 0.6), "faint neighbours"),
        (lambda n: ndimage.shift(n, 0.5, order=1), "faint neighbours"),
    ],
)
def test_counts_are_told_from_what_was_made_of_them(made, words):
    rng = np.random.default_rng(3)
    mean = 4 * ndimage.gaussian_filter(rng.random((40, 40, 40)), 3) / 0.5
    found = not_poisson(made(rng.poisson(mean).astype(float)), np.zeros(mean.shape, bool))
    assert (words is None and found == ()) or (words is not None and words in found[0])


def test_few_counts_and_masked_ones_say_nothing():
    counts = np.zeros((32, 32, 32))
    counts[10:12, 10, 10] = 4.0
    assert not_poisson(counts, np.zeros(counts.shape, bool)) == ()
    assert not_poisson(np.full((32, 32, 32), 4.0), np.ones((32, 32, 32), bool)) == ()


@pytest.fixture(scope="module")
def crystal():
    """Return the counts of one calibration crystal (64, 64, 64)."""
    (case,) = draw_cases([5108], 1, CLASSES[:1])
    return case.pattern().counts.astype(float)


@pytest.mark.parametrize(
    ("background", "subtracted"), [(0.0, 1.0), (0.1, 1.0), (2.0, 2.0), (2.0, 3.0), (5.0, 5.0), (20.0, 20.0)]
)
def test_a_background_that_was_subtracted_and_cut_at_zero_is_seen(crystal, background, subtracted):
    counts = crystal + np.random.default_rng(6).poisson(background, crystal.shape)
    nothing_hidden = np.zeros(counts.shape, bool)
    assert not_counted(counts, nothing_hidden) == ()
    (words,) = not_counted(np.maximum(counts - subtracted, 0), nothing_hidden)
    assert "was a background subtracted" in words


def test_counts_that_were_interpolated_to_even_angles_pass(crystal):
    """As the preparation does with a scan of uneven angles: what is between two of them is smoother."""
    half_way = (crystal[1:] + crystal[:-1]) / 2
    uneven = np.where(np.arange(63)[:, None, None] % 3 == 0, half_way, crystal[1:])
    assert not_poisson(uneven, np.zeros(uneven.shape, bool)) == ()


@pytest.mark.parametrize("mean", [0.3, 1.0, 3.0])
def test_half_of_the_neighbours_that_count_two_are_lone_whatever_the_mean(mean):
    counts = np.random.default_rng(1).poisson(mean, (96, 96, 96)).astype(float)
    hidden = np.zeros(counts.shape, bool)
    whole = replace(DEFAULT.trust, edge=24, quietest=0.5, fewest_quiet=8)
    assert lone_share(counts, hidden, whole) == pytest.approx(1 / 2, abs=0.03)
    cut = np.random.default_rng(2).poisson(mean + 1, (96, 96, 96)) - 1
    lone = 1 - 3 * (mean + 1) / (7 * (mean + 1) + 4)
    assert lone_share(np.maximum(cut, 0), hidden, whole) == pytest.approx(lone, abs=0.03)


def test_no_share_is_made_of_few_blocks():
    counts = np.random.default_rng(1).poisson(0.7, (32, 32, 32)).astype(float)
    hidden = np.zeros(counts.shape, bool)
    assert lone_share(counts, hidden) is not None
    hidden[:, :, 3::4] = True  # no block is whole
    assert lone_share(counts, hidden) is None


def monitor(n):
    """Return the monitor's counts of each frame, (n0, 1, 1), in units of their mean."""
    return np.random.default_rng(8).normal(1, 0.02, (len(n), 1, 1))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda n: 0.7 * n, "all values are multiples of 0.7"),
        (lambda n: np.float32(0.7) * n.astype(np.float32), "all values are multiples of 0.7"),
        (lambda n: n / 30, "all values are multiples of 0.0333333"),
        (lambda n: n / n.max(), "all values are multiples of "),
        (lambda n: np.maximum(n - 0.5, 0), "all values above 0 lie 0.5 beside multiples of 1"),
        (lambda n: np.maximum(0.7 * n - 0.2, 0), "all values above 0 lie -0.2 beside multiples of 0.7"),
        (lambda n: n / monitor(n), "the values of each frame are multiples of a number of its own"),
        (lambda n: n / np.random.default_rng(8).normal(1, 0.1, n.shape[1:]), "divided by a flat field"),
        (np.sqrt, "few and not evenly spaced"),
        (np.log1p, "few and not evenly spaced"),
        (lambda n: np.rint(1.3 * n), "scaled and rounded"),
        (lambda n: np.rint(1.1 * n), "scaled and rounded"),
        (lambda n: np.rint(0.9 * n), "scaled and rounded"),
        (lambda n: np.rint(0.7 * n), "scaled and rounded"),
        (lambda n: np.where(n < 2, 0, n), "0 one less"),
        (lambda n: np.where(n < 10, 0, n), "or faint ones set to 0"),
        (lambda n: np.rint(n / 30), "bends of faint neighbours"),
        (lambda n: ndimage.shift(n, 0.5, order=1), "multiples of 0.125"),
        (lambda n: np.maximum(ndimage.shift(n, 0.5, order=3), 0), "are fractions, such as"),
        (lambda n: np.maximum(np.rint(ndimage.shift(n, 0.5, order=3)), 0), "bends of faint neighbours"),
        (lambda n: ndimage.gaussian_filter(n, 0.7), "bends of faint neighbours"),
    ],
)
def test_what_was_made_of_counts_before_they_were_given_is_said(crystal, made, words):
    assert words in "; ".join(not_counted(made(crystal), np.zeros(crystal.shape, bool)))


@pytest.mark.parametrize(
    "counted",
    [
        lambda n: n,
        lambda n: n.astype(np.float32),
        lambda n: n.astype(np.uint16),
        lambda n: n / 3.7 * 3.7,  # whole but for rounding
        lambda n: n + np.random.default_rng(2).poisson(0.5, n.shape),
        lambda n: np.random.default_rng(2).binomial(n.astype(int), 0.1),
        lambda n: np.random.default_rng(2).binomial(n.astype(int), 0.01),
        lambda n: n + np.random.default_rng(2).poisson(15.0, n.shape),
        lambda n: np.where(  # dark pixels that nobody masked
            np.indices(n.shape)[2] % 9 == 0, 0, n + np.random.default_rng(2).poisson(15.0, n.shape)
        ),
        lambda n: np.where(np.indices(n.shape)[1] == 7, n + 0.3, n),  # fractions where nothing was measured
    ],
)
def test_counts_are_never_taken_for_what_was_made_of_them(crystal, counted):
    hidden = np.zeros(crystal.shape, bool)
    hidden[:, 7] = True
    assert not_counted(counted(crystal), hidden) == ()


def test_bends_of_poisson_counts_are_expected_to_be_what_counting_leaves():
    mean = 0.5 + np.linspace(0, 3, 48)[:, None, None] + np.zeros((48, 48, 48))
    counts = np.random.default_rng(5).poisson(mean)
    assert least_bend(counts, np.zeros(counts.shape, bool)) == pytest.approx(1, abs=0.03)
    assert least_bend(counts, np.ones(counts.shape, bool)) == np.inf
