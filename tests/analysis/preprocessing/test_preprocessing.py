from dataclasses import replace
from functools import lru_cache

import h5py
import numpy as np
import pytest

from analysis.geometry import ScanGeometry, instrument_named
from analysis.preprocessing import (
    WRAPS,
    Thinning,
    autocorrelation_wrap,
    hidden_voxels,
    locate_scan,
    prepare_scan,
)
from analysis.preprocessing import peak as peak_module
from analysis.preprocessing.frames import RockingStack
from analysis.preprocessing.peak import (
    MOST_BLOCKS,
    SECOND,
    Survey,
    block_side,
    coarse_peak,
    further_peak,
)
from analysis.unit_cells import VO2_RUTILE

I16 = instrument_named("Diamond I16")
ANGLES = {"mu": 0.0, "eta": 17.8, "chi": 90.0, "phi": 0.0, "delta": 24.807 + 0.31, "gam": 0.31}
"""delta and gam that put the M1 peak near pixel (128, 128)."""

ROI = (40, 280, 40, 280)
STEPS = 81
ETA = 17.4 + 0.01 * np.arange(STEPS)


def geometry(**changes) -> ScanGeometry:
    start = {
        "energy": 9.0,
        "reflection": [0, 1, 1],
        "lattice": {"a": 5.7517, "b": 4.5378, "c": 5.3825, "alpha": 90, "beta": 122.646, "gamma": 90},
        "detector": {"distance_mm": 1310.0, "pixel_size_mm": 0.055, "shape": [515, 515], "roi": ROI},
        "scan": {"axis": "eta"},
    }
    start["detector"] |= changes.pop("detector", {})
    return replace(I16.geometry(start | changes, ANGLES), neighbour_d=VO2_RUTILE.d_spacing((1, 1, 0)))


def peak_at(place, peak, width=(1.67, 2.05, 1.82)):
    """Return a box crystal's intensity, (STEPS, 240, 240), integrated over pixels, at a fractional place."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    profiles = []
    for size, middle, fringe, area in zip((STEPS, 240, 240), place, width, (0, 1, 1), strict=True):
        samples = np.arange(size)[:, None] + 0.5 * area * nodes - middle
        profiles.append(np.sinc(samples / fringe) ** 2 @ weights / 2)
    return peak * profiles[0][:, None, None] * profiles[1][:, None] * profiles[2]


M1 = (38.3, 87.6, 91.2)
RUTILE = (38.3 - 5.4, 87.6 - 45, 91.2)


@lru_cache
def clean() -> np.ndarray:
    """Return M1's peak, at pixel (127.6, 131.2) of the detector, and a brighter rutile one 45 rows below."""
    return peak_at(M1, 2e5) + peak_at(RUTILE, 6e5) + 0.02


def frames(seed=1, hot=(), dead=(), gap=True):
    counts = np.random.default_rng(seed).poisson(clean()).astype(np.uint32)
    for row, col, rate in hot:
        counts[:, row, col] += np.random.default_rng(row).poisson(rate, STEPS).astype(np.uint32)
    for row, col in dead:
        counts[:, row, col] = 0
    if gap:
        counts[:, 216:219] = 0
        counts[:, :, 216:219] = 0
    return counts


def test_the_monoclinic_peak_is_centred_though_rutile_is_brighter():
    prepared = prepare_scan(frames(), ETA, None, geometry())
    np.testing.assert_allclose(prepared.peak, np.add(M1, (0, 40, 40)), atol=0.1)
    assert prepared.intensity.shape == (64, 64, 64)
    assert prepared.intensity.dtype == np.float32
    assert np.unravel_index(prepared.intensity.argmax(), (64, 64, 64)) == (32, 32, 32)
    assert prepared.crop == (38 - 32, 128 - 32, 131 - 32)
    assert prepared.background == pytest.approx(0.02, rel=0.15)
    assert prepared.angle == pytest.approx(ETA[38])


