"""One pattern at several resolutions: central crops in q are the same box with larger voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.phasing.engine import SPACE, Engine, to_centre, to_corner
from analysis.phasing.support import Smoother

COARSEST = 32
"""Voxels per axis of the coarsest level: the network's box."""

THINNEST = 10
"""Voxels across the crystal on the coarsest level."""

CUT = 0.01
"""Share of the counts that the coarsest level may cut off along an axis."""

STEP = 8
"""The coarsest level has a multiple of so many voxels: sizes that transform fast."""


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
    full: Sequence[int], reach: Sequence[float] = (0.5, 0.5, 0.5), signal: Tensor | None = None
) -> tuple[int, int, int]:
    """Return the shape of the coarsest level.

    Parameters
    ----------
    full : three int
        Of the measured array.
    reach : three float
        Extent of the crystal as a fraction of each axis, 0.5 where unknown: an axis on which it is thin
        starts with more voxels, so that the crystal is never thinner than `THINNEST` of them.
    signal : Tensor, (n0, n1, n2), counts less background, corner order, optional
        An axis also gets voxels until no more than `CUT` of it lies further out: of a steep phase a crop
        that is narrower shows a part that no compact object explains.
    """
    a, b, c = (_coarsest(n, r) for n, r in zip(full, reach, strict=True))
    if signal is not None:
        a, b, c = (
            _holding(signal.sum(dim=d), m) for d, m in zip(((1, 2), (0, 2), (0, 1)), (a, b, c), strict=True)
        )
    return a, b, c


def _coarsest(n: int, reach: float) -> int:
    needed = STEP * math.ceil(THINNEST / (STEP * max(reach, 1e-3)))
    return min(n, max(COARSEST, needed))


def _holding(profile: Tensor, least: int) -> int:
    """Return how many voxels, ``least`` or more, hold the ``profile`` (n,), corner order, but for `CUT`."""
    line, n = to_centre(profile[None, None])[0, 0], len(profile)
    while least < n and line[_window(n, least)].sum() < (1 - CUT) * line.sum():
        least = min(n, least + STEP)
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

    def chi_squared(self, x: Tensor) -> float:
        """Return χ² of one object (1, n0, n1, n2) against this level's amplitude."""
        return float(self.engine.chi_squared(x)[0])
