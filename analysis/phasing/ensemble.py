"""Means over many starts: for patterns that the model of the measurement does not explain.

Where more is left than noise and the blur is nobody's knowledge, each start ends somewhere else in one broad
basin, and whatever lowers χ² further drives them apart: they explain what no object explains. Their mean is
what they have in common (Chen et al. 2007, doi:10.1103/PhysRevB.76.064113), and the means of two halves that
share no start tell how well that is known, as in Rosenthal & Henderson 2003, doi:10.1016/j.jmb.2003.07.013.

Where the surface lies is known least of all, so no two members get the same support.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from analysis.phasing.agreement import LIKELY, Candidate, family, match
from analysis.phasing.coherence import Triple
from analysis.phasing.levels import Level, finer, resample
from analysis.phasing.pattern import Pattern
from analysis.phasing.recipes import support_of
from analysis.phasing.refinement import descended, fit_blur

CROWD = 32
"""So many candidates, those of the lowest χ², are looked through for starts that ended in one basin."""

LEAST = 24
"""Fewer of them that did are no crowd: a wrong object also finds some friends."""

THRESHOLDS, FLOOR = (0.1, 0.3), 0.6
"""The members' supports are the mean's amplitude above these shares of its rms, evenly spread, and above
`FLOOR` × as much of its largest."""

FINAL_THRESHOLD = 0.05
"""The same for the last support: what is fainter cannot be told from what the model leaves."""

FINAL_DESCENTS = 8
"""Descents through the kernel at the end; with more of them the two halves' means drift apart again."""

REFLECTIONS, REDUCTIONS, BETA = 100, 50, 0.9
"""Iterations of RAAR, and of error reduction after them, that each member goes through on every level."""

LEAST_SURE = 0.3
"""At most so much blur, voxels, is taken from the counts: rather too little than too much."""


@dataclass(frozen=True)
class Shared:
    """What many starts have in common.

    Parameters
    ----------
    best : Candidate
        Their mean at full resolution.
    history : list of float
        χ² before each iteration of the finish.
    agreement : float
        Overlap of the means of two halves that share no start, each finished on its own.
    members : list of Candidate
    """

    best: Candidate
    history: list[float]
    agreement: float
    members: list[Candidate]


def shared(pattern: Pattern, candidates: Sequence[Candidate], seed: int) -> Shared | None:
    """Average the starts that ended in one basin, from the coarsest level up; None if there are too few.

    The last level is too dear for all of them, and needs no more than descent.
    """
    members = crowd(candidates)
    if len(members) < LEAST:
        return None
    rng = np.random.default_rng(seed)
    halves: Sequence[list[Tensor]] = split(members)
    middle = mean([x for half in halves for x in half])
    amplitude = pattern.amplitude(_blur(pattern, middle))
    a, b, c = members[0].x.shape[1:]
    shape, on = (a, b, c), True
    while on:
        level = Level(amplitude, pattern.mask, shape)
        drawn = iter(rng.permutation(np.linspace(*THRESHOLDS, sum(map(len, halves)))))
        halves = [[_member(level, x, middle, float(next(drawn))) for x in half] for half in halves]
        shape = finer(shape, pattern.shape)
        on = shape != pattern.shape
        halves = [[resample(x, shape) for x in half] for half in halves]
        middle = mean([mean(half) for half in halves])
    first, second = (_finished(pattern, mean(half), members[0])[0] for half in halves)
    best, history = _finished(pattern, middle, members[0])
    return Shared(best, history, match(second.x[0], first.x[0]).overlap, members)


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


def _member(level: Level, x: Tensor, middle: Tensor, threshold: float) -> Tensor:
    """Carry ``x`` on in a support of its own, drawn around the mean; (1, n0, n1, n2) complex64."""
    support = support_of(level, middle, threshold=threshold, floor=FLOOR * threshold)
    x = match(x[0], middle[0]).moved[None] * support
    x = level.engine.raar(x, support, REFLECTIONS, BETA)
    return level.engine.er(x, support, REDUCTIONS)


def _blur(pattern: Pattern, x: Tensor) -> Triple:
    """Return the blur that the mean ``x`` speaks for, at most `LEAST_SURE`."""
    level = Level(pattern.amplitude(), pattern.mask, x.shape[1:])
    a, b, c = fit_blur(pattern, x[0], support_of(level, x)[0])
    return min(a, LEAST_SURE), min(b, LEAST_SURE), min(c, LEAST_SURE)


def _finished(pattern: Pattern, x: Tensor, like: Candidate) -> tuple[Candidate, list[float]]:
    """Descend from the mean ``x``, at full resolution, with the blur that it speaks for."""
    level = Level(pattern.amplitude(), pattern.mask, pattern.shape)
    support = support_of(level, x, sigma=2.0, threshold=FINAL_THRESHOLD, floor=FLOOR * FINAL_THRESHOLD)
    return descended(pattern, replace(like, x=x, support=support), FINAL_DESCENTS)
