"""The forward model beyond the FFT, the voxel's width, and how far a prediction is from what was counted.

Integration over a pixel multiplies the autocorrelation by a sinc, partial coherence by a Gaussian.  An
autocorrelation is twice as wide as its object, so along a blurred axis it is formed on a box twice as
wide, which is a q grid twice as fine (docs/science.md section 3.6); elsewhere the plain grid is exact.

χ² and the noise ratio are written once: search, descent, calibration, training and the verdict all use
`squared_distance`, with numpy arrays or torch tensors. Amplitudes are √counts; what the counting noise is
expected to leave has an exact table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln
from torch import Tensor

from analysis.phasing.projections import SPACE, Smoother, frequencies, power

Axes = tuple[int, ...] | None


def squared_distance(predicted: Any, amplitude: Any, measured: Any = None, axes: Axes = None) -> Any:
    """Return Σ w(√I_p − √I_m)² over ``axes``, a number (or numbers) of the arrays' own kind.

    Parameters
    ----------
    predicted, amplitude : ndarray or Tensor, (…, n0, n1, n2), √counts
    measured : the same kind, broadcastable, optional
        1 where a voxel was measured, else 0.
    axes : tuple of int, optional
        All of them by default.
    """
    left = predicted - amplitude
    if measured is not None:
        left = left * measured
    return (left * left).sum(axes)


def amplitude_chi_squared(predicted: Any, amplitude: Any, measured: Any = None, axes: Axes = None) -> Any:
    """Return χ² = Σ(√I_p − √I_m)²/ΣI_m over measured voxels; parameters are those of `squared_distance`."""
    counts = amplitude * amplitude
    total = (counts if measured is None else counts * measured).sum(axes)
    floor = 1e-12 if isinstance(total, Tensor) else 1e-300
    distance = squared_distance(predicted, amplitude, measured, axes)
    return distance / (total.clamp_min(floor) if isinstance(total, Tensor) else np.maximum(total, floor))


def chi_squared(
    predicted: NDArray[Any], counts: NDArray[Any], mask: NDArray[np.bool_] | None = None
) -> float:
    """Return χ² of predicted counts (docs/science.md section 3.3).

    Parameters
    ----------
    predicted, counts : ndarray, (n0, n1, n2), counts
    mask : ndarray, same shape, bool, optional
        True where a voxel was NOT measured.
    """
    return float(amplitude_chi_squared(*_roots(predicted, counts, _measured(counts.shape, mask))))


def noise_ratio(
    predicted: NDArray[Any],
    counts: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    factor: ArrayLike = 1.0,
) -> float:
    """Return Σ(√I_p − √I_m)²/Σv(I_p) over measured voxels: 1 where nothing but Poisson noise is left.

    Parameters
    ----------
    predicted, counts : ndarray, (n0, n1, n2), counts
        ``predicted`` includes pixel kernel, coherence and background.
    mask : ndarray, same shape, bool, optional
        True where a voxel was NOT measured.
    factor : array_like, broadcastable to the shape
        What the raw counts were multiplied with (monitor normalisation): the variance of √(f·n) is f·v(λ/f).
    """
    keep = _measured(counts.shape, mask)
    f = np.broadcast_to(np.asarray(factor, np.float64), counts.shape)[keep]
    expected = float(np.sum(f * root_variance(np.asarray(predicted, np.float64)[keep] / f)))
    return float(squared_distance(*_roots(predicted, counts, keep))) / max(expected, 1e-300)


def noise_chi_squared(counts: Tensor, measured: Tensor) -> float:
    """Return the χ² that noise alone leaves in ``counts`` (n0, n1, n2), where ``measured`` is 1."""
    left = float((root_variance(counts.cpu().numpy()) * measured.cpu().numpy()).sum())
    return left / float((counts * measured).sum().clamp_min(1e-12))


def _roots(
    predicted: NDArray[Any], counts: NDArray[Any], keep: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return √I_p and √I_m of the voxels to ``keep``, float64."""
    p, m = np.asarray(predicted, np.float64)[keep], np.asarray(counts, np.float64)[keep]
    return np.sqrt(np.maximum(p, 0)), np.sqrt(np.maximum(m, 0))