def test_d_spacing_is_good_to_1e_4_and_belongs_to_m1():
    geo = geometry()
    prepared = prepare_scan(frames(), ETA, None, geo)
    true = 2 * np.pi / np.linalg.norm(geo.lab_q(127.6, 131.2))
    assert prepared.d_spacing == pytest.approx(true, rel=1e-5)
    assert prepared.d_spacing == pytest.approx(geo.expected_d, rel=5e-4)
    assert 0 < prepared.d_spacing_sigma < prepared.d_spacing_error < 1e-4 * true
    assert abs(prepared.d_spacing - true) < 2 * prepared.d_spacing_error
    expected = 2 * np.pi / np.linalg.norm(prepared.q_vector)
    assert prepared.d_spacing == pytest.approx(expected, rel=1e-4)


def test_the_error_of_d_grows_with_what_pulls_at_the_centre():
    """The rutile peak, three times as bright, reaches into the wider windows."""
    alone = np.random.default_rng(1).poisson(peak_at(M1, 2e5) + 0.02).astype(np.uint32)
    quiet = prepare_scan(alone, ETA, None, geometry())
    pulled = prepare_scan(frames(gap=False), ETA, None, geometry())
    assert quiet.d_spacing_error < 0.3 * pulled.d_spacing_error
    assert quiet.d_spacing_sigma < quiet.d_spacing_error


def test_hot_and_dead_pixels_are_found_and_the_centre_stays():
    hot = [(70, 80, 3.0), (70, 95, 300.0), (71, 95, 40.0), (100, 100, 2e4), (30, 200, 2e5)]
    dead = [(88, 93), (84, 91), (90, 90)]
    plain = prepare_scan(frames(), ETA, None, geometry())
    prepared = prepare_scan(frames(hot=hot, dead=dead), ETA, None, geometry())
    row0, col0 = prepared.crop[1] - 40, prepared.crop[2] - 40
    bad = prepared.mask.all(axis=0)
    for row, col in [(row, col) for row, col, _ in hot[:-1]] + dead:
        assert bad[row - row0, col - col0], (row, col)
    assert bad.sum() == len(hot) - 1 + len(dead)
    assert prepared.mask.sum() == bad.sum() * 64
    assert prepared.defects["bad_pixels"] == bad.sum() * 64
    assert not prepared.intensity[prepared.mask].any()
    np.testing.assert_allclose(prepared.peak, plain.peak, atol=0.1)
    assert 0 < prepared.lost_fraction < 0.05


def test_nothing_good_is_called_bad():
    prepared = prepare_scan(frames(gap=False), ETA, None, geometry(detector={"shape": [512, 512]}))
    assert not prepared.mask.any()
    assert prepared.lost_fraction == 0


def test_gap_in_the_crop_is_masked():
    prepared = prepare_scan(frames(), ETA, None, geometry(), shape=(32, 300, 32))
    first, last = 256 - prepared.crop[1], 259 - prepared.crop[1]
    assert prepared.mask[:, first:last].all()
    assert not prepared.mask[:, first - 1].any()
    assert not prepared.mask[:, last].any()
    assert prepared.defects["bad_pixels"] == prepared.mask.sum() - prepared.defects["beyond_scan"]


def test_monitor_normalisation_keeps_the_scale():
    monitor = 1e6 * (1 + 0.2 * np.sin(np.arange(STEPS)))
    dimmed = np.random.default_rng(1).poisson(clean() * (monitor / 1e6)[:, None, None]).astype(np.uint32)
    prepared = prepare_scan(dimmed, ETA, monitor, geometry(detector={"shape": [512, 512]}))
    plain = prepare_scan(frames(gap=False), ETA, None, geometry(detector={"shape": [512, 512]}))
    expected = monitor.mean() / monitor[6:70]
    np.testing.assert_allclose(prepared.monitor_factors, expected)
    readings = 1 / expected
    assert prepared.parameters["monitor_spread"] == pytest.approx(readings.std() / readings.mean())
    assert prepared.counts == pytest.approx(plain.counts, rel=0.02)
    np.testing.assert_allclose(prepared.peak, plain.peak, atol=0.1)


def test_a_peak_at_the_end_of_the_scan_is_padded_as_not_measured():
    start = 25
    prepared = prepare_scan(frames()[start:], ETA[start:], None, geometry())
    missing = 32 - (38 - start)
    assert prepared.mask[:missing].all()
    assert not prepared.mask[missing:, 30:34, 30:34].any()
    assert prepared.crop[0] == 38 - start - 32
    assert prepared.monitor_factors[:missing].sum() == 0
    assert any("beyond the scan" in note for note in prepared.notes)


