"""The public call: right on crystals of this test's own, reproducible, and plain about bad input."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from analysis import reconstruct
from analysis.benchmark import benchmark_pattern
from analysis.phasing import from_truth, reconstruction
from analysis.phasing.config import DEFAULT
from analysis.phasing.network import pretrained
from analysis.phasing.pattern import COHERENT
from analysis.phasing.projections import to_centre
from analysis.phasing.registration import Candidate, centre_of_mass, overlap
from analysis.phasing.search import Found


def point_samples(obj, peak, seed):
    """Return Poisson counts of an object and the object at their scale."""
    intensity = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj)))) ** 2
    scale = peak / intensity.max()
    return np.random.default_rng(seed).poisson(intensity * scale).astype(np.float32), obj * np.sqrt(scale)


def on_a_detector(obj, peak, seed, background=0.02):
    """Return counts integrated over rows and columns of pixels, by 3 × 3 nodes of Gauss and Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(3)
    n1, n2 = ((np.arange(n) - n // 2) / n for n in obj.shape[1:])
    total = 0
    for a, u in zip(nodes, weights, strict=True):
        for b, v in zip(nodes, weights, strict=True):
            moved = obj * np.exp(-1j * np.pi * (a * n1[:, None] + b * n2))
            field = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(moved)))
            total = total + u * v / 4 * np.abs(field) ** 2
    scale = peak / total.max()
    counts = np.random.default_rng(seed).poisson(total * scale + background)
    return counts.astype(np.float32), obj * np.sqrt(scale)


@pytest.fixture(scope="module")
def plain(make_crystal):
    counts, truth = point_samples(make_crystal((32, 40, 48), seed=4), 1e5, 1)
    return counts, truth, reconstruct(counts, seed=3)


def test_a_crystal_of_unequal_sizes_is_found(plain):
    _, truth, result = plain
    assert overlap(result.object, truth) > 0.97
    assert result.trusted
    assert result.reasons == ()
    assert result.noise_ratio < 2


def test_the_object_explains_the_counts_at_their_scale(plain):
    counts, truth, result = plain
    assert result.object.dtype == np.complex64
    assert result.object.shape == result.support.shape == counts.shape
    predicted = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(result.object)))) ** 2
    assert predicted.sum() == pytest.approx(counts.sum(), rel=0.05)
    assert np.linalg.norm(result.object) == pytest.approx(np.linalg.norm(truth), rel=0.03)
    assert not result.object[~result.support].any()
    assert np.abs(centre_of_mass(np.abs(result.object) ** 2)).max() <= 1


def test_what_was_done_is_recorded(plain):
    result = plain[2]
    assert result.seed == 3
    assert len(result.weights_hash) == 64
    assert result.loss_history.ndim == 1
    assert result.loss_history.size > 5
    assert result.chi_squared_history[-1] <= result.chi_squared_history[0]
    assert result.threads == reconstruction.THREADS


def test_the_same_seed_gives_the_same_result(plain):
    counts, _, first = plain
    again = reconstruct(counts, seed=3)
    np.testing.assert_array_equal(again.object, first.object)
    assert again.noise_ratio == first.noise_ratio


def test_the_network_alone_is_a_method_and_is_judged_as_strictly(plain, monkeypatch):
    counts, truth, _ = plain
    monkeypatch.setattr(reconstruction, "Search", lambda *_: pytest.fail("no search is made"))
    few = replace(DEFAULT, transfer=replace(DEFAULT.transfer, epochs=2))
    found = reconstruct(counts, seed=3, method="network", config=few)
    assert found.object.shape == counts.shape
    assert len(found.loss_history) == 3
    assert found.iterations == 0
    assert found.origin == "network, transfer learning"
    assert 0.3 < overlap(found.object, truth) < 1
    # Its witness is another orientation of the input; two answers of one network are not enough.
    assert 0 < found.agreement < 0.99
    assert not found.trusted
    assert found.reasons[0].startswith("independent starts do not agree")
    assert "0.99 is needed here" in found.reasons[0]
    with pytest.raises(ValueError, match="method must be 'search' or 'network'"):
        reconstruct(counts, method="hio")


