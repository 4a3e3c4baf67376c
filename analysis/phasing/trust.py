"""Whether a reconstruction is to be believed, and how far independent ones of one pattern differ.

The verdict gives its reasons in words; the spread is of the phase, and a resolution.

What is asked of it, none of it the truth: that independent starts agree, that the residual is what the noise
of counts leaves, neither more nor less, that there is an object at all, and that it is one compact body that
fits the box.

Agreement at full resolution is close to the overlap with the truth where the object is right. Of 96
calibration crystals (`vo2 benchmark trust --seed 5800 --crystals 96`) 94 were right and trusted, the other 2
neither; what trust does where the model of the measurement lacks a part is in docs/benchmark.md.

Arrays in, arrays out: objects of one shape, each a reconstruction of the same pattern from another seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from analysis.phasing.config import DEFAULT, TrustConfig
from analysis.phasing.counting import looks_saturated
from analysis.phasing.projections import extent_of, to_centre, to_corner
from analysis.phasing.registration import register


@dataclass(frozen=True)
class StartEvidence:
    """What more starts can mend: the search goes on until nothing of it is against an object.

    Parameters
    ----------
    agreement : float
        Overlap of the result with an independent start, 0 if none agreed.
    confirmations : int
        How many independent starts ended at the object, itself not counted.
    noise_ratio : float
    pixel_kernel : bool
        Whether the voxel widths are part of the model.
    calibrated : bool
        Whether a response was found with the object: it explains some of what a wrong one leaves, too.
    """

    agreement: float
    confirmations: int
    noise_ratio: float
    pixel_kernel: bool
    calibrated: bool


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on.

    Parameters
    ----------
    starts : StartEvidence
    compactness : float
        Share of Σ abs(ρ)² in the largest connected part of the support.
    oversampling : tuple of float
        Edge of the box over edge of the object, per axis.
    saturated : bool
        Whether the brightest voxels look cut off.
    effective_voxels : float
        (Σ abs(ρ)²)²/Σ abs(ρ)⁴: how many voxels of equal density would scatter as the object does.
    filled : float
        Voxels of the support over measured voxels of the pattern.
    not_counts : tuple of str
        What speaks against counts (`counting.not_poisson`).
    """

    starts: StartEvidence
    compactness: float
    oversampling: tuple[float, float, float]
    saturated: bool
    effective_voxels: float
    filled: float
    not_counts: tuple[str, ...]


def gathered(
    starts: StartEvidence,
    obj: NDArray[Any],
    support: NDArray[np.bool_],
    counts: NDArray[Any],
    mask: NDArray[np.bool_],
    not_counts: tuple[str, ...],
    limits: TrustConfig = DEFAULT.trust,
) -> Evidence:
    """Return what the verdict on an object rests on; all arrays (n0, n1, n2), centred."""
    density = np.abs(obj) ** 2
    return Evidence(
        starts=starts,
        compactness=compactness(density, support),
        oversampling=oversampling(obj, limits),
        saturated=looks_saturated(counts, mask, limits),
        effective_voxels=effective_voxels(density),
        filled=float(np.count_nonzero(support) / np.count_nonzero(~mask)),
        not_counts=not_counts,
    )


def verdict(evidence: Evidence, limits: TrustConfig = DEFAULT.trust) -> tuple[bool, tuple[str, ...]]:
    """Return (trusted, reasons): no reason against is trust."""
    reasons = doubts(evidence.starts, limits)
    if evidence.compactness < limits.compactness:
        reasons.append(
            f"the crystal is in pieces: the largest holds {evidence.compactness:.0%}, "
            f"{limits.compactness:.0%} is needed"
        )
    if min(evidence.oversampling) < limits.oversampling:
        axis = int(np.argmin(evidence.oversampling))
        reasons.append(
            f"the object is larger than the box along axis {axis}: oversampling "
            f"{min(evidence.oversampling):.2f}, at least {limits.oversampling} is needed"
        )
    if evidence.saturated:
        reasons.append("the peak is saturated: several of the brightest voxels have exactly the same counts")
    if evidence.effective_voxels < limits.effective_voxels:
        reasons.append(
            f"there is no crystal to be seen: the object is {evidence.effective_voxels:.0f} voxels of equal "
            f"density, at least {limits.effective_voxels} are needed"
        )
    least = limits.least_noise_ratio * (1 - 2 * evidence.filled)
    odd = [f"{evidence.starts.noise_ratio:.2f} of it is left, at least {least:.2f} must be"]
    odd = [*(odd if evidence.starts.noise_ratio < least else []), *evidence.not_counts]
    if odd:
        reasons.append(f"the noise is not Poisson: give raw counts and the monitor ({'; '.join(odd)})")
    return not reasons, tuple(reasons)


