"""Measurements that the model does not explain: blur, flat field and exposure are found with the object.

Pixels of a counting detector respond unevenly where no flat field was taken, a beam is never fully
coherent, and its intensity drifts where no monitor was kept. Phased without regard to them, an object gets
narrower than the crystal, brighter at its edges, and surrounded by faint voxels. A rocking scan can tell
them apart, for each pixel is read at every angle: what it has too much of at all angles is the pixel's, and
what a frame has too much of in all pixels is the frame's, not the crystal's.

They depend on the object, and the object on them, so they are found in turns; between the turns the object
is phased on, with the modulus corrected by what was found: descent alone stays near where it began.

Where more is left than noise and the cause is not known, every start ends at another object, all of them
alike, and whatever lowers χ² further drives them apart, since it fits what no object explains. Their mean
is what they have in common (Chen et al. 2007, doi:10.1103/PhysRevB.76.064113). From it the missing parts of
the model are found by several groups that share no start, each with a blur and a response of its own. Then
χ² tells the better groups, and how far the best two agree is how well the object is known, as of the two
halves in Rosenthal & Henderson 2003, doi:10.1016/j.jmb.2003.07.013.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

from analysis.phasing.config import DEFAULT, CalibrationConfig, PhasingConfig
from analysis.phasing.pattern import FINE_GRID, Pattern
from analysis.phasing.refinement import descended, final_support, kernel_of, predicted_counts
from analysis.phasing.registration import Candidate, family, register
from analysis.phasing.schedules import REFINE, Level, finer, iterate, resample, support_of


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
    def uniform(cls, shape: Sequence[int], device: torch.device | None = None) -> Response:
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
    def uncalibrated(cls, candidate: Candidate, history: list[float]) -> Calibrated:
        """Return a ``candidate`` that explains the counts of a flat detector in a steady beam."""
        return cls(candidate, Response.uniform(candidate.x.shape[1:], candidate.x.device), history)


def calibrate(
    pattern: Pattern, candidate: Candidate, config: CalibrationConfig = DEFAULT.calibration
) -> Calibrated:
    """Phase ``candidate`` on, and find the blur and the response that it speaks for.

    Where a flat field was given, the response is relative to it: the search for it begins there, and where
    little was counted it stays there.
    """
    response = Response.uniform(pattern.shape, pattern.counts.device)
    level = Level(pattern.counts.sqrt(), pattern.mask, pattern.shape)
    history: list[float] = []
    for turn in range(config.rounds):
        corrected = pattern.corrected(response.factor)
        if turn:
            kernel = kernel_of(pattern, pattern.shape, candidate.support, candidate.coherence)
            level.engine.set_amplitude(
                kernel.point_amplitude(candidate.x[0], corrected.counts, corrected.background)
            )
            x, support = iterate(level, candidate.x, candidate.support, REFINE)
            candidate = replace(candidate, x=x, support=support)
        candidate, chi = descended(corrected, candidate, config.descents, grid=FINE_GRID)
        history += chi
        response = fit_response(pattern, predicted_counts(corrected, candidate), response, config)
        if turn > 1 and chi[-1] > config.converged * history[-1 - config.descents]:
            break
    candidate = replace(candidate, support=candidate.support | final_support(pattern, candidate.x))
    corrected = pattern.corrected(response.factor)
    candidate, chi = descended(corrected, candidate, config.final_descents, grid=FINE_GRID)
    return Calibrated(candidate, response, history + chi)


def fit_response(
    pattern: Pattern, predicted: Tensor, before: Response, config: CalibrationConfig = DEFAULT.calibration
) -> Response:
    """Return measured over ``predicted`` counts, first of each frame in all pixels, then of each pixel.

    Each is the mean of the posterior where counts are Poisson's and responses drawn from a gamma distribution
    of mean 1 and variance 1/p: (p + Σ measured)/(p + Σ predicted), with p the ``prior`` or more (``steady``).

    Parameters
    ----------
    pattern : Pattern
    predicted : Tensor, (n0, n1, n2) float32, counts, corner order
        Of a flat detector in a steady beam; axis 0 is the rocking angle.
    before : Response
        The last one.
    """
    tells = ((predicted >= config.faintest) & ~pattern.mask).float()
    counts, expected = pattern.as_counted * tells, pattern.responding(predicted) * tells
    # Of an object that is too bright as a whole neither is to blame.
    expected *= counts.sum() / (expected * before.factor).sum().clamp_min(1e-12)
    frames = (expected * before.flat_field).sum(dim=(1, 2))
    exposure = _ratio(counts.sum(dim=(1, 2)), frames, max(config.prior, config.steady * float(frames.max())))
    pixels = (expected * exposure[:, None, None]).sum(dim=0)
    return Response(_ratio(counts.sum(dim=0), pixels, config.prior), exposure)


def _ratio(counts: Tensor, expected: Tensor, prior: float) -> Tensor:
    return (counts + prior) / (expected + prior)


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


def shared(
    pattern: Pattern, candidates: Sequence[Candidate], config: PhasingConfig = DEFAULT
) -> Shared | None:
    """Average the starts that ended in one basin and refine them up to full resolution; None if too few."""
    members = largest_cluster(candidates, config)
    if len(members) < config.calibration.least:
        return None
    a, b, c = members[0].x.shape[1:]
    shape = (a, b, c)
    parts = split(members, config.calibration.groups)
    groups = [_calibrated_on(pattern, mean(some), shape, members[0], config) for some in parts]
    while shape != pattern.shape:
        shape = finer(shape, pattern.shape)
        if shape == pattern.shape:
            groups = _two_best(groups)
        groups = [_calibrated_on(pattern, one.candidate.x, shape, one.candidate, config) for one in groups]
    best, *others = _two_best(groups)
    overlaps = [register(other.candidate.x[0], best.candidate.x[0]).overlap for other in others]
    return Shared(best, max(overlaps, default=0.0), members)


def _two_best(groups: Sequence[Calibrated]) -> list[Calibrated]:
    return sorted(groups, key=lambda one: one.history[-1])[:2]


def _calibrated_on(
    pattern: Pattern, x: Tensor, shape: tuple[int, int, int], like: Candidate, config: PhasingConfig
) -> Calibrated:
    """Calibrate ``x`` (1, m0, m1, m2) complex64 on the level of ``shape``."""
    view, x = pattern.cropped(shape), resample(x, shape)
    support = support_of(Level(view.amplitude(), view.mask, shape), x)
    return calibrate(view, replace(like, x=x * support, support=support), config.calibration)


def largest_cluster(candidates: Sequence[Candidate], config: PhasingConfig = DEFAULT) -> list[Candidate]:
    """Return the candidate that most others of low χ² resemble, and those that do."""
    low = sorted(candidates, key=lambda c: c.score)[: config.calibration.lowest]
    alike: list[list[Candidate]] = [[] for _ in low]
    for (i, a), (j, b) in combinations(enumerate(low), 2):
        if register(b.x[0], a.x[0]).overlap >= config.search.likely:
            alike[i].append(b)
            alike[j].append(a)
    most = max(range(len(low)), key=lambda i: len(alike[i]))
    return [low[most], *alike[most]]


def split(members: Sequence[Candidate], count: int = DEFAULT.calibration.groups) -> list[list[Tensor]]:
    """Return the objects in ``count`` groups; starts that know of each other (`family`) stay together."""
    families: dict[str, list[Tensor]] = {}
    for member in members:
        families.setdefault(family(member), []).append(member.x)
    groups: list[list[Tensor]] = [[] for _ in range(count)]
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