@pytest.mark.slow
def test_pixels_and_unmeasured_voxels_reach_nearly_what_the_truth_reaches(make_crystal):
    counts, truth = on_a_detector(make_crystal(seed=6), 1e6, 2)
    mask = np.zeros(counts.shape, bool)
    mask[:, 20:23] = mask[:, 40, 11] = True
    counts[mask] = 1e6
    known = {"mask": mask, "pixel_kernel": (0, 1, 1), "background": 0.02}
    result, ceiling = reconstruct(counts, **known), from_truth(counts, truth, **known)
    assert overlap(ceiling.object, truth) > 0.98
    assert overlap(result.object, truth) > overlap(ceiling.object, truth) - 0.02
    assert result.trusted


def at_most(starts):
    """Return the numbers of the solver with a smaller budget of the search."""
    return replace(DEFAULT, search=replace(DEFAULT.search, budget=starts, mean_of=4 * starts))


def test_noise_is_not_trusted():
    counts = np.random.default_rng(0).poisson(3.0, (32, 32, 32))
    counts[16, 16, 16] = 200
    with pytest.raises(ValueError, match="no crystal to be seen"):
        reconstruct(counts)
    counts = np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(0.5, 6.0, (32, 32, 32)))
    result = reconstruct(counts, config=at_most(2))
    assert not result.trusted
    assert result.reasons


def test_an_object_larger_than_the_box_is_not_trusted():
    rng = np.random.default_rng(1)
    obj = np.exp(1j * np.cumsum(rng.normal(size=(40, 40, 40)), axis=0))
    counts, _ = point_samples(obj[:36, :36, :36], 1e5, 2)
    result = reconstruct(counts, config=at_most(2))
    assert not result.trusted


def test_a_saturated_peak_is_not_trusted(make_crystal):
    counts, _ = point_samples(make_crystal((32, 32, 32), seed=5), 1e5, 2)
    result = reconstruct(np.minimum(counts, 0.3 * counts.max()))
    assert not result.trusted
    assert any("saturated" in reason for reason in result.reasons)


@pytest.mark.parametrize(
    ("made", "untrusted"),
    [
        (lambda n: n, False),
        (lambda n: np.minimum(n, 0.3 * n.max()), True),
        (np.sqrt, True),
        (lambda n: 1.3 * n, True),
    ],
    ids=["counts", "saturated", "square roots", "scaled"],
)
def test_what_cannot_be_trusted_is_not_searched_to_the_end(monkeypatch, made, untrusted):
    class Searched(Exception):  # noqa: N818  no error: the rules that the search was given
        pass

    def searched(pattern, guesses, seed, config):
        raise Searched(config.search)

    monkeypatch.setattr(reconstruction, "_search_until_right", searched)
    with pytest.raises(Searched) as found:
        reconstruct(made(benchmark_pattern(5108, peak_to_peak=2 * np.pi, photons=1e5).counts.astype(float)))
    (rules,) = found.value.args
    assert rules == (DEFAULT.search.without_trust() if untrusted else DEFAULT.search)
    assert DEFAULT.search.without_trust().budget == 16


def test_fractions_are_distrusted_in_words_unless_our_own_monitor_made_them(make_crystal):
    counts, _ = point_samples(make_crystal((32, 32, 32), seed=5), 1e5, 2)
    few = at_most(2)
    (reason,) = [one for one in reconstruct(0.7 * counts, config=few).reasons if "Poisson" in one]
    assert "give raw counts and the monitor (all values are multiples of 0.7)" in reason
    (reason,) = [one for one in reconstruct(counts, config=few, not_counts=["x"]).reasons if "Poisson" in one]
    assert reason == "the noise is not Poisson: give raw counts and the monitor (x)"
    factors = np.random.default_rng(1).normal(1, 0.02, (32, 1, 1))
    found = reconstruct(factors * counts, config=few, not_counts=())
    assert not [one for one in found.reasons if "Poisson" in one]


