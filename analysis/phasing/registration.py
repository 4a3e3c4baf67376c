"""What an intensity cannot know, objects laid upon each other in spite of it, and whether they agree.

The twin, the origin, a phase ramp and the global phase are removed before two objects are compared; starts
that know nothing of each other and end at one object confirm it.

Objects are (n0, n1, n2) complex, origin at index n//2.

Objects of one pattern have one modulus and one ramp, so only the twin, the origin and the global phase are
free: three transforms tell their overlap, where `ambiguities.align` needs dozens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor

from analysis.phasing.pattern import Triple
from analysis.phasing.projections import SPACE

Object = NDArray[Any]


@dataclass(frozen=True)
class Alignment:
    """One object brought onto a reference.

    Parameters
    ----------
    object : ndarray, (n0, n1, n2) complex128
        The moved object: twinned if needed, shifted, freed of ramp and global phase; its scale is kept.
    overlap : float
        abs(⟨object, reference⟩)/(‖object‖‖reference‖), 0 … 1.
    twinned : bool
        Whether the conjugate inversion was taken.
    margin : float
        Overlap of the chosen orientation minus that of the other; how clearly the twin was decided.
    shift : tuple of float, voxels
        By how much the object was moved along each axis.
    ramp : tuple of float, cycles per box
        The linear phase that was taken out, 2π·ramp·r/n.
    phase : float, rad
        The global phase that was taken out.
    """

    object: Object
    overlap: float
    twinned: bool
    margin: float
    shift: tuple[float, float, float]
    ramp: tuple[float, float, float]
    phase: float


def twin(obj: Object) -> Object:
    """Return the conjugate inversion through index n//2, which has the same intensity."""
    flipped = np.conj(obj[::-1, ::-1, ::-1])
    return np.roll(flipped, [2 * (n // 2) - (n - 1) for n in obj.shape], axis=(0, 1, 2))


def _indices(shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Return signed index axes of corner order, each broadcastable to ``shape``."""
    axes: list[NDArray[np.float64]] = []
    for axis, n in enumerate(shape):
        view = [1, 1, 1]
        view[axis] = n
        axes.append(np.asarray(np.fft.fftfreq(n) * n, np.float64).reshape(view))
    return axes


def centre_of_mass(density: NDArray[Any]) -> NDArray[np.float64]:
    """Return the centre of mass (3,) of a periodic density (n0, n1, n2), in voxels from index n//2.

    First a circular mean, which no edge can split, then the plain mean about it.
    """
    weights = np.asarray(density, dtype=np.float64)
    result = np.zeros(3)
    for axis, n in enumerate(weights.shape):
        profile = weights.sum(axis=tuple(a for a in range(3) if a != axis))
        offset = np.arange(n) - n // 2
        rough = np.angle(np.sum(profile * np.exp(2j * np.pi * offset / n))) * n / (2 * np.pi)
        wrapped = (offset - rough + n / 2) % n - n / 2
        result[axis] = rough + np.sum(profile * wrapped) / max(profile.sum(), 1e-300)
    return result


def centre(obj: Object, *companions: Object) -> tuple[Object, ...]:
    """Roll ``obj`` by whole voxels so that the centre of mass of abs(obj)² lies within half a voxel of n//2.

    ``companions`` (e.g. the support) are rolled along.  The phase ramp stays: it tells where the peak is.
    """
    move = tuple(-np.rint(centre_of_mass(np.abs(obj) ** 2)).astype(int))
    return tuple(np.roll(array, move, axis=(0, 1, 2)) for array in (obj, *companions))


def shift(obj: Object, by: NDArray[np.float64]) -> Object:
    """Return ``obj`` moved by ``by`` (3,) voxels, fractions included, by a phase ramp in reciprocal space."""
    field = fft.fftn(obj)
    for q, s, n in zip(_indices(obj.shape), by, obj.shape, strict=True):
        field *= np.exp(-2j * np.pi * q * s / n)
    return fft.ifftn(field)


def peak_of(correlation: NDArray[Any]) -> NDArray[np.float64]:
    """Return the signed indices (3,) of the largest modulus of a correlation in corner order."""
    index = np.unravel_index(int(np.argmax(np.abs(correlation))), correlation.shape)
    return np.array(
        [i if i < (n + 1) // 2 else i - n for i, n in zip(index, correlation.shape, strict=True)], float
    )


def _moments(product: NDArray[Any], k: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return Σ product·x0^a·x1^b·x2^c·exp(−i k·x), (3, 3, 3), a, b, c ≤ 2, x = 2π·index/n: axis by axis."""
    total = product
    for rate, n in zip(k, product.shape, strict=True):
        x = 2 * np.pi * np.fft.fftfreq(n)
        weights = np.stack([np.ones(n), x, x**2]) * np.exp(-1j * rate * x)
        total = np.tensordot(total, weights.astype(product.dtype), axes=([0], [1]))
    return np.asarray(total, np.complex128)


def climb(
    product: NDArray[Any], start: NDArray[np.float64], steps: int = 3
) -> tuple[NDArray[np.float64], float]:
    """Return the k (3,) that maximises abs(Σ product·exp(−2πi k·x/n)), by Newton's method, and that modulus.

    Parameters
    ----------
    product : ndarray, (n0, n1, n2) complex, corner order
        Its moments give gradient and Hessian of the logarithm of the modulus.
    start : ndarray, (3,) float64
    steps : int
    """
    k = start.copy()
    for _ in range(steps):
        m = _moments(product, k)
        if abs(m[0, 0, 0]) == 0:
            break
        first = np.array([m[1, 0, 0], m[0, 1, 0], m[0, 0, 1]]) / m[0, 0, 0]
        second = np.array(
            [
                [m[2, 0, 0], m[1, 1, 0], m[1, 0, 1]],
                [m[1, 1, 0], m[0, 2, 0], m[0, 1, 1]],
                [m[1, 0, 1], m[0, 1, 1], m[0, 0, 2]],
            ]
        )
        hessian = -(second / m[0, 0, 0] - np.outer(first, first)).real
        if np.linalg.eigvalsh(hessian).max() >= 0:
            break
        k = k - np.clip(np.linalg.solve(hessian, first.imag), -0.5, 0.5)
    return k, float(abs(_moments(product, k)[0, 0, 0]))


def _register(
    obj: Object, reference: Object, rounds: int
) -> tuple[Object, NDArray[np.float64], NDArray[np.float64], complex]:
    """Return (moved object, shift, ramp, inner product) that maximise abs(⟨reference, moved⟩)."""
    density = fft.ifftn(fft.fftn(np.abs(reference)) * np.conj(fft.fftn(np.abs(obj))))
    move = peak_of(density)
    field, origin = fft.fftn(obj), np.fft.ifftshift(reference)
    x, ramp = _indices(obj.shape), np.zeros(3)
    for turn in range(rounds):
        moved = fft.ifftn(_ramped(field, x, -move))
        product = np.fft.ifftshift(moved) * np.conj(origin)
        start = peak_of(fft.fftn(product)) if turn == 0 else ramp
        ramp = climb(product, start)[0]
        # The ramp about the box's origin is a shift of the reference's transform: undo it there instead.
        turned = fft.fftn(np.fft.fftshift(_ramped(origin, x, ramp)))
        move = climb(field * np.conj(turned), move)[0]
    result = np.fft.fftshift(_ramped(np.fft.ifftshift(fft.ifftn(_ramped(field, x, -move))), x, -ramp))
    return result, move, ramp, complex(np.vdot(reference, result))


def _ramped(array: Object, x: list[NDArray[np.float64]], k: NDArray[np.float64]) -> Object:
    """Return ``array`` times exp(+2πi k·x/n), corner order."""
    result = array
    for axis, rate, n in zip(x, k, array.shape, strict=True):
        result = result * np.exp(2j * np.pi * rate * axis / n)
    return result


def align(obj: Object, reference: Object, *, rounds: int = 4) -> Alignment:
    """Bring ``obj`` onto ``reference``: twin, sub-voxel shift, phase ramp and global phase removed.

    Parameters
    ----------
    obj, reference : ndarray, (n0, n1, n2) complex
    rounds : int
        Alternations between shift and ramp; each is a Newton step on the overlap itself.
    """
    if obj.shape != reference.shape or obj.ndim != 3:
        raise ValueError(
            f"align needs two 3D objects of one shape; got {obj.shape!r} and {reference.shape!r}: crop one"
        )
    obj, reference = np.asarray(obj, np.complex128), np.asarray(reference, np.complex128)
    norm = np.linalg.norm(obj) * np.linalg.norm(reference)
    if not np.isfinite(norm) or norm == 0:
        raise ValueError("align needs finite objects that are not all zero; look at the reconstruction first")
    straight = _register(obj, reference, rounds)
    turned = _register(twin(obj), reference, rounds)
    overlaps = [abs(straight[3]) / norm, abs(turned[3]) / norm]
    twinned = overlaps[1] > overlaps[0]
    moved, move, ramp, inner = turned if twinned else straight
    phase = float(np.angle(inner))
    return Alignment(
        object=moved * np.exp(-1j * phase),
        overlap=float(max(overlaps)),
        twinned=bool(twinned),
        margin=float(abs(overlaps[1] - overlaps[0])),
        shift=(float(move[0]), float(move[1]), float(move[2])),
        ramp=(float(ramp[0]), float(ramp[1]), float(ramp[2])),
        phase=phase,
    )


def overlap(obj: Object, reference: Object) -> float:
    """Return abs(⟨a, b⟩)/(‖a‖‖b‖) after `align`, 0 … 1."""
    return align(obj, reference).overlap


AGREEMENT = 0.97
"""Overlap from which two starts count as the same object."""

LIKELY = 0.9
"""Overlap from which they may be the same, and are worth polishing."""

RIVAL, RIVALS = 2.0, 8
"""A candidate within this factor of the lowest χ², and among the best so many of other families, has a say in
the agreement."""

NEAR = 1.3
"""Candidates within this factor of the lowest χ² are equally good explanations."""

NETWORK = "network"
"""How the origin of a network's guess begins."""

AGAIN = "again"
"""In the origin of a start that was made in the support of another: what follows the other's origin."""


@dataclass(frozen=True)
class Candidate:
    """One object that a start ended at; ``x`` and ``support`` are (1, n0, n1, n2), corner order."""

    x: Tensor
    support: Tensor
    score: float
    coherence: Triple
    origin: str


@dataclass(frozen=True)
class Match:
    """How one object is brought onto another.

    Parameters
    ----------
    overlap : float
        abs(⟨a, b⟩)/(‖a‖‖b‖), 0 … 1, for the better twin at the best sub-voxel shift.
    moved : Tensor, (n0, n1, n2) complex64, corner order
        The first object, twinned, shifted and turned in phase onto the second.
    """

    overlap: float
    moved: Tensor


def match(a: Tensor, b: Tensor) -> Match:
    """Bring ``a`` onto ``b``, both (n0, n1, n2) complex64 in corner order, but for a ramp."""
    one, two = torch.fft.fftn(a, dim=SPACE), torch.fft.fftn(b, dim=SPACE)
    norm = float(one.norm() * two.norm())
    if norm <= 0:
        return Match(0.0, a)
    # The transform of the twin, conj(a(−r)), is conj(A).
    best, moved = -1.0, one
    for field in (one, one.conj().resolve_conj()):
        product = (field.conj() * two).cpu().numpy()
        start = peak_of(torch.fft.ifftn(torch.from_numpy(product), dim=SPACE).numpy())
        shift, height = climb(product, -start)
        if height > best:
            best, moved = height, _shifted(field, [-float(s) for s in shift])
    inner = complex(torch.vdot(moved.flatten(), two.flatten()))
    turned = moved * (inner / max(abs(inner), 1e-30))
    return Match(min(best / norm, 1.0), torch.fft.ifftn(turned, dim=SPACE))


def _shifted(field: Tensor, shift: Sequence[float]) -> Tensor:
    """Return the transform ``field`` (n0, n1, n2) complex64 of an object moved by ``shift`` (3,) voxels."""
    for axis, (n, s) in enumerate(zip(field.shape, shift, strict=True)):
        view = [-1 if a == axis else 1 for a in range(3)]
        field = field * torch.exp(
            -2j * torch.pi * float(s) * torch.fft.fftfreq(n, device=field.device)
        ).reshape(view)
    return field


def family(candidate: Candidate) -> str:
    """Return which starts know of each other: the network's guesses, and those that share a support."""
    first = candidate.origin.split(f", {AGAIN}")[0]
    return NETWORK if first.startswith(NETWORK) else first


def independent(a: Candidate, b: Candidate) -> bool:
    """Return whether two candidates may confirm each other: those of one family may not."""
    return family(a) != family(b)


def agreement(best: Candidate, others: Sequence[Candidate]) -> float:
    """Return the highest overlap of ``best`` with an independent rival among ``others``, 0 without any."""
    rivals = [c for c in others if c.score <= RIVAL * best.score and independent(best, c)]
    return max((match(c.x[0], best.x[0]).overlap for c in rivals[:RIVALS]), default=0.0)


def confirmations(candidates: Sequence[Candidate]) -> int:
    """Return how many others ended where the first of ``candidates`` did, each family counted once."""
    best, *others = candidates
    same = {family(c) for c in others if match(c.x[0], best.x[0]).overlap >= LIKELY}
    return len(same - {family(best)})


def leaders(candidates: Sequence[Candidate], each: int) -> list[Candidate]:
    """Return the first ``each`` of every family, in their order: no family crowds out its witnesses."""
    seen: Counter[str] = Counter()
    kept = []
    for candidate in candidates:
        seen[family(candidate)] += 1
        if seen[family(candidate)] <= each:
            kept.append(candidate)
    return kept


def consensus(candidates: Sequence[Candidate]) -> tuple[list[Candidate], float]:
    """Return the candidates, the one that others confirm best in front, and its agreement with them.

    Only those within `NEAR` of the lowest χ² can stand in front: a lower χ² by less may be a looser support.
    """
    ranked = sorted(candidates, key=lambda c: c.score)
    near = [c for c in ranked if c.score <= NEAR * ranked[0].score]
    agreed = [agreement(c, [d for d in ranked if d is not c]) for c in near]
    best = max(range(len(near)), key=agreed.__getitem__)
    return [near[best], *(c for c in ranked if c is not near[best])], agreed[best]
