"""Agreement of starts: the quick overlap against the thorough one, and who may confirm whom."""

import numpy as np
import pytest
import torch

from analysis.phasing.pattern import COHERENT
from analysis.phasing.projections import to_corner
from analysis.phasing.registration import (
    Candidate,
    agreement,
    confirmations,
    consensus,
    leaders,
    overlap,
    register,
    shift,
    twin,
)


def corner(obj):
    return to_corner(torch.from_numpy(np.asarray(obj, np.complex64)))


def spoiled(obj, seed, by=0.3):
    rng = np.random.default_rng(seed)
    return obj + by * np.abs(obj) * (rng.normal(size=obj.shape) + 1j * rng.normal(size=obj.shape))


@pytest.mark.parametrize("shape", [(32, 32, 32), (33, 40, 35)])
@pytest.mark.parametrize("twinned", [False, True])
def test_the_quick_overlap_is_that_of_the_alignment(make_crystal, shape, twinned):
    truth = make_crystal(shape)
    other = shift(spoiled(truth, 1), np.array([3.3, -2.2, 7.7])) * np.exp(1j)
    found = register(corner(twin(other) if twinned else other), corner(truth))
    assert found.overlap == pytest.approx(overlap(other, truth), abs=2e-3)
    inner = torch.vdot(found.object.flatten(), corner(truth).flatten())
    assert float(inner.real) == pytest.approx(
        found.overlap * float(found.object.norm() * corner(truth).norm()), rel=5e-3
    )


def test_nothing_agrees_with_nothing():
    empty = torch.zeros(8, 8, 8, dtype=torch.complex64)
    assert register(empty, empty).overlap == 0


def candidate(obj, score, origin):
    x = corner(obj)[None]
    return Candidate(x, x.abs() > 0.5, score, COHERENT, origin)


def test_guesses_of_one_network_do_not_confirm_each_other(make_crystal):
    obj = make_crystal((32, 32, 32))
    first, second = candidate(obj, 1.0, "network 0"), candidate(obj, 1.1, "network 1")
    assert agreement(first, [second]) == 0
    assert agreement(first, [second, candidate(obj, 1.2, "random 2")]) == pytest.approx(1, abs=1e-4)
    assert agreement(first, [candidate(obj, 2.5, "random 2")]) == 0


def test_the_best_confirmed_object_leads(make_crystal):
    right, wrong = make_crystal((32, 32, 32), seed=1), make_crystal((32, 32, 32), seed=2)
    lone = candidate(wrong, 1.0, "random 0")
    pair = [candidate(spoiled(right, s, 0.05), 1.1 + 0.1 * s, f"random {s}") for s in (1, 2)]
    ranked, agreed = consensus([lone, *pair])
    assert ranked[0].origin in {"random 1", "random 2"}
    assert agreed > 0.95
    assert any(c is lone for c in ranked)


def test_starts_that_share_a_support_do_not_confirm_each_other(make_crystal):
    obj = make_crystal((32, 32, 32))
    parent, child = candidate(obj, 1.0, "random 1"), candidate(obj, 1.0, "random 1, again 7")
    assert agreement(parent, [child]) == 0
    assert agreement(candidate(obj, 1.0, "network 0"), [candidate(obj, 1.0, "network 2, again 5")]) == 0
    assert agreement(candidate(obj, 1.0, "random 11"), [child]) == pytest.approx(1, abs=1e-4)
    assert (
        confirmations([parent, child, candidate(obj, 1.0, "random 11"), candidate(obj, 1.0, "network 0")])
        == 2
    )


def test_a_family_does_not_crowd_out_its_witnesses(make_crystal):
    obj = make_crystal((32, 32, 32))
    crowd = [candidate(obj, 1.0 + 0.01 * n, f"network {n}") for n in range(12)]
    witness = candidate(obj, 1.5, "random 1")
    assert agreement(crowd[0], [*crowd[1:], witness]) == pytest.approx(1, abs=1e-4)
    assert leaders([*crowd, witness], 2) == [*crowd[:2], witness]
