import numpy as np
import pytest
import xrayutilities as xu

from analysis.geometry import (
    cubic_grid,
    detector_q,
    instrument_named,
    laboratory_to_crystal,
    laboratory_to_sample,
    orthogonal_basis,
    reciprocal_steps,
    resample,
    rotation,
    sample_q,
    sample_rotation,
    sampling,
    voxel_basis,
)
from analysis.unit_cells import VO2_M1, wavelength

I16, APS = instrument_named("Diamond I16"), instrument_named("APS 34-ID-C")
DETECTOR = {"energy": 9.0, "distance": 1310.0, "pixel_size": 0.055, "centre": (257.0, 257.0)}
TWO_THETA = 2 * 12.404
ANGLES = {"mu": 0.0, "eta": 17.8, "chi": 90.0, "phi": 0.0, "delta": 24.807, "gam": 0.0}


def start_document(**changes):
    start = {
        "energy": 9.0,
        "reflection": [0, 1, 1],
        "lattice": {"a": 5.7517, "b": 4.5378, "c": 5.3825, "alpha": 90, "beta": 122.646, "gamma": 90},
        "detector": {"distance_mm": 1310.0, "pixel_size_mm": 0.055, "shape": [515, 515], "roi": None},
        "scan": {"axis": "eta", "start": 16.7, "stop": 18.9, "step": 0.01, "num": 221},
    }
    return start | changes


def test_every_pixel_agrees_with_xrayutilities_at_random_angles():
    rng = np.random.default_rng(7)
    circles = xu.QConversion(["x+", "z-", "y+", "z-"], ["x+", "z-"], [0, 1, 0], en=9000.0)
    circles.init_area("x+", "z+", 257, 257, 515, 515, distance=1310.0, pwidth1=0.055, pwidth2=0.055)
    rows, cols = np.meshgrid(np.arange(515), np.arange(515), indexing="ij")
    for _ in range(4):
        mu, eta, chi, phi, gam, delta = rng.uniform(-60, 60, 6)
        theirs = np.stack(circles.area(mu, eta, chi, phi, gam, delta, deg=True), axis=-1)
        theirs *= circles.wavelength / wavelength(9.0)  # their value of hc is a little older
        ours = sample_q(eta, delta, gam, rows, cols, mu=mu, chi=chi, phi=phi, **DETECTOR)
        np.testing.assert_allclose(
            ours, theirs.reshape(ours.shape), rtol=1e-6, atol=1e-6 * np.abs(theirs).max()
        )


def test_centre_pixel_obeys_bragg_and_row_grows_with_delta_column_with_gam():
    centre = detector_q(TWO_THETA, 0, 257, 257, **DETECTOR)
    assert np.linalg.norm(centre) == pytest.approx(
        4 * np.pi * np.sin(np.radians(12.404)) / wavelength(9), rel=1e-12
    )
    pixel = np.degrees(np.arctan(0.055 / 1310))
    np.testing.assert_allclose(
        detector_q(TWO_THETA, 0, 258, 257, **DETECTOR), detector_q(TWO_THETA + pixel, 0, 257, 257, **DETECTOR)
    )
    right = detector_q(0, 0, 257, 258, **DETECTOR)
    np.testing.assert_allclose(right, detector_q(0, pixel, 257, 257, **DETECTOR))
    assert right[2] > 0


def test_a_reflection_lies_where_its_orientation_matrix_says():
    mount = sample_rotation(0, 5.396, 90, 0).T  # eta 17.8 instead of θ = 12.404
    q = sample_q(17.8, TWO_THETA, 0, 257, 257, mu=0, chi=90, phi=0, **DETECTOR)
    in_mount = np.array([1.0, 0, 0]) @ mount.T
    np.testing.assert_allclose(q / np.linalg.norm(q), in_mount, atol=1e-5)
    assert np.linalg.norm(q) == pytest.approx(np.linalg.norm(VO2_M1.b_matrix() @ [0, 1, 1]), rel=2e-5)


