import numpy as np
import pytest

from analysis.structure import depth_below_surface, surface_and_bulk

Q = np.array([0.0, 1.9594, 0.0])


def test_depth_on_slanted_voxels_is_the_distance_in_space():
    """A slab with faces normal to z, 12 voxels of 40 nm thick, on voxels sheared along it."""
    basis = np.array([[30.0, 25.0, 0.0], [0.0, 45.0, 0.0], [0.0, 0.0, 40.0]])
    inside = np.zeros((24, 24, 24), dtype=bool)
    inside[:, :, 6:18] = True
    depth = depth_below_surface(inside, basis)
    layer = np.minimum(np.arange(24) - 5, 18 - np.arange(24)) * 40.0
    np.testing.assert_allclose(depth[12, 12, 6:18], layer[6:18])
    assert not depth[~inside].any()
    np.testing.assert_allclose(
        depth[0, 0, 12], np.sqrt(30.0**2 - (25 * 30 / np.hypot(25, 45)) ** 2), rtol=0.2
    )


def test_the_nearest_voxel_outside_may_touch_by_an_edge():
    basis = np.array([[50.0, -45.0, 0.0], [0.0, 20.0, 0.0], [0.0, 0.0, 60.0]])
    inside = np.ones((9, 9, 9), dtype=bool)
    inside[4, 4, 4] = False
    depth = depth_below_surface(inside, basis)
    np.testing.assert_allclose(depth[5, 5, 4], np.hypot(5, 20))


def test_surface_strain_is_told_from_that_of_the_bulk():
    """A tensile rim about a compressive core, as at 320 K."""
    shape, basis = (36, 36, 36), np.diag([30.0, 50.0, 50.0])
    body = np.zeros(shape, dtype=bool)
    body[6:30, 8:28, 8:28] = True
    near = body & (depth_below_surface(body, basis) <= 75)
    strain = np.where(near, 3e-4, -1e-4)
    steps = 0.5 * (strain + np.roll(strain, 1, axis=1))
    phi = np.cumsum(steps, axis=1) * 10 * np.linalg.norm(Q) * 50
    found = surface_and_bulk(body * np.exp(-1j * phi), basis, Q, body)
    assert found.shell == 75
    assert found.surface.voxels == near.sum()
    assert found.surface.voxels + found.bulk.voxels == body.sum()
    assert found.surface.mean == pytest.approx(3e-4, rel=0.2)
    assert found.bulk.mean == pytest.approx(-1e-4, rel=0.2)
    assert found.bulk.sigma < found.surface.sigma < 1.2e-4


def test_a_crystal_that_is_all_surface_has_no_bulk():
    found = surface_and_bulk(np.ones((6, 6, 6), complex), np.eye(3) * 30, Q, shell=1e4)
    assert found.bulk.voxels == 0
    assert found.record()["bulk"]["mean"] is None
    with pytest.raises(ValueError, match="positive depth"):
        surface_and_bulk(np.ones((6, 6, 6), complex), np.eye(3) * 30, Q, shell=-1)
    with pytest.raises(ValueError, match="outline must have"):
        surface_and_bulk(np.ones((6, 6, 6), complex), np.eye(3) * 30, Q, outline=np.ones((5, 6, 6), bool))
