"""Means over many starts: for patterns that the model of the measurement does not explain.

Where more is left than noise and nobody knows why, each start ends somewhere else in one broad basin, and
whatever lowers χ² further drives them apart: they explain what no object explains. Their means are what they
have in common (Chen et al. 2007, doi:10.1103/PhysRevB.76.064113). From there the model's missing parts are
found (`calibration`), by several groups that share no start, each with a blur and a response of its own. Then
χ² tells the better ones again, and how far the best two agree is how well the object is known, as of the two
halves in Rosenthal & Henderson 2003, doi:10.1016/j.jmb.2003.07.013.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from analysis.phasing.agreement import LIKELY, Candidate, family, match
from analysis.phasing.calibration import Calibrated, calibrate
from analysis.phasing.levels import Level, finer, resample
from analysis.phasing.pattern import Pattern
from analysis.phasing.recipes import support_of

CROWD = 32
"""So many candidates, those of the lowest χ², are looked through for starts that ended in one basin."""

LEAST = 16
"""Fewer of them that did are no crowd: a wrong object also finds some friends."""

GROUPS = 4
"""So many groups they are divided into."""


@dataclass(frozen=True)
class Shared:
    """What many starts have in common.

    Parameters
    ----------
    best : Calibrated
        Of the group of the lowest χ²: its mean, refined at full resolution, with blur and response.
    agreement : float
        Overlap with the group of the next χ².
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
    a, b, c = members[0].x.shape[1:]
    shape = (a, b, c)
    groups = [_carried_on(pattern, mean(some), shape, members[0]) for some in split(members)]
    while shape != pattern.shape:
        shape = finer(shape, pattern.shape)
        if shape == pattern.shape:
            groups = _two_best(groups)
        groups = [_carried_on(pattern, one.candidate.x, shape, one.candidate) for one in groups]
    best, *others = _two_best(groups)
    overlaps = [match(other.candidate.x[0], best.candidate.x[0]).overlap for other in others]
    return Shared(best, max(overlaps, default=0.0), members)


def _two_best(groups: Sequence[Calibrated]) -> list[Calibrated]:
    return sorted(groups, key=lambda one: one.history[-1])[:2]


def _carried_on(pattern: Pattern, x: Tensor, shape: tuple[int, int, int], like: Candidate) -> Calibrated:
    """Calibrate ``x`` (1, m0, m1, m2) complex64 on the level of ``shape``."""
    view, x = pattern.cropped(shape), resample(x, shape)
    support = support_of(Level(view.amplitude(), view.mask, shape), x)
    return calibrate(view, replace(like, x=x * support, support=support))


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


def split(members: Sequence[Candidate]) -> list[list[Tensor]]:
    """Return the objects in `GROUPS`; starts that know of each other (`family`) stay together."""
    families: dict[str, list[Tensor]] = {}
    for member in members:
        families.setdefault(family(member), []).append(member.x)
    groups: list[list[Tensor]] = [[] for _ in range(GROUPS)]
    for together in sorted(families.values(), key=len, reverse=True):
        min(groups, key=len).extend(together)
    return [group for group in groups if group]


def mean(objects: Sequence[Tensor]) -> Tensor:
    """Return the mean of ``objects``, each brought onto it; all (1, n0, n1, n2) complex64, corner order."""
    result = objects[0]
    for _ in range(2):
        onto = result[0]
        result = torch.stack([match(x[0], onto).moved for x in objects]).mean(dim=0, keepdim=True)
    return result