def doubts(evidence: StartEvidence, limits: TrustConfig = DEFAULT.trust) -> list[str]:
    """Return what is against an object that more starts might mend; verdict and search ask the same."""
    needed = least_agreement(evidence, limits)
    largest = limits.noise_limit if evidence.pixel_kernel else limits.point_noise_limit
    reasons = []
    if evidence.agreement < needed:
        reasons.append(
            f"independent starts do not agree: overlap {evidence.agreement:.3f}, {needed} is needed here"
        )
    if not evidence.noise_ratio <= largest:
        reasons.append(
            f"the residual is {evidence.noise_ratio:.1f} times what Poisson noise leaves, "
            f"at most {largest} is accepted"
        )
    return reasons


def least_agreement(evidence: StartEvidence, limits: TrustConfig = DEFAULT.trust) -> float:
    """Return the agreement that this class of data needs."""
    many = evidence.confirmations >= limits.many
    if evidence.calibrated:
        return limits.agreement if many else limits.close_agreement
    if evidence.pixel_kernel or evidence.noise_ratio <= limits.noise_explains:
        return limits.agreement
    return limits.many_agreement if many else limits.close_agreement


def compactness(density: NDArray[Any], support: NDArray[np.bool_]) -> float:
    """Return the share of Σ density (n0, n1, n2) in ``support`` that its largest connected part holds."""
    labels, count = ndimage.label(support, structure=np.ones((3, 3, 3)))
    if count == 0:
        return 0.0
    weights = ndimage.sum_labels(density, labels, np.arange(1, count + 1))
    return float(weights.max() / max(weights.sum(), 1e-300))


def oversampling(obj: NDArray[Any], limits: TrustConfig = DEFAULT.trust) -> tuple[float, float, float]:
    """Return edge of the box over edge of the object (n0, n1, n2) complex, per axis; ∞ of nothing.

    The object is where its amplitude exceeds a share of the largest: a support also holds the faint ringing
    of a truncated pattern, which reaches through the whole box. A body may lie across the box's edge.
    """
    amplitude = np.abs(obj)
    inside = torch.from_numpy(amplitude > limits.body * amplitude.max())
    a, b, c = (1 / edge if edge else float("inf") for edge in extent_of(inside))
    return a, b, c


def effective_voxels(density: NDArray[Any]) -> float:
    """Return (Σ d)²/Σ d² of a ``density`` (n0, n1, n2) d = abs(ρ)²."""
    d = np.asarray(density, np.float64)
    return float(d.sum() ** 2 / max((d**2).sum(), 1e-300))


RESOLUTION_THRESHOLD = 1 / np.e
"""The transfer function's value at which the resolution is read."""


@dataclass(frozen=True)
class Spread:
    """What independent reconstructions say together.

    Parameters
    ----------
    mean : ndarray, (n0, n1, n2) complex64
        Mean of the aligned objects.
    phase_deviation : ndarray, (n0, n1, n2) float32, rad
        Circular standard deviation √(−2 ln R), R the length of the mean of exp(iφ); NaN outside ``inside``.
    inside : ndarray, (n0, n1, n2) bool
        Where every object has at least a tenth of its largest amplitude.
    overlaps : tuple of float
        Of each object with the first.
    q : ndarray, (shells,) float64
        Centre of each shell; cycles per nm with a basis, else cycles per voxel.
    transfer : ndarray, (shells,) float64
        Phase-retrieval transfer function (Chapman et al. 2006, doi:10.1364/JOSAA.23.001179).
    resolution : float
        1/q where ``transfer`` falls below 1/e (nm with a basis, else voxels), or at the edge of q.
    limited : bool
        Whether it does fall below 1/e inside the measured q.
    """

    mean: NDArray[np.complex64]
    phase_deviation: NDArray[np.float32]
    inside: NDArray[np.bool_]
    overlaps: tuple[float, ...]
    q: NDArray[np.float64]
    transfer: NDArray[np.float64]
    resolution: float
    limited: bool


