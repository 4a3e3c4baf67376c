"""The phase error of shorter exposures, and the exposure proposed from it."""

from dataclasses import replace
from functools import lru_cache, partial
from math import inf, sqrt
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.benchmark.generator import benchmark_pattern
from analysis.exposure import (
    ExposureConfig,
    ExposureLimits,
    ExposureRow,
    ExposureTable,
    phase_error,
    propose,
    try_exposures,
)
from analysis.phasing.reconstruction import reconstruct
from analysis.preprocessing import Thinning

SEED, SIZE = 5300, 32
LIMITS = ExposureLimits(0.1, 30.0)


def body(size=24):
    at = np.indices((size,) * 3) - size // 2
    return np.exp(-((np.sqrt((at**2).sum(axis=0)) / 5) ** 4)).astype(complex)


def test_phase_error_is_free_of_everything_an_intensity_cannot_know():
    obj = body() * np.exp(0.6j * np.sin(np.indices((24,) * 3)[1] / 3))
    support = np.abs(obj) > 0.05
    moved = np.roll(obj, (1, -2, 0), axis=(0, 1, 2)) * np.exp(0.2j * np.indices((24,) * 3)[0] + 1.1j)
    error, overlap = phase_error(np.conj(moved[::-1, ::-1, ::-1]), obj, support)
    assert error < 0.02
    assert overlap > 0.999


def test_phase_error_is_the_rms_of_a_known_phase_over_the_support():
    """White phases of 0.2 rad: nothing of them is a ramp or a shift."""
    rng = np.random.default_rng(5004)
    obj = body()
    support = np.abs(obj) > 0.05
    error, _ = phase_error(obj * np.exp(1j * rng.normal(0, 0.2, obj.shape)), obj, support)
    assert error == pytest.approx(0.2, rel=0.05)


def table(*uppers, fractions=(1 / 3, 1 / 10, 1 / 30), trusted=True):
    """Return a table of rows with these errors and no spread; ∞ where a copy is not trusted."""
    rows = tuple(
        ExposureRow(f, (0.5 if u == inf else u,) * 2, (0.99, 0.99), 1 if u == inf else 2, 2)
        for f, u in zip(fractions, uppers, strict=True)
    )
    return ExposureTable(30.0, 1e7, 1e5, trusted, rows)


def test_a_counting_law_is_interpolated_exactly():
    """Errors that fall as 1/√t are a straight line in the logarithms: 0.1 rad at 30 s · (0.03/0.1)²."""
    law = table(*(0.03 / sqrt(f) for f in (1 / 3, 1 / 10, 1 / 30)))
    found = propose(law, 0.1, LIMITS)
    assert found.seconds == pytest.approx(30 * 0.09)
    assert found.expected == pytest.approx(0.1)
    assert found.reached
    assert "interpolated between 0.1" in found.reason


@pytest.mark.parametrize(
    ("errors", "goal", "seconds", "reached", "said"),
    [
        ((0.02, 0.04, 0.06), 0.1, 1.0, True, "the shortest one tried"),
        ((0.09, 0.2, 0.05), 0.1, None, True, "interpolated between 0.333"),  # a dip later on is luck
        ((0.05, inf, inf), 0.1, 10.0, True, "not all copies are trusted"),
        ((0.6, 0.9, 1.2), 0.1, 30.0, False, "the longest allowed"),
    ],
)
def test_what_is_proposed_where_the_error_is_no_straight_line(errors, goal, seconds, reached, said):
    found = propose(table(*errors), goal, LIMITS)
    assert found.reached is reached
    assert said in found.reason
    if seconds is not None:
        assert found.seconds == pytest.approx(seconds)
    else:
        assert 3 < found.seconds < 10


def test_more_than_all_counts_is_said_to_be_untried():
    found = propose(table(0.6, 0.9, 1.2), 0.1, ExposureLimits(0.1, 3600.0))
    assert found.seconds == pytest.approx(30 * (0.6 * sqrt(1 / 3) / 0.1) ** 2)
    assert "were not tried" in found.reason


def test_the_spread_of_the_copies_counts_against_an_exposure():
    scattered = replace(table(0.05, 0.05, 0.05).rows[0], errors=(0.02, 0.1))
    assert scattered.upper == pytest.approx(scattered.error + scattered.spread)
    assert scattered.upper > 0.12


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (table(0.1, 0.2, 0.3, trusted=False), "full result is not trusted"),
        (table(inf, 0.1, 0.1), "1 of 2 copies are trusted"),
    ],
)
def test_nothing_is_proposed_from_what_cannot_be_believed(given, said):
    with pytest.raises(ValueError, match=said):
        propose(given, 0.1, LIMITS)


@pytest.mark.parametrize("goal", [0, -1, float("nan"), 3.5, True, "0.1"])
def test_a_goal_that_is_no_phase_error_is_refused(goal):
    with pytest.raises(ValueError, match="phase error is a number of rad"):
        propose(table(0.1, 0.2, 0.3), goal, LIMITS)


@pytest.mark.parametrize("pair", [(0.0, 1.0), (2.0, 1.0), (1.0, inf), (True, 2.0)])
def test_limits_that_are_none_are_refused(pair):
    with pytest.raises(ValueError, match="limits of an exposure"):
        ExposureLimits(*pair)


@pytest.mark.parametrize("fractions", [(), (1.0,), (0.0, 0.5), (2.0,)])
def test_fractions_that_cannot_be_tried_are_refused(fractions):
    with pytest.raises(ValueError, match="fractions above 0 and below 1"):
        ExposureConfig(fractions)


class Pattern:
    """A benchmark crystal's pattern as a scan of which shorter exposures can be made."""

    def __init__(self, found):
        self.found = found

    def prepared(self, thinning: Thinning | None = None):
        counts, share = self.found.counts, 1.0
        if thinning is not None:
            counts, share = thinning(counts), thinning.fraction
        return SimpleNamespace(
            intensity=counts.astype(np.float32),
            mask=self.found.mask,
            background=self.found.background * share,
            voxel_basis=np.eye(3) * 20.0,
            counts=float(counts.sum()),
        )


def phased(kernel, prepared, seed):
    return reconstruct(
        prepared.intensity, prepared.mask, seed=seed, pixel_kernel=kernel, background=prepared.background
    )


@lru_cache
def crystal():
    return benchmark_pattern(SEED, photons=1e5, size=SIZE, peak_to_peak=np.pi)


@pytest.mark.slow
def test_thinning_predicts_what_an_actually_shorter_exposure_gives():
    """Patterns of a tenth of the photons, drawn anew: their error against the truth is what was predicted.

    The counts thinned are part of the full ones, those drawn anew are not. Within 35 %, two copies each, over
    the same support.
    """
    found = crystal()
    phase = partial(phased, found.pixel_kernel)
    full = phase(Pattern(found).prepared(), 0)
    config = ExposureConfig(fractions=(0.1,), seeds=2)
    tried = try_exposures(Pattern(found), phase, seconds=30.0, full=full, config=config)
    (row,) = tried.rows
    rate = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(found.truth)))) ** 2
    errors = []
    for seed in range(2):
        rng = np.random.default_rng([SEED, seed])
        shorter = replace(found, counts=rng.poisson(0.1 * rate).astype(np.float32))
        obj = phase(Pattern(shorter).prepared(), seed).object
        errors.append(phase_error(obj, found.truth, full.support)[0])
    actual = sqrt(np.mean(np.square(errors)))
    assert row.trusted == row.copies == 2
    assert row.error == pytest.approx(actual, rel=0.35)
    assert 0 < row.spread < row.error
    assert row.resolution > 0
