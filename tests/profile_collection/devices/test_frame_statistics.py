"""Scalars of a frame: exact sums, and a peak that hot pixels do not move."""

import numpy as np
import pytest

from profile_collection.devices.frames import PeakSearch, frame_statistics


def blob(shape, row, column, counts, width=4.0):
    r, c = np.mgrid[: shape[0], : shape[1]]
    profile = np.exp(-((r - row) ** 2 + (c - column) ** 2) / (2 * width**2))
    return counts * profile / profile.sum()


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_sums_are_exact():
    frame = np.zeros((64, 80), np.uint32)
    frame[3, 4], frame[60, 70] = 2**31, 2**31
    statistics = frame_statistics(frame)
    assert statistics.total == 2**32
    assert statistics.maximum == 2**31


@pytest.mark.parametrize(("row", "column"), [(128.0, 128.0), (40.4, 200.7), (236.2, 17.3)])
def test_the_peak_is_found(rng, row, column):
    frame = rng.poisson(blob((256, 256), row, column, 2e4) + 0.02).astype(np.uint32)
    statistics = frame_statistics(frame)
    assert statistics.peak_row == pytest.approx(row, abs=0.3)
    assert statistics.peak_column == pytest.approx(column, abs=0.3)
    assert statistics.peak_total == pytest.approx(2e4, rel=0.05)


def test_hot_pixels_do_not_move_it(rng):
    frame = rng.poisson(blob((256, 256), 100, 90, 500) + 0.02).astype(np.uint32)
    hot = rng.integers(0, 256, (24, 2))
    frame[hot[:, 0], hot[:, 1]] = 10**6
    statistics = frame_statistics(frame)
    assert statistics.peak_row == pytest.approx(100, abs=1)
    assert statistics.peak_column == pytest.approx(90, abs=1)
    assert statistics.maximum == 10**6


def test_an_empty_frame_has_no_peak(rng):
    statistics = frame_statistics(rng.poisson(0.02, (128, 128)).astype(np.uint32))
    assert np.isnan(statistics.peak_row)
    assert np.isnan(statistics.peak_column)


def test_a_brighter_neighbour_outside_the_search_is_ignored(rng):
    """Rutile lies 45 pixels from the monoclinic peak and outshines it late in the transition."""
    frame = rng.poisson(blob((256, 256), 128, 128, 1e4) + blob((256, 256), 83, 128, 1e5)).astype(np.uint32)
    statistics = frame_statistics(frame, PeakSearch(128, 128, 25))
    assert statistics.peak_row == pytest.approx(128, abs=1)
    assert frame_statistics(frame).peak_row == pytest.approx(83, abs=1)


def test_a_search_that_leaves_the_frame_is_cut(rng):
    frame = rng.poisson(blob((64, 64), 5, 60, 1e4)).astype(np.uint32)
    statistics = frame_statistics(frame, PeakSearch(-10, 80, 25))
    assert statistics.peak_row == pytest.approx(5, abs=1)
    assert statistics.peak_column == pytest.approx(60, abs=1.5)
