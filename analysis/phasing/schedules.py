"""One pattern at several resolutions, and the sequences of projections that were found to work on them.

A level is a central crop in q, the same box with larger voxels. A recipe says how many iterations of HIO,
RAAR and error reduction an object gets, and how its support is updated between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.phasing.config import DEFAULT, LevelConfig
from analysis.phasing.projections import SPACE, Engine, Smoother, about_origin, power, to_centre, to_corner


def _window(n: int, wanted: int) -> slice:
    return slice(n // 2 - wanted // 2, n // 2 - wanted // 2 + wanted)


def crop(array: Tensor, shape: Sequence[int]) -> Tensor:
    """Cut the centre of ``array`` (…, n0, n1, n2), corner order, in corner order: q = 0 stays q = 0."""
    a, b, c = (_window(n, m) for n, m in zip(array.shape[-3:], shape, strict=True))
    return to_corner(to_centre(array)[..., a, b, c])


def pad(array: Tensor, shape: Sequence[int]) -> Tensor:
    """Surround ``array`` (…, m0, m1, m2), corner order, with zeros to ``shape``; the inverse of `crop`."""
    grown = torch.zeros((*array.shape[:-3], *shape), dtype=array.dtype, device=array.device)
    a, b, c = (_window(n, m) for n, m in zip(shape, array.shape[-3:], strict=True))
    grown[..., a, b, c] = to_centre(array)
    return to_corner(grown)


def resample(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Bring objects (…, n0, n1, n2) complex64, corner order, to another number of voxels in the same box.

    Finer by zeros around the transform, coarser by cutting it: the moduli of the common q stay what they are.
    """
    field = torch.fft.fftn(x, dim=SPACE)
    smaller = [min(a, b) for a, b in zip(x.shape[-3:], shape, strict=True)]
    return torch.fft.ifftn(pad(crop(field, smaller), shape), dim=SPACE)


def coarsest(
    full: Sequence[int],
    reach: Sequence[float] = (0.5, 0.5, 0.5),
    signal: Tensor | None = None,
    config: LevelConfig = DEFAULT.level,
) -> tuple[int, int, int]:
    """Return the shape of the coarsest level.

    Parameters
    ----------
    full : three int
        Of the measured array.
    reach : three float
        Extent of the crystal as a fraction of each axis, 0.5 where unknown: an axis on which it is thin
        starts with more voxels, so that the crystal is never thinner than ``config.thinnest`` of them.
    signal : Tensor, (n0, n1, n2), counts less background, corner order, optional
        An axis also gets voxels until no more than ``config.cut`` of it lies further out: a steep phase
        scatters far from the centre, and a narrower crop would be a pattern that no compact object has.
    """
    a, b, c = (_coarsest(n, r, config) for n, r in zip(full, reach, strict=True))
    if signal is not None:
        a, b, c = (
            _holding(signal.sum(dim=d), m, config)
            for d, m in zip(((1, 2), (0, 2), (0, 1)), (a, b, c), strict=True)
        )
    return a, b, c


def _coarsest(n: int, reach: float, config: LevelConfig) -> int:
    needed = config.step * math.ceil(config.thinnest / (config.step * max(reach, 1e-3)))
    return min(n, max(config.coarsest, needed))


def _holding(profile: Tensor, least: int, config: LevelConfig) -> int:
    """Return the voxels, ``least`` or more, that hold ``profile`` (n,), corner order, but a share ``cut``."""
    line, n = to_centre(profile[None, None])[0, 0], len(profile)
    while least < n and line[_window(n, least)].sum() < (1 - config.cut) * line.sum():
        least = min(n, least + config.step)
    return least


def finer(shape: Sequence[int], full: Sequence[int]) -> tuple[int, int, int]:
    """Return the shape of the next level: twice the voxels, at most ``full``."""
    a, b, c = (min(n, 2 * m) for n, m in zip(full, shape, strict=True))
    return a, b, c