def aligned(objects: Sequence[NDArray[Any]]) -> tuple[NDArray[np.complex64], tuple[float, ...]]:
    """Bring all ``objects`` (n0, n1, n2) complex onto the first: twin, sub-voxel shift, global phase, scale.

    Returns the stack (count, n0, n1, n2) complex64 and the overlaps with the first.
    """
    if len(objects) < 2 or len({o.shape for o in objects}) != 1:
        shapes = [o.shape for o in objects]
        raise ValueError(
            f"the spread needs two or more objects of one shape; got {shapes!r}: reconstruct with other seeds"
        )
    stack = [to_corner(torch.from_numpy(np.asarray(o, np.complex64))) for o in objects]
    matches = [register(o, stack[0]) for o in stack[1:]]
    norm = stack[0].norm()
    moved = [stack[0], *(m.object * (norm / m.object.norm().clamp_min(1e-20)) for m in matches)]
    return to_centre(torch.stack(moved)).numpy(), (1.0, *(m.overlap for m in matches))


def spread(
    objects: Sequence[NDArray[Any]], voxel_basis: ArrayLike | None = None, *, shells: int = 32
) -> Spread:
    """Measure what differs between ``objects`` (n0, n1, n2) complex, reconstructions of one pattern.

    Parameters
    ----------
    objects : sequence of ndarray
        Two or more, of trusted reconstructions from independent seeds.
    voxel_basis : array_like, (3, 3), nm, optional
        Columns are the voxel's edges.
    shells : int
        Of q, out to the smallest of the largest q of the axes.
    """
    stack, overlaps = aligned(objects)
    inside = np.all([np.abs(o) > 0.1 * np.abs(o).max() for o in stack], axis=0)
    q, transfer = transfer_function(stack, voxel_basis, shells=shells)
    resolution, limited = resolution_of(q, transfer)
    deviation = np.where(inside, circular_deviation(np.angle(stack)), np.nan).astype(np.float32)
    return Spread(
        stack.mean(axis=0).astype(np.complex64), deviation, inside, overlaps, q, transfer, resolution, limited
    )


def circular_deviation(angles: ArrayLike) -> NDArray[np.float64]:
    """Return the circular standard deviation √(−2 ln R), rad, of ``angles`` (count, …), rad, along axis 0."""
    length = np.abs(np.exp(1j * np.asarray(angles, np.float64)).mean(axis=0))
    return np.sqrt(-2 * np.log(np.clip(length, 1e-300, 1.0)))


def transfer_function(
    stack: NDArray[Any], voxel_basis: ArrayLike | None = None, *, shells: int = 32
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (q of each shell, abs(mean field)/mean abs(field) averaged over it) of aligned objects.

    ``stack`` is (count, n0, n1, n2) complex; for random phases of N objects the ratio is near 1/√N, not 0.
    """
    axes = (1, 2, 3)
    fields = fft.fftn(fft.ifftshift(stack, axes=axes), axes=axes)
    ratio = np.abs(fields.mean(axis=0)) / np.maximum(np.abs(fields).mean(axis=0), 1e-30)
    radius, largest = _radius(stack.shape[1:], voxel_basis)
    edges = np.linspace(0, largest, shells + 1)
    shell = np.digitize(radius.ravel(), edges) - 1
    keep = shell < shells
    count = np.bincount(shell[keep], minlength=shells)
    total = np.bincount(shell[keep], weights=ratio.ravel()[keep], minlength=shells)
    filled = count > 0
    return ((edges[1:] + edges[:-1]) / 2)[filled], (total / np.maximum(count, 1))[filled]


def _radius(shape: tuple[int, ...], voxel_basis: ArrayLike | None) -> tuple[NDArray[np.float64], float]:
    """Return abs(q) of every voxel in corner order and the largest that all axes reach, cycles per length."""
    f = np.stack(np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij"), axis=-1)
    basis = np.eye(3) if voxel_basis is None else np.asarray(voxel_basis, np.float64)
    reciprocal = np.linalg.inv(basis)  # rows: cycles per voxel → cycles per length
    radius = np.linalg.norm(f @ reciprocal, axis=-1)
    # Half a cycle per voxel along axis a lies on the plane at distance 0.5/abs(edge a).
    largest = float(0.5 / np.linalg.norm(basis, axis=0).max())
    return radius, largest


def resolution_of(q: NDArray[np.float64], transfer: NDArray[np.float64]) -> tuple[float, bool]:
    """Return (1/q where ``transfer`` first falls below 1/e, True), or (1/(largest q), False)."""
    below = np.flatnonzero(transfer < RESOLUTION_THRESHOLD)
    if below.size == 0:
        return float(1 / q[-1]), False
    i = int(below[0])
    if i == 0:
        return float(1 / q[0]), True
    share = (transfer[i - 1] - RESOLUTION_THRESHOLD) / (transfer[i - 1] - transfer[i])
    return float(1 / (q[i - 1] + share * (q[i] - q[i - 1]))), True
