"""A measured pattern, its checks, and the blur of partial coherence that explains it best.

What cannot be phased is refused in words. The blur is after Clark et al. 2012, doi:10.1038/ncomms1994, with
a Gaussian in place of a free kernel: two numbers cannot explain away a wrong object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from analysis.phasing.forward import (
    PixelKernel,
    amplitude_chi_squared,
    deconvolved,
    lag_transfer,
    root_variance,
)
from analysis.phasing.projections import DEVICE, SPACE, to_corner
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

SMALLEST, LARGEST = 32, 256
"""Voxels per axis that can be reconstructed."""

MOST = 1e12
"""Counts in a voxel that no detector gives; squares of more do not fit into single precision."""


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
        As measured, background included; 0 where not measured. Over the flat field where one was given:
        (√(g·I) − √n)² is g·(√I − √(n/g))², so that the model of raw counts n is that of n/g weighted with g.
    mask : Tensor, (n0, n1, n2) bool
        True where not measured.
    background : Tensor, (n0, n1, n2) float32, counts
        Of a pixel that counts all; a dark image that was given is in it.
    widths : three float
        Voxel widths in units of the pitch.
    gain : Tensor, (n0, n1, n2) float32, optional
        The flat field that was given.
    raw : Tensor, (n0, n1, n2) float32, optional
        The counts as they came, where a flat field was given.
    not_counts : tuple of str
        What speaks against counts as they were read (`counting.not_counted`).
    """

    counts: Tensor
    mask: Tensor
    background: Tensor
    widths: tuple[float, float, float]
    gain: Tensor | None = None
    raw: Tensor | None = None
    not_counts: tuple[str, ...] = ()

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
        gain, raw = (None if a is None else crop(a, shape) for a in (self.gain, self.raw))
        return Pattern(counts, mask, background, self.widths, gain, raw, self.not_counts)

    @property
    def as_counted(self) -> Tensor:
        """The counts as they came, (n0, n1, n2) float32."""
        return self.counts if self.raw is None else self.raw

    @property
    def weight(self) -> Tensor:
        """How far a step of descent goes to each voxel's counts, (n0, n1, n2) float32; 0 where not measured.

        1, or the gain of a pixel that counts less than the others: what it says is noisier.
        """
        measured = (~self.mask).float()
        return measured if self.gain is None else measured * self.gain.clamp_max(1)

    def responding(self, predicted: Tensor) -> Tensor:
        """Return what a detector that counts evenly would count, ``predicted``, as this one counts it."""
        return predicted if self.gain is None else predicted * self.gain

    def scatter(self) -> NDArray[np.float64]:
        """Return the variance of √counts that counting alone makes, (n0, n1, n2) float64."""
        variance = root_variance(self.as_counted.cpu().numpy())
        return variance if self.gain is None else variance / self.gain.cpu().numpy()

    def corrected(self, factor: Tensor) -> Pattern:
        """Return what would have been counted had the response ``factor``, (n0, n1, n2), been 1."""
        return replace(self, counts=self.counts / factor, background=self.background / factor)

    def amplitude(self, sigma: Triple = COHERENT) -> Tensor:
        """Return the point-sample amplitude, √counts, less background, voxel width and blur deconvolved."""
        signal = (self.counts - self.background).clamp_min(0).sqrt()
        return deconvolved(signal, self.mask, self.widths, sigma)


