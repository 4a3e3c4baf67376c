"""Whether what is given are counts: their noise has to be Poisson's, their peak not cut off.

Arrays in, words out: nothing here looks at an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.phasing.config import DEFAULT, TrustConfig


@dataclass(frozen=True)
class ValueConfig:
    """When values are taken for whole numbers, or for a few that are evenly spaced.

    Source: single precision is right to 6e-8; `vo2 benchmark counts` shows what these numbers tell apart.

    Parameters
    ----------
    nothing : float
        Of the largest value; below it lies what rounding leaves of a 0.
    fractions, rounding : float, float
        Largest share of the values above 0 that may be no whole numbers (a voxel that was filled in), and how
        far, of their size, whole ones may be off.
    smallest, fewest, voxels, alike : int, int, int, float
        So many of the smallest different values are looked at, no fewer than ``fewest``, where so many voxels
        share them, and ``alike`` times as many voxels as values.
    uneven : float
        How far, of a step, the spacing of such values may be off to be even.
    frames : int
        So many frames must show a spacing of their own.
    pairs, whole : int, float
        So many faint values are needed, and this share of them must be multiples of their pixel's least.
    largest, errors : int, float
        How many voxels share a number is looked at up to this one, each granted so many standard errors.
    """

    nothing: float = 1e-9
    fractions: float = 0.01
    rounding: float = 1e-5
    smallest: int = 8
    fewest: int = 4
    voxels: int = 30
    alike: float = 4.0
    uneven: float = 1e-3
    frames: int = 8
    pairs: int = 1000
    whole: float = 0.95
    largest: int = 30
    errors: float = 3.5


VALUES = ValueConfig()


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


def not_counted(
    counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust
) -> tuple[str, ...]:
    """Return what speaks against ``counts`` (n0, n1, n2) having been read from a detector as they are.

    For counts before anything of our own is done to them: the monitor's factors make fractions, and what is
    interpolated to even angles is smoother.
    """
    return (
        *(not_whole(counts, mask) or no_mixture(counts, mask)),
        *too_even(counts, mask, limits),
        *cut_off(counts, mask, limits),
    )


def no_mixture(counts: NDArray[Any], mask: NDArray[np.bool_], rules: ValueConfig = VALUES) -> tuple[str, ...]:
    """Return whether the numbers of ``counts`` (n0, n1, n2) are none that Poisson counts of any means have.

    However the means are distributed over the voxels, the share p(k) of those that count k obeys
    p(k)² ≤ (k + 1)/k · p(k − 1) p(k + 1) (Cauchy–Schwarz, as k! p(k) is the mean of λᵏ exp(−λ) over all λ).
    Scaled and rounded, two numbers fall on one, or one stays free; faint ones set to 0 leave the next alone.
    Dark pixels and gaps add to p(0) only, and may.
    """
    measured = np.asarray(counts, np.float64)[~mask]
    whole = np.rint(measured)
    faint = (whole <= rules.largest) & (np.abs(measured - whole) <= rules.rounding * whole)
    voxels = np.bincount(whole[faint].astype(np.int64), minlength=rules.largest + 1).astype(np.float64)
    number = np.arange(1, rules.largest)
    least = np.maximum(voxels - rules.errors * np.sqrt(voxels), 0)
    most = voxels + rules.errors * (np.sqrt(voxels) + 2)
    excess = number * least[1:-1] ** 2 / ((number + 1) * most[:-2] * most[2:])
    odd = int(excess.argmax())
    if excess[odd] <= 1:
        return ()
    before, at, after = (int(n) for n in voxels[odd : odd + 3])
    return (
        f"{at} voxels have {odd + 1} counts, {before} one less and {after} one more, as no counts do: were "
        "they scaled and rounded, or faint ones set to 0?",
    )


def cut_off(
    counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust
) -> tuple[str, ...]:
    """Return whether something was subtracted from ``counts`` (n0, n1, n2), and what fell below 0 cut."""
    share = lone_share(counts, mask, limits)
    if share is None or share <= limits.most_lone:
        return ()
    return (
        f"of {share:.0%} of the neighbours that count two together one has none, {limits.most_lone:.0%} is "
        "accepted: was a background subtracted, and what was left below 0 cut? Give it, or the dark image, "
        "beside the raw counts",
    )


def too_even(
    counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust
) -> tuple[str, ...]:
    """Return whether ``counts`` (n0, n1, n2) scatter less than Poisson counts of any means can."""
    ratio = least_bend(counts, mask, limits)
    if ratio >= limits.fano:
        return ()
    return (
        f"bends of faint neighbours are {ratio:.2f} of the least that counts leave, where {limits.fano:g} is "
        "accepted: were they scaled down, smoothed or interpolated?",
    )


def least_bend(counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust) -> float:
    """Return the least Σ(Σ w·n)²/ΣΣ w²·n of faint neighbours' ``counts`` n (n0, n1, n2); ∞ of too few.

    Over 3² voxels in three planes and over 3³, w = 1, −2, 1 along each axis. Given the sum of n Poisson
    counts, the expected (Σ w·n)² is at least that of Σ w²·n, whatever their means and w (both moments of a
    multinomial distribution); such weights leave of a smooth pattern hardly more.
    """
    return min(_bend(counts, mask, axes, limits) for axes in ((0, 1), (0, 2), (1, 2), (0, 1, 2)))


def _bend(counts: NDArray[Any], mask: NDArray[np.bool_], axes: tuple[int, ...], limits: TrustConfig) -> float:
    """Return Σ(Σ w·n)²/ΣΣ w²·n of faint voxels, w = 1, −2, 1 along each of ``axes``; ∞ of too few."""
    bent = expected = total = np.asarray(np.where(mask, 0, counts), np.float32)
    hidden = mask
    for axis in axes:
        bent = np.diff(bent, 2, axis=axis)
        a, b, c = (_shifted(expected, axis, first) for first in range(3))
        expected = a + 4 * b + c
        total = _shifted(total, axis, 0) + _shifted(total, axis, 1) + _shifted(total, axis, 2)
        hidden = _shifted(hidden, axis, 0) | _shifted(hidden, axis, 1) | _shifted(hidden, axis, 2)
    faint = ~hidden & (total > 0) & (total <= 2 * limits.faint)
    if np.count_nonzero(faint) < limits.fewest_counted:
        return float("inf")
    return float((bent[faint] ** 2).sum(dtype=np.float64) / expected[faint].sum(dtype=np.float64))


def _shifted(array: NDArray[Any], axis: int, first: int) -> NDArray[Any]:
    """Return all of an array but two planes along an axis, from the plane ``first`` on."""
    return np.moveaxis(np.moveaxis(array, axis, 0)[first : first + array.shape[axis] - 2], 0, axis)


def not_whole(counts: NDArray[Any], mask: NDArray[np.bool_], rules: ValueConfig = VALUES) -> tuple[str, ...]:
    """Return what was done to ``counts`` (n0, n1, n2) that a person gave as counted, if they hold fractions.

    Counts are whole numbers. Times a constant, or less one, they lie on a lattice, which the faintest values
    show; divided by the monitor, or by a flat field, on one of each frame, or pixel; their square roots and
    logarithms take few values, too, but uneven ones. What else has fractions was smoothed or interpolated.
    The counts that our own preparation normalised are not asked: it has refused fractions before.
    """
    given = np.where(mask, 0, np.asarray(counts, np.float64))
    given[given <= rules.nothing * given.max()] = 0
    above = given[given > 0]
    fractions = above[np.abs(above - np.rint(above)) > rules.rounding * above]
    if fractions.size <= rules.fractions * above.size:
        return ()
    if (lattice := _lattice(above, rules)) is not None:
        step, offset = lattice
        if abs(offset) > rules.uneven * step:
            return (f"all values above 0 lie {offset:.4g} beside multiples of {step:.4g}",)
        return (f"all values are multiples of {step:.6g}",)
    frames = [found for frame in given if (found := _lattice(frame[frame > 0], rules))]
    if len(frames) >= rules.frames:
        low, high = min(step for step, _ in frames), max(step for step, _ in frames)
        return (
            f"the values of each frame are multiples of a number of its own, {low:.4g} to {high:.4g}: were "
            "they divided by the monitor, or the exposure?",
        )
    if _multiples_by_pixel(given, rules):
        return (
            "the values of each pixel are multiples of a number of its own: were they divided by a flat "
            "field? Give it beside them",
        )
    if _few_values(above, rules) is not None:
        return (
            "the faintest values are few and not evenly spaced, as square roots, logarithms and smoothed "
            "single counts are",
        )
    share = fractions.size / above.size
    return (f"{share:.0%} of the values above 0 are fractions, such as {fractions[0]:.4g}",)


def _few_values(above: NDArray[np.float64], rules: ValueConfig) -> NDArray[np.float64] | None:
    """Return the smallest of many values above 0, each shared by several voxels; None if they are not."""
    if above.size < rules.voxels:
        return None
    ordered = np.sort(above)
    first = np.concatenate([[True], np.diff(ordered) > rules.rounding * ordered[1:]])
    number = np.cumsum(first)
    within = int(np.count_nonzero(number <= rules.smallest))
    smallest = ordered[first][: rules.smallest]
    alike = len(smallest) >= rules.fewest and within >= rules.voxels
    return smallest if alike and within >= rules.alike * len(smallest) else None


def _lattice(above: NDArray[np.float64], rules: ValueConfig) -> tuple[float, float] | None:
    """Return (step, offset from its multiples) of evenly spaced values, the smallest above 0; else None."""
    smallest = _few_values(above, rules)
    if smallest is None:
        return None
    steps = np.diff(smallest)
    step = float(steps.min())
    if (np.abs(steps / step - np.rint(steps / step)) > rules.uneven).any():
        return None
    return step, float(smallest[0] - step * np.rint(smallest[0] / step))


def _multiples_by_pixel(given: NDArray[np.float64], rules: ValueConfig) -> bool:
    """Return whether in the pixels of all frames (n0, n1, n2) faint values are multiples of the least."""
    least = np.where(given > 0, given, np.inf).min(axis=0)
    times = given / least
    faint = (times > 1 + rules.uneven) & (times <= rules.smallest)
    whole = np.abs(times - np.rint(times)) <= rules.uneven
    return bool(
        np.count_nonzero(faint) >= rules.pairs
        and np.count_nonzero(faint & whole) >= rules.whole * np.count_nonzero(faint)
    )


def not_poisson(
    counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust
) -> tuple[str, ...]:
    """Return what speaks against ``counts`` (n0, n1, n2) being counts, where ``mask`` is False.

    Counts times a whole number have a common divisor. The squared difference of two Poisson counts of one
    mean is expected to be their sum, whatever that sum is, and larger where their means differ: over faint
    neighbours less is left only where counts were scaled, smoothed or interpolated. Fractions say nothing
    here: factors of the monitor make them (`not_whole`).
    """
    found = []
    if (divisor := common_divisor(counts, mask, limits)) > 1:
        found.append(f"all counts are multiples of {divisor}")
    axes = [(np.moveaxis(counts, axis, 0), np.moveaxis(mask, axis, 0)) for axis in range(3)]
    fano = min(_fano(*one, limits) for one in axes)
    if fano < limits.fano:
        found.append(
            f"faint neighbours differ by {fano:.2f} of what counts would, {limits.fano:g} is the least"
        )
    return tuple(found)


def lone_share(
    counts: NDArray[Any], mask: NDArray[np.bool_], limits: TrustConfig = DEFAULT.trust
) -> float | None:
    """Return of neighbours that count two together the share of which one has none; None of too few.

    It is that of a quantile of the quiet blocks of ``counts`` (n0, n1, n2), in each along the axis where it
    is least. Two Poisson counts of one mean that sum to 2 are (1, 1) as often as (2, 0) or (0, 2), whatever
    the mean. Where b was subtracted, all of n ≤ b became 0, and more pairs are (2, 0): 4/7 and more of
    them for b = 1, whatever the mean.
    """
    edge, fitting = limits.edge, tuple(slice(size // limits.edge * limits.edge) for size in counts.shape)
    measured = np.where(mask, np.nan, np.asarray(counts, np.float64))[fitting]
    a, b, c = (size // edge for size in measured.shape)
    blocks = measured.reshape(a, edge, b, edge, c, edge).transpose(0, 2, 4, 1, 3, 5)
    blocks = blocks.reshape(-1, edge, edge, edge)
    mean = blocks.mean(axis=(1, 2, 3))
    blocks = blocks[(mean > limits.faintest) & (mean <= limits.brightest)]
    shares = np.full((3, len(blocks)), np.inf)
    for axis in range(3):
        rows = np.moveaxis(blocks, axis + 1, 1)
        before, at = rows[:, :-1], rows[:, 1:]
        two = before + at == 2
        pairs = np.count_nonzero(two, axis=(1, 2, 3))
        lone = np.count_nonzero(two & (before != 1), axis=(1, 2, 3))
        enough = pairs >= limits.fewest_pairs
        shares[axis, enough] = lone[enough] / pairs[enough]
    least = shares.min(axis=0)
    least = least[np.isfinite(least)]
    return float(np.quantile(least, limits.quietest)) if len(least) >= limits.fewest_quiet else None


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
