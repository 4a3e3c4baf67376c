import numpy as np
import pytest

from analysis.geometry import instrument_named, voxel_basis
from analysis.structure import (
    PERCENTS,
    isosurface,
    lost,
    phase_slope,
    statistics_inside,
    strain,
    strain_statistics,
    strain_table,
)
from analysis.unit_cells import VO2_M1, VO2_RUTILE

I16 = instrument_named("Diamond I16")
ANGLES = {"mu": 0.0, "eta": 17.8, "chi": 90.0, "phi": 0.0, "delta": 24.807, "gam": 0.0}
START = {
    "energy": 9.0,
    "detector": {"distance_mm": 1310.0, "pixel_size_mm": 0.055, "shape": [515, 515]},
    "scan": {"axis": "eta"},
}
Q = I16.geometry(START, ANGLES).lab_q(257, 257)


def basis_for(shape):
    return voxel_basis(I16.geometry(START, ANGLES).steps(257, 257, 0.01), shape)


def positions(shape, basis):
    """Return the place of each voxel, (3, n0, n1, n2) nm."""
    index = np.indices(shape).reshape(3, -1) - np.array(shape)[:, None] // 2
    return (basis @ index).reshape(3, *shape)


def crystal(shape, displacement, basis):
    """Return a box of half the field of view with u(r) in nm along Q, as the detector would see it."""
    inside = np.ones(shape, dtype=bool)
    for axis, size in enumerate(shape):
        away = np.abs(np.arange(size) - size // 2) < size / 4
        inside &= np.moveaxis(away.reshape(-1, 1, 1), 0, axis)
    u = displacement(positions(shape, basis))
    return (inside * np.exp(-1j * np.linalg.norm(10 * Q) * u)).astype(np.complex64), inside


def test_a_rutile_only_crystal_is_strained_by_plus_0_0043():
    """Its peak lies at a lower abs(Q); the crop must be wide enough to show such a ramp."""
    shape = (24, 168, 32)
    basis = basis_for(shape)
    ratio = VO2_RUTILE.d_spacing((1, 1, 0)) / VO2_M1.d_spacing((0, 1, 1))
    shift = 10 * Q * (1 / ratio - 1)  # nm⁻¹, from M1's peak to rutile's
    peak = np.exp(1j * np.tensordot(shift, positions(shape, basis), 1))
    array = peak * crystal(shape, lambda r: 0 * r[0], basis)[1]
    values = strain(array, basis, Q)
    assert values.limit > 0.0043
    inside = np.abs(array) > 0
    np.testing.assert_allclose(values.values[inside], 0.0043, atol=5e-5)
    assert not values.at_limit.any()
    amplitude = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(array))))
    row = np.unravel_index(amplitude.argmax(), shape)[1] - shape[1] // 2
    assert row == pytest.approx(-45, abs=1)


def test_uniform_strain_comes_out_on_slanted_voxels_wherever_the_phase_wraps():
    shape = (32, 64, 32)
    basis = basis_for(shape)
    direction = Q / np.linalg.norm(Q)
    array, inside = crystal(shape, lambda r: 8e-4 * np.tensordot(direction, r, 1), basis)
    assert np.ptp(np.angle(array[inside])) > 6.2
    np.testing.assert_allclose(strain(array, basis, Q).values[inside], 8e-4, rtol=1e-4)
    outside = strain(array, basis, Q).values[~inside]
    assert np.isnan(outside).all()


def test_displacement_across_q_is_no_strain():
    shape = (32, 32, 32)
    basis = basis_for(shape)
    across = np.cross(Q, [0, 0, 1.0]) / np.linalg.norm(Q)
    array, inside = crystal(shape, lambda r: 5e-4 * (np.tensordot(across, r, 1) + r[2]), basis)
    np.testing.assert_allclose(strain(array, basis, Q).values[inside], 0, atol=1e-8)


def test_strain_is_the_same_on_any_basis_of_the_same_crystal():
    """A general frame, where all three array axes have a share in Q."""
    rng = np.random.default_rng(4)
    basis = rng.normal(size=(3, 3)) * 10 + np.diag([30, 30, 30])
    q = np.array([1.0, 1.4, -0.9])
    gradient = np.array([0.003, -0.002, 0.004])  # rad/nm
    phi = np.tensordot(gradient, positions((12, 14, 16), basis), 1)
    values = strain(np.exp(-1j * phi), basis, q).values
    expected = gradient @ q / np.linalg.norm(q) / np.linalg.norm(10 * q)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_steps_near_pi_are_counted_at_the_limit():
    shape = (8, 32, 8)
    array = np.ones(shape, dtype=complex)
    array[:, 16:] = np.exp(-0.95j * np.pi)
    field = strain(array, basis_for(shape), Q)
    assert field.at_limit[:, 15:17].all()
    assert field.at_limit.sum() == 2 * 8 * 8
    assert field.limit == pytest.approx(
        np.pi / (10 * np.linalg.norm(Q)) / np.linalg.norm(basis_for(shape)[:, 1]), rel=1e-6
    )


