"""Whether a reconstruction is to be believed, and why not, in words.

Three things are asked of it, none of them the truth: that independent starts agree, that the residual is what
noise leaves, and that the crystal is one compact body that fits the box.

Agreement at full resolution is close to the overlap with the truth where the object is right. Of 96
calibration crystals (`vo2 benchmark trust --seed 5800 --crystals 96`) 93 were trusted, 92 of those right, and
1 of 93 right ones was not trusted. The wrong one (5833, overlap 0.940) had an agreement of 0.987: below
`CLOSE_AGREEMENT` the search goes on for another round since, and finds that crystal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST_AGREEMENT = 0.975
"""Overlap of two independent starts at full resolution."""

CLOSE_AGREEMENT = 0.99
"""The same where more than noise is left although the voxels are points: measured data, or a wrong object.
And below it a search goes on for another round, whatever the data."""

MANY_AGREEMENT, MANY = 0.95, 8
"""There so many independent starts that confirm the object make up for a looser agreement."""

NOISE_EXPLAINS = 1.3
"""Noise ratio up to which noise alone explains point samples."""

NOISE_LIMIT = 6.0
"""Largest noise ratio of all: right solutions of detector frames sit at 0.9 to 1.4, with 45 % rutile, whose
tails reach into the band, up to 4.3; measured data sits at 2–5."""

LEAST_OVERSAMPLING = 1.2
"""Below this the crystal does not fit the box: its own alias overlaps it."""

LEAST_COMPACTNESS = 0.9
"""Share of Σ abs(ρ)² that the largest connected part of the support must hold."""


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on.

    Parameters
    ----------
    agreement : float
        Overlap of the result with an independent start, 0 if none agreed.
    confirmations : int
        How many independent starts ended at the object, itself not counted.
    noise_ratio : float
    compactness : float
        Share of Σ abs(ρ)² in the largest connected part of the support.
    oversampling : tuple of float
        Edge of the box over edge of the support, per axis.
    pixel_kernel : bool
        Whether the voxel widths are part of the model.
    calibrated : bool
        Whether a response was found with the object: it explains some of what a wrong one leaves, too.
    saturated : bool
        Whether the brightest voxels look cut off.
    """

    agreement: float
    confirmations: int
    noise_ratio: float
    compactness: float
    oversampling: tuple[float, float, float]
    pixel_kernel: bool
    calibrated: bool
    saturated: bool


def verdict(evidence: Evidence) -> tuple[bool, tuple[str, ...]]:
    """Return (trusted, reasons): no reason against is trust."""
    needed = _least_agreement(evidence)
    reasons = []
    if evidence.agreement < needed:
        reasons.append(
            f"independent starts do not agree: overlap {evidence.agreement:.3f}, {needed} is needed here"
        )
    if not evidence.noise_ratio <= NOISE_LIMIT:
        reasons.append(
            f"the residual is {evidence.noise_ratio:.1f} times what Poisson noise leaves, "
            f"at most {NOISE_LIMIT} is accepted"
        )
    if evidence.compactness < LEAST_COMPACTNESS:
        reasons.append(
            f"the crystal is in pieces: the largest holds {evidence.compactness:.0%}, "
            f"{LEAST_COMPACTNESS:.0%} is needed"
        )
    if min(evidence.oversampling) < LEAST_OVERSAMPLING:
        axis = int(np.argmin(evidence.oversampling))
        reasons.append(
            f"the object is larger than the box along axis {axis}: oversampling "
            f"{min(evidence.oversampling):.2f}, at least {LEAST_OVERSAMPLING} is needed"
        )
    if evidence.saturated:
        reasons.append("the peak is saturated: several of the brightest voxels have exactly the same counts")
    return not reasons, tuple(reasons)


def _least_agreement(evidence: Evidence) -> float:
    """Return the agreement that this class of data needs."""
    many = evidence.confirmations >= MANY
    if evidence.calibrated:
        return LEAST_AGREEMENT if many else CLOSE_AGREEMENT
    if evidence.pixel_kernel or evidence.noise_ratio <= NOISE_EXPLAINS:
        return LEAST_AGREEMENT
    return MANY_AGREEMENT if many else CLOSE_AGREEMENT


def compactness(density: NDArray[Any], support: NDArray[np.bool_]) -> float:
    """Return the share of Σ density (n0, n1, n2) in ``support`` that its largest connected part holds."""
    labels, count = ndimage.label(support, structure=np.ones((3, 3, 3)))
    if count == 0:
        return 0.0
    weights = ndimage.sum_labels(density, labels, np.arange(1, count + 1))
    return float(weights.max() / max(weights.sum(), 1e-300))


def looks_saturated(counts: NDArray[Any], mask: NDArray[np.bool_]) -> bool:
    """Return whether four or more of the measured voxels share the largest number of counts, above 1000."""
    measured = counts[~mask]
    top = measured.max()
    return bool(top > 1000 and np.count_nonzero(measured == top) >= 4)