def _measured(shape: tuple[int, ...], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return np.ones(shape, bool) if mask is None else ~np.asarray(mask, bool)


_SMALLEST, _LARGEST = 1e-6, 1e3


def _exact_root_variance(rate: float) -> float:
    """Return E(√n − √λ)² for n Poisson of mean ``rate``, by summing the distribution."""
    reach = int(rate + 12 * np.sqrt(rate) + 30)
    n = np.arange(reach + 1)
    weight = np.exp(n * np.log(rate) - rate - gammaln(n + 1))
    return float(np.sum(weight * (np.sqrt(n) - np.sqrt(rate)) ** 2))


@lru_cache(maxsize=1)
def _table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (log λ, v) between the limits; built once, 400 points."""
    rates = np.geomspace(_SMALLEST, _LARGEST, 400)
    return np.log(rates), np.array([_exact_root_variance(float(r)) for r in rates])


def root_variance(rate: ArrayLike) -> NDArray[np.float64]:
    """Return v(λ) = E(√n − √λ)² for n Poisson of mean λ (docs/science.md section 3.4).

    v → 2λ for λ → 0 (empty voxels are λ away, and a share λ of them holds one count), → 1/4 for large λ,
    and is at most 0.455, near λ = 1.1.

    Parameters
    ----------
    rate : array_like, any shape, counts
    """
    rates = np.maximum(np.asarray(rate, dtype=np.float64), 0)
    log_rate, v = _table()
    inside = np.interp(np.log(np.clip(rates, _SMALLEST, _LARGEST)), log_rate, v)
    small = np.where(rates < _SMALLEST, 2 * rates, inside)
    # Next term of the expansion for large means: 1/4 + 7/(64 λ).
    return np.where(rates > _LARGEST, 0.25 + 7 / (64 * np.maximum(rates, 1)), small)


UNWRAPPED = 0.48
"""An object that fills less of an axis has an autocorrelation that does not wrap."""

LARGEST_RATIO = 4.0
"""Bound on measured over predicted amplitude, and on point-sampled over integrated intensity.

A band-limited kernel rings below zero: near there a prediction says nothing about its neighbours."""


def lag_transfer(
    shape: Sequence[int],
    grown: Sequence[int],
    widths: Sequence[float],
    sigma: Sequence[float],
    device: torch.device,
    dims: Sequence[int] = SPACE,
) -> Tensor:
    """Return what the kernel multiplies the autocorrelation with, on the half-space of `rfftn`, float32.

    One number along the axes that are not transformed.

    Parameters
    ----------
    shape, grown : three int
        The measured array, and the same with the blurred axes doubled.
    widths : three float
        Full width of the measured voxel in units of its pitch, per axis; sinc(width·lag/n), lag in voxels.
    sigma : three float, voxels
        Standard deviation of a Gaussian blur in q; exp(−2π²σ²(lag/n)²).
    dims : sequence of int
        The axes that are transformed, from −3 to −1; those left out must be neither wide nor blurred.
    """
    transfer = torch.ones(1, 1, 1, device=device)
    axes = frequencies(grown, device)
    for axis in dims:
        lag = axes[axis] * (grown[axis] / shape[axis])
        factor = torch.sinc(widths[axis] * lag) * torch.exp(-2 * (torch.pi * sigma[axis] * lag) ** 2)
        if axis == dims[-1]:
            factor = factor.narrow(axis, 0, grown[axis] // 2 + 1)
        transfer = transfer * factor
    return transfer


class PixelKernel:
    """Forward model and gradient of an intensity that is integrated over each voxel.

    Parameters
    ----------
    shape : three int
        Shape of the measured array.
    widths : three float
        Voxel widths in units of the pitch (0 = point samples).
    sigma : three float, voxels
        Gaussian blur beside it (0 = full coherence).
    extent : three float
        Of the object, as a fraction of each axis: below one half its autocorrelation fits the plain box.
    """

    def __init__(
        self,
        shape: Sequence[int],
        widths: Sequence[float],
        sigma: Sequence[float] = (0.0, 0.0, 0.0),
        *,
        extent: Sequence[float] = (1.0, 1.0, 1.0),
        device: torch.device | None = None,
    ) -> None:
        device = device or torch.device("cpu")
        self.shape = tuple(shape)
        self.widths, self.sigma = tuple(widths), tuple(sigma)
        blurred = [w > 0 or s > 0 for w, s in zip(widths, sigma, strict=True)]
        self.trivial = not any(blurred)
        self._factor = tuple(2 if b and e > UNWRAPPED else 1 for b, e in zip(blurred, extent, strict=True))
        self.grown = tuple(n * f for n, f in zip(shape, self._factor, strict=True))
        # Where nothing is blurred nothing need be transformed.
        self._dims = tuple(axis for axis, b in zip(SPACE, blurred, strict=True) if b)
        self._sizes = tuple(n for n, b in zip(self.grown, blurred, strict=True) if b)
        self._transfer = lag_transfer(self.shape, self.grown, widths, sigma, device, self._dims)
        self._every = tuple(slice(None, None, f) for f in self._factor)
        self._padded = torch.zeros(self.grown, dtype=torch.complex64, device=device)

    def _corners(self) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
        """Return pairs of slices that carry an object in corner order into the grown box."""
        per_axis = []
        for n, f in zip(self.shape, self._factor, strict=True):
            whole, ahead, behind = slice(None), slice(None, (n + 1) // 2), slice(-(n // 2), None)
            per_axis.append([whole] if f == 1 else [ahead, behind])
        return [(c, c) for c in product(*per_axis)]

    def _fine_field(self, x: Tensor) -> Tensor:
        """Return the transform of ``x`` (n0, n1, n2) complex64 on the finer q grid."""
        if max(self._factor) == 1:
            return torch.fft.fftn(x, dim=SPACE)
        self._padded.zero_()
        for here, there in self._corners():
            self._padded[there] = x[here]
        return torch.fft.fftn(self._padded, dim=SPACE)

    def _blur(self, fine: Tensor) -> Tensor:
        if self.trivial:
            return fine
        spectrum = torch.fft.rfftn(fine, dim=self._dims).mul_(self._transfer)
        return torch.fft.irfftn(spectrum, s=self._sizes, dim=self._dims)

    def measured(self, fine: Tensor) -> Tensor:
        """Pick the measured grid out of the finer one, (…, n0, n1, n2)."""
        return fine[self._every]

    def fine_correlation(self, x: Tensor) -> Tensor:
        """Return the autocorrelation of ``x`` (n0, n1, n2) on the grown box: `rfftn`'s half, complex64."""
        return torch.fft.rfftn(power(self._fine_field(x)), dim=SPACE)

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (point-sampled, integrated) intensity, float32 counts, of ``x`` (n0, n1, n2) complex64."""
        fine = power(self._fine_field(x))
        return fine[self._every], self._blur(fine)[self._every].clamp_min(0)

    def misfit(self, x: Tensor, amplitude: Tensor, measured: Tensor, background: Tensor | float) -> float:
        """Return χ² of ``x`` (n0, n1, n2) complex64 against √counts (n0, n1, n2) float32, background added.

        ``measured`` (n0, n1, n2) float32 is 1 where a voxel was measured, else 0.
        """
        root = (self._blur(power(self._fine_field(x)))[self._every].clamp_min(0) + background).sqrt_()
        return float(amplitude_chi_squared(root, amplitude, measured))

    def gradient(
        self, x: Tensor, amplitude: Tensor, measured: Tensor | None, background: Tensor | float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Return (g, I_b): the step to the measured amplitude through the kernel, and the predicted counts.

        For point samples x − g is the modulus projection of ``x``; with a kernel it is the projection of the
        sub-voxel waves on their common modulus, averaged back, so projected descent with it never raises χ².

        Parameters
        ----------
        x : Tensor, (n0, n1, n2) complex64, corner order
        amplitude : Tensor, (n0, n1, n2) float32, √counts
            Background included.
        measured : Tensor, (n0, n1, n2) float32, optional
            1 where a voxel was measured, else 0.
        background : Tensor or float, counts
        """
        field = self._fine_field(x)
        predicted = self._blur(power(field))[self._every].clamp_min(0) + background
        ratio = amplitude * (predicted + 1e-12).rsqrt()
        weight = 1 - (ratio if self.trivial else ratio.clamp_max_(LARGEST_RATIO))
        if measured is not None:
            weight = weight * measured
        if self.trivial:
            return torch.fft.ifftn(field.mul_(weight), dim=SPACE), predicted
        comb = torch.zeros(self.grown, dtype=torch.float32, device=x.device)
        comb[self._every] = weight * float(torch.tensor(self._factor).prod())
        step = torch.fft.ifftn(field.mul_(self._blur(comb)), dim=SPACE)
        g = torch.empty_like(x)
        for here, there in self._corners():
            g[here] = step[there]
        return g, predicted

    def point_amplitude(self, x: Tensor, counts: Tensor, background: Tensor | float) -> Tensor:
        """Return the amplitude that point samples would have had if ``x`` were right, (n0, n1, n2) float32.

        The counts less background, times the predicted ratio of point-sampled to integrated intensity.
        """
        point, integrated = self.predict(x)
        ratio = (point / integrated.clamp_min(1e-6)).clamp_max_(LARGEST_RATIO)
        return ((counts - background).clamp_min(0) * ratio).sqrt_()


def deconvolved(
    amplitude: Tensor, mask: Tensor, widths: Sequence[float], sigma: Sequence[float], noise: float = 1e-2
) -> Tensor:
    """Return the amplitude (n0, n1, n2) float32 that point samples would have had, roughly: Wiener's filter.

    On the measured grid, so lags beyond half the box are mistaken for their aliases; good enough to search
    with, for the lags near zero carry most of the weight.  The finish uses the exact kernel.

    Parameters
    ----------
    amplitude : Tensor, (n0, n1, n2) float32, √counts, corner order
    mask : Tensor, (n0, n1, n2) bool
        True where not measured; filled from the neighbours, so that holes do not spread.
    widths : three float
        Voxel widths in units of the pitch.
    sigma : three float, voxels
        Gaussian blur per axis.
    noise : float
        Wiener's constant.
    """
    if max(widths) <= 0 and max(sigma) <= 0:
        return amplitude
    shape = tuple(amplitude.shape)
    intensity = amplitude.square()
    if bool(mask.any()):
        smoother = Smoother(shape, amplitude.device)
        keep = (~mask).float()
        filled = smoother(intensity * keep, 1.0) / smoother(keep, 1.0).clamp_min(0.05)
        intensity = torch.where(mask, filled, intensity)
    transfer = lag_transfer(shape, shape, widths, sigma, amplitude.device)
    wiener = transfer * (1 + noise) / (transfer.square() + noise)
    sharp = torch.fft.irfftn(torch.fft.rfftn(intensity, dim=SPACE) * wiener, s=shape, dim=SPACE)
    return sharp.clamp_min(0).sqrt()
