"""Rutile told by the slope of its phase."""

import numpy as np
import pytest
from scipy import ndimage

from analysis.experiment import paper
from analysis.structure import find_rutile, rutile_offset
from analysis.unit_cells import VO2_M1

SHAPE = (32, 72, 48)
PITCH = 20.0
RUTILE_STRAIN = paper().transformation_strain
Q = np.array([0.0, 2 * np.pi / VO2_M1.d_spacing((0, 1, 1)), 0.0])


@pytest.fixture(scope="module")
def coexisting():
    """Return an object of two lattices, its body and where it is rutile: a corner and an island."""
    places = np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] // 2
    body = (np.abs(places[0]) < 11) & (np.abs(places[1]) < 27) & (np.abs(places[2]) < 17)
    corner = (places[1] > 12) & (places[2] > 0)
    island = ((places + np.array([0, 12, 6])[:, None, None, None]) ** 2).sum(axis=0) < 64
    rutile = body & (corner | island)
    phi = 1.5 * np.sin(places[1] / 14) + 0.7 * np.cos(places[2] / 9)
    along = PITCH * places[1] * 10 * Q[1]
    phi = phi + np.where(rutile, RUTILE_STRAIN * along + 1.0, 0)
    rng = np.random.default_rng(0)
    array = body * np.exp(-1j * (phi + 0.15 * rng.normal(size=SHAPE)))
    smooth = ndimage.gaussian_filter(array.real, 0.4) + 1j * ndimage.gaussian_filter(array.imag, 0.4)
    return smooth.astype(np.complex64), body, rutile


def test_its_strain_is_that_of_the_two_unit_cells():
    assert pytest.approx(0.0043, abs=5e-5) == RUTILE_STRAIN


def test_its_peak_is_45_pixels_below_that_of_m1():
    basis = np.diag([1837 / 96, 3281 / 168, 3281 / 168])
    assert rutile_offset(basis, Q, (96, 168, 168), RUTILE_STRAIN) == pytest.approx([0, -44, 0], abs=1.5)
    assert rutile_offset(-basis, Q, (96, 168, 168), RUTILE_STRAIN) == pytest.approx([0, 44, 0], abs=1.5)


def test_rutile_is_found_where_it_is_with_its_amplitude_and_its_ramp(coexisting):
    array, body, rutile = coexisting
    found = find_rutile(array, np.eye(3) * PITCH, Q, transformation=RUTILE_STRAIN)
    assert 2 * np.count_nonzero(found.mask & rutile) / (found.mask.sum() + rutile.sum()) > 0.93
    assert found.fraction == pytest.approx(rutile.sum() / body.sum(), abs=0.02)
    assert found.amplitude_ratio == pytest.approx(1, abs=0.1)
    assert found.period == pytest.approx(74, abs=2)
    assert np.nanmedian(found.strain[rutile]) == pytest.approx(RUTILE_STRAIN, rel=0.03)
    assert np.isnan(found.strain[0, 0, 0])


def test_slanted_and_reversed_axes_change_nothing(coexisting):
    array, _, rutile = coexisting
    basis = np.eye(3) * PITCH
    basis[:, 1] *= -1
    basis[:, 0] += [0, 6.0, 0]
    # Along a slanted rocking axis the phase of rutile also turns: ramp it as that lattice does.
    steps = np.arange(SHAPE[0]) - SHAPE[0] // 2
    turn = np.where(rutile, 10 * Q[1] * RUTILE_STRAIN * 6.0 * steps[:, None, None], 0)
    slanted = (array * np.exp(-1j * turn))[:, ::-1]
    found = find_rutile(slanted, basis, Q, transformation=RUTILE_STRAIN)
    there = rutile[:, ::-1]
    assert 2 * np.count_nonzero(found.mask & there) / (found.mask.sum() + there.sum()) > 0.93


def test_a_crystal_without_rutile_has_none(coexisting):
    array, body, _ = coexisting
    found = find_rutile(
        np.abs(array) * np.exp(1j * 0.1 * np.indices(SHAPE)[1]),
        np.eye(3) * PITCH,
        Q,
        body,
        transformation=RUTILE_STRAIN,
    )
    assert found.fraction == 0
    assert np.isnan(found.period)
    assert np.isnan(found.amplitude_ratio)


def test_a_crop_too_small_for_its_ramp_is_refused_in_words(coexisting):
    with pytest.raises(ValueError, match="reconstruct the larger crop"):
        find_rutile(coexisting[0], np.diag([29.0, 52.0, 51.0]), Q, transformation=RUTILE_STRAIN)
    with pytest.raises(ValueError, match="support must have the object's shape"):
        find_rutile(
            coexisting[0], np.eye(3) * PITCH, Q, np.ones((2, 2, 2), bool), transformation=RUTILE_STRAIN
        )
