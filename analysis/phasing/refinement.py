"""From the coarsest level to the last iteration: climb, average what agrees, finish through the kernel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from analysis.phasing.ambiguities import align
from analysis.phasing.coherence import COHERENT, Triple, fit_coherence
from analysis.phasing.engine import to_centre, to_corner
from analysis.phasing.finish import descend
from analysis.phasing.kernels import PixelKernel
from analysis.phasing.levels import Level, crop, finer, resample
from analysis.phasing.recipes import REFINE, iterate, support_of
from analysis.phasing.search import LIKELY, Candidate, Found, Pattern
from analysis.phasing.support import extent_of

FINAL_SUPPORT = (1.5, 0.1, 0.05)
"""Smoothing width (voxels), threshold and floor of the last support: looser than those of the search."""

FIT_SIZE = 64
"""Voxels per axis, at most, on which the blur is fitted."""

FINISH_ITERATIONS = 15
"""Descents through the kernel in each of the two halves of the finish."""


def choose(pattern: Pattern, found: Found) -> tuple[Candidate, list[float]]:
    """Take the best objects to full resolution, average those that agree, and finish through the kernel.

    What differs between starts is stagnation, and averages out (Chen et al. 2007,
    doi:10.1103/PhysRevB.76.064113).
    """
    climbed = [climb(pattern, c) for c in found.candidates]
    best = to_centre(climbed[0].x)[0].numpy()
    aligned = [align(to_centre(c.x)[0].numpy(), best, rounds=2) for c in climbed[1:]]
    same = [best, *(a.object for a in aligned if a.overlap >= LIKELY)]
    x = to_corner(torch.from_numpy(np.mean(same, axis=0).astype(np.complex64)))[None]
    level = Level(pattern.counts.sqrt(), pattern.mask, pattern.shape)
    return finish(pattern, replace(climbed[0], x=x, support=support_of(level, x, *FINAL_SUPPORT)))


def climb(pattern: Pattern, candidate: Candidate) -> Candidate:
    """Refine ``candidate`` on every finer level."""
    amplitude = pattern.amplitude(candidate.coherence)
    x, support = candidate.x, candidate.support
    while x.shape[1:] != pattern.shape:
        shape = finer(x.shape[1:], pattern.shape)
        level = Level(amplitude, pattern.mask, shape)
        x = resample(x, shape)
        support = support_of(level, x)
        x, support = iterate(level, x * support, support, REFINE)
    return replace(candidate, x=x, support=support)


def fit_blur(pattern: Pattern, x: Tensor, known: Triple = COHERENT) -> Triple:
    """Fit the blur on the centre of q, where the counts are: it is the same everywhere."""
    a, b, c = (min(n, FIT_SIZE) for n in pattern.shape)
    shape = (a, b, c)
    measured, root = (~pattern.mask).float(), pattern.counts.sqrt()
    return fit_coherence(
        resample(x, shape),
        crop(root, shape),
        crop(measured, shape),
        pattern.widths,
        crop(pattern.background, shape),
        start=known,
        sweeps=2,
    )[0]


def finish(pattern: Pattern, candidate: Candidate) -> tuple[Candidate, list[float]]:
    """Descend through the kernel, twice: the support and the blur are seen better after the first half."""
    x, support, history = candidate.x[0], candidate.support[0], []
    measured, root = (~pattern.mask).float(), pattern.counts.sqrt()
    level = Level(root, pattern.mask, pattern.shape)
    sigma = candidate.coherence
    for _ in range(2):
        sigma = fit_blur(pattern, x, sigma)
        kernel = PixelKernel(pattern.shape, pattern.widths, sigma, extent=extent_of(support), device=x.device)
        x, chi = descend(x, support, kernel, root, measured, pattern.background, FINISH_ITERATIONS)
        history += chi
        support = support_of(level, x[None], *FINAL_SUPPORT)[0]
    x = x * support
    return replace(candidate, x=x[None], support=support[None], score=history[-1], coherence=sigma), history