def test_the_monitor_beside_raw_counts_is_in_the_model(make_crystal):
    _, truth = point_samples(make_crystal((32, 32, 32), seed=5), 1e5, 2)
    intensity = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(truth)))) ** 2
    beam = np.random.default_rng(1).uniform(0.5, 1.5, 32)
    counts = np.random.default_rng(3).poisson(intensity * (beam / beam.mean())[:, None, None])
    found = reconstruct(counts, monitor=7e5 * beam)
    assert found.trusted
    assert overlap(found.object, truth) > 0.97
    assert found.noise_ratio < 1.5


@pytest.mark.parametrize("shape", [(33, 37, 35), (32, 45, 63)])
def test_odd_and_unequal_sizes_are_reconstructed(make_crystal, shape):
    counts, truth = point_samples(make_crystal(shape, seed=8, peak_to_peak=np.pi), 1e5, 3)
    result = reconstruct(counts)
    assert result.object.shape == shape
    assert overlap(result.object, truth) > 0.97


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"intensity": np.ones((32, 32))}, "three axes"),
        ({"intensity": np.ones((16, 32, 32))}, "32 to 256 voxels"),
        ({"intensity": np.ones((32, 32, 300), np.float32)}, "32 to 256 voxels"),
        ({"intensity": np.full((32, 32, 32), np.nan)}, "finite"),
        ({"intensity": -np.ones((32, 32, 32))}, "negative"),
        ({"intensity": np.zeros((32, 32, 32))}, "zeros in every"),
        ({"intensity": np.pad(np.full((1, 1, 1), 1e5), (0, 31))}, "as an FFT orders them"),
        ({"intensity": np.ones((32, 32, 32), complex)}, "real counts"),
        ({"mask": np.zeros((32, 32, 31), bool)}, "shape of the intensity"),
        ({"mask": np.ones((32, 32, 32), bool)}, "hides all"),
        ({"pixel_kernel": (1, 1)}, "three voxel widths"),
        ({"pixel_kernel": (0, -1, 1)}, "between 0 and 2"),
        ({"background": -1.0}, "at least 0"),
        ({"monitor": np.ones(31)}, "a number above 0 for each of the 32 frames"),
        ({"monitor": np.arange(32)}, "mask frames without a beam"),
        ({"background": np.ones((3, 3))}, "one number or an array"),
        ({"pixel_kernel": 1.0}, "three voxel widths"),
        ({"pixel_kernel": "abc"}, "three voxel widths"),
        ({"background": 1e9}, "must be below the measured counts"),
        ({"intensity": np.full((32, 32, 32), 1e300)}, "photons as counted"),
        (
            {
                "intensity": 3
                * np.random.default_rng(0).poisson(40 * np.hanning(34)[None, None, 1:-1], (32, 32, 32))
            },
            "all counts are multiples of 3: where the detector gives 3 units for a photon, divide by 3",
        ),
        ({"mask": np.full((32, 32, 32), 0.5)}, "True or 1 where a voxel was NOT measured"),
        ({"mask": np.full((32, 32, 32), np.nan)}, "True or 1 where a voxel was NOT measured"),
    ],
)
def test_bad_input_is_refused_in_words(change, words):
    arguments = {"intensity": np.ones((32, 32, 32)), **change}
    with pytest.raises(ValueError, match=words):
        reconstruct(arguments.pop("intensity"), **arguments)


def test_what_a_masked_array_hides_was_not_measured():
    counts = np.ma.MaskedArray(np.ones((32, 32, 32)), mask=np.indices((32, 32, 32))[1] == 20)
    pattern = reconstruction.checked_pattern(counts, None, None, None)
    assert np.array_equal(to_centre(pattern.mask).numpy(), np.ma.getmaskarray(counts))


@pytest.mark.parametrize(
    "like", [lambda a: a.astype(">f4"), lambda a: a[::-1].copy()[::-1], np.asfortranarray, np.ndarray.tolist]
)
def test_the_order_of_bytes_and_axes_in_memory_does_not_matter(like):
    counts = np.arange(32.0**3).reshape(32, 32, 32)
    pattern = reconstruction.checked_pattern(like(counts), None, None, None)
    assert np.array_equal(to_centre(pattern.counts).numpy(), counts.astype(np.float32))


