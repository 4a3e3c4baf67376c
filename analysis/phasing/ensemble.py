"""Means over many starts: for patterns that the model of the measurement does not explain.

Where more is left than noise and nobody knows why, each start ends somewhere else in one broad basin, and
whatever lowers χ² further drives them apart: they explain what no object explains. Their mean is what they
have in common (Chen et al. 2007, doi:10.1103/PhysRevB.76.064113). From there the model's missing parts are
found (`calibration`), and the means of two halves that share no start, each with a blur and a flat field of
its own, tell how well the object is known, as in Rosenthal & Henderson 2003, doi:10.1016/j.jmb.2003.07.013.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from analysis.phasing.agreement import LIKELY, Candidate, family, match
from analysis.phasing.calibration import Calibrated, calibrated
from analysis.phasing.levels import Level, finer, resample
from analysis.phasing.pattern import Pattern
from analysis.phasing.recipes import support_of

CROWD = 32
"""So many candidates, those of the lowest χ², are looked through for starts that ended in one basin."""

LEAST = 16
"""Fewer of them that did are no crowd: a wrong object also finds some friends."""


@dataclass(frozen=True)
class Shared:
    """What many starts have in common.

    Parameters
    ----------
    best : Calibrated
        Their mean, refined at full resolution, with blur and flat field.
    agreement : float
        Overlap of the means of two halves that share no start, each refined on its own.
    members : list of Candidate
    """

    best: Calibrated
    agreement: float
    members: list[Candidate]


def shared(pattern: Pattern, candidates: Sequence[Candidate]) -> Shared | None:
    """Average the starts that ended in one basin and refine them up to full resolution; None if too few."""
    members = crowd(candidates)
    if len(members) < LEAST:
        return None
    first, second = split(members)
    one, two, best = (_refined(pattern, mean(some), members[0]) for some in (first, second, first + second))
    overlap = match(two.candidate.x[0], one.candidate.x[0]).overlap
    return Shared(best, overlap, members)


def _refined(pattern: Pattern, x: Tensor, like: Candidate) -> Calibrated:
    """Calibrate on every level from that of ``x`` (1, m0, m1, m2) complex64 up to full resolution."""
    a, b, c = x.shape[1:]
    shape = (a, b, c)
    while True:
        view = pattern.cropped(shape)
        support = support_of(Level(view.amplitude(), view.mask, shape), x)
        found = calibrated(view, replace(like, x=x * support, support=support))
        if shape == pattern.shape:
            return found
        shape = finer(shape, pattern.shape)
        like, x = found.candidate, resample(found.candidate.x, shape)


def crowd(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidate that most others of low χ² resemble, and those that do."""
    low = sorted(candidates, key=lambda c: c.score)[:CROWD]
    friends: list[list[Candidate]] = [[] for _ in low]
    for (i, a), (j, b) in combinations(enumerate(low), 2):
        if match(b.x[0], a.x[0]).overlap >= LIKELY:
            friends[i].append(b)
            friends[j].append(a)
    most = max(range(len(low)), key=lambda i: len(friends[i]))
    return [low[most], *friends[most]]


def split(members: Sequence[Candidate]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the objects in two halves; starts that know of each other (`family`) stay together."""
    families: dict[str, list[Tensor]] = {}
    for member in members:
        families.setdefault(family(member), []).append(member.x)
    halves: tuple[list[Tensor], list[Tensor]] = ([], [])
    for together in sorted(families.values(), key=len, reverse=True):
        min(halves, key=len).extend(together)
    return halves


def mean(objects: Sequence[Tensor]) -> Tensor:
    """Return the mean of ``objects``, each brought onto it; all (1, n0, n1, n2) complex64, corner order."""
    result = objects[0]
    for _ in range(2):
        onto = result[0]
        result = torch.stack([match(x[0], onto).moved for x in objects]).mean(dim=0, keepdim=True)
    return result