def test_frames_are_picked_by_their_index_and_lost_angles_count_as_not_measured(tmp_path):
    """A retaken point left a frame too many; another point was lost."""
    counts = frames()
    taken = np.insert(counts, 20, 77, axis=0)
    index = np.delete(np.arange(STEPS + 1), 20)
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        data = file.create_dataset("data", data=taken, chunks=(1, *taken.shape[1:]), compression="gzip")
        prepared = prepare_scan(data, ETA, None, geometry(), frame_index=index)
        keep = np.delete(np.arange(STEPS), 45)
        lossy = prepare_scan(data, ETA[keep], None, geometry(), frame_index=index[keep])
    plain = prepare_scan(counts, ETA, None, geometry())
    np.testing.assert_array_equal(prepared.intensity, plain.intensity)
    assert any("1 frames belong to no point" in note for note in prepared.notes)
    assert lossy.crop == plain.crop
    assert lossy.mask[45 - plain.crop[0]].all()
    np.testing.assert_array_equal(lossy.intensity[10:38], plain.intensity[10:38])


def test_saturated_voxels_and_cosmic_rays_are_masked_and_told():
    counts = frames()
    counts[60, 100, 110] = 5000
    prepared = prepare_scan(counts, ETA, None, geometry(detector={"saturation": 100000}))
    assert prepared.mask[60 - prepared.crop[0], 100 + 40 - prepared.crop[1], 110 + 40 - prepared.crop[2]]
    assert prepared.defects["spikes"] == 1
    assert prepared.defects["saturated"] == np.count_nonzero(counts[6:70, 56:120, 59:123] >= 100000)
    assert prepared.mask[32, 32, 32]
    assert any("saturated" in note for note in prepared.notes)


def test_a_falling_scan_gives_the_same_crystal_the_other_way_round():
    up = prepare_scan(frames(), ETA, None, geometry())
    down = prepare_scan(frames()[::-1], ETA[::-1], None, geometry())
    np.testing.assert_allclose(down.voxel_basis[:, 0], -up.voxel_basis[:, 0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(down.d_spacing, up.d_spacing, rtol=1e-6)
    np.testing.assert_array_equal(np.flip(down.intensity, 0)[:-1], up.intensity[1:])


def test_counts_at_angles_that_stray_are_brought_to_the_grid():
    """Of a peak that is known everywhere; noise neither grows nor is smoothed away."""
    stray = np.random.default_rng(6).uniform(-0.25, 0.25, STEPS)
    steps = np.arange(STEPS)
    stack = RockingStack(np.zeros((STEPS, 2, 2)), ETA + 0.01 * stray)
    assert stack.strays
    there, even = (np.sinc((angles - ETA[38]) / 0.024) ** 2 for angles in (ETA + 0.01 * stray, stack.angles))
    weights = stack.evened(steps)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights @ there, even, atol=0.02)
    assert np.abs(weights @ there - even).max() < 0.2 * np.abs(there - even).max()
    assert 0.8 < np.square(weights).sum(axis=1).mean() < 1.2
    hidden = prepare_scan(frames(gap=False), ETA + 0.01 * stray, None, free(), mask=one_voxel(40, 88, 91))
    assert 3 <= hidden.mask.sum() <= 12  # what is made of it is not measured either
    assert any("interpolated" in note for note in hidden.notes)


def one_voxel(*place):
    """Return a mask of one voxel of the frames."""
    mask = np.zeros((STEPS, 240, 240), bool)
    mask[place] = True
    return mask


@pytest.mark.parametrize(
    ("wide", "wraps"), [((3, 3, 3), (0, 0, 0)), ((1.67, 3, 3), (1, 0, 0)), ((3, 3, 1.8), (0, 0, 1))]
)
def test_wrapping_is_told_per_axis(wide, wraps):
    boxes = [np.abs(np.arange(64) - 32) < 32 / factor for factor in wide]
    crystal = boxes[0][:, None, None] & boxes[1][:, None] & boxes[2]
    rough = np.exp(1j * np.random.default_rng(2).normal(0, 0.5, crystal.shape))
    intensity = np.abs(np.fft.fftshift(np.fft.fftn(crystal * rough))) ** 2
    counts = np.random.default_rng(0).poisson(intensity * 1e6 / intensity.max())
    levels = autocorrelation_wrap(counts)
    np.testing.assert_array_equal(np.array(levels) > WRAPS, wraps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eta": ETA[:-1]}, "80 points came with 81 frames"),
        ({"eta": np.where(ETA > 17.7, np.nan, ETA)}, "at least 8 finite rocking angles"),
        ({"eta": np.full(STEPS, 17.8)}, "rise or fall throughout"),
        ({"eta": 17 + 0.01 * np.arange(STEPS) ** 1.5}, "stray"),
        ({"monitor": np.ones(STEPS - 1)}, "81 positive counts"),
        ({"frame_index": np.arange(STEPS) + 5}, "frames are missing"),
        ({"frame_index": np.zeros(STEPS, int)}, "one frame twice"),
        ({"mask": np.zeros((3, 3), bool)}, "mask must have the frames' shape"),
        ({"geometry": geometry(detector={"roi": [0, 240, 0, 100]})}, "frames of \\(240, 100\\) pixels"),
        ({"frames": np.zeros((STEPS, 240, 240), np.uint32)}, "at least 100 counts"),
        (
            {"frames": 3 * frames(), "monitor": np.linspace(900, 1100, STEPS)},
            "all counts are multiples of 3",
        ),
        ({"geometry": geometry(reflection=[0, 2, 2])}, "no pixel of the frames"),
        (
            {"frames": np.roll(frames(gap=False), 167, axis=1), "geometry": geometry(reflection=None)},
            "centre it on a chip",
        ),
    ],
)
def test_bad_input_is_refused_in_words(arguments, message):
    values = {"frames": frames(), "eta": ETA, "monitor": None, "geometry": geometry()} | arguments
    options = {name: values.pop(name) for name in ("mask", "frame_index") if name in values}
    with pytest.raises(ValueError, match=message):
        prepare_scan(*values.values(), **options)