def test_published_limit_of_a_voxel():
    assert strain(np.ones((64, 64, 64)), basis_for((64, 64, 64)), Q).limit == pytest.approx(3.05e-3, abs=1e-5)


def test_edges_take_their_one_step_and_lone_voxels_are_unknown():
    array = np.exp(-0.3j * np.arange(10))[:, None, None] * np.ones((1, 2, 2))
    inside = np.zeros(array.shape, dtype=bool)
    inside[2:6] = True
    inside[8, 0, 0] = True
    slope, _ = phase_slope(array, 0, inside)
    np.testing.assert_allclose(slope[2:6], 0.3, atol=1e-12)
    assert np.isnan(slope[8, 0, 0])


@pytest.mark.parametrize("percent", [50, 90, 99.74, 100])
def test_isosurface_holds_its_share_and_no_smaller_one_does(percent):
    rng = np.random.default_rng(2)
    array = rng.normal(size=(9, 8, 7)) + 1j * rng.normal(size=(9, 8, 7))
    inside = isosurface(array, percent)
    density = np.abs(array) ** 2
    share = 100 * density[inside].sum() / density.sum()
    assert share >= percent - 1e-9
    assert share - 100 * density[inside].min() / density.sum() < percent
    if percent < 100:
        assert density[inside].min() >= density[~inside].max()


def test_statistics_of_known_strain():
    shape = (32, 48, 32)
    basis = basis_for(shape)
    direction = Q / np.linalg.norm(Q)
    scale = 300.0
    array, inside = crystal(
        shape, lambda r: -5e-4 * scale * np.cos(direction @ r.reshape(3, -1) / scale).reshape(shape), basis
    )
    x = np.tensordot(direction, positions(shape, basis), 1)
    expected = 5e-4 * np.sin(x / scale)[inside]
    found = statistics_inside(array, basis, Q, 100 * (1 - 1e-9))
    assert found["voxels"] == inside.sum()
    assert found["sigma"] == pytest.approx(expected.std(), rel=0.03)
    assert found["mean"] == pytest.approx(expected.mean(), abs=1e-6)
    assert found["median"] == pytest.approx(np.median(expected), abs=2e-5)
    assert found["max"] == pytest.approx(expected.max(), rel=0.03)
    assert found["mean_abs"] == pytest.approx(np.abs(expected).mean(), rel=0.03)
    assert found["at_limit"] == 0
    assert (
        set(strain_table(array, basis, Q))
        == {f"{percent:g}" for percent in PERCENTS}
        == {"90", "95", "99", "99.74"}
    )


def test_result_and_arrays_give_the_same_statistics():
    class Result:
        object = np.exp(-0.1j * np.arange(16))[None, :, None] * np.ones((8, 16, 8))
        voxel_basis = basis_for((8, 16, 8))
        q_vector = Q

    assert strain_statistics(Result, 90) == statistics_inside(Result.object, Result.voxel_basis, Q, 90)


def test_missing_density_is_found_by_amplitude():
    support = np.zeros((10, 10, 10), dtype=bool)
    support[2:8, 2:8, 2:8] = True
    array = support * np.full(support.shape, 3.0, dtype=complex)
    whole = array.copy()
    assert not lost(array, whole, support).any()
    array[2:8, 2:8, 5:8] *= 0.15
    assert lost(2 * array, whole, support)[support].mean() == pytest.approx(0.5)
    assert not lost(array, whole, support)[~support].any()


def test_impossible_requests_are_refused_in_words():
    with pytest.raises(ValueError, match="percent must lie in"):
        isosurface(np.ones((2, 2, 2)), 0)
    with pytest.raises(ValueError, match="not all zero"):
        isosurface(np.zeros((2, 2, 2)), 90)
    with pytest.raises(ValueError, match="support is empty"):
        lost(np.ones((2, 2, 2)), np.ones((2, 2, 2)), np.zeros((2, 2, 2), dtype=bool))
    with pytest.raises(ValueError, match="inside must have"):
        strain(np.ones((2, 2, 2)), np.eye(3), Q, np.ones((3, 2, 2), dtype=bool))
