"""A measured pattern as the search and the refinement see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from analysis.phasing.coherence import COHERENT, Triple
from analysis.phasing.kernels import free_of_blur
from analysis.phasing.levels import crop

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

    def evened(self, factor: Tensor) -> Pattern:
        """Return what would have been counted had the response ``factor``, (n0, n1, n2), been 1."""
        return replace(self, counts=self.counts / factor, background=self.background / factor)

    def amplitude(self, sigma: Triple = COHERENT) -> Tensor:
        """Return the point-sample amplitude, √counts, less background and freed of voxel width and blur."""
        signal = (self.counts - self.background).clamp_min(0).sqrt()
        return free_of_blur(signal, self.mask, self.widths, sigma)
