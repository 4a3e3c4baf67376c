"""The search's own rules: what a start assumes, how long it goes on, and what the network is asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.phasing import starts
from analysis.phasing.config import DEFAULT
from analysis.phasing.network.pretrained import load_pretrained
from analysis.phasing.projections import to_corner
from analysis.phasing.reconstruction import checked_pattern
from analysis.phasing.registration import AGAIN, NETWORK, Candidate, register
from analysis.phasing.schedules import LOOSEN_LONG, TIGHTEN, Level, Recipe
from analysis.phasing.search import Found, Search

SHAPE = (32, 32, 32)
RULES = DEFAULT.search


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
    assert search.run(more + RULES.round).starts <= more + RULES.round


def test_starts_assume_too_little_blur_rather_than_too_much(truth):
    search = make_search(truth, kernel=(0.0, 1.0, 1.0))
    assert max(search._coherence(0)) <= 0.1
    search.candidates = [made_up(truth, 1.0, (0.0, 0.6, 0.1))]
    assert search._coherence(2) == pytest.approx((0.0, DEFAULT.start.largest_blur, 0.07))
    assert max(make_search(truth)._coherence(0)) == 0


def test_starts_of_every_kind_take_turns(truth):
    search = make_search(truth, guesses=[torch.ones(SHAPE, dtype=torch.complex64)])
    search.candidates = [made_up(truth, 1.0, origin="random 2"), made_up(truth, 1.5, origin="random 3")]
    origins = [search._next(number)[1] for number in range(8)]
    assert origins[::2] == [f"curved {number}" for number in (0, 2, 4, 6)]
    assert origins[1::2][:3] == [f"{NETWORK} 0", "random 3", "random 5"]
    assert origins[7].endswith(f", {AGAIN} 7")


def test_an_object_that_stands_out_is_tried_again_in_its_own_support(truth):
    search = make_search(truth)
    search.candidates = [made_up(truth, 1.0, origin="random 2"), made_up(truth, 9.0, origin="random 3")]
    for number in (7, 15, 23):
        start, origin, _ = search._next(number)
        assert origin == f"random 2, {AGAIN} {number}"
    x, support = start(search.level, search.rng)
    assert torch.equal(support, search.candidates[0].support)
    assert not x[~support].any()


def test_the_network_is_asked_when_its_turn_comes_and_fine_tuned_last(truth, monkeypatch):
    search = make_search(truth)
    asked = []

    def tuned(pretrained, counts, mask, *, steps, seed):
        asked.append((steps, seed))
        return np.ones((1, *SHAPE), np.complex64), [0.3, 0.2]

    monkeypatch.setattr(starts, "fine_tune", tuned)
    opinions = starts.Guesses(load_pretrained(), search.pattern, 4)
    assert len(opinions) == len(starts.ORIENTATIONS) + 1
    assert opinions[0].shape == SHAPE
    assert opinions[0].is_complex()
    assert not torch.allclose(opinions[0], opinions[1])
    assert asked == []
    assert len(opinions.losses) == 0
    assert opinions[len(opinions) - 1].shape == SHAPE
    assert asked == [(DEFAULT.start.transfer_steps, 4)]
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


def test_what_noise_cannot_account_for_is_unexplained(truth):
    search = make_search(truth)
    right = in_counts(search, truth)
    right = replace(right, score=search.score(right.x, right.support)[0])
    assert not search.unexplained(Found([right], 1.0, 2, 100))
    worse = replace(right, score=RULES.times_noise * right.score + RULES.unexplained)
    assert search.unexplained(Found([worse], 1.0, 2, 100))


def test_what_leaves_more_than_right_objects_do_is_doubted(truth):
    search = make_search(truth)
    right = made_up(truth, RULES.noise * search._noise + 0.5 * RULES.cutting)
    assert not search.doubtful(Found([right], 1.0, 2, 100))
    assert search.doubtful(Found([replace(right, score=right.score + RULES.cutting)], 1.0, 2, 100))


def test_a_support_that_cuts_the_crystal_is_filled(truth):
    search = make_search(truth)
    whole = in_counts(search, truth)
    cut = whole.support.clone()
    cut[..., 3:16] = False
    score = search.score(whole.x * cut, cut)[0]
    found = search.refine(replace(whole, x=whole.x * cut, support=cut, score=score))
    assert register(whole.x[0] * cut[0], whole.x[0]).overlap < 0.9
    assert register(found.x[0], whole.x[0]).overlap > 0.97
    assert not search.doubtful(Found([found], 1.0, 2, 100))


def test_haze_in_the_support_is_taken_out(truth):
    search = make_search(truth)
    whole = in_counts(search, truth)
    everywhere = torch.ones_like(whole.support)
    everywhere[:, 16] = False
    hazy = replace(whole, x=whole.x + 0.02 * whole.x.abs().max(), support=everywhere)
    found = search.refine(hazy)
    assert found.support.sum() < 1.6 * whole.support.sum()
    assert register(found.x[0], whole.x[0]).overlap > 0.97


def test_only_the_support_of_what_leaves_too_much_is_loosened_and_kept_if_it_then_leaves_less(
    truth, monkeypatch
):
    search = make_search(truth)
    limit = RULES.noise * search._noise + RULES.cutting
    for score, factor, opened in ((0.9 * limit, 0.5, False), (2 * limit, 0.5, True), (2 * limit, 1.1, True)):
        seen: list[Recipe] = []

        def iterated(candidate, *recipes, seen=seen, factor=factor):
            seen.extend(recipes)
            return replace(candidate, score=candidate.score * (factor if LOOSEN_LONG in recipes else 1.0))

        monkeypatch.setattr(search, "_iterated", iterated)
        found = search.refine(made_up(truth, score))
        assert (LOOSEN_LONG in seen) == opened
        assert seen[-1] == TIGHTEN
        assert found.score == (score * factor if opened and factor < 1 else score)
