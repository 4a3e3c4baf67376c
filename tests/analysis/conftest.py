import dataclasses

import numpy as np
import pytest
from scipy import ndimage


def smooth_phase(shape, seed, peak_to_peak, width=0.14):
    """Return a Gaussian-correlated field of the given peak-to-peak value, rad."""
    noise = np.random.default_rng(seed).normal(size=shape)
    field = ndimage.gaussian_filter(noise, [width * n for n in shape], mode="wrap")
    return field * peak_to_peak / np.ptp(field)


def faceted_body(shape=(64, 64, 64)):
    """Return a crystal without a centre of symmetry, (n0, n1, n2) bool."""
    x, y, z = (2 * (np.arange(n) - n // 2) / n for n in shape)
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    body = (np.abs(x) < 0.55) & (np.abs(y + 0.1 * x) < 0.45) & (np.abs(z) < 0.5)
    return body & (x + y + z < 0.8) & (x - 0.6 * z < 0.55)


@pytest.fixture(scope="session")
def make_crystal():
    """Return a maker of complex objects with a strong phase, of any shape."""

    def make(shape=(64, 64, 64), seed=0, peak_to_peak=2 * np.pi):
        body = ndimage.gaussian_filter(faceted_body(shape).astype(float), 0.5)
        return (body * np.exp(1j * smooth_phase(shape, seed, peak_to_peak))).astype(np.complex64)

    return make


@pytest.fixture(scope="session")
def crystal():
    """Return an asymmetric crystal with a strong phase, (64, 64, 64) complex128."""
    body = ndimage.gaussian_filter(faceted_body().astype(float), 1.0)
    return np.where(body > 1e-3, body, 0) * np.exp(-1j * smooth_phase((64, 64, 64), 11, 7.0))


@pytest.fixture(scope="session")
def hot_series(crystal, make_scan):
    """Return six temperatures: the phase drifts off, and from 335 K on up to 40 % of the density leaves."""
    pattern = smooth_phase(crystal.shape, 5, 6.0)
    second = smooth_phase(crystal.shape, 6, 2.5)
    grains = smooth_phase(crystal.shape, 7, 1.0, width=0.08)
    level = np.sort(grains[np.abs(crystal) > 0])
    results = []
    for index in range(6):
        progress = 1 / (1 + np.exp(-(index - 1.8) / 0.6))
        array = crystal * np.exp(-1j * (progress * pattern + 0.3 * np.sin(1.7 * index) * second))
        gone = max(0.0, 0.13 * (index - 2))
        kept = np.where(grains < level[int(gone * len(level))], 0.13, 1.0)
        results.append(array * ndimage.gaussian_filter(kept, 1.0))
    return [make_scan(array, 320.0 + 5 * index) for index, array in enumerate(results)]


@pytest.fixture
def replaced():
    """`dataclasses.replace`, for changing one field of a result."""
    return dataclasses.replace