def test_published_steps_field_of_view_and_voxels():
    geometry = I16.geometry(start_document(), ANGLES)
    dq = geometry.steps(257, 257, 0.01)
    report = sampling(dq, (64, 64, 64), (1100, 1600, 1800))
    assert report.dq == pytest.approx((3.420e-4, 1.915e-4, 1.915e-4), rel=5e-4)
    assert report.field_of_view == pytest.approx((1837, 3281, 3281), abs=1)
    assert report.voxel_size == pytest.approx((29, 52, 51), abs=0.7)
    assert report.oversampling == pytest.approx((1.67, 2.05, 1.82), abs=0.005)
    assert report.wraps
    assert report.sufficient
    assert "wraps" in report.describe()
    assert geometry.expected_d == pytest.approx(3.2067, abs=1e-4)
    assert geometry.gaps == (256, 257, 258)
    assert not sampling(dq, (64, 64, 64), (1800, 1600, 1100)).sufficient


def test_field_of_view_ignores_the_crop_and_voxels_ignore_the_order_of_doing():
    dq = I16.geometry(start_document(), ANGLES).steps(257, 257, 0.01)
    small, large = sampling(dq, (64, 64, 64)), sampling(dq, (64, 128, 96))
    assert small.field_of_view == large.field_of_view
    extent = voxel_basis(dq, (64, 64, 64)) * 64
    np.testing.assert_allclose(voxel_basis(dq, (64, 128, 96)) * np.array([64, 128, 96]), extent)
    np.testing.assert_allclose(reciprocal_steps(voxel_basis(dq, (64, 128, 96)), (64, 128, 96)), dq)


def test_rocking_step_is_the_turn_of_q_and_carries_its_sign():
    geometry = I16.geometry(start_document(), ANGLES)
    q = geometry.lab_q(257, 257)
    turn = np.cross(geometry.axis, q) * np.radians(0.01)
    np.testing.assert_allclose(geometry.steps(257, 257, 0.01)[:, 0], -turn, atol=1e-12)
    np.testing.assert_allclose(geometry.steps(257, 257, -0.01)[:, 0], turn, atol=1e-12)


@pytest.mark.parametrize("axis", ["mu", "eta", "chi", "phi"])
def test_rocking_any_circle_is_what_the_sample_frame_says(axis):
    angles = {"mu": 3.0, "eta": 17.8, "chi": 71.0, "phi": 12.0, "delta": 24.8, "gam": 2.0}
    moved = angles | {axis: angles[axis] + 0.3}
    sample = [
        sample_q(a["eta"], a["delta"], a["gam"], 100, 300, mu=a["mu"], chi=a["chi"], phi=a["phi"], **DETECTOR)
        for a in (angles, moved)
    ]
    orientation = sample_rotation(angles["mu"], angles["eta"], angles["chi"], angles["phi"])
    geometry = I16.geometry(start_document(scan={"axis": axis}), angles)
    turned = geometry.q(moved[axis], 100, 300, reference=angles[axis])
    np.testing.assert_allclose(turned, orientation @ sample[1], atol=1e-12)
    np.testing.assert_allclose(geometry.lab_q(100, 300), orientation @ sample[0], atol=1e-12)


def test_aps_geometry_in_its_own_terms():
    detector = {"distance_mm": 500, "pixel_size_mm": 0.055, "shape": (256, 256)}
    start = {"energy": 9.0, "detector": detector, "scan": {"axis": "th"}}
    geometry = APS.geometry(start, {"delta": 32.174, "gamma": 12.6346})
    k = 2 * np.pi / wavelength(9)
    delta, gamma = np.radians([32.174, 12.6346])
    outboard, up, beam = np.cos(gamma) * np.sin(delta), np.sin(gamma), np.cos(gamma) * np.cos(delta)
    q = geometry.lab_q(127.5, 127.5)
    np.testing.assert_allclose(q, k * np.array([up, beam - 1, outboard]), atol=1e-12)
    assert geometry.lab_q(126.5, 127.5)[0] > q[0]
    assert geometry.lab_q(127.5, 128.5)[2] > q[2]
    dq = geometry.steps(127.5, 127.5, 0.005)
    horizontal = np.hypot(q[1], q[2])
    assert np.linalg.norm(dq[:, 0]) == pytest.approx(np.radians(0.005) * horizontal, rel=1e-6)
    assert dq[:, 0] @ [1.0, 0, 0] == pytest.approx(0, abs=1e-12)
    basis = voxel_basis(dq, (64, 128, 128))
    np.testing.assert_allclose(
        basis.T @ dq * np.array([64, 128, 128])[:, None], 0.2 * np.pi * np.eye(3), atol=1e-9
    )


