import math

import numpy as np
import pytest
import pyvista

from analysis.geometry import rotation
from analysis.results.vtk_files import Volume, write_arrays, write_collection, write_vti, write_vts
from analysis.structure.volumes import fields, finest_pitch, laboratory_shape, on_laboratory_axes

Q = np.array([0.4, 1.9, 0.1])
SLOPE = 2e-4
"""Strain of the test object: u = SLOPE · x_Q."""


@pytest.fixture(scope="module")
def slanted():
    """Return a smooth body with a uniform strain along Q on slanted voxels, (24, 24, 24)."""
    basis = rotation([1, 2, 3], 25) @ np.array([[30.0, 8.0, 0.0], [0.0, 45.0, 0.0], [5.0, 0.0, 48.0]])
    index = np.indices((24, 24, 24)).reshape(3, -1) - 12
    at = basis @ index
    body = np.exp(-((np.linalg.norm(at, axis=0) / 190) ** 4))
    along = (Q @ at) / np.linalg.norm(Q)
    phase = 10 * np.linalg.norm(Q) * SLOPE * along
    array = (body * np.exp(-1j * phase)).reshape(24, 24, 24).astype(np.complex64)
    return Volume(array, np.abs(array) > 0.1, basis, Q)


def test_the_fields_are_amplitude_phase_strain_and_displacement(slanted):
    found = fields(slanted)
    np.testing.assert_allclose(found["amplitude"], np.abs(slanted.array), atol=1e-6)
    np.testing.assert_allclose(np.exp(-1j * found["phase"]), np.exp(1j * np.angle(slanted.array)), atol=1e-5)
    known = np.isfinite(found["strain"])
    assert 300 < known.sum() < 1000
    np.testing.assert_allclose(found["strain"][known], SLOPE, rtol=0.02)
    index = np.argwhere(known) - 12
    along = index @ slanted.basis.T @ Q / np.linalg.norm(Q)
    slope, _ = np.polyfit(along, found["displacement"][known], 1)
    assert slope == pytest.approx(SLOPE, rel=0.02)


def test_a_vti_holds_the_laboratory_grid_and_reads_back(slanted, tmp_path):
    cubic = on_laboratory_axes(slanted)
    path = write_vti(
        tmp_path / "a.vti", cubic, fields(cubic), facts={"run_uid": "abc", "temperature_K": 320.5}
    )
    grid = pyvista.read(path)
    pitch = finest_pitch(slanted.basis)
    assert grid.dimensions == laboratory_shape(slanted, pitch)
    np.testing.assert_allclose(grid.spacing, pitch)
    np.testing.assert_allclose(grid.field_data["q_vector"], Q)
    assert grid.field_data["run_uid"][0] == "abc"
    assert grid.field_data["temperature_K"][0] == 320.5
    origin = grid.find_closest_point((0, 0, 0))
    np.testing.assert_allclose(grid.points[origin], 0, atol=1e-4)
    for place in ((0, 0, 0), (pitch * 3, 0, 0), (0, -pitch * 4, pitch * 2)):
        distance = np.linalg.norm(place)
        amplitude = grid.point_data["amplitude"][grid.find_closest_point(place)]
        assert amplitude == pytest.approx(math.exp(-((distance / 190) ** 4)), abs=0.01)
        phase = grid.point_data["phase"][grid.find_closest_point(place)]
        assert phase == pytest.approx(10 * SLOPE * (Q @ place), abs=0.02)
    strain = grid.point_data["strain"]
    assert np.nanmedian(strain) == pytest.approx(SLOPE, rel=0.02)
    assert set(np.unique(grid.point_data["support"])) == {0, 1}
    volume = np.count_nonzero(grid.point_data["support"]) * pitch**3
    own = np.count_nonzero(slanted.support) * abs(np.linalg.det(slanted.basis))
    assert volume == pytest.approx(own, rel=0.03)


def test_a_vts_keeps_every_voxel_where_it_was_measured(slanted, tmp_path):
    grid = pyvista.read(write_vts(tmp_path / "a.vts", slanted, fields(slanted)))
    assert grid.dimensions == (24, 24, 24)
    for index in ((12, 12, 12), (3, 5, 20)):
        place = slanted.basis @ (np.array(index) - 12)
        nearest = grid.find_closest_point(place)
        np.testing.assert_allclose(grid.points[nearest], place, atol=1e-3)
        assert grid.point_data["amplitude"][nearest] == pytest.approx(abs(slanted.array[index]), rel=1e-5)
        assert grid.point_data["support"][nearest] == slanted.support[index]


def test_arrays_pair_with_their_coordinates_as_bonsu_pairs_them(slanted, tmp_path):
    """Bonsu lays the transposed, flattened array over the rows of the coordinates."""
    paths = write_arrays(tmp_path, "320K", slanted)
    assert [path.name for path in paths] == [
        "320K_object.npy",
        "320K_support.npy",
        "320K_coordinates.npy",
    ]
    array, support, points = (np.load(path) for path in paths)
    np.testing.assert_array_equal(array, slanted.array)
    np.testing.assert_array_equal(support > 0, slanted.support)
    assert points.shape == (array.size, 3)
    flat = np.abs(array).transpose(2, 1, 0).flatten()
    np.testing.assert_allclose(flat, np.exp(-((np.linalg.norm(points, axis=1) / 190) ** 4)), atol=1e-5)


def test_a_collection_plays_by_temperature(tmp_path):
    text = write_collection(
        tmp_path / "series.pvd", [(330.0, tmp_path / "b.vti"), (320.0, tmp_path / "a.vti")]
    ).read_text()
    assert text.index('timestep="320" file="a.vti"') < text.index('timestep="330" file="b.vti"')


def test_what_cannot_be_written_is_refused_in_words(slanted, tmp_path):
    with pytest.raises(ValueError, match="on_laboratory_axes"):
        write_vti(tmp_path / "a.vti", slanted, fields(slanted))
    with pytest.raises(ValueError, match="must end in '.vts'"):
        write_vts(tmp_path / "a.vti", slanted, fields(slanted))
    with pytest.raises(ValueError, match="pitch must be a positive length"):
        on_laboratory_axes(slanted, 0.0)
    assert list(tmp_path.iterdir()) == []
