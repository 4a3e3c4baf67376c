"""A measured pattern, and the blur of partial coherence that explains it best.

After Clark et al. 2012, doi:10.1038/ncomms1994, with a Gaussian in place of a free kernel: two numbers
cannot explain away a wrong object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.phasing.pixel_kernel import PixelKernel, deconvolved, lag_transfer
from analysis.phasing.projections import SPACE
from analysis.phasing.residual import amplitude_chi_squared
from analysis.phasing.schedules import crop

Triple = tuple[float, float, float]

COHERENT: Triple = (0.0, 0.0, 0.0)
"""No blur."""

GRID = (0.0, 0.2, 0.4, 0.6)
"""Standard deviations that are tried along each axis, in voxels of q, before a parabola refines them."""

FINE_GRID = tuple(0.1 * n for n in range(8))
"""The same where the error of a parabola through points as far apart as those of `GRID` counts."""

TIED = ((1, 2), (0,))
"""Axes that share a width: the beam's transverse coherence blurs rows and columns of the detector alike."""

NEGLIGIBLE = 0.1
"""Below this width, in voxels, a blur cannot be told from none."""


def fit_coherence(
    x: Tensor,
    amplitude: Tensor,
    measured: Tensor,
    widths: Sequence[float],
    background: Tensor | float = 0.0,
    *,
    extent: Sequence[float] = (1.0, 1.0, 1.0),
    start: Triple = COHERENT,
    sweeps: int = 1,
    grid: Sequence[float] = GRID,
) -> tuple[Triple, float]:
    """Return (σ per axis in voxels, χ² there) of the Gaussian blur that explains the pattern best.

    Parameters
    ----------
    x : Tensor, (n0, n1, n2) complex64, corner order
    amplitude, measured : Tensor, (n0, n1, n2) float32
        √counts, and 1 where measured.
    widths : three float
        Known widths of the voxel.
    background : Tensor or float, counts
    extent : three float
        Of the object, as a fraction of each axis: where it is below one half nothing need be finer.
    start : three float, voxels
        Where the other axes stand while the first is fitted.
    sweeps : int
        How often all axes are fitted in turn.
    grid : sequence of float, voxels
        The standard deviations to try.
    """
    misfit = _Misfit(x, amplitude, measured, widths, background, extent)
    sigma = list(start)
    for _ in range(sweeps):
        for axes in TIED:
            trial = [tuple(s if a in axes else sigma[a] for a in range(3)) for s in grid]
            best = _vertex(grid, [misfit(t) for t in trial])
            sigma = [best if a in axes else sigma[a] for a in range(3)]
    final = (sigma[0], sigma[1], sigma[2])
    return final, misfit(final)


class _Misfit:
    """χ² of one object as a function of the blur; the autocorrelation is computed once."""

    def __init__(
        self,
        x: Tensor,
        amplitude: Tensor,
        measured: Tensor,
        widths: Sequence[float],
        background: Tensor | float,
        extent: Sequence[float],
    ) -> None:
        self.kernel = PixelKernel(x.shape, widths, (1.0, 1.0, 1.0), extent=extent, device=x.device)
        self.correlation = self.kernel.fine_correlation(x)
        self.amplitude, self.measured, self.background = amplitude, measured, background

    def __call__(self, sigma: Sequence[float]) -> float:
        kernel = self.kernel
        transfer = lag_transfer(kernel.shape, kernel.grown, kernel.widths, sigma, self.amplitude.device)
        fine = torch.fft.irfftn(self.correlation * transfer, s=kernel.grown, dim=SPACE)
        root = (self.kernel.measured(fine).clamp_min(0) + self.background).sqrt_()
        return float(amplitude_chi_squared(root, self.amplitude, self.measured))


def _vertex(grid: Sequence[float], values: Sequence[float]) -> float:
    """Return the σ at the minimum of the parabola in σ² through the best point and its neighbours."""
    best = min(max(min(range(len(grid)), key=values.__getitem__), 1), len(grid) - 2)
    (a, b, c), (u, v, w) = (s**2 for s in grid[best - 1 : best + 2]), values[best - 1 : best + 2]
    # Newton's form: slope and curvature from divided differences.
    first, second = (v - u) / (b - a), (w - v) / (c - b)
    curvature = (second - first) / (c - a)
    if curvature <= 0:
        return float(grid[min(range(len(grid)), key=values.__getitem__)])
    lowest = (a + b) / 2 - first / (2 * curvature)
    sigma = min(max(lowest, 0.0), grid[-1] ** 2) ** 0.5
    return float(sigma) if sigma > NEGLIGIBLE else 0.0


COHERENCE_GUESSES = (0.1, 0.0)
"""Blur widths across the beam, voxels, that the starts of a detector frame try in turn: rather too narrow
than too wide, for HIO leaves even the true object where too much blur was taken away."""


@dataclass(frozen=True)
class Pattern:
    """What phasing needs to know of a measurement; arrays in corner order.

    Parameters
    ----------
    counts : Tensor, (n0, n1, n2) float32
        As measured, background included; 0 where not measured.
    mask : Tensor, (n0, n1, n2) bool
        True where not measured.
    background : Tensor, (n0, n1, n2) float32, counts
    widths : three float
        Voxel widths in units of the pitch.
    """

    counts: Tensor
    mask: Tensor
    background: Tensor
    widths: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels per axis."""
        a, b, c = self.counts.shape
        return a, b, c

    @property
    def blurred(self) -> bool:
        """Whether the voxels have a width."""
        return max(self.widths) > 0

    def coherence_guesses(self) -> list[Triple]:
        """Return the blurs to try first: none, or across the beam, where pixels have a width."""
        if not self.blurred:
            return [COHERENT]
        a, b, c = (float(w > 0) for w in self.widths)
        return [(a * s, b * s, c * s) for s in COHERENCE_GUESSES]

    def cropped(self, shape: Sequence[int]) -> Pattern:
        """Return the centre of q, ``shape`` voxels of it."""
        counts, mask, background = (crop(a, shape) for a in (self.counts, self.mask, self.background))
        return Pattern(counts, mask, background, self.widths)

    def corrected(self, factor: Tensor) -> Pattern:
        """Return what would have been counted had the response ``factor``, (n0, n1, n2), been 1."""
        return replace(self, counts=self.counts / factor, background=self.background / factor)

    def amplitude(self, sigma: Triple = COHERENT) -> Tensor:
        """Return the point-sample amplitude, √counts, less background, voxel width and blur deconvolved."""
        signal = (self.counts - self.background).clamp_min(0).sqrt()
        return deconvolved(signal, self.mask, self.widths, sigma)
