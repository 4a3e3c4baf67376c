"""A crop with the peaks of two lattices: the second is found in the holes of the first."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

import analysis.phasing.two_lattices as module
from analysis.phasing.reconstruction import from_truth
from analysis.phasing.registration import align
from analysis.phasing.two_lattices import (
    Second,
    central,
    holds_both,
    holes,
    join,
    phase_second,
    reconstruct_both,
    second_box,
)

SHAPE, BAND, OFFSET = (32, 128, 32), (32, 64, 32), (0.0, -42.0, 0.0)


def forward(array):
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(array)))


def backward(field):
    return np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(field)))


@pytest.fixture(scope="module")
def crystal():
    """Return the object of both lattices, and where it is the second one."""
    places = np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] // 2
    x, y, z = 2 * places / np.array(SHAPE)[:, None, None, None]
    body = (np.abs(x) < 0.5) & (np.abs(y) < 0.5) & (np.abs(z) < 0.5) & (x + y + 0.5 * z < 0.7)
    island = (x + 0.15) ** 2 + (y + 0.15) ** 2 + (z - 0.1) ** 2 < 0.07
    corner = (y > 0.15) & (z < -0.15) & (x > -0.1)
    second = body & (island | corner)
    phase = 0.9 * np.sin(3 * y) + 0.6 * np.cos(4 * z + x)
    ramp = 2 * np.pi * sum(o * p / n for o, p, n in zip(OFFSET, places, SHAPE, strict=True))
    array = body * np.exp(1j * (phase + np.where(second, ramp + 0.8, 0)))
    smooth = ndimage.gaussian_filter(array.real, 0.5) + 1j * ndimage.gaussian_filter(array.imag, 0.5)
    return 100 * smooth, second


@pytest.fixture(scope="module")
def first(crystal):
    """Return what a perfect reconstruction of the first peak's band holds."""
    return backward(forward(crystal[0])[central(SHAPE, BAND)])


def test_holes_are_where_the_second_lattice_is(first, crystal):
    found = holes(first)
    true = crystal[1][:, ::2]
    assert np.count_nonzero(found & true) > 0.85 * np.count_nonzero(true)
    assert np.count_nonzero(found) < 0.25 * found.size


def test_the_second_lattice_is_found_in_the_holes(first, crystal):
    amplitude = np.abs(forward(crystal[0]))
    box, corner = second_box(SHAPE, OFFSET, BAND)
    found = phase_second(
        amplitude, np.zeros(SHAPE, bool), first, OFFSET, box, corner, np.random.default_rng(0)
    )
    assert found.agreement > 0.94
    cut = tuple(slice(start, start + n) for start, n in zip(corner, box, strict=True))
    true = np.where(found.own, forward(crystal[0])[cut], 0)
    mine = np.where(found.own, forward(found.object), 0)
    assert abs(np.vdot(mine, true)) / np.linalg.norm(mine) / np.linalg.norm(true) > 0.85
    assert found.own.any()
    assert not found.own.all()


@pytest.mark.parametrize("turn", [0.0, 2.0, -2.5])
def test_the_two_are_joined_in_phase_by_what_they_share(first, crystal, turn):
    array = crystal[0]
    box, corner = second_box(SHAPE, OFFSET, BAND)
    cut = tuple(slice(start, start + n) for start, n in zip(corner, box, strict=True))
    second = Second(backward(forward(array)[cut]) * np.exp(1j * turn), corner, np.ones(box, bool), 1.0)
    whole = forward(join(first, second, SHAPE))
    held = np.zeros(SHAPE, bool)
    held[cut] = held[central(SHAPE, BAND)] = True
    np.testing.assert_allclose(whole, np.where(held, forward(array), 0), atol=1e-3 * np.abs(whole).max())


def test_the_whole_is_finished_and_trusted_only_where_all_of_it_is(first, crystal, monkeypatch):
    array = crystal[0]
    counts = np.random.default_rng(1).poisson(np.abs(forward(array)) ** 2 / array.size * 50).astype(float)
    scaled = first * np.sqrt(50 / array.size)
    band = central(SHAPE, BAND)
    perfect = replace(from_truth(counts[band], scaled), trusted=True, reasons=(), seed=4, weights_hash="abc")
    asked = []
    monkeypatch.setattr(module, "reconstruct", lambda *given, **named: asked.append(named) or perfect)
    found = reconstruct_both(counts, offset=OFFSET, band=BAND, seed=4)
    model = {"pixel_kernel": None, "background": 0.0, "flat_field": None, "dark": None}
    assert asked == [{"seed": 4, "not_counts": None, **model}]
    assert align(found.object, array).overlap > 0.94
    assert found.object.shape == found.support.shape == SHAPE
    assert found.seed == 4
    assert found.weights_hash == "abc"
    assert 0.9 < found.agreement <= 1
    perfect = replace(perfect, trusted=False, reasons=("the first is not trusted",))
    doubtful = reconstruct_both(counts, offset=OFFSET, band=BAND, seed=4)
    assert not doubtful.trusted
    assert "the first is not trusted" in doubtful.reasons


def test_a_crop_without_the_second_peak_is_refused_in_words():
    assert holds_both(SHAPE, OFFSET, BAND)
    assert not holds_both((32, 96, 32), OFFSET, BAND)
    assert not holds_both((32, 128, 24), OFFSET, BAND)
    with pytest.raises(ValueError, match=r"got one of \(32, 96, 32\): take a larger one"):
        second_box((32, 96, 32), OFFSET, BAND)


def test_a_second_peak_that_was_not_measured_is_refused_in_words(first, crystal):
    box, corner = second_box(SHAPE, OFFSET, BAND)
    unseen = np.zeros(SHAPE, bool)
    unseen[:, : corner[1] + 20] = True
    with pytest.raises(ValueError, match="read out a region that holds it, or phase the first peak's crop"):
        phase_second(
            np.abs(forward(crystal[0])), unseen, first, OFFSET, box, corner, np.random.default_rng(0)
        )


def test_a_crystal_without_holes_has_no_second_lattice(crystal):
    solid = np.abs(crystal[0])[:, ::2].astype(complex)
    box, corner = second_box(SHAPE, OFFSET, BAND)
    nothing = np.zeros(SHAPE)
    nothing[central(SHAPE, BAND)] = np.abs(forward(solid))
    found = phase_second(nothing, np.zeros(SHAPE, bool), solid, OFFSET, box, corner, np.random.default_rng(0))
    whole = join(solid, found, SHAPE)
    outside = forward(whole)
    outside[central(SHAPE, BAND)] = 0
    assert np.abs(outside).max() < 0.02 * np.abs(forward(solid)).max()