@pytest.mark.parametrize("monitor", [None, np.linspace(900, 1100, STEPS)])
def test_what_speaks_against_counts_is_asked_before_they_are_normalised(monitor):
    assert prepare_scan(frames(), ETA, monitor, geometry()).not_counts == ()
    stray = ETA + 0.003 * np.sin(np.arange(STEPS))  # interpolated to an even grid
    assert prepare_scan(frames(), stray, monitor, geometry()).not_counts == ()
    (words,) = prepare_scan(np.rint(frames() / 30), ETA, monitor, geometry()).not_counts
    assert "bends of faint neighbours" in words
    (words, *_) = prepare_scan(0.7 * frames(), ETA, monitor, geometry()).not_counts
    assert words == "all values are multiples of 0.7"


def voxels(prepared, row, col):
    """Return which of the crop's voxels in one pixel of the frames are masked, (n0,)."""
    return prepared.mask[:, row + 40 - prepared.crop[1], col + 40 - prepared.crop[2]]


def free(**changes):
    """Return the geometry of a detector without gaps."""
    return geometry(detector={"shape": [512, 512]}, **changes)


@pytest.mark.parametrize("kind", [np.uint32, np.int32, np.float64, np.uint16])
def test_signs_for_not_measured_are_no_counts(kind):
    """2³²−1, −1, NaN and 65535 in a gap beside the peak, and in one voxel."""
    counts = np.minimum(frames(gap=False), 60000)
    sign = {"u": np.iinfo(np.uint32).max, "i": -1, "f": np.nan}[np.dtype(kind).kind]
    marked = counts.astype(kind)
    sign = np.iinfo(kind).max if kind is np.uint16 else sign
    marked[:, 100:103] = sign
    marked[40, 80, 80] = sign
    plain = prepare_scan(counts, ETA, None, free())
    prepared = prepare_scan(marked, ETA, None, free())
    assert voxels(prepared, 101, 90).all()
    assert np.flatnonzero(voxels(prepared, 80, 80)).tolist() == [40 - prepared.crop[0]]
    np.testing.assert_allclose(prepared.peak, plain.peak, atol=0.15)
    assert prepared.defects["saturated"] == 0
    assert any("marked by the detector as not measured" in note for note in prepared.notes)


