"""Patterns that the model of the measurement does not explain: blur and response found.

Means over many starts.

First what nobody measured of a measurement is found together with the object; what is left unexplained
after that is averaged over many starts.

Pixels of a counting detector respond unevenly where nobody has flattened them, a beam is never fully
coherent, and its intensity drifts where no monitor was kept. Phased without regard to them, an object takes
the blame: it gets narrower than the crystal, brighter at its edges, and surrounded by haze. A rocking scan
can tell them apart, for each pixel is read at every angle: what it has too much at all of them is the
pixel's, and what a frame has too much in all pixels the frame's, not the crystal's.

They depend on the object, and the object on them, so they are found in turns; between the turns the object
is phased on, with the modulus freed of what was found: descent alone does not leave where it was led.

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

from analysis.phasing.pattern import FINE_GRID, Pattern
from analysis.phasing.refinement import descended, final_support, kernel_of, predicted_counts
from analysis.phasing.registration import LIKELY, Candidate, family, register
from analysis.phasing.schedules import REFINE, Level, finer, iterate, resample, support_of

PRIOR = 400.0
"""Counts that each pixel and frame is taken to have had, besides, with a response of 1."""

STEADY = 0.02
"""And each frame so much of what is expected of the brightest: of faint frames the object is too unsure."""

FAINTEST = 10.0
"""Predicted counts from which a voxel says something of its pixel: √counts of fewer are biased."""

ROUNDS, CONVERGED = 10, 0.98
"""Turns at most, and the ratio of χ² to the last turn's from which they end."""

DESCENTS, FINAL_DESCENTS = 4, 20
"""Descents through the kernel in each turn, and after the last."""


@dataclass(frozen=True)
class Response:
    """What was counted of what should have been, relative to the whole; corner order.

    Parameters
    ----------
    flat_field : Tensor, (n1, n2) float32
        Of each pixel of the detector, in all frames.
    exposure : Tensor, (n0,) float32
        Of each frame, in all pixels: the beam's intensity while it was taken.
    """

    flat_field: Tensor
    exposure: Tensor

    @classmethod
    def even(cls, shape: Sequence[int], device: torch.device | None = None) -> Response:
        """Return that of a flat detector in a steady beam, for counts of ``shape`` (n0, n1, n2)."""
        return cls(torch.ones(*shape[1:], device=device), torch.ones(shape[0], device=device))

    @property
    def factor(self) -> Tensor:
        """What expected counts are multiplied by, (n0, n1, n2) float32."""
        return self.exposure[:, None, None] * self.flat_field


@dataclass(frozen=True)
class Calibrated:
    """An object and what it says of the measurement.

    Parameters
    ----------
    candidate : Candidate
        With the blur.
    response : Response
    history : list of float
        χ² before each descent.
    """

    candidate: Candidate
    response: Response
    history: list[float]

    @classmethod
    def even(cls, candidate: Candidate, history: list[float]) -> Calibrated:
        """Return a ``candidate`` that explains the counts of a flat detector in a steady beam."""
        return cls(candidate, Response.even(candidate.x.shape[1:], candidate.x.device), history)


def calibrate(pattern: Pattern, candidate: Candidate) -> Calibrated:
    """Phase ``candidate`` on, and find the blur and the response that it speaks for."""
    response = Response.even(pattern.shape, pattern.counts.device)
    level = Level(pattern.counts.sqrt(), pattern.mask, pattern.shape)
    history: list[float] = []
    for turn in range(ROUNDS):
        evened = pattern.evened(response.factor)
        if turn:
            kernel = kernel_of(pattern, pattern.shape, candidate.support, candidate.coherence)
            freed = kernel.freed_amplitude(candidate.x[0], evened.counts, evened.background)
            level.engine.set_amplitude(freed)
            x, support = iterate(level, candidate.x, candidate.support, REFINE)
            candidate = replace(candidate, x=x, support=support)
        candidate, chi = descended(evened, candidate, DESCENTS, grid=FINE_GRID)
        history += chi
        response = responded(pattern, predicted_counts(evened, candidate), response)
        if turn > 1 and chi[-1] > CONVERGED * history[-1 - DESCENTS]:
            break
    candidate = replace(candidate, support=candidate.support | final_support(pattern, candidate.x))
    evened = pattern.evened(response.factor)
    candidate, chi = descended(evened, candidate, FINAL_DESCENTS, grid=FINE_GRID)
    return Calibrated(candidate, response, history + chi)


def responded(pattern: Pattern, predicted: Tensor, before: Response) -> Response:
    """Return measured over ``predicted`` counts, first of each frame in all pixels, then of each pixel.

    Each is the mean of the posterior where counts are Poisson's and responses drawn from a gamma distribution
    of mean 1 and variance 1/p: (p + Σ measured)/(p + Σ predicted), with p of `PRIOR` or more (`STEADY`).

    Parameters
    ----------
    pattern : Pattern
    predicted : Tensor, (n0, n1, n2) float32, counts, corner order
        Of a flat detector in a steady beam; axis 0 is the rocking angle.
    before : Response
        The last one.
    """
    tells = ((predicted >= FAINTEST) & ~pattern.mask).float()
    counts, expected = pattern.counts * tells, predicted * tells
    # Of an object that is too bright as a whole neither is to blame.
    expected *= counts.sum() / (expected * before.factor).sum().clamp_min(1e-12)
    frames = (expected * before.flat_field).sum(dim=(1, 2))
    exposure = _ratio(counts.sum(dim=(1, 2)), frames, max(PRIOR, STEADY * float(frames.max())))
    pixels = (expected * exposure[:, None, None]).sum(dim=0)
    return Response(_ratio(counts.sum(dim=0), pixels, PRIOR), exposure)


def _ratio(counts: Tensor, expected: Tensor, prior: float) -> Tensor:
    return (counts + prior) / (expected + prior)


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
    overlaps = [register(other.candidate.x[0], best.candidate.x[0]).overlap for other in others]
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
        if register(b.x[0], a.x[0]).overlap >= LIKELY:
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
        result = torch.stack([register(x[0], onto).object for x in objects]).mean(dim=0, keepdim=True)
    return result
