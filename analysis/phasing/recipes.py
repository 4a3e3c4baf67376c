"""Sequences of projections that were found to work, as functions of a level, an object and a support."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.phasing.engine import power
from analysis.phasing.levels import Level
from analysis.phasing.support import about_origin


@dataclass(frozen=True)
class Recipe:
    """HIO, then RAAR, then error reduction, with a support that is wrapped again and again.

    Parameters
    ----------
    iterations : int
        Of HIO and RAAR together.
    hio_share : float
        Part of them done by HIO.
    every : int
        Iterations between two updates of the support.
    threshold : float
        Of the smoothed amplitude, as a fraction of its root mean square inside the support.
    sigma : tuple of float, voxels
        Smoothing width of the support's update at the start and at the end.
    beta : float
    settle : int
        Iterations of error reduction at the end.
    floor : float
        No voxel below this share of the largest smoothed amplitude belongs to the support: haze that enters
        it lowers the rms, which would let in more.
    clip : float
        With each update amplitudes are cut to so many times their rms inside the support; 0 for never. One
        crystal has no peaks, and starts that go wrong collapse into some.
    """

    iterations: int = 400
    hio_share: float = 0.7
    every: int = 100
    threshold: float = 0.4
    sigma: tuple[float, float] = (2.0, 0.5)
    beta: float = 0.7
    settle: int = 40
    floor: float = 0.2
    clip: float = 0.0


HUNT = Recipe(iterations=600, hio_share=1.0, every=5, threshold=0.2, sigma=(1.5, 0.6), settle=0, floor=0.15)
"""Finds the basin of a start: the support follows every few iterations, its threshold too low to collapse."""

HUNT_FLAT = replace(HUNT, clip=2.0)
"""`HUNT` for crystals in which peaks would form."""

SETTLE = Recipe(
    iterations=200, hio_share=0.0, every=50, threshold=0.25, sigma=(1.0, 0.5), beta=0.9, settle=30
)
"""Goes to the bottom, which more HIO would leave again."""

STRATEGIES = ((HUNT, SETTLE), (HUNT_FLAT, SETTLE))
"""What starts go through in turn: each solves crystals that the other does not."""

FILL = Recipe(iterations=150, hio_share=0.0, every=50, threshold=0.2, sigma=(0.7, 0.5), beta=0.9, floor=0.1)
"""For objects that agree: lets in the faint parts that a tight support keeps out."""

SHAKE = (
    Recipe(iterations=200, every=50, sigma=(1.0, 0.5), beta=0.9),
    Recipe(iterations=200, every=50, sigma=(1.0, 0.5), beta=0.9),
    Recipe(iterations=200, hio_share=0.0, every=50, threshold=0.3, sigma=(1.0, 0.5), beta=0.9),
    FILL,
)
"""Out of the shallow minima that are nearly right; it may also leave a right one, so the lower χ² is kept."""

REFINE = Recipe(
    iterations=120,
    hio_share=0.0,
    every=40,
    threshold=0.15,
    sigma=(1.2, 0.8),
    beta=0.8,
    settle=30,
    floor=0.05,
)
"""For an object that is nearly right, after a change of level."""


def wrap(level: Level, x: Tensor, support: Tensor, sigma: float, threshold: float, floor: float) -> Tensor:
    """Return the voxels whose smoothed amplitude exceeds ``threshold`` × its rms inside ``support``; bool.

    And ``floor`` × its maximum (see `Recipe`). Shrink wrap, after Marchesini et al. 2003,
    doi:10.1103/PhysRevB.68.140101.
    """
    density = power(x)
    inside = density[support]
    if inside.numel() == 0:
        return support
    smooth = level.smoother(density.sqrt(), sigma)
    fresh = smooth > torch.maximum(threshold * inside.mean().sqrt(), floor * smooth.max())
    return fresh if bool(fresh.any()) else support


def clipped(x: Tensor, support: Tensor, limit: float) -> Tensor:
    """Return ``x`` with amplitudes inside ``support`` cut to ``limit`` × their rms; (1, n0, n1, n2)."""
    density = power(x)
    highest = limit**2 * density[support].mean()
    return torch.where(support, x * (highest / density.clamp_min(highest)).sqrt(), x)


def iterate(level: Level, x: Tensor, support: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Run ``recipe``; return object and support, both (1, n0, n1, n2), corner order, about the origin."""
    first, last = recipe.sigma
    for done in range(0, recipe.iterations, recipe.every):
        share = done / recipe.iterations
        step = level.engine.hio if share < recipe.hio_share else level.engine.raar
        x = step(x, support, recipe.every, recipe.beta)
        if recipe.clip:
            x = clipped(x, support, recipe.clip)
        width = first * (last / first) ** share
        support = wrap(level, x, support, width, recipe.threshold, recipe.floor)
    x = level.engine.er(x, support, recipe.settle)
    level.iterations += recipe.iterations + recipe.settle
    return about_origin(x, support)


def support_of(
    level: Level, x: Tensor, sigma: float = 1.0, threshold: float = 0.25, floor: float = 0.15
) -> Tensor:
    """Return a support for a guess: above ``threshold`` × the rms of the voxels that hold its mass."""
    amplitude = power(x).sqrt()
    heavy = amplitude > 0.1 * amplitude.max()
    return wrap(level, x, heavy, sigma, threshold, floor) if bool(heavy.any()) else torch.ones_like(heavy)
