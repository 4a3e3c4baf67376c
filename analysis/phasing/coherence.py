"""How much the beam's partial coherence blurs the pattern: one width, fitted to an object at hand.

After Clark et al. 2012, doi:10.1038/ncomms1994, with a Gaussian in place of a free kernel: one number cannot
explain away a wrong object.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.phasing.engine import SPACE
from analysis.phasing.kernels import PixelKernel, lag_transfer

GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Standard deviations that are tried, in voxels of q."""

NEGLIGIBLE = 0.08
"""Below this width, in voxels, the blur cannot be told from none: coherence 0.97 at the largest lag."""


def fit_coherence(
    x: Tensor,
    amplitude: Tensor,
    measured: Tensor,
    widths: Sequence[float],
    background: Tensor | float = 0.0,
    grid: Sequence[float] = GRID,
) -> tuple[float, float]:
    """Return (σ in voxels, χ² there) of the isotropic Gaussian blur that explains the pattern best.

    Parameters
    ----------
    x : Tensor, (n0, n1, n2) complex64, corner order
    amplitude, measured : Tensor, (n0, n1, n2) float32
        √counts, and 1 where measured.
    widths : three float
        Known widths of the voxel.
    background : Tensor or float, counts
    grid : sequence of float, voxels
        Increasing; a parabola through the best and its neighbours refines it.
    """
    kernel = PixelKernel(x.shape, widths, (1.0, 1.0, 1.0), x.device)
    correlation = kernel.fine_correlation(x)
    total = (amplitude.square() * measured).sum().clamp_min(1e-12)

    def misfit(sigma: float) -> float:
        transfer = lag_transfer(kernel.shape, kernel.grown, widths, (sigma,) * 3, x.device)
        fine = torch.fft.irfftn(correlation * transfer, s=kernel.grown, dim=SPACE)
        root = (fine[::2, ::2, ::2].clamp_min(0) + background).sqrt_()
        return float(((root - amplitude) * measured).square().sum() / total)

    values = [misfit(s) for s in grid]
    best = min(range(len(grid)), key=values.__getitem__)
    sigma = _vertex(grid, values, best)
    return (sigma, misfit(sigma)) if sigma > NEGLIGIBLE else (0.0, values[0] if grid[0] == 0 else misfit(0.0))


def _vertex(grid: Sequence[float], values: Sequence[float], best: int) -> float:
    """Return the minimum of the parabola in σ² through the best point and its neighbours."""
    if best in (0, len(grid) - 1):
        return float(grid[best])
    (a, b, c), (u, v, w) = (s**2 for s in grid[best - 1 : best + 2]), values[best - 1 : best + 2]
    top = u * (b**2 - c**2) + v * (c**2 - a**2) + w * (a**2 - b**2)
    bottom = u * (b - c) + v * (c - a) + w * (a - b)
    return float(max(top / (2 * bottom), 0.0) ** 0.5) if abs(bottom) > 0 else float(grid[best])