def test_a_hot_cluster_beside_a_weaker_peak_is_not_the_peak():
    counts = frames(gap=False)
    for size, row, col in ((2, 140, 60), (3, 60, 150)):
        counts[:, row : row + size, col : col + size] += (
            np.random.default_rng(row).poisson(5e6, (STEPS, size, size)).astype(np.uint32)
        )
    prepared = prepare_scan(counts, ETA, None, free(reflection=None))
    rutile = np.add(RUTILE, (0, 40, 40))  # the brighter of the two peaks
    np.testing.assert_allclose(prepared.peak, rutile, atol=0.3)


def test_a_band_of_zeros_is_taken_for_a_gap_in_words():
    prepared = prepare_scan(frames(), ETA, None, free(reflection=None), shape=(32, 64, 128), allow_gap=True)
    counts = frames(gap=False)
    counts[:, 95:101] = 0
    banded = prepare_scan(counts, ETA, None, free())
    assert voxels(banded, 97, 90).all()
    assert not voxels(banded, 94, 90).any()
    assert any("rows 95–100 hold no count" in note and "give a mask" in note for note in banded.notes)
    assert any("hold no count" in note for note in prepared.notes)


def test_a_given_mask_is_used_for_all_frames_or_for_each():
    prepared = prepare_scan(frames(gap=False), ETA, None, free(), mask=one_voxel(40, 88, 91))
    assert np.flatnonzero(voxels(prepared, 88, 91)).tolist() == [40 - prepared.crop[0]]
    assert prepared.mask.sum() == 1


@pytest.mark.parametrize("fault", ["monitor", "eta", "blank"])
def test_one_bad_point_is_left_out_and_named(fault):
    counts, eta, monitor = frames(gap=False), ETA.copy(), np.full(STEPS, 1000.0)
    if fault == "monitor":
        monitor[45] = 0
    elif fault == "eta":
        eta[45] = np.nan
    else:
        counts[45] = 0
    prepared = prepare_scan(counts, eta, monitor, free())
    assert prepared.mask[45 - prepared.crop[0]].all()
    assert prepared.mask.sum() == 64 * 64
    assert prepared.monitor_factors[45 - prepared.crop[0]] == 0
    assert any(note.startswith("point 46 is not measured") for note in prepared.notes)
    left = np.delete(np.arange(STEPS), [3, 7])  # two points were left out before
    prepared = prepare_scan(counts, eta[left], monitor[left], free(), frame_index=left)
    assert any(note.startswith("frame 46 of the file is not measured") for note in prepared.notes)


def test_a_monitor_that_never_saw_the_beam_is_not_used():
    prepared = prepare_scan(frames(gap=False), ETA, np.zeros(STEPS), free())
    np.testing.assert_array_equal(prepared.monitor_factors, 1)
    assert any("the monitor is not used" in note for note in prepared.notes)


def test_a_scan_broken_off_after_its_peak_is_prepared_and_one_before_is_refused():
    late, early = slice(0, 60), slice(0, 46)
    prepared = prepare_scan(frames(gap=False)[late], ETA[late], None, free(), stopped_early=True)
    np.testing.assert_allclose(prepared.peak, np.add(M1, (0, 40, 40)), atol=0.1)
    with pytest.raises(ValueError, match="16 points after its peak"):
        prepare_scan(frames(gap=False)[early], ETA[early], None, free(), stopped_early=True)


def test_voxels_of_one_pattern_that_were_not_measured_are_found_and_said():
    pattern = frames(gap=False)[8:68, 56:120, 60:124].astype(float)
    pattern[:, 40:46] = 0
    pattern[3, 4, 5] = np.nan
    pattern[6, 7, 8] = -1
    hidden, notes = hidden_voxels(pattern, None)
    assert hidden[:, 40:46].all()
    assert hidden.sum() == 60 * 6 * 64 + 2
    assert "rows 40–45" in notes[1]
    mask = np.zeros(pattern.shape, bool)
    mask[:, 40:46] = True
    again, said = hidden_voxels(pattern, mask)
    assert again.sum() == hidden.sum()
    assert len(said) == 1


