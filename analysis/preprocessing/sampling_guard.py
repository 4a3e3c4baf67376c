"""How finely a measured pattern samples its crystal, by its autocorrelation, and what would mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, log10, sqrt

import numpy as np
from numpy.typing import NDArray

from analysis.preprocessing.binning import LEAST
from analysis.preprocessing.prepared import autocorrelation_wrap

AXES = ("along the rocking direction", "along the detector's rows", "along the detector's columns")
UNKNOWN = 1.5
"""Oversampling for which a remedy is given where nobody knows it; about what the paper's crystal has."""


@dataclass(frozen=True)
class GuardConfig:
    """Numbers of the guard; tests hold them on crystals of the calibration seeds 5310 to 5321.

    Attributes
    ----------
    level : float
        Of the autocorrelation's height, up to which the crystal is taken to reach. Source: of 0.003, 0.01 and
        0.03 the one whose oversampling comes closest to the true one: within 10 % from 2.1 on.
    noise : float
        The same in standard deviations of counting noise, which is everywhere.
    edge : float
        Oversampling below which the autocorrelation reaches the edge of its box, so that it wraps.
    """

    level: float = 0.003
    noise: float = 6.0
    edge: float = 2.05


GUARD = GuardConfig()


@dataclass(frozen=True)
class MeasuredSampling:
    """What a pattern's autocorrelation says of its sampling, per axis (rocking, row, column).

    Attributes
    ----------
    oversampling : tuple of float or None
        Edge of the field of view over the crystal's; None where the autocorrelation wraps: it is below 2
        there, and by how much the autocorrelation cannot say.
    wrap : tuple of float
        Level at the edge of the box (`autocorrelation_wrap`): how strongly it wraps.
    """

    oversampling: tuple[float | None, float | None, float | None]
    wrap: tuple[float, float, float]

    @property
    def wraps(self) -> bool:
        """Whether it does along any axis."""
        return None in self.oversampling


def measured_sampling(
    intensity: NDArray[np.floating], background: float = 0.0, config: GuardConfig = GUARD
) -> MeasuredSampling:
    """Return the oversampling that a pattern itself shows.

    Parameters
    ----------
    intensity : ndarray, (n0, n1, n2) float, counts
        Without holes where they matter, q = 0 at index n//2.
    background : float, counts per voxel
    config : GuardConfig
    """
    signal = np.asarray(intensity, np.float64) - background
    # The transform of an intensity is the object's autocorrelation, twice as wide as the object.
    heights = np.fft.fftshift(np.abs(np.fft.fftn(signal)))
    heights /= max(float(heights.max()), 1e-300)
    counts = max(float(np.abs(intensity).sum()), 1.0)
    level = max(config.level, config.noise / sqrt(counts))
    found: list[float | None] = []
    for axis, size in enumerate(heights.shape):
        profile = heights.max(axis=tuple(other for other in range(3) if other != axis))
        reach = float(np.abs(np.flatnonzero(profile > level) - size // 2).max(initial=0)) + 0.5
        ratio = size / reach
        found.append(ratio if ratio >= config.edge else None)
    return MeasuredSampling((found[0], found[1], found[2]), autocorrelation_wrap(signal))


def sampling_words(
    found: MeasuredSampling,
    *,
    step: float,
    distance: float,
    energy: float,
    object_ratio: Sequence[float] | None = None,
) -> tuple[str, ...]:
    """Return a sentence for each axis along which the autocorrelation wraps, with what would mend it.

    Parameters
    ----------
    found : MeasuredSampling
    step : float, degrees
        Of the rocking axis.
    distance : float, mm
        From sample to detector.
    energy : float, keV
    object_ratio : sequence of float, optional
        Field of view over the extent of the reconstructed object, where that is trusted: below 2 it alone
        knows the size.
    """
    said = []
    for axis, name in enumerate(AXES):
        if found.oversampling[axis] is not None:
            continue
        ratio = inf if object_ratio is None else float(object_ratio[axis])
        what = (
            f"sampling: the autocorrelation wraps {name} (level {found.wrap[axis]:.3f} at the edge of its "
            "box), so the crystal is oversampled less than 2 times there"
        )
        if ratio < LEAST:
            remedy = _remedy(axis, step, distance, energy, ratio)
            what += f": {ratio:.2f} times by the reconstructed object; {remedy} would do"
        else:
            what += ", how much less is not known: " + (
                f"{_remedy(axis, step, distance, energy, UNKNOWN)} would do for {UNKNOWN:g} times"
            )
        said.append(what)
    return tuple(said)


def _remedy(axis: int, step: float, distance: float, energy: float, ratio: float) -> str:
    """Return in words what makes the field of view long enough."""
    share = ratio / LEAST
    if axis == 0:
        return f"a step of {_down(step * share)}°"
    return f"a distance of {ceil(distance / share)} mm, or {_down(energy * share)} keV"


def _down(value: float) -> str:
    """Return a number cut to two digits, never rounded up."""
    unit = 10.0 ** (floor(log10(abs(value))) - 1)
    return f"{floor(abs(value) / unit + 1e-9) * unit:.6g}"
