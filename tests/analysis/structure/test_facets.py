"""A crystal of known facets, seen through a whole rocking scan: what comes out is the crystal that went in.

Nothing of the analysis makes the data: q of every pixel is xrayutilities', in the sample's own frame, and the
amplitude is a non-uniform Fourier sum over the body at exactly those q.
"""

import finufft
import numpy as np
import pytest
import xrayutilities as xu
from scipy.ndimage import map_coordinates
from scipy.spatial import ConvexHull, HalfspaceIntersection

from analysis.geometry import cubic_grid, instrument_named, laboratory_to_sample, orthogonal_basis, resample
from analysis.preprocessing import prepare_scan
from analysis.unit_cells import wavelength

I16 = instrument_named("Diamond I16")
ANGLES = {"mu": 3.0, "eta": 17.8, "chi": 84.0, "phi": 11.0, "delta": 25.117, "gam": 2.31}
ETA = 17.4 + 0.01 * np.arange(75)
ROI = (56, 204, 54, 202)
PEAK = (36.3, 129.4, 127.7)
"""Step, row and column where the Bragg peak lies."""

FACETS = np.array(
    [
        [1.0, 0.1, -0.2],
        [-1.0, 0.15, 0.1],
        [0.2, 1.0, 0.3],
        [0.1, -1.0, 0.25],
        [-0.1, 0.2, 1.0],
        [0.3, 0.1, -1.0],
        [1.0, 0.9, 0.8],
        [-0.7, 1.0, -0.9],
    ]
)
NORMALS = FACETS / np.linalg.norm(FACETS, axis=1, keepdims=True)
DISTANCES = np.array([262.0, 240.0, 236.0, 255.0, 228.0, 246.0, 300.0, 292.0])
"""Facets in the sample's frame: n·r = distance, nm from the origin. No two are parallel or alike."""

CORNERS = HalfspaceIntersection(np.c_[NORMALS, -DISTANCES], np.zeros(3)).intersections
VOLUME = ConvexHull(CORNERS).volume


@pytest.fixture(scope="module")
def body():
    """Return quadrature points (m, 3) nm and weights (m,) nm³: lines along x, cut where they leave it."""
    nodes, weights = np.polynomial.legendre.leggauss(56)
    middle, half = (CORNERS.max(axis=0) + CORNERS.min(axis=0)) / 2, np.ptp(CORNERS, axis=0) / 2
    y, z = np.meshgrid(middle[1] + half[1] * nodes, middle[2] + half[2] * nodes, indexing="ij")
    area = half[1] * half[2] * np.outer(weights, weights)
    slope, across, up = (NORMALS[:, axis, None, None] for axis in range(3))
    reach = (DISTANCES[:, None, None] - across * y - up * z) / slope
    right = np.where(slope > 0, reach, np.inf).min(axis=0)
    left = np.where(slope < 0, reach, -np.inf).max(axis=0)
    hit = right > left
    along, share = np.polynomial.legendre.leggauss(20)
    length = (right - left)[hit] / 2
    x = ((right + left)[hit] / 2)[:, None] + length[:, None] * along
    points = np.stack([x, *(np.broadcast_to(a[hit][:, None], x.shape) for a in (y, z))], axis=-1)
    return points.reshape(-1, 3), ((length * area[hit])[:, None] * share).ravel()


def pixel_q(etas, corner, shape, binning=1):
    """Return q of pixels ``binning`` times as large from a corner on, (steps, rows, columns, 3) Å⁻¹."""
    circles = xu.QConversion(["x+", "z-", "y+", "z-"], ["x+", "z-"], [0, 1, 0], en=9000.0)
    middle = [(257 - first - (binning - 1) / 2) / binning for first in corner]
    size = 0.055 * binning
    circles.init_area("x+", "z+", *middle, *shape, distance=1310.0, pwidth1=size, pwidth2=size)
    fixed = {name: np.full(len(etas), ANGLES[name]) for name in ("mu", "chi", "phi", "gam", "delta")}
    q = circles.area(fixed["mu"], etas, fixed["chi"], fixed["phi"], fixed["gam"], fixed["delta"], deg=True)
    scale = circles.wavelength / wavelength(9.0)  # their value of hc is a little older
    return np.stack(q, axis=-1).reshape(len(etas), *shape, 3) * scale


