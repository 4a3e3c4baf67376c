"""The search's own rules: what a start assumes, how long it goes on, and what the network is asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.phasing import guesses
from analysis.phasing.agreement import AGAIN, Candidate
from analysis.phasing.engine import to_corner
from analysis.phasing.levels import Level
from analysis.phasing.network import load_pretrained
from analysis.phasing.search import LEAST_SURE, ROUND, STRANGE, TIMES_NOISE, Found, Search
from analysis.phasing.validation import checked_pattern

SHAPE = (32, 32, 32)


@pytest.fixture(scope="module")
def truth(make_crystal):
    return make_crystal(SHAPE, seed=6)


def make_search(truth, kernel=None, seed=0, guesses=()):
    field = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(truth)))) ** 2
    counts = np.random.default_rng(1).poisson(field * (1e5 / field.max()))
    pattern = checked_pattern(counts, None, kernel, None)
    level = Level(pattern.amplitude(), pattern.mask, SHAPE)
    return Search(pattern, level, (0.5, 0.5, 0.5), np.random.default_rng(seed), guesses)


def made_up(truth, score, coherence=(0.0, 0.0, 0.0), origin="random 0"):
    x = to_corner(torch.from_numpy(np.asarray(truth, np.complex64)))[None]
    return Candidate(x, x.abs() > 0.5 * x.abs().max(), score, coherence, origin)


def test_the_search_ends_when_two_agree_and_the_same_seed_ends_alike(truth):
    first, second = (make_search(truth, seed=3).run(12) for _ in range(2))
    assert first.agreement >= 0.97
    assert first.starts < 12
    assert torch.equal(first.candidates[0].x, second.candidates[0].x)


def test_it_goes_on_to_the_number_of_starts_that_is_asked_for(truth):
    search = make_search(truth, seed=3)
    found = search.run(32)
    more = found.starts + 3
    assert search.run(32, more).starts >= more
    assert search.run(more + ROUND).starts <= more + ROUND


def test_starts_assume_too_little_blur_rather_than_too_much(truth):
    search = make_search(truth, kernel=(0.0, 1.0, 1.0))
    assert max(search._coherence(0)) <= 0.1
    search.candidates = [made_up(truth, 1.0, (0.0, 0.6, 0.1))]
    assert search._coherence(1) == pytest.approx((0.0, LEAST_SURE, 0.07))
    assert max(make_search(truth)._coherence(0)) == 0


def test_an_object_that_stands_out_is_tried_again_in_its_own_support(truth):
    search = make_search(truth)
    search.candidates = [made_up(truth, 1.0, origin="random 2"), made_up(truth, 9.0, origin="random 3")]
    start, origin = search._next(5)
    assert origin == f"random 2, {AGAIN} 5"
    x, support = start(search.level, search.rng)
    assert torch.equal(support, search.candidates[0].support)
    assert not x[~support].any()
    search.candidates[1] = made_up(truth, 1.5, origin="random 3")
    assert search._next(5)[1] == "random 5"


def test_the_network_is_asked_when_its_turn_comes_and_fine_tuned_last(truth, monkeypatch):
    search = make_search(truth)
    asked = []

    def tuned(pretrained, counts, mask, *, steps, seed):
        asked.append((steps, seed))
        return np.ones((1, *SHAPE), np.complex64), [0.3, 0.2]

    monkeypatch.setattr(guesses, "fine_tune", tuned)
    opinions = guesses.Guesses(load_pretrained(), search.pattern, 4)
    assert len(opinions) == len(guesses.ORIENTATIONS) + 1
    assert opinions[0].shape == SHAPE
    assert opinions[0].is_complex()
    assert not torch.allclose(opinions[0], opinions[1])
    assert asked == []
    assert len(opinions.losses) == 0
    assert opinions[len(opinions) - 1].shape == SHAPE
    assert asked == [(guesses.TRANSFER_STEPS, 4)]
    assert list(opinions.losses) == [0.3, 0.2]


def test_a_pattern_knows_its_blur_and_subtracts_its_background():
    counts = np.full(SHAPE, 4.0)
    counts[0, 0, 0], counts[16, 16, 16] = 0.0, 100.0
    plain = checked_pattern(counts, None, None, 3.0)
    assert plain.shape == SHAPE
    assert not plain.blurred
    assert plain.coherence_guesses() == [(0.0, 0.0, 0.0)]
    assert plain.amplitude()[0, 0, 0] == pytest.approx(97**0.5)
    assert float(plain.amplitude().min()) == 0
    wide = checked_pattern(counts, None, (0.0, 1.0, 1.0), 3.0)
    assert wide.blurred
    assert {g[0] for g in wide.coherence_guesses()} == {0.0}


def in_counts(search, truth):
    """Return the truth as a candidate whose intensity is the search's counts, as far as noise goes."""
    right = made_up(truth, 1.0)
    power = torch.fft.fftn(right.x, dim=(1, 2, 3)).abs().square().sum()
    return replace(right, x=right.x * (search.pattern.counts.sum() / power).sqrt())


def test_an_object_that_fills_the_box_is_no_explanation(truth):
    search = make_search(truth)
    right = in_counts(search, truth)
    assert search.score(right.x, right.support)[0] < 0.05
    assert search.score(right.x, torch.ones_like(right.support))[0] == np.inf


def test_what_noise_cannot_account_for_is_strange(truth):
    search = make_search(truth)
    right = in_counts(search, truth)
    right = replace(right, score=search.score(right.x, right.support)[0])
    assert not search.strange(Found([right], 1.0, 2, 100))
    worse = replace(right, score=TIMES_NOISE * right.score + STRANGE)
    assert search.strange(Found([worse], 1.0, 2, 100))
