"""What many starts have in common: which belong together, their groups, and the mean of them."""

import numpy as np
import pytest
import torch

from analysis.phasing.calibration import largest_cluster, mean, shared, split
from analysis.phasing.config import DEFAULT
from analysis.phasing.forward import PixelKernel
from analysis.phasing.pattern import COHERENT
from analysis.phasing.projections import fixed_threads, to_centre, to_corner
from analysis.phasing.reconstruction import checked_pattern
from analysis.phasing.registration import Candidate, register

SHAPE = (32, 32, 32)


@pytest.fixture(scope="module")
def truth(make_crystal):
    return to_corner(torch.from_numpy(make_crystal(SHAPE, seed=6)))


def spoiled(truth, number, score=1.0, origin=None, by=0.15):
    """Return what a start might end at: the truth with noise of its own, shifted and turned in phase."""
    rng = np.random.default_rng(number)
    noise = torch.view_as_complex(torch.from_numpy(rng.normal(size=(*SHAPE, 2)).astype(np.float32)))
    x = torch.roll((truth + by * truth.abs() * noise) * np.exp(1j * number), (number % 3, 0, 1), (0, 1, 2))
    support = truth.abs() > 0.3 * truth.abs().max()
    return Candidate(
        x[None].to(torch.complex64), support[None], score, COHERENT, origin or f"random {number}"
    )


def test_the_largest_cluster_is_those_that_end_alike_whatever_the_lowest_residual_says(truth):
    alike = [spoiled(truth, number, score=1 + 0.1 * number) for number in range(6)]
    odd = spoiled(truth, 9, score=0.1, by=9.0)
    members = largest_cluster([odd, *alike])
    assert len(members) == len(alike)
    assert all(member is not odd for member in members)


def test_starts_that_know_of_each_other_stay_in_one_group(truth):
    members = [spoiled(truth, k, origin=f"network {k}") for k in range(4)]
    members += [spoiled(truth, 4, origin="random 7"), spoiled(truth, 5, origin="random 7, again 9")]
    members += [spoiled(truth, k) for k in (10, 11)]
    groups = split(members)
    assert sorted(map(len, groups)) == [1, 1, 2, 4]
    network, seventh = (next(g for g in groups if len(g) == n) for n in (4, 2))
    assert all(any(x is m.x for x in network) for m in members[:4])
    assert all(any(x is m.x for x in seventh) for m in members[4:6])
    assert len(split(members[:5])) == 2


def test_what_starts_do_not_share_averages_out(truth):
    members = [spoiled(truth, number) for number in range(8)]
    each = max(register(m.x[0], truth).overlap for m in members)
    together = register(mean([m.x for m in members])[0], truth).overlap
    assert 1 - together < 0.5 * (1 - each)


def test_a_pattern_whose_blur_and_flat_field_nobody_knew_gives_one_object(truth):
    rng = np.random.default_rng(1)
    counts = PixelKernel(SHAPE, (0, 0, 0), (0.0, 0.3, 0.3)).predict(truth)[1].clamp_min(0)
    scale = 1e5 / counts.max()
    truth, response = truth * scale.sqrt(), np.exp(rng.normal(0, 0.15, SHAPE[1:]))
    counts = rng.poisson(np.fft.fftshift((counts * scale).numpy()) * response)
    pattern = checked_pattern(counts, None, None, None)
    members = [spoiled(truth, number, by=0.2) for number in range(DEFAULT.calibration.least)]
    with fixed_threads(1):
        assert shared(pattern, members[: DEFAULT.calibration.least - 1]) is None
        found, again = (shared(pattern, members) for _ in range(2))
    best = found.best.candidate
    assert len(found.members) == len(members)
    assert found.agreement >= 0.97
    assert register(best.x[0], truth).overlap >= 0.98
    assert best.coherence[1:] == pytest.approx((0.3, 0.3), abs=0.1)
    flat, bright = to_centre(found.best.response.factor)[16].numpy(), counts.sum(axis=0) > 1e4
    assert np.corrcoef(flat[bright], response[bright])[0, 1] > 0.7
    assert found.best.history[-1] < found.best.history[0]
    assert torch.equal(again.best.candidate.x, best.x)