def test_masked_voxels_may_hold_anything():
    counts, mask = np.ones((32, 32, 32)), np.zeros((32, 32, 32), bool)
    counts[3, 3, 3], counts[4, 4, 4], mask[3:5, 3:5, 3:5] = np.nan, -1, True
    pattern = reconstruction.checked_pattern(counts, mask, None, None)
    assert bool(np.isfinite(pattern.counts.numpy()).all())


def test_missing_weights_are_said(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "DEFAULT_WEIGHTS", tmp_path / "nothing.safetensors")
    with pytest.raises(ValueError, match="weights file"):
        reconstruct(benchmark_pattern(9009, size=32).counts)


@pytest.mark.parametrize(
    ("agreements", "left", "doubted", "rounds"),
    [
        ([0.995], 1.0, False, 1),
        ([0.98, 0.995], 1.0, False, 2),  # loose at first
        ([0.995, 0.995], 1.7, False, 2),  # more than noise, but still ahead, and familiar
        ([0.995, 0.995], 1.0, True, 2),
        ([0.96, 0.96, 0.96], 1.0, False, 3),  # never settled: until the budget is spent
    ],
)
def test_another_round_follows_a_loose_agreement_or_a_doubt(monkeypatch, agreements, left, doubted, rounds):
    leader = Candidate(
        torch.ones(1, 32, 32, 32, dtype=torch.complex64), torch.ones(1), 1.0, COHERENT, "random 0"
    )
    others = [replace(leader, origin=f"random {n}") for n in range(1, 5)]
    made = []

    class MadeUp:
        def __init__(self, *_):
            pass

        def run(self, limit, least):
            made.append(least)
            starts = limit if len(made) == 3 else max(least, 2)
            return Found([leader, *others], 1.0, starts, 100)

        def unexplained(self, _):
            return False

        def doubtful(self, _):
            return doubted

    monkeypatch.setattr(reconstruction, "Search", MadeUp)
    monkeypatch.setattr(reconstruction, "choose", lambda *_: (leader, [], agreements[len(made) - 1]))
    monkeypatch.setattr(reconstruction, "left_over", lambda *_: left)
    pattern = reconstruction.checked_pattern(np.ones((32, 32, 32)), None, None, None)
    found, _ = reconstruction._search_until_right(pattern, (), 0)
    assert made == [0, 2 + DEFAULT.search.round, 2 + 2 * DEFAULT.search.round][:rounds]
    assert found.agreement == agreements[-1]


@pytest.mark.parametrize(
    ("left", "doubted", "kernel", "expected"),
    [
        (2.0, True, None, True),
        (1.2, True, None, False),  # noise explains it
        (2.0, False, None, False),  # too little to be a detector's or a beam's fault
        (2.0, True, (0, 1, 1), False),  # the measurement's model was given
    ],
)
def test_what_explains_too_little_is_calibrated(monkeypatch, left, doubted, kernel, expected):
    leader = Candidate(torch.ones(1, 32, 32, 32, dtype=torch.complex64), torch.ones(1), 1.0, COHERENT, "a")
    search = SimpleNamespace(
        run=lambda limit, _: Found([leader], 1.0, limit, 100),
        unexplained=lambda _: False,
        doubtful=lambda _: doubted,
    )
    monkeypatch.setattr(reconstruction, "Search", lambda *_: search)
    monkeypatch.setattr(reconstruction, "choose", lambda *_: (leader, [], 0.99))
    monkeypatch.setattr(reconstruction, "left_over", lambda *_: left)
    monkeypatch.setattr(reconstruction, "calibrate", lambda *_: "calibrated")
    pattern = reconstruction.checked_pattern(np.ones((32, 32, 32)), None, kernel, None)
    _, best = reconstruction._search_until_right(pattern, (), 0)
    assert (best == "calibrated") is expected
