"""Spread of independent reconstructions against what the noise that was put in says."""

import numpy as np
import pytest

from analysis.phasing.registration import shift, twin
from analysis.phasing.trust import circular_deviation, resolution_of, spread, transfer_function


def noisy(obj, sigma, seed):
    """Turn the phase of every voxel by Gaussian noise of ``sigma`` rad."""
    return obj * np.exp(1j * sigma * np.random.default_rng(seed).normal(size=obj.shape))


def test_circular_deviation_is_that_of_wrapped_gaussian_angles():
    angles = 3.0 + 0.4 * np.random.default_rng(0).normal(size=(4000, 3))
    np.testing.assert_allclose(circular_deviation(angles % (2 * np.pi)), 0.4, rtol=0.05)
    assert circular_deviation(np.full((5, 2), 1.3)) == pytest.approx((0, 0), abs=1e-7)


def test_phase_spread_is_the_noise_put_in_whatever_twin_origin_and_phase(make_crystal):
    obj = make_crystal((32, 32, 32))
    objects = [noisy(obj, 0.2, seed) for seed in range(8)]
    objects[3] = twin(objects[3]) * np.exp(2j)
    objects[5] = 3.0 * shift(objects[5], np.array([4.0, -3.0, 2.0]))
    found = spread(objects)
    # The deviation of eight samples about their own mean is √(7/8) of the true one.
    assert np.nanmedian(found.phase_deviation) == pytest.approx(0.2 * np.sqrt(7 / 8), rel=0.1)
    assert np.isnan(found.phase_deviation[~found.inside]).all()
    assert min(found.overlaps) > 0.9
    assert abs(np.vdot(found.mean, obj)) > 0.98 * np.linalg.norm(found.mean) * np.linalg.norm(obj)


def test_transfer_is_one_where_phases_agree_and_low_beyond():
    rng, n, count, reach = np.random.default_rng(1), 32, 16, 0.25
    q = np.linalg.norm(np.meshgrid(*(np.fft.fftfreq(n),) * 3, indexing="ij"), axis=0)
    field = rng.normal(size=(n, n, n)) + 1j * rng.normal(size=(n, n, n))
    turns = np.exp(2j * np.pi * rng.random((count, n, n, n)) * (q > reach))
    stack = np.fft.fftshift(np.fft.ifftn(field * turns, axes=(1, 2, 3)), axes=(1, 2, 3))
    axis, transfer = transfer_function(stack, shells=16)
    assert transfer[axis < 0.23] == pytest.approx(1, abs=1e-6)
    # The mean of N random unit vectors is √(π/4N) long.
    assert transfer[axis > 0.28] == pytest.approx(np.sqrt(np.pi / 4 / count), rel=0.05)
    resolution, limited = resolution_of(axis, transfer)
    assert limited
    assert resolution == pytest.approx(1 / reach, rel=0.1)


def test_resolution_is_in_nm_with_a_basis_and_the_edge_of_q_without_a_crossing(make_crystal):
    obj = make_crystal((32, 32, 32))
    found = spread([obj, obj * 1j], np.diag([10.0, 10.0, 20.0]))
    assert not found.limited
    assert found.resolution == pytest.approx(40.0, rel=0.05)
    assert found.transfer == pytest.approx(1, abs=1e-3)


def test_the_crossing_is_interpolated():
    found, limited = resolution_of(np.array([0.1, 0.2, 0.3]), np.array([1.0, 1 / np.e + 0.1, 1 / np.e - 0.1]))
    assert limited
    assert found == pytest.approx(4.0)


def test_one_object_or_two_shapes_have_no_spread():
    with pytest.raises(ValueError, match="two or more objects of one shape"):
        spread([np.ones((4, 4, 4))])
    with pytest.raises(ValueError, match="two or more objects of one shape"):
        spread([np.ones((4, 4, 4)), np.ones((4, 4, 5))])