def checked_pattern(
    intensity: ArrayLike,
    mask: ArrayLike | None,
    pixel_kernel: Sequence[float] | None,
    background: ArrayLike | None,
    flat_field: ArrayLike | None = None,
    dark: ArrayLike | None = None,
) -> Pattern:
    """Return the measurement in corner order, or raise a ValueError that says what is wrong with it.

    What a masked array hides was not measured, either; nor was it where a flat field is not above 0.
    """
    counts = _checked_shape(intensity)
    hidden = checked_mask(mask, counts.shape) | np.ma.getmaskarray(np.ma.asarray(intensity))
    gain = None
    if flat_field is not None:
        gain, blind = checked_gain(flat_field, counts.shape, hidden)
        hidden = hidden | blind
    _check_counts(counts, hidden)
    expected = _checked_background(background, counts.shape)
    if dark is not None:
        expected = expected + _checked_background(dark, counts.shape, "dark image") / (
            1 if gain is None else gain
        )
    counts = np.where(hidden, 0, counts).astype(np.float32)
    if not expected.mean(dtype=float) < counts[~hidden].mean(dtype=float):
        raise ValueError(
            f"the background must be below the measured counts, {counts[~hidden].mean():.4g} a voxel in the "
            f"mean; got {expected.mean():.4g}: give it in counts per voxel, as the pattern is"
        )
    pattern = Pattern(
        counts=to_corner(torch.from_numpy(counts)).to(DEVICE),
        mask=to_corner(torch.from_numpy(hidden)).to(DEVICE),
        background=to_corner(torch.from_numpy(expected)).to(DEVICE),
        widths=_checked_widths(pixel_kernel),
    )
    if gain is None:
        return pattern
    response = to_corner(torch.from_numpy(gain)).to(DEVICE)
    return replace(pattern, counts=pattern.counts / response, gain=response, raw=pattern.counts)