@pytest.mark.parametrize(("shape", "side"), [((221, 515, 515), 4), ((1000, 2070, 2167), 16)])
def test_the_coarse_look_at_a_scan_larger_than_memory_has_larger_blocks(shape, side):
    steps, rows, cols = shape
    assert block_side(*shape) == side
    assert steps * (rows // side) * (cols // side) <= MOST_BLOCKS


def test_a_peak_is_found_on_blocks_far_larger_than_itself(monkeypatch):
    """As in a scan of a large detector: the look at blocks only begins the search."""
    counts = np.random.default_rng(2).poisson(0.02, (64, 128, 128)).astype("u4")
    steps, rows, cols = np.indices((64, 128, 128)) - np.array([30, 51, 77])[:, None, None, None]
    counts += (
        np.random.default_rng(3).poisson(300 * np.exp(-(steps**2 + rows**2 + cols**2) / 18)).astype("u4")
    )
    geometry = instrument_named("Diamond I16").geometry(
        {
            "energy": 9.0,
            "scan": {"axis": "eta"},
            "detector": {"distance_mm": 1300.0, "pixel_size_mm": 0.055, "shape": (128, 128)},
        },
        {"mu": 0.0, "eta": 17.0, "chi": 90.0, "phi": 0.0, "delta": 30.0, "gam": 0.0},
    )
    angles = 17 + 0.003 * np.arange(64)
    fine = prepare_scan(counts, angles, None, geometry, shape=(32, 32, 32))
    monkeypatch.setattr("analysis.preprocessing.peak.MOST_BLOCKS", 64 * 8 * 8)
    coarse = prepare_scan(counts, angles, None, geometry, shape=(32, 32, 32))
    assert fine.peak == pytest.approx((30, 51, 77), abs=0.2)
    assert coarse.peak == pytest.approx(fine.peak, abs=0.05)


def test_a_shorter_exposure_keeps_place_mask_and_background_of_all_counts():
    """Estimated from thinned frames the background comes out low; a saturated pixel stays hidden."""
    counts = frames()
    counts[38, 87, 92] = 2**24
    monitor = np.where(np.arange(STEPS) < 40, 1.0, 2.0)
    dark = np.full((240, 240), 0.01)
    scan = locate_scan(counts, ETA, monitor, replace(geometry(), saturation=2**24 - 1), dark=dark)
    full = scan.prepared()
    tenth = scan.prepared(Thinning(0.1, np.random.default_rng(5003)))
    assert tenth.crop == full.crop
    assert tenth.peak == full.peak
    np.testing.assert_array_equal(tenth.mask, full.mask)
    assert full.mask[32, 87 + 40 - full.crop[1], 92 + 40 - full.crop[2]]
    assert tenth.background == pytest.approx(0.1 * full.background)
    np.testing.assert_allclose(tenth.dark, 0.1 * full.dark)
    assert tenth.counts == pytest.approx(0.1 * full.counts, rel=0.02)
    raw = tenth.intensity / tenth.monitor_factors[:, None, None]
    np.testing.assert_allclose(raw, np.rint(raw), atol=1e-3)  # thinned before the monitor, not after


def looked_at(**brightness):
    """Return the coarse look at 40 × 40 blocks with Gaussian peaks, by column, in row 20 of step 20."""
    step, row, col = np.indices((40, 40, 40))
    blocks = sum(
        counts * np.exp(-((step - 20) ** 2 + (row - 20) ** 2 + (col - int(name[1:])) ** 2) / 18)
        for name, counts in brightness.items()
    )
    return Survey(blocks.astype(np.float32), np.ones((40, 40), np.float32), 1, None, 0.0)


def test_the_flank_of_a_brighter_peak_outside_the_window_is_not_the_peak(monkeypatch):
    allowed = np.broadcast_to(np.arange(40) > 12, (40, 40))
    monkeypatch.setattr(peak_module, "_spacing_window", lambda view, geometry: allowed)
    view = looked_at(c10=1000, c30=100)
    assert view.blocks[20, 20, 13] > view.blocks[20, 20, 30]
    assert coarse_peak(view, geometry()) == (20, 20, 30)


def test_the_flank_of_the_peak_beyond_the_crop_is_no_other_peak(monkeypatch):
    monkeypatch.setattr(peak_module, "_spacing_window", lambda view, geometry: np.ones((40, 40), bool))
    centre, shape = np.array([20, 20, 15.0]), (10, 10, 10)
    alone, beside = looked_at(c15=1000), looked_at(c15=1000, c32=200)
    assert alone.blocks[20, 20, 21] > SECOND * alone.blocks.max()
    assert further_peak(alone, geometry(), centre, shape) == ""
    assert "20% of the counts, lies at point 21, row 20, column 32" in further_peak(
        beside, geometry(), centre, shape
    )
