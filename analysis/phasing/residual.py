"""How far a prediction is from what was counted: χ² and the noise ratio, written once.

Search, descent, calibration, training and the verdict all use `squared_distance`, with numpy arrays or torch
tensors. Amplitudes are √counts; what the counting noise is expected to leave has an exact table.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln
from torch import Tensor

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