def checked_gain(
    flat_field: ArrayLike, shape: tuple[int, ...], hidden: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a flat field over its mean where measured, and where it is blind.

    Parameters
    ----------
    flat_field : array_like, (n1, n2) or (n0, n1, n2)
        What each pixel counts of the same light, in any unit.
    shape : tuple of int
        (n0, n1, n2) of the intensity.
    hidden : ndarray, (n0, n1, n2) bool
        True where nothing was measured.

    Returns
    -------
    tuple of ndarray
        Gain, (n0, n1, n2) float32, 1 where blind; and where it is not above 0, bool.
    """
    gain = np.asarray(flat_field, np.float64)
    if gain.shape not in (shape[1:], shape):
        raise ValueError(
            f"the flat field must have the shape of a frame, {shape[1:]!r}, or of the intensity, {shape!r}; "
            f"got {gain.shape!r}: crop it with the intensity"
        )
    gain = np.broadcast_to(gain, shape)
    blind = ~(np.isfinite(gain) & (gain > 0))
    lit = ~(blind | hidden)
    if not lit.any():
        raise ValueError("the flat field must be above 0 where counts were measured; it is nowhere")
    return np.where(blind, 1, gain / gain[lit].mean()).astype(np.float32), blind


def with_monitor(
    flat_field: ArrayLike | None, monitor: ArrayLike | None, shape: tuple[int, ...]
) -> ArrayLike | None:
    """Return what each pixel counts in each frame, (n0, n1, n2), the ``monitor`` (n0,) in the flat field."""
    if monitor is None:
        return flat_field
    each = np.asarray(monitor, np.float64)
    if each.shape != shape[:1] or not (np.isfinite(each) & (each > 0)).all():
        raise ValueError(
            f"the monitor must be a number above 0 for each of the {shape[0]} frames; got the shape "
            f"{each.shape!r}, a least value of {np.min(each, initial=np.inf):g}: mask frames without a beam, "
            "and give 1 for them"
        )
    gain = np.ones(shape[1:]) if flat_field is None else np.asarray(flat_field, np.float64)
    return np.asarray(each[:, None, None] * gain)


def _checked_shape(intensity: ArrayLike) -> NDArray[Any]:
    counts = np.asarray(intensity)
    if counts.ndim != 3:
        raise ValueError(
            f"intensity must have three axes (rocking, row, column); got the shape {counts.shape!r}: "
            "stack the frames of one rocking scan"
        )
    if min(counts.shape) < SMALLEST or max(counts.shape) > LARGEST:
        raise ValueError(
            f"every axis of the intensity must have {SMALLEST} to {LARGEST} voxels; got {counts.shape!r}: "
            "crop or pad about the peak"
        )
    if not (np.issubdtype(counts.dtype, np.integer) or np.issubdtype(counts.dtype, np.floating)):
        raise ValueError(f"intensity must be real counts; got the type {counts.dtype!r}: pass abs(field)²")
    return counts


def checked_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where nothing was measured, bool, or raise a ValueError that says what is wrong with it."""
    if mask is None:
        return np.zeros(shape, bool)
    hidden = np.asarray(mask)
    if hidden.shape != shape:
        raise ValueError(
            f"the mask must have the shape of the intensity, {shape!r}; got {hidden.shape!r}: "
            "crop it with the intensity"
        )
    if hidden.dtype.kind not in "biu" and not np.isin(hidden, (0, 1)).all():
        raise ValueError(
            f"the mask must be True or 1 where a voxel was NOT measured, False or 0 elsewhere; got numbers "
            f"of the type {hidden.dtype!r}, among them {hidden[~np.isin(hidden, (0, 1))].flat[0]!r}"
        )
    hidden = hidden.astype(bool)
    if hidden.all():
        raise ValueError("at least one voxel must be measured; the mask hides all: True means NOT measured")
    return hidden


def _check_counts(counts: NDArray[Any], hidden: NDArray[np.bool_]) -> None:
    measured = counts[~hidden]
    if not np.all(np.isfinite(measured)):
        bad = int(np.count_nonzero(~np.isfinite(measured)))
        raise ValueError(f"measured counts must be finite; got {bad!r} NaN or infinite voxels: mask them")
    if measured.min() < 0:
        raise ValueError(
            f"counts must not be negative; got a smallest value of {measured.min():g}: pass raw counts and "
            "give the background beside them instead of subtracting it"
        )
    if measured.max() > MOST:
        raise ValueError(
            f"counts must be at most {MOST:.0e} in a voxel; got {measured.max():.4g}: pass photons as counted"
        )
    if measured.max() <= 0:
        raise ValueError(
            "the pattern must hold counts; got zeros in every measured voxel: look at the shutter"
        )
    _check_order(np.where(hidden, 0, counts))


def _check_order(counts: NDArray[Any]) -> None:
    """Refuse a pattern that lies about index 0 instead of the centre: one in the order of an FFT."""
    # A quarter of every axis about index 0: 1/64 of the voxels.
    first = np.ix_(*(np.minimum(np.arange(n), n - np.arange(n)) <= n // 8 for n in counts.shape))
    if counts[first].sum() > 0.5 * counts.sum():
        raise ValueError(
            "q = 0 must be at index n // 2 of every axis; most counts lie about index 0, as an FFT orders "
            "them: pass np.fft.fftshift(intensity), and the mask likewise"
        )


def _checked_background(
    background: ArrayLike | None, shape: tuple[int, ...], what: str = "background"
) -> NDArray[np.float32]:
    expected = np.asarray(0.0 if background is None else background, np.float32)
    if not np.all(np.isfinite(expected)) or expected.min() < 0:
        raise ValueError(
            f"the {what} must be finite expected counts of at least 0; "
            f"got a smallest value of {expected.min():g}: estimate it again"
        )
    try:
        return np.ascontiguousarray(np.broadcast_to(expected, shape))
    except ValueError as error:
        raise ValueError(
            f"the {what} must be one number or an array that fits {shape!r}; got {expected.shape!r}"
        ) from error


def _checked_widths(pixel_kernel: Sequence[float] | None) -> tuple[float, float, float]:
    try:
        widths = tuple(float(w) for w in ((0.0, 0.0, 0.0) if pixel_kernel is None else pixel_kernel))
    except (TypeError, ValueError):
        widths = ()
    if len(widths) != 3 or not all(0 <= w <= 2 for w in widths):
        raise ValueError(
            f"the pixel kernel must be three voxel widths between 0 and 2 pitches; got {pixel_kernel!r}"
        )
    return widths[0], widths[1], widths[2]
