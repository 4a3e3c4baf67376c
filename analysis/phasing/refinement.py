"""The last iterations: descent to the measured counts through the pixel kernel and the background.

Accelerated projected gradient with restart (Beck & Teboulle 2009, doi:10.1137/080716542;
O'Donoghue & Candès 2015, doi:10.1007/s10208-013-9150-3); for point samples and no background one
plain step is one of error reduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from analysis.phasing.config import DEFAULT, PhasingConfig, RefinementConfig
from analysis.phasing.forward import PixelKernel, amplitude_chi_squared, noise_ratio
from analysis.phasing.pattern import COHERENT, GRID, Pattern, Triple, fit_coherence
from analysis.phasing.projections import Smoother, extent_of, power
from analysis.phasing.registration import Candidate, register
from analysis.phasing.schedules import REFINE, Level, crop, finer, iterate, resample, support_of
from analysis.phasing.search import Found


def descend(
    x: Tensor,
    support: Tensor,
    kernel: PixelKernel,
    amplitude: Tensor,
    measured: Tensor,
    background: Tensor | float,
    iterations: int,
) -> tuple[Tensor, list[float]]:
    """Return the object after ``iterations`` and χ² before each of them.

    Parameters
    ----------
    x : Tensor, (n0, n1, n2) complex64, corner order
    support : Tensor, (n0, n1, n2) bool
    kernel : PixelKernel
    amplitude, measured : Tensor, (n0, n1, n2) float32
        √counts, background included, and 1 where measured, less where less sure (`Pattern.weight`).
    background : Tensor or float, counts
    iterations : int
    """
    root = measured.sqrt()  # squared again in χ²
    current = x * support
    ahead, momentum = current, 1.0
    history: list[float] = []
    for _ in range(iterations):
        step, predicted = kernel.gradient(ahead, amplitude, measured, background)
        chi = float(amplitude_chi_squared(predicted.sqrt(), amplitude, root))
        if history and chi > history[-1]:
            momentum, ahead = 1.0, current
        history.append(chi)
        fresh = (ahead - step) * support
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = fresh + (momentum - 1) / following * (fresh - current)
        current, momentum = fresh, following
    return current, history


def choose(
    pattern: Pattern, found: Found, config: PhasingConfig = DEFAULT
) -> tuple[Candidate, list[float], float]:
    """Take the objects that agree to full resolution, average them, and finish through the kernel.

    What differs between starts is stagnation, and averages out (Chen et al. 2007,
    doi:10.1103/PhysRevB.76.064113).  Returned are the object, χ² before each iteration of the finish, and the
    overlap of independent starts at full resolution.
    """
    best, *others = found.candidates
    same = [c for c in others if register(c.x[0], best.x[0]).overlap >= config.search.likely]
    most = config.refinement.mean_of
    refined = [refined_to_full(pattern, c) for c in (best, *same[:1])]
    mean, alike = averaged(refined, config)
    if alike < config.refinement.alike:
        refined = [*refined, *(refined_to_full(pattern, c) for c in same[1 : most - 1])]
        if len(refined) < most:
            refined = [refined_to_full(pattern, c) for c in refined]
        mean, alike = averaged(refined, config)
    support = final_support(pattern, mean.x, config.refinement)
    best, history = finish(pattern, replace(mean, support=support), config.refinement)
    return best, history, alike if same else found.agreement


def averaged(candidates: list[Candidate], config: PhasingConfig = DEFAULT) -> tuple[Candidate, float]:
    """Return the mean of those that explain the pattern best, and the overlap of the best with another.

    The mean is over what agrees with the candidate of the lowest χ² and has a χ² of at most
    ``as_good`` times its: a worse one would spoil it.
    """
    best, *others = sorted(candidates, key=lambda c: c.score)
    matches = [(m, c) for c in others if (m := register(c.x[0], best.x[0])).overlap >= config.search.likely]
    equal = [m.object for m, c in matches if c.score <= config.refinement.as_good * best.score]
    mean = torch.stack([best.x[0], *equal]).mean(dim=0, keepdim=True)
    return replace(best, x=mean), max((m.overlap for m, _ in matches), default=0.0)


def final_support(pattern: Pattern, x: Tensor, config: RefinementConfig = DEFAULT.refinement) -> Tensor:
    """Return what of ``x`` (1, n0, n1, n2) complex64 stands out of the counting noise, bool.

    √counts scatter by v(λ) (`root_variance`) in each of the N voxels of q, and so, by Parseval, does
    the object by √Σv/N in each of its own.
    """
    noise = float(np.sqrt(pattern.scatter().sum())) / pattern.counts.numel()
    smooth = Smoother(pattern.shape, x.device)(power(x).sqrt(), config.smoothing)
    support = smooth > max(config.above_noise * noise, config.faintest * float(smooth.max()))
    return support if bool(support.any()) else smooth > 0


def refined_to_full(pattern: Pattern, candidate: Candidate) -> Candidate:
    """Refine ``candidate`` on every finer level, at least on the last.

    The blur is taken out of the counts as the object predicts it: deconvolved without the object, faint
    voxels would have their noise amplified, and the object would explain it by faint voxels all over the
    support.
    """
    x, root = candidate.x, pattern.counts.sqrt()
    while True:
        shape = finer(x.shape[1:], pattern.shape)
        level = Level(root, pattern.mask, shape)
        counts, background = crop(pattern.counts, shape), crop(pattern.background, shape)
        x = resample(x, shape)
        support = support_of(level, x, threshold=REFINE.threshold, floor=REFINE.floor)
        x = x * support
        kernel = kernel_of(pattern, shape, support, candidate.coherence)
        level.engine.set_amplitude(kernel.point_amplitude(x[0], counts, background))
        x, support = iterate(level, x, support, REFINE)
        if shape == pattern.shape:
            kernel = kernel_of(pattern, shape, support, candidate.coherence)
            chi = kernel.misfit(x[0], root, (~pattern.mask).float(), pattern.background)
            return replace(candidate, x=x, support=support, score=chi)


def kernel_of(pattern: Pattern, shape: Sequence[int], support: Tensor, sigma: Triple) -> PixelKernel:
    """Return the kernel of a level of ``shape`` for objects in ``support`` (1, n0, n1, n2) bool."""
    extent = extent_of(support[0])
    return PixelKernel(shape, pattern.widths, sigma, extent=extent, device=support.device)


def fit_blur(
    pattern: Pattern,
    x: Tensor,
    support: Tensor,
    known: Triple = COHERENT,
    grid: Sequence[float] = GRID,
    fit_size: int = DEFAULT.refinement.fit_size,
) -> Triple:
    """Fit the blur on the centre of q, where the counts are: it is the same everywhere.

    ``x`` complex64 and ``support`` bool are (n0, n1, n2), corner order.
    """
    a, b, c = (min(n, fit_size) for n in pattern.shape)
    shape = (a, b, c)
    measured, root = (~pattern.mask).float(), pattern.counts.sqrt()
    return fit_coherence(
        resample(x, shape),
        crop(root, shape),
        crop(measured, shape),
        pattern.widths,
        crop(pattern.background, shape),
        extent=extent_of(support),
        start=known,
        sweeps=1 if any(known) else 2,
        grid=grid,
    )[0]


def predicted_counts(pattern: Pattern, candidate: Candidate) -> Tensor:
    """Return the counts that ``candidate`` explains, background included, (n0, n1, n2), corner order.

    Of a detector that counts evenly: `Pattern.responding` makes them those that were counted.
    """
    kernel = kernel_of(pattern, pattern.shape, candidate.support, candidate.coherence)
    return kernel.predict(candidate.x[0])[1] + pattern.background


def left_over(pattern: Pattern, candidate: Candidate) -> float:
    """Return the noise ratio of ``candidate``, an object at full resolution."""
    predicted = pattern.responding(predicted_counts(pattern, candidate)).cpu().numpy()
    return noise_ratio(predicted, pattern.as_counted.cpu().numpy(), pattern.mask.cpu().numpy())


def finish(
    pattern: Pattern, candidate: Candidate, config: RefinementConfig = DEFAULT.refinement
) -> tuple[Candidate, list[float]]:
    """Descend through the kernel, twice: the support and the blur are seen better after the first half."""
    history: list[float] = []
    for half in range(2):
        unknown = pattern.blurred or (half and left_over(pattern, candidate) > config.unexplained)
        iterations = config.descents if pattern.blurred else config.point_descents
        candidate, chi = descended(pattern, candidate, iterations, fitted=bool(unknown))
        history += chi
        candidate = replace(candidate, support=final_support(pattern, candidate.x, config))
    return replace(candidate, x=candidate.x * candidate.support, score=history[-1]), history


def descended(
    pattern: Pattern,
    candidate: Candidate,
    iterations: int,
    *,
    fitted: bool = True,
    grid: Sequence[float] = GRID,
) -> tuple[Candidate, list[float]]:
    """Return ``candidate`` after descents in its support, the blur ``fitted`` before, and χ² before each."""
    x, support, sigma = candidate.x[0], candidate.support[0], candidate.coherence
    if fitted:
        sigma = fit_blur(pattern, x, support, sigma, grid)
    kernel = kernel_of(pattern, pattern.shape, candidate.support, sigma)
    measured, root = pattern.weight, pattern.counts.sqrt()
    x, chi = descend(x * support, support, kernel, root, measured, pattern.background, iterations)
    return replace(candidate, x=x[None], score=chi[-1], coherence=sigma), chi
