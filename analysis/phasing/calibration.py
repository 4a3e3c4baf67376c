"""What nobody measured of a measurement, blur and flat field, found together with the object.

Pixels of a counting detector differ by 5 to 20 % where nobody has flattened them, and a beam is never fully
coherent. Phased without regard to either, an object takes the blame: it gets narrower than the crystal,
brighter at its edges, and surrounded by haze. A rocking scan can tell them apart, for each pixel is read at
every angle: what it has too much at all of them is the pixel's, not the crystal's.

Both depend on the object, and the object on them, so they are found in turns; between the turns the object
is phased on, with the modulus freed of what was found: descent alone does not leave where it was led.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.phasing.agreement import Candidate
from analysis.phasing.coherence import FINE_GRID
from analysis.phasing.levels import Level
from analysis.phasing.pattern import Pattern
from analysis.phasing.recipes import REFINE, iterate
from analysis.phasing.refinement import descended, final_support, kernel_of, predicted_counts

PRIOR = 400.0
"""Counts that each pixel is taken to have had, besides, of a detector that is flat."""

FAINTEST = 10.0
"""Predicted counts from which a voxel says something of its pixel: √counts of fewer are biased."""

ROUNDS, CONVERGED = 10, 0.98
"""Turns at most, and the ratio of χ² to the last turn's from which they end."""

DESCENTS, FINAL_DESCENTS = 4, 20
"""Descents through the kernel in each turn, and after the last."""


@dataclass(frozen=True)
class Calibrated:
    """An object and what it says of the measurement.

    Parameters
    ----------
    candidate : Candidate
        With the blur.
    flat_field : Tensor, (n1, n2) float32, corner order
        What each pixel of the detector counts of what it should.
    history : list of float
        χ² before each descent.
    """

    candidate: Candidate
    flat_field: Tensor
    history: list[float]


def calibrated(pattern: Pattern, candidate: Candidate) -> Calibrated:
    """Phase ``candidate`` on, and find the blur and the flat field that it speaks for."""
    flat = torch.ones(pattern.shape[1:], device=pattern.counts.device)
    level = Level(pattern.counts.sqrt(), pattern.mask, pattern.shape)
    history: list[float] = []
    for turn in range(ROUNDS):
        flattened = pattern.flattened(flat)
        if turn:
            kernel = kernel_of(pattern, pattern.shape, candidate.support, candidate.coherence)
            x, counts, background = candidate.x[0], flattened.counts, flattened.background
            level.engine.set_amplitude(kernel.freed_amplitude(x, counts, background))
            x, support = iterate(level, candidate.x, candidate.support, REFINE)
            candidate = replace(candidate, x=x, support=support)
        candidate, chi = descended(flattened, candidate, DESCENTS, grid=FINE_GRID)
        history += chi
        flat = flat_field(pattern, predicted_counts(flattened, candidate))
        if turn > 1 and chi[-1] > CONVERGED * history[-1 - DESCENTS]:
            break
    candidate = replace(candidate, support=candidate.support | final_support(pattern, candidate.x))
    candidate, chi = descended(pattern.flattened(flat), candidate, FINAL_DESCENTS, grid=FINE_GRID)
    return Calibrated(candidate, flat, history + chi)


def flat_field(pattern: Pattern, predicted: Tensor) -> Tensor:
    """Return measured over ``predicted`` counts of each pixel in all angles, (n1, n2) float32, corner order.

    The mean of the posterior where counts are Poisson's and flat fields drawn from a gamma distribution of
    mean 1 and variance 1/`PRIOR`: (PRIOR + Σ measured)/(PRIOR + Σ predicted).

    Parameters
    ----------
    pattern : Pattern
    predicted : Tensor, (n0, n1, n2) float32, counts, corner order
        Of a flat detector; axis 0 is the rocking angle.
    """
    tells = ((predicted >= FAINTEST) & ~pattern.mask).float()
    return ((pattern.counts * tells).sum(dim=0) + PRIOR) / ((predicted * tells).sum(dim=0) + PRIOR)