class Level:
    """Engine, mask and smoother of one resolution.

    Parameters
    ----------
    amplitude : Tensor, (n0, n1, n2) float32, √counts, corner order, full resolution
    mask : Tensor, (n0, n1, n2) bool, corner order, full resolution
    shape : three int
        Of this level.
    """

    def __init__(self, amplitude: Tensor, mask: Tensor, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.mask = crop(mask, shape)
        self.engine = Engine(crop(amplitude, shape), self.mask)
        self.smoother = Smoother(shape, amplitude.device)
        self.iterations = 0

    def set_amplitude(self, amplitude: Tensor) -> None:
        """Use another full-resolution ``amplitude`` (n0, n1, n2) float32, corner order."""
        self.engine.set_amplitude(crop(amplitude, self.shape))


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
    exponent, faintest : float
        After each update amplitudes inside the support that are above ``faintest`` × their rms are raised to
        this power (`flattened`): one crystal has hardly any contrast, what stagnates has stripes and peaks.
    """

    iterations: int = 400
    hio_share: float = 0.7
    every: int = 100
    threshold: float = 0.4
    sigma: tuple[float, float] = (2.0, 0.5)
    beta: float = 0.7
    settle: int = 40
    floor: float = 0.2
    exponent: float = 1.0
    faintest: float = 0.05


# Numbers of the recipes: chosen on calibration crystals, as `config` says.
HIO_WRAPPED = Recipe(
    iterations=600, hio_share=1.0, every=5, threshold=0.2, sigma=(1.5, 0.6), settle=0, floor=0.15
)
"""Leads a start to an object: HIO, the support updated every few iterations, its threshold too low to
collapse."""

HIO_FLATTENED = replace(HIO_WRAPPED, exponent=0.9)
"""The same with amplitudes flattened, for crystals in which bright peaks would form."""

FILL = Recipe(iterations=100, hio_share=0.0, every=50, threshold=0.2, sigma=(1.0, 0.7), floor=0.15)
"""For objects that agree: adds the faint parts that a tight support leaves out."""

FLATTEN = (
    replace(FILL, iterations=90, every=30, sigma=(0.8, 0.8), settle=0, exponent=0.0, faintest=0.3),
    replace(FILL, iterations=40, every=20, settle=20),
)
"""Removes stripes, in which projections stagnate; then RAAR returns to the measured moduli."""

TIGHTEN = replace(FILL, iterations=60, every=20, threshold=0.3, sigma=(1.0, 0.5), floor=0.2)
"""Removes from the support the faint voxels that noise has put there."""

LOOSEN = replace(FLATTEN[0], iterations=24, every=8, threshold=0.15, beta=0.8, floor=0.05, faintest=0.6)
"""Loosens a support that HIO left too tight: adds parts that are faint only because they are still wrong."""

LOOSEN_LONG = replace(LOOSEN, iterations=96, settle=8)
"""The same for an object that no longer changes while its χ² is too large."""

REFINE = replace(LOOSEN, threshold=0.25, floor=0.15, settle=8)
"""For an object that is nearly right, after a change of level; descent to the counts follows."""

SETTLE = (
    LOOSEN,
    replace(FILL, iterations=50, threshold=0.25, sigma=(1.0, 0.5), beta=0.9, settle=20, floor=0.2),
)
"""From HIO to the lowest χ², which more HIO would leave again."""

CONVERGE = Recipe(
    iterations=200, hio_share=0.0, every=50, threshold=0.25, sigma=(1.0, 0.5), beta=0.9, settle=30
)
"""Iterates until an object does not change any more, for means over many."""

STRATEGIES = ((HIO_WRAPPED, *SETTLE), (HIO_FLATTENED, *SETTLE))
"""What starts go through in turn: each solves crystals that the other does not."""

QUICK_STRATEGIES, NEAR_STRATEGIES = (
    tuple((replace(first, iterations=iterations), *settle) for first, *settle in STRATEGIES)
    for iterations in (150, 400)
)
"""The same for starts that begin near an object: enough for most crystals, and what the others need."""


def wrap(level: Level, x: Tensor, support: Tensor, sigma: float, threshold: float, floor: float) -> Tensor:
    """Return a new support, bool: shrink wrap, after Marchesini et al. 2003, doi:10.1103/PhysRevB.68.140101.

    The voxels whose amplitude, smoothed by a Gaussian of ``sigma`` voxels, exceeds both ``threshold`` × the
    rms amplitude inside ``support`` and ``floor`` × its own maximum (see `Recipe`).
    """
    density = power(x)
    inside = density[support]
    if inside.numel() == 0:
        return support
    smooth = level.smoother(density.sqrt(), sigma)
    fresh = smooth > torch.maximum(threshold * inside.mean().sqrt(), floor * smooth.max())
    return fresh if bool(fresh.any()) else support


def flattened(x: Tensor, support: Tensor, exponent: float, faintest: float) -> Tensor:
    """Return ``x`` with less contrast: amplitudes raised to the power ``exponent``, phases as they are.

    Amplitudes count in units of their rms inside ``support`` (1, n0, n1, n2) bool; those outside it, and
    those below ``faintest``, stay.
    """
    density = power(x) / power(x)[support].mean()
    strong = support & (density > faintest**2)
    return torch.where(strong, x * density.clamp_min(faintest**2) ** ((exponent - 1) / 2), x)


def iterate(level: Level, x: Tensor, support: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Run ``recipe``; return object and support, both (1, n0, n1, n2), corner order, about the origin."""
    first, last = recipe.sigma
    for done in range(0, recipe.iterations, recipe.every):
        share = done / recipe.iterations
        step = level.engine.hio if share < recipe.hio_share else level.engine.raar
        if recipe.exponent < 1:
            x = flattened(x, support, recipe.exponent, recipe.faintest)
        x = step(x, support, recipe.every, recipe.beta)
        width = first * (last / first) ** share
        support = wrap(level, x, support, width, recipe.threshold, recipe.floor)
    x = level.engine.er(x, support, recipe.settle)
    level.iterations += recipe.iterations + recipe.settle
    return about_origin(x, support)


def support_of(
    level: Level, x: Tensor, sigma: float = 1.0, threshold: float = 0.25, floor: float = 0.15
) -> Tensor:
    """Return a support for a guess: `wrap` about the voxels above a tenth of its largest amplitude."""
    amplitude = power(x).sqrt()
    heavy = amplitude > 0.1 * amplitude.max()
    return wrap(level, x, heavy, sigma, threshold, floor) if bool(heavy.any()) else torch.ones_like(heavy)
