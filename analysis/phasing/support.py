"""Supports: where the crystal may be.

Initial boxes from the autocorrelation or of given extents, and where a support lies on its periodic box.  All
arrays in corner order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.phasing.engine import SPACE, power


def frequencies(shape: Sequence[int], device: torch.device | None = None) -> list[Tensor]:
    """Return the three signed index axes divided by n (cycles per voxel), each broadcastable to ``shape``."""
    axes = []
    for axis, n in enumerate(shape):
        view = [1, 1, 1]
        view[axis] = n
        axes.append(torch.fft.fftfreq(n, device=device).reshape(view))
    return axes


class Smoother:
    """Periodic Gaussian smoothing of real fields (…, n0, n1, n2) float32; keeps its frequency axes."""

    def __init__(self, shape: Sequence[int], device: torch.device | None = None) -> None:
        f0, f1, f2 = frequencies(shape, device)
        self.shape = tuple(shape)
        self._squared = f0**2 + f1**2 + f2[..., : shape[2] // 2 + 1] ** 2

    def __call__(self, field: Tensor, sigma: float) -> Tensor:
        """Return ``field`` smoothed by a Gaussian of standard deviation ``sigma`` voxels."""
        if sigma <= 0:
            return field
        transfer = torch.exp(-2 * (torch.pi * sigma) ** 2 * self._squared)
        return torch.fft.irfftn(torch.fft.rfftn(field, dim=SPACE) * transfer, s=self.shape, dim=SPACE)


def box(shape: Sequence[int], extent: Sequence[float], device: torch.device | None = None) -> Tensor:
    """Return a box about the origin, (n0, n1, n2) bool; ``extent`` is its edge as a fraction of each axis."""
    inside = torch.ones(tuple(shape), dtype=torch.bool, device=device)
    for f, e in zip(frequencies(shape, device), extent, strict=True):
        inside &= f.abs() <= e / 2
    return inside


def autocorrelation(amplitude: Tensor) -> Tensor:
    """Return abs(IFFT(I)), (n0, n1, n2) float32, normalised to 1 at zero lag."""
    correlation = power(torch.fft.fftn(amplitude**2, dim=SPACE)).sqrt_()
    return correlation / correlation.flatten()[0]


def autocorrelation_extent(amplitude: Tensor, level: float = 0.01) -> list[float]:
    """Return half the width of the autocorrelation above ``level`` along each axis, fractions of the box.

    An object's autocorrelation is twice as wide as the object; below 2 × oversampling it wraps and fills the
    axis (fraction 0.5): then the true extent is at least that and unknown.
    """
    above = autocorrelation(amplitude) > level
    extents = []
    for axis, f in enumerate(frequencies(above.shape, above.device)):
        others = tuple(a for a in range(3) if a != axis)
        reach = f.flatten().abs()[above.any(dim=others[1]).any(dim=others[0])].max()
        extents.append(float(reach))
    return extents


def extent_of(support: Tensor) -> tuple[float, float, float]:
    """Return the edges of a periodic support (n0, n1, n2) bool, as fractions of the axes."""
    a, b, c = (length / n for (_, length), n in zip(_stretches(support), support.shape, strict=True))
    return a, b, c


def about_origin(x: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``x`` and ``support``, both (1, n0, n1, n2), moved by whole voxels to lie about the origin.

    A support that follows its object may carry it across the edge of the box; on a finer q grid, whose box is
    wider, its two halves would no longer meet.
    """
    shift = [-(first + length // 2) if length else 0 for first, length in _stretches(support[0])]
    if not any(shift):
        return x, support
    return torch.roll(x, shift, dims=SPACE), torch.roll(support, shift, dims=SPACE)


def _stretches(support: Tensor) -> list[tuple[int, int]]:
    """Return (first index, length) of what a periodic support occupies along each axis, in voxels."""
    found = []
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        line = support.any(dim=others[1]).any(dim=others[0])
        filled = line.nonzero().squeeze(1)
        if filled.numel() == 0:
            found.append((0, 0))
            continue
        # On a ring, what is occupied is the ring less its longest empty stretch.
        gaps = torch.diff(torch.cat([filled, filled[:1] + line.numel()])) - 1
        widest = int(gaps.argmax())
        first = int(filled[(widest + 1) % filled.numel()])
        found.append((first, line.numel() - int(gaps[widest])))
    return found