def bragg():
    """Return q of the reflection, (3,) Å⁻¹: that of a place between the pixels."""
    step, row, col = PEAK
    return pixel_q(ETA[:1] + 0.01 * step, (row, col), (1, 1))[0, 0, 0]


def amplitude(body, q):
    """Return ∫ exp(−i (q − Q)·r) dr over the body, (…) complex, nm³."""
    points, weights = body
    wave = 10 * (q - bragg()).reshape(-1, 3)
    sources, targets = np.ascontiguousarray(points.T), np.ascontiguousarray(wave.T)
    values = finufft.nufft3d3(*sources, weights.astype(complex), *targets, isign=-1, eps=1e-6, nthreads=1)
    return values.reshape(q.shape[:-1])


def geometry(**start):
    detector = {"distance_mm": 1310.0, "pixel_size_mm": 0.055, "shape": [515, 515], "roi": ROI}
    return I16.geometry({"energy": 9.0, "detector": detector, "scan": {"axis": "eta"}} | start, ANGLES)


@pytest.fixture(scope="module")
def frames(body):
    """Return a noiseless scan, (75, 148, 148) counts."""
    intensity = np.abs(amplitude(body, pixel_q(ETA, (ROI[0], ROI[2]), (148, 148)))) ** 2
    return np.rint(3e6 * intensity / intensity.max()).astype(np.uint32)


def seen(body, frames, shape, binning):
    """Return a prepared scan and the object that a perfect reconstruction of it would give."""
    prepared = prepare_scan(frames, ETA, None, geometry(), shape=shape, binning=(binning, binning))
    step, row, col = prepared.crop
    etas = ETA[0] + 0.01 * (step + np.arange(shape[0]))
    values = amplitude(body, pixel_q(etas, (row, col), shape[1:], binning))
    measured = np.sqrt(prepared.intensity / prepared.intensity.max())
    expected = np.abs(values) / np.abs(values).max()
    assert np.linalg.norm(measured - expected) < 0.04 * binning * np.linalg.norm(expected)
    return prepared, np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(values)))