def test_orthogonal_grid_of_a_plane_wave_is_exact():
    geometry = I16.geometry(start_document(), ANGLES)
    shape, out = (40, 32, 32), (40, 32, 32)
    basis = voxel_basis(geometry.steps(257, 257, 0.01), shape)
    target = orthogonal_basis(basis, geometry.lab_q(257, 257), shape, out)
    np.testing.assert_allclose(target.T @ target, np.diag(np.diag(target.T @ target)), atol=1e-9)
    along_q = target[:, 1] / np.linalg.norm(target[:, 1])
    np.testing.assert_allclose(along_q, geometry.lab_q(257, 257) / np.linalg.norm(geometry.lab_q(257, 257)))
    wave = reciprocal_steps(basis, shape) @ [3, -4, 5]  # Å⁻¹

    def on(grid, size):
        index = np.indices(size).reshape(3, -1) - np.array(size)[:, None] // 2
        return np.exp(10j * wave @ grid @ index).reshape(size), np.abs(np.linalg.inv(basis) @ grid @ index)

    values = resample(on(basis, shape)[0], basis, target, out)
    expected, place = on(target, out)
    inside = (place < np.array(shape)[:, None] / 2).all(axis=0).reshape(out)
    np.testing.assert_allclose(values[inside], expected[inside], atol=1e-5)
    outside = (place > np.array(shape)[:, None] / 2 + 0.01).any(axis=0).reshape(out)
    assert outside.any()
    assert not values[outside].any()


def test_resampling_keeps_volume_and_facets_of_a_known_box():
    """A 600 × 800 × 900 nm box with faces along the laboratory axes, seen through the slanted voxels."""
    geometry = I16.geometry(start_document(), ANGLES)
    shape, out = (64, 64, 64), (64, 64, 64)
    dq = geometry.steps(257, 257, 0.01)
    basis = voxel_basis(dq, shape)
    target = orthogonal_basis(basis, geometry.lab_q(257, 257), shape, out)
    axes = target / np.linalg.norm(target, axis=0)
    size = np.array([600.0, 800.0, 900.0])
    centred = np.indices(shape).reshape(3, -1) - 32
    waves = axes.T @ (dq @ centred) * 10  # nm⁻¹
    amplitude = np.prod(
        [np.sinc(wave * length / (2 * np.pi)) for wave, length in zip(waves, size, strict=True)], axis=0
    )
    slanted = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(amplitude.reshape(shape))))
    box = resample(slanted, basis, target, out).real
    inside = box > 0.5 * np.median(box[24:40, 28:36, 28:36])
    pitch = np.linalg.norm(target, axis=0)
    for axis, (length, step) in enumerate(zip(size, pitch, strict=True)):
        others = tuple(other for other in range(3) if other != axis)
        assert np.count_nonzero(inside.any(axis=others)) * step == pytest.approx(length, abs=1.01 * step)
    level = np.median(box[26:39, 28:37, 28:37])
    assert box.sum() / level * pitch.prod() == pytest.approx(size.prod(), rel=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"detector": {"distance_mm": 0, "pixel_size_mm": 0.055, "shape": [515, 515]}},
            "distance must be a positive",
        ),
        (
            {
                "detector": {
                    "distance_mm": 1310,
                    "pixel_size_mm": 0.055,
                    "shape": [515, 515],
                    "roi": [0, 600, 0, 9],
                }
            },
            "inside a detector",
        ),
        ({"scan": {"axis": "kap"}}, "rocking axis must be one of"),
    ],
)
def test_a_wrong_geometry_is_refused_in_words(change, message):
    with pytest.raises(ValueError, match=message):
        I16.geometry(start_document(**change), ANGLES)


def test_missing_angles_and_flat_steps_are_refused_in_words():
    with pytest.raises(ValueError, match=r"\['delta'\]"):
        I16.geometry(start_document(), {name: 0.0 for name in ANGLES if name != "delta"})
    with pytest.raises(ValueError, match="span space"):
        voxel_basis(np.ones((3, 3)), (8, 8, 8))
    with pytest.raises(ValueError, match="three positive lengths"):
        sampling(np.eye(3), (8, 8, 8), (1, 2, -3))


