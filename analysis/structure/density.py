"""What lies inside the crystal: isosurfaces by their share of the density, and density that is missing.

Missing density is judged against the reference, with its false-alarm rate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Object = NDArray[np.complexfloating] | NDArray[np.floating]
Mask = NDArray[np.bool_]

_LEVEL_PERCENTILE = 80


def isosurface(array: Object, percent: float) -> Mask:
    """Return the voxels inside the amplitude threshold that holds ``percent`` % of Σ abs(ρ)².

    By Parseval it is the same share of the measured intensity, as in the figures of Najeeb et al.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
    percent : float
        In (0, 100].
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percent must lie in (0, 100]; got {percent!r}")
    density = np.abs(array).astype(np.float64) ** 2
    total = density.sum()
    if not np.isfinite(total) or total <= 0:
        raise ValueError(
            "an isosurface needs a finite object that is not all zero; look at the reconstruction"
        )
    order = np.argsort(-density, axis=None, kind="stable")
    held = np.cumsum(density.ravel()[order])
    count = int(np.searchsorted(held, percent / 100 * total * (1 - 1e-12))) + 1
    inside = np.zeros(density.size, dtype=bool)
    inside[order[:count]] = True
    return inside.reshape(density.shape)


def amplitude_level(array: Object, support: Mask) -> float:
    """Return the amplitude of the crystal where it is present: the 80th percentile inside ``support``.

    Up to four fifths of the crystal may be missing before this follows the holes.
    """
    if not support.any():
        raise ValueError("the support is empty: the reference reconstruction holds nothing")
    return float(np.percentile(np.abs(array[support]), _LEVEL_PERCENTILE))


HALF = 0.5
"""Share of the reference's amplitude below which density is missing: half-way, where an edge is placed."""

FALSE_ALARMS = 0.01
"""Most that may be called missing of a crystal that is whole."""


def lost(array: Object, reference: Object, support: Mask, threshold: float = HALF) -> Mask:
    """Return where ``array`` has less than ``threshold`` of the amplitude of ``reference``.

    Both amplitudes are in units of the crystal's own (`amplitude_level`) and compared voxel by voxel, so that
    a surface voxel, which the crystal only half fills, is held against itself. This is the one definition of
    missing density; `missing_density` adds the false-alarm rate.

    Parameters
    ----------
    array, reference : ndarray, (n0, n1, n2) complex
        In one gauge, on one grid.
    support : ndarray, (n0, n1, n2) bool
        Of the reference.
    threshold : float
        In (0, 1].

    Returns
    -------
    ndarray, (n0, n1, n2) bool
        Anywhere on the grid, within the support or not.
    """
    ratio = threshold * amplitude_level(array, support) / amplitude_level(reference, support)
    return np.asarray(np.abs(array) < ratio * np.abs(reference))


@dataclass(frozen=True, eq=False)
class Missing:
    """Where density is missing.

    Attributes
    ----------
    mask : ndarray, (n0, n1, n2) bool
        Within the reference's support.
    fraction : float
        Share of that support, 0 … 1.
    threshold : float
        Share of the reference's amplitude below which a voxel counts as missing.
    false_alarm_rate : float
        Share of a whole crystal that this threshold would have called missing.
    """

    mask: Mask
    fraction: float
    threshold: float
    false_alarm_rate: float


def missing_density(
    array: Object,
    reference: Object,
    support: Mask,
    *,
    threshold: float = HALF,
    false_alarms: float = FALSE_ALARMS,
) -> Missing:
    """Return where ``array`` has lost density that ``reference`` has.

    A voxel is missing where it is `lost`.

    The false-alarm rate comes from the data: the same test with the two objects exchanged. Nothing leaves
    the reference, so whatever it "lacks" inside the other's own isosurface is error: noise, ringing,
    misplacement. Where density stayed, the two are exchangeable and the rates are alike. The threshold is
    lowered until that rate is at most ``false_alarms``. A rate of 0 says less than 3 / voxels (95 %
    confidence). It does not say how well the edge of a hole is placed: on simulated series up to 1.2 % of
    what is present and 2 to 5 % of what is missing change sides along it, and largely cancel.

    Parameters
    ----------
    array, reference : ndarray, (n0, n1, n2) complex
        In one gauge, on one grid.
    support : ndarray, (n0, n1, n2) bool
        Of the reference.
    threshold : float
        In (0, 1]: share of the reference's amplitude, before it is lowered.
    false_alarms : float
        In (0, 1): largest accepted false-alarm rate.
    """
    _check(array, reference, support, threshold, false_alarms)
    now = np.abs(array) / amplitude_level(array, support)
    before = np.abs(reference) / amplitude_level(reference, support)
    density = before.astype(np.float64) ** 2
    own = isosurface(array, 100 * min(1.0, float(density[support].sum() / density.sum())))
    exchanged = before[own] / now[own]
    limit = min(threshold, float(np.quantile(exchanged, false_alarms, method="lower")))
    mask = support & lost(array, reference, support, limit)
    return Missing(
        mask=mask,
        fraction=float(np.count_nonzero(mask) / np.count_nonzero(support)),
        threshold=limit,
        false_alarm_rate=float(np.mean(exchanged < limit)),
    )


def _check(
    array: Object, reference: Object, support: NDArray[np.bool_], threshold: float, false_alarms: float
) -> None:
    if not array.shape == reference.shape == support.shape:
        raise ValueError(
            f"object, reference and support must have one shape; got {array.shape!r}, {reference.shape!r} "
            f"and {support.shape!r}: bring them to one grid (fix_gauge)"
        )
    if not (np.isfinite(array).all() and np.isfinite(reference).all()):
        raise ValueError("finite objects are required; one holds NaN or infinite voxels: reconstruct again")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1], a share of the reference's; got {threshold!r}")
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms must lie in (0, 1), a rate; got {false_alarms!r}")
