import warnings

import numpy as np
import pytest
from scipy import ndimage

from analysis.structure import displacement, phase_vortices, strain

Q = np.array([0.0, 1.9594, 0.0])
BASIS = np.diag([29.0, 52.0, 51.0])
SHAPE = (40, 32, 34)


def index():
    return np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] // 2


def ball(radius=11):
    return (index() ** 2).sum(axis=0) <= radius**2


def test_displacement_of_many_planes_comes_back_in_nanometres():
    x, y, z = index()
    u = 0.9 * np.exp(-(x**2 + y**2 + 0.5 * z**2) / 60.0) + 0.012 * y
    body = ball()
    array = body * np.exp(-10j * np.linalg.norm(Q) * u)
    found = displacement(array, Q, body)
    assert np.ptp(u[body]) > 2.5 * found.period
    assert found.period == pytest.approx(0.1 * 2 * np.pi / 1.9594)
    np.testing.assert_allclose(found.values[body], (u - u[body].mean())[body], atol=1e-5)
    assert np.isnan(found.values[~body]).all()
    assert found.single_valued
    assert found.regions == 1
    assert not found.vortices.any()


def test_its_slope_is_the_strain_of_the_wrapped_products():
    _, y, z = index()
    body = ball()
    array = body * np.exp(-10j * np.linalg.norm(Q) * (0.04 * y + 0.2 * np.sin(z / 4 + y / 7)))
    u = displacement(array, Q, body).values
    slope = (np.roll(u, -1, axis=1) - np.roll(u, 1, axis=1)) / (2 * 52.0)
    core = ndimage.binary_erosion(body)
    np.testing.assert_allclose(slope[core], strain(array, BASIS, Q, body).values[core], atol=1e-7)


def test_parts_that_do_not_touch_are_level_but_for_whole_planes():
    body = np.zeros(SHAPE, dtype=bool)
    body[4:18, 8:24, 8:24] = body[22:34, 8:24, 8:24] = True
    u = np.where(np.arange(SHAPE[0]) < 20, 0.0, 0.12 + 3 * 2 * np.pi / 19.594)[:, None, None]
    found = displacement(body * np.exp(-19.594j * u * np.ones(SHAPE)), Q, body)
    assert found.regions == 2
    np.testing.assert_allclose(found.values[4:18, 8:24, 8:24], 0, atol=1e-6)
    np.testing.assert_allclose(found.values[22:34, 8:24, 8:24], 0.12, atol=1e-5)


def test_a_dislocation_is_found_as_a_line_and_tears_the_displacement():
    """A screw dislocation along the first axis: the phase turns once about it (u = b θ/2π, b one plane)."""
    _, y, z = index()
    body = ball()
    array = body * np.exp(-1j * np.arctan2(y + 0.5, z + 0.5))
    found = displacement(array, Q, body)
    assert not found.single_valued
    line = np.argwhere(found.vortices) - np.array(SHAPE) // 2
    assert set(map(tuple, line[:, 1:])) == {(-1, -1), (-1, 0), (0, -1), (0, 0)}
    assert len(line) == 4 * np.count_nonzero(body[:, 15, 16] & body[:, 16, 16] & body[:, 15, 17])
    values = strain(array, BASIS, Q, body)
    core = ndimage.binary_dilation(found.vortices, iterations=2)
    far = body & ~core
    expected = (z + 0.5) / ((z + 0.5) ** 2 + (y + 0.5) ** 2) / 52.0 / 19.594
    edge = ndimage.binary_erosion(body) & far
    np.testing.assert_allclose(values.values[edge], expected[edge], atol=6e-5)


def test_a_wall_of_half_a_plane_and_more_is_seen_by_wrapped_steps_only_up_to_the_limit():
    _, y, _ = index()
    body = ball()
    array = body * np.exp(-1j * np.where(y < 0, 0, 0.97 * np.pi))
    found = displacement(array, Q, body)
    assert found.single_valued
    assert strain(array, BASIS, Q, body).at_limit.any()
    assert not phase_vortices(array, body).any()


def test_agreement_with_cdiutils_on_the_same_object(crystal):
    """Strain and displacement of `get_structural_properties`, the independent code, within 2 %.

    It takes phi = −arg (``phase_factor`` −1), strain in per cent, displacement in Å, and takes a linear
    phase out of the latter.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cdiutils.process import PostProcessor

        theirs = PostProcessor.get_structural_properties(
            crystal, isosurface=0.4, g_vector=Q, hkl=(0, 1, 1), voxel_size=(29.0, 52.0, 51.0), phase_factor=-1
        )
        array, support, _ = PostProcessor.prepare_volume(crystal, isosurface=0.4)
    inside = support > 0
    np.testing.assert_array_equal(theirs["support"] > 0, inside)
    ours, plain = strain(array, BASIS, Q, inside).values, 0.01 * theirs["het_strain_with_ramp"]
    both = inside & np.isfinite(ours) & (plain != 0)
    assert np.count_nonzero(both) > 0.98 * np.count_nonzero(inside)
    assert ours[both].std() == pytest.approx(plain[both].std(), rel=0.02)
    assert ours[both].std() > 5e-5
    np.testing.assert_allclose(ours[both], plain[both], atol=0.02 * plain[both].std())
    u = flattened(displacement(array, Q, inside).values, inside)
    assert u[inside].std() == pytest.approx(0.1 * theirs["displacement"][inside].std(), rel=0.02)
    error = u[inside] - 0.1 * theirs["displacement"][inside]
    assert error.std() < 0.02 * u[inside].std()


def flattened(values, inside):
    """Return a field without its mean and mean slope, as the other code reports it."""
    terms = np.c_[np.argwhere(inside), np.ones(np.count_nonzero(inside))]
    result = values.astype(float).copy()
    result[inside] -= terms @ np.linalg.lstsq(terms, result[inside], rcond=None)[0]
    return result


def test_impossible_displacements_are_refused_in_words():
    with pytest.raises(ValueError, match="object's shape"):
        displacement(np.ones((3, 3, 3)), Q, np.ones((2, 3, 3), bool))
    with pytest.raises(ValueError, match="nothing to unwrap"):
        displacement(np.ones((3, 3, 3)), Q, np.zeros((3, 3, 3), bool))
    with pytest.raises(ValueError, match="finite object"):
        displacement(np.full((3, 3, 3), np.nan), Q, np.ones((3, 3, 3), bool))