def test_rocking_axis_and_gaps():
    np.testing.assert_allclose(I16.rocking_axis("eta", {"mu": 0.0}), [0, 0, -1])
    assert I16.detector.gaps(515, 515) == (256, 257, 258)
    assert I16.detector.gaps(256, 256) == I16.detector.gaps(515, 256) == ()
    assert instrument_named("id01").detector.gaps(516, 516) == (255, 256, 257, 258, 259, 260)
    assert APS.detector.gaps(512, 512) == APS.detector.gaps(256, 256) == ()


def test_in_the_crystal_frame_the_reflection_is_b_times_hkl():
    angles = {"mu": 2.0, "eta": 17.8, "chi": 84.0, "phi": 11.0, "delta": 24.8, "gam": 2.3}
    q_sample = sample_q(angles["eta"], 24.8, 2.3, 128, 131, mu=2.0, chi=84.0, phi=11.0, **DETECTOR)
    b_hkl = VO2_M1.b_matrix() @ [0, 1, 1]
    # A rotation that takes B·(0, 1, 1) to where the detector saw it, and any turn about it.
    first, second = b_hkl / np.linalg.norm(b_hkl), q_sample / np.linalg.norm(q_sample)
    between = np.cross(first, second)
    angle = np.degrees(np.arccos(first @ second))
    u = rotation(second, 40.0) @ rotation(between, angle)
    lab = detector_q(24.8, 2.3, 128, 131, **DETECTOR)
    found = laboratory_to_crystal(angles, u @ VO2_M1.b_matrix(), VO2_M1) @ lab
    np.testing.assert_allclose(found / np.linalg.norm(found), first, atol=1e-12)
    np.testing.assert_allclose(laboratory_to_sample(angles) @ lab, q_sample, atol=1e-12)


def test_a_cubic_grid_holds_the_slanted_box_and_nothing_is_lost_on_it():
    geometry = I16.geometry(start_document(), ANGLES)
    shape = (20, 24, 24)
    basis = rotation([1, 2, 3], 25.0) @ voxel_basis(geometry.steps(257, 257, 0.01), shape)
    target, out = cubic_grid(basis, shape)
    corners = basis @ (np.array(np.meshgrid(*[[-0.5, 0.5]] * 3)).reshape(3, -1) * np.array(shape)[:, None])
    assert (np.abs(corners).max(axis=1) <= np.array(out) / 2 * target[0, 0] + 1e-9).all()
    x = np.indices(shape) - np.array(shape)[:, None, None, None] // 2
    blob = np.exp(-(np.tensordot(basis, x, 1) ** 2).sum(axis=0) / (2 * 160.0**2)) + 0j
    found = resample(blob, basis, target, out)
    total = found.sum() * abs(np.linalg.det(target))
    assert total == pytest.approx((2 * np.pi) ** 1.5 * 160.0**3, rel=1e-3)
    assert np.unravel_index(np.abs(found).argmax(), out) == tuple(n // 2 for n in out)


def test_frames_that_do_not_belong_together_are_refused_in_words():
    with pytest.raises(ValueError, match="rotation of the cell's B"):
        laboratory_to_crystal(ANGLES, np.eye(3), VO2_M1)
    with pytest.raises(ValueError, match=r"finite \(3, 3\) matrix"):
        laboratory_to_crystal(ANGLES, np.eye(2), VO2_M1)
    with pytest.raises(ValueError, match=r"\['phi'\] are not in"):
        laboratory_to_sample({"mu": 0, "eta": 1, "chi": 2})
    with pytest.raises(ValueError, match="pitch must be a positive"):
        cubic_grid(np.eye(3), (4, 4, 4), pitch=0)


@pytest.mark.parametrize("seed", range(8))
def test_a_rotation_is_rodrigues_formula(seed):
    rng = np.random.default_rng(seed)
    axis, angle = rng.normal(size=3), rng.uniform(-720, 720)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    rodrigues = np.eye(3) + sine * cross + (1 - cosine) * cross @ cross
    np.testing.assert_allclose(rotation(axis, angle), rodrigues, atol=2e-15)
