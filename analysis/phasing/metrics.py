"""How well a predicted intensity explains a measured one: χ² and the noise ratio of science.md §3."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

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
    """Return v(λ) = E(√n − √λ)² for n Poisson of mean λ (science.md §3).

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


def _residual(predicted: NDArray[Any], measured: NDArray[Any], keep: NDArray[np.bool_]) -> float:
    p, m = np.asarray(predicted, np.float64)[keep], np.asarray(measured, np.float64)[keep]
    return float(np.sum((np.sqrt(np.maximum(p, 0)) - np.sqrt(np.maximum(m, 0))) ** 2))


def _measured(shape: tuple[int, ...], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    return np.ones(shape, bool) if mask is None else ~np.asarray(mask, bool)


def chi_squared(
    predicted: NDArray[Any], measured: NDArray[Any], mask: NDArray[np.bool_] | None = None
) -> float:
    """Return χ² = Σ(√I_p − √I_m)²/ΣI_m over measured voxels (science.md §3).

    Parameters
    ----------
    predicted, measured : ndarray, (n0, n1, n2), counts
    mask : ndarray, same shape, bool, optional
        True where a voxel was NOT measured.
    """
    keep = _measured(measured.shape, mask)
    total = float(np.asarray(measured, np.float64)[keep].sum())
    return _residual(predicted, measured, keep) / max(total, 1e-300)


def noise_ratio(
    predicted: NDArray[Any],
    measured: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    factor: ArrayLike = 1.0,
) -> float:
    """Return Σ(√I_p − √I_m)²/Σv(I_p) over measured voxels: 1 where nothing but Poisson noise is left.

    Parameters
    ----------
    predicted, measured : ndarray, (n0, n1, n2), counts
        ``predicted`` includes pixel kernel, coherence and background.
    mask : ndarray, same shape, bool, optional
        True where a voxel was NOT measured.
    factor : array_like, broadcastable to the shape
        What the raw counts were multiplied with (monitor normalisation): the variance of √(f·n) is f·v(λ/f).
    """
    keep = _measured(measured.shape, mask)
    f = np.broadcast_to(np.asarray(factor, np.float64), measured.shape)[keep]
    expected = float(np.sum(f * root_variance(np.asarray(predicted, np.float64)[keep] / f)))
    return _residual(predicted, measured, keep) / max(expected, 1e-300)
