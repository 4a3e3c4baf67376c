"""What the intensity cannot know is removed, and nothing else."""

import numpy as np
import pytest

from analysis.phasing.registration import align, centre, centre_of_mass, overlap, shift, twin


def intensity(obj):
    return np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj)))) ** 2


def ramped(obj, cycles):
    """Multiply by a phase ramp of ``cycles`` per box along the axes."""
    for axis, (n, k) in enumerate(zip(obj.shape, cycles, strict=True)):
        index = (np.arange(n) - n // 2).reshape([-1 if a == axis else 1 for a in range(3)])
        obj = obj * np.exp(2j * np.pi * k * index / n)
    return obj


@pytest.mark.parametrize("shape", [(32, 32, 32), (33, 32, 35)])
def test_the_twin_has_the_same_intensity_and_is_its_own_inverse(make_crystal, shape):
    obj = make_crystal(shape)
    np.testing.assert_allclose(intensity(twin(obj)), intensity(obj), rtol=1e-3, atol=1e-2)
    np.testing.assert_array_equal(twin(twin(obj)), obj)


@pytest.mark.parametrize("twinned", [False, True])
def test_twin_shift_ramp_phase_and_scale_are_removed(make_crystal, twinned):
    truth = make_crystal((48, 40, 45))
    moved = shift(ramped(truth, (0.7, -1.3, 0.4)), np.array([3.3, -2.71, 0.5])) * 2.5 * np.exp(1.1j)
    result = align(twin(moved) if twinned else moved, truth)
    assert result.overlap == pytest.approx(1, abs=1e-6)
    assert result.twinned is twinned
    assert result.margin > 0.1
    assert result.shift == pytest.approx((-3.3, 2.71, -0.5), abs=1e-3)
    np.testing.assert_allclose(result.object, 2.5 * truth, atol=5e-3)


def test_a_different_object_stays_different(make_crystal):
    assert overlap(make_crystal(seed=1), make_crystal(seed=2)) < 0.8


def test_centring_follows_the_mass_around_the_edge_and_keeps_the_ramp(make_crystal):
    obj = ramped(make_crystal((32, 40, 36)), (2, 0, 0))
    rolled = np.roll(obj, (13, -17, 20), axis=(0, 1, 2))
    support = np.abs(rolled) > 0.5
    found, moved = centre(rolled, support)
    assert np.abs(centre_of_mass(np.abs(found) ** 2)).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(moved, np.abs(found) > 0.5)
    np.testing.assert_allclose(intensity(found), intensity(obj), rtol=1e-3, atol=1e-1)


def test_align_refuses_what_cannot_be_compared(make_crystal):
    with pytest.raises(ValueError, match="one shape"):
        align(np.ones((4, 4, 4)), np.ones((4, 4, 5)))
    with pytest.raises(ValueError, match="not all zero"):
        align(np.zeros((4, 4, 4)), np.ones((4, 4, 4)))


def test_a_shift_is_the_phase_ramp_of_its_definition(make_crystal):
    obj, by = make_crystal(), np.array([3.3, -2.71, 0.5])
    q = np.meshgrid(*(np.fft.fftfreq(n) for n in obj.shape), indexing="ij")
    ramp = np.exp(-2j * np.pi * sum(k * s for k, s in zip(q, by, strict=True)))
    np.testing.assert_allclose(shift(obj, by), np.fft.ifftn(np.fft.fftn(obj) * ramp), atol=1e-4)
