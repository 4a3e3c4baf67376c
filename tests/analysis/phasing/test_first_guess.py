"""The network's guess as a preview: a picture near the crystal, and how badly it explains the counts."""

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.phasing.first_guess import first_guess
from analysis.phasing.registration import overlap


@pytest.fixture(scope="module")
def box():
    """Return a plain box with a weak phase, and its noiseless counts of at most 10⁵."""
    n = 48
    x = np.indices((n, n, n)) - n // 2
    inside = (np.abs(x[0]) < 9) & (np.abs(x[1]) < 7) & (np.abs(x[2]) < 8)
    truth = inside * np.exp(0.8j * np.sin(x[0] / 5))
    counts = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(truth)))) ** 2
    scale = 1e5 / counts.max()
    return truth * np.sqrt(scale), (counts * scale).astype(np.float32)


def measured(counts, mask=None, kernel=(0.0, 0.0, 0.0)):
    return SimpleNamespace(
        intensity=counts,
        mask=np.zeros(counts.shape, bool) if mask is None else mask,
        background=0.0,
        pixel_kernel=kernel,
        given_flat_field=None,
        dark=None,
    )


def test_a_guess_resembles_the_crystal_and_has_its_scale(box):
    truth, counts = box
    guess = first_guess(measured(counts))
    assert overlap(guess.object, truth) > 0.8
    assert np.linalg.norm(guess.object) == pytest.approx(np.linalg.norm(truth), rel=0.2)
    assert 0 < guess.chi_squared < 0.2
    assert guess.noise_ratio > 0
    assert len(guess.weights_hash) == 64


def test_a_guess_is_repeated_exactly_and_lacks_no_voxel_that_was_not_measured(box):
    _, counts = box
    mask = np.zeros(counts.shape, bool)
    mask[:, 20, :] = True
    hidden = np.where(mask, 0, counts)
    once, again = (first_guess(measured(hidden, mask, (0.0, 1.0, 1.0))) for _ in range(2))
    np.testing.assert_array_equal(once.object, again.object)
    assert np.isfinite(once.object).all()
    assert once.object.shape == counts.shape
    assert once.support.any()