def facet_errors(volume, basis, turn):
    """Return by how many nm each facet, turned by ``turn``, lies too far out, and the volume, nm³.

    A facet is where the amplitude, along lines through it, falls to half; the volume is what exceeds half.
    """
    level = np.median(volume[tuple(slice(n // 2 - 5, n // 2 + 6) for n in volume.shape)])
    depth = np.arange(-120, 120, 2.0)
    errors = []
    for normal, distance in zip(NORMALS, DISTANCES, strict=True):
        on = CORNERS[np.abs(CORNERS @ normal - distance) < 1e-6 * distance]
        middle = on.mean(axis=0)
        feet = np.concatenate([middle + 0.5 * (on - middle), middle[None]])
        places = (feet[:, None] + depth[:, None] * normal) @ turn.T
        index = places.reshape(-1, 3) @ np.linalg.inv(basis).T + np.array(volume.shape) // 2
        profile = map_coordinates(volume, index.T, order=3).reshape(len(feet), -1).mean(axis=0)
        first = int(np.argmax(profile < level / 2))
        share = (profile[first - 1] - level / 2) / (profile[first - 1] - profile[first])
        errors.append(depth[first - 1] + 2.0 * share)
    return np.array(errors), np.count_nonzero(volume > level / 2) * abs(np.linalg.det(basis))


def voxel_thickness(basis, normals):
    """Return how thick a voxel is along each normal, nm."""
    return 1 / np.linalg.norm(np.linalg.inv(basis).T @ normals.T, axis=0)


@pytest.mark.parametrize(
    ("shape", "binning"),
    [((64, 64, 64), 1), ((48, 56, 60), 1), ((72, 72, 80), 1), ((64, 64, 64), 2), ((64, 40, 32), 2)],
)
def test_facets_and_volume_come_out_whatever_the_crop_and_the_binning(body, frames, shape, binning):
    """In the sample's frame. Measured: facets to 1.3 nm (0.03 voxel), volume to 0.9 %."""
    prepared, obj = seen(body, frames, shape, binning)
    turned = laboratory_to_sample({**ANGLES, "eta": prepared.angle}) @ prepared.voxel_basis
    target, whole = cubic_grid(turned, shape, pitch=20.0)
    out = (56, 56, 56)  # as much of it as holds the crystal
    assert all(part < size for part, size in zip(out, whole, strict=True))
    errors, volume = facet_errors(np.abs(resample(obj, turned, target, out)), target, np.eye(3))
    assert np.abs(errors / voxel_thickness(turned, NORMALS)).max() < 0.1
    assert volume == pytest.approx(VOLUME, rel=0.02)


def test_the_same_in_the_laboratory_frame_on_the_grid_of_the_order_parameter(body, frames):
    prepared, obj = seen(body, frames, (64, 64, 64), 1)
    target = orthogonal_basis(prepared.voxel_basis, prepared.q_vector, obj.shape, (64, 64, 64))
    turn = laboratory_to_sample({**ANGLES, "eta": prepared.angle}).T
    volume = np.abs(resample(obj, prepared.voxel_basis, target, (64, 64, 64)))
    errors, size = facet_errors(volume, target, turn)
    assert np.abs(errors / voxel_thickness(target, NORMALS @ turn.T)).max() < 0.5
    assert size == pytest.approx(VOLUME, rel=0.02)
    back = turn.T @ prepared.q_vector
    np.testing.assert_allclose(back, bragg(), atol=np.abs(prepared.dq).max())


def test_binning_halves_the_field_of_view_and_keeps_the_voxels_of_its_q_volume(frames):
    plain = prepare_scan(frames, ETA, None, geometry(), shape=(64, 64, 64))
    pairs = prepare_scan(frames, ETA, None, geometry(), shape=(64, 32, 32), binning=(2, 2))
    assert pairs.binning == (1, 2, 2)
    assert pairs.background == 4 * plain.background
    assert pairs.d_spacing == plain.d_spacing
    np.testing.assert_allclose(pairs.voxel_basis, plain.voxel_basis, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        pairs.sampling.field_of_view, np.array(plain.sampling.field_of_view) / (1, 2, 2), rtol=1e-4
    )
    # The middle of a large pixel lies half a pixel beyond the corner that it shares with four.
    offset = np.array([pairs.crop[axis] + 16 * 2 + 0.5 - plain.crop[axis] - 32 for axis in (1, 2)])
    np.testing.assert_allclose(
        pairs.q_vector - plain.q_vector, plain.dq[:, 1:] @ offset, atol=1e-3 * np.abs(plain.dq).max()
    )
    corner = [b - a for a, b in zip(plain.crop, pairs.crop, strict=True)]
    assert 0 <= corner[1] <= 1
    block = plain.intensity[0, corner[1] : corner[1] + 2, corner[2] : corner[2] + 2]
    assert pairs.intensity[0, 0, 0] == block.sum()


@pytest.mark.parametrize(
    ("start", "binning", "message"),
    [
        ({"crystal_size_nm": [700, 700, 900]}, (2, 2), "along the column axis leaves 1.82"),
        ({}, (1, 4), "along the column axis it wraps"),
        ({}, (2, 0), "two whole numbers from 1 on"),
        ({}, 2, "two whole numbers from 1 on"),
        ({}, (1.5, 1), "two whole numbers from 1 on"),
    ],
)
def test_binning_that_loses_the_crystal_is_refused_in_words(frames, start, binning, message):
    with pytest.raises(ValueError, match=message):
        prepare_scan(frames, ETA, None, geometry(**start), shape=(64, 32, 32), binning=binning)
