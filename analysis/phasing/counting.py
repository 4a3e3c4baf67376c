"""Whether what is given are counts: their noise has to be Poisson's, their peak not cut off.

Arrays in, words out: nothing here looks at an object.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.phasing.config import DEFAULT, TrustConfig


def looks_saturated(
    counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust
) -> bool:
    """Return whether several of the measured voxels share the largest number of counts, a large one."""
    measured = counts[~mask]
    top = measured.max()
    return bool(top > limits.saturated and np.count_nonzero(measured == top) >= limits.equal_peaks)


def no_trust(counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust) -> bool:
    """Return whether no object of these ``counts`` would be trusted, whatever a search finds."""
    return looks_saturated(counts, mask, limits) or bool(not_poisson(counts, mask, limits))


def not_poisson(
    counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust
) -> tuple[str, ...]:
    """Return what speaks against ``counts`` (n0, n1, n2) being counts, where ``mask`` is False.

    Counts times a whole number have a common divisor. The squared difference of two Poisson counts of one
    mean is expected to be their sum, whatever that sum is, and larger where their means differ: over faint
    neighbours less is left only where counts were scaled, smoothed or interpolated. In the quietest blocks,
    where means hardly differ, more is left only of counts that something was subtracted from and that were
    cut at 0. Fractions say nothing: factors of the monitor make them.
    """
    found = []
    if (divisor := common_divisor(counts, mask, limits)) > 1:
        found.append(f"all counts are multiples of {divisor}")
    fano = min(_fano(np.moveaxis(counts, axis, 0), np.moveaxis(mask, axis, 0), limits) for axis in range(3))
    if fano < limits.fano:
        found.append(
            f"faint neighbours differ by {fano:.2f} of what counts would, {limits.fano:g} is the least"
        )
    axes = [(np.moveaxis(counts, axis, 0), np.moveaxis(mask, axis, 0)) for axis in range(3)]
    cut = min(_beside_none(*one, limits) for one in axes)
    if cut > limits.beside_none:
        found.append(
            f"of {cut:.0%} of the neighbours that hold some counts together one has none: what a background "
            "that was subtracted left below 0 was cut; give it, or the dark image, beside the raw counts"
        )
    scatter = quiet_scatter(counts, mask, limits)
    if scatter is not None and scatter > limits.most_scatter:
        found.append(
            f"where next to nothing is counted, values scatter {scatter:.2f} times as counts would, "
            f"{limits.most_scatter:g} is the most: was a background subtracted? Give it, or the dark image, "
            "beside the raw counts"
        )
    return tuple(found)


def quiet_scatter(
    counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust
) -> float | None:
    """Return the Fano factor of the quietest blocks of ``counts`` (n0, n1, n2); None of too few blocks.

    That of a block is Σ(a − 2b + c)²/Σ(a + 4b + c) over three neighbours in a row, along the axis where it is
    least: 1 for Poisson counts, whose mean may change evenly, and somewhat less because it is the least.
    """
    edge, fitting = limits.edge, tuple(slice(size // limits.edge * limits.edge) for size in counts.shape)
    measured = np.where(mask, np.nan, np.asarray(counts, np.float64))[fitting]
    a, b, c = (size // edge for size in measured.shape)
    blocks = measured.reshape(a, edge, b, edge, c, edge).transpose(0, 2, 4, 1, 3, 5)
    blocks = blocks.reshape(-1, edge, edge, edge)
    mean = blocks.mean(axis=(1, 2, 3))
    blocks = blocks[(mean > limits.faintest) & (mean <= limits.brightest)]
    if len(blocks) < limits.fewest_quiet:
        return None
    factors = []
    for axis in (1, 2, 3):
        rows = np.moveaxis(blocks, axis, 1)
        before, at, after = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
        bent = ((before - 2 * at + after) ** 2).sum(axis=(1, 2, 3))
        factors.append(bent / (before + 4 * at + after).sum(axis=(1, 2, 3)))
    return float(np.quantile(np.min(factors, axis=0), limits.quietest))


def _beside_none(counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig) -> float:
    """Return the share of neighbours of some counts along axis 0 of which one has none; 0 of too few."""
    a, b = (np.asarray(part, np.float64) for part in (counts[1:], counts[:-1]))
    total = np.where(mask[1:] | mask[:-1], 0, a + b)
    some = (total >= limits.some) & (total <= limits.faint)
    if np.count_nonzero(some) < limits.fewest_counted:
        return 0.0
    return float(np.count_nonzero(some & ((a == 0) | (b == 0))) / np.count_nonzero(some))


def common_divisor(counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust) -> int:
    """Return the largest whole number that all measured counts are multiples of; 1 of fractions or few."""
    measured = np.asarray(counts, np.float64)[~mask]
    whole = measured[measured > 0]
    if whole.size < limits.fewest_counted or not np.array_equal(whole, np.rint(whole)):
        return 1
    return int(np.gcd.reduce(whole.astype(np.int64)))


def refuse_multiples(
    counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust
) -> None:
    """Refuse counts with a common divisor before anything is phased: no noise that is left could be judged.

    Raises
    ------
    ValueError
        In words.
    """
    if (divisor := common_divisor(counts, mask, limits)) > 1:
        raise ValueError(
            f"the noise is not Poisson: give raw counts and the monitor (all counts are multiples of "
            f"{divisor}: where the detector gives {divisor} units for a photon, divide by {divisor})"
        )


def _fano(counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig) -> float:
    """Return Σ(a − b)²/Σ(a + b) of faint neighbours along axis 0, ∞ of too few."""
    a, b = (np.asarray(part, np.float64) for part in (counts[1:], counts[:-1]))
    total = np.where(mask[1:] | mask[:-1], 0, a + b)
    faint = (total > 0) & (total <= limits.faint)
    if np.count_nonzero(faint) < limits.fewest_counted:
        return float("inf")
    return float(((a - b)[faint] ** 2).sum() / total[faint].sum())
