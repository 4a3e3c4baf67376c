"""What an intensity cannot know, objects registered in spite of it, and whether they agree.

The twin, the origin, a phase ramp and the global phase are removed before two objects are compared. Objects
of one pattern have one modulus and one ramp, so only twin, origin and global phase are free between them.
Independent starts that end at one object confirm it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage
from torch import Tensor

from analysis.phasing.config import DEFAULT, SearchConfig
from analysis.phasing.pattern import Triple
from analysis.phasing.projections import SPACE

Object = NDArray[Any]
Array = TypeVar("Array", Object, Tensor)


@dataclass(frozen=True)
class Alignment(Generic[Array]):
    """One object brought onto a reference.

    Parameters
    ----------
    object : ndarray or Tensor, (n0, n1, n2) complex
        The moved object: twinned if needed, shifted, without ramp and global phase; its scale is kept.
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

    object: Array
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
    return np.asarray(fft.ifftn(ndimage.fourier_shift(fft.fftn(obj), by)))


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


def register(obj: Tensor, reference: Tensor, *, ramp: bool = False, rounds: int = 4) -> Alignment[Tensor]:
    """Bring ``obj`` onto ``reference``, both (n0, n1, n2) complex, corner order, on any device.

    Twin, sub-voxel shift and global phase are removed, and a phase ramp where ``ramp`` is set.

    Parameters
    ----------
    obj, reference : Tensor, (n0, n1, n2) complex64 or complex128
    ramp : bool
        Objects of one pattern have the same ramp: three transforms are enough; with it, it takes dozens.
    rounds : int
        Alternations between shift and ramp; each is a Newton step on the overlap itself.
    """
    one, two = torch.fft.fftn(obj, dim=SPACE), torch.fft.fftn(reference, dim=SPACE)
    norm = float(one.norm() * two.norm())
    if norm <= 0:
        return Alignment(obj, 0.0, False, 0.0, _NOWHERE, _NOWHERE, 0.0)
    # The transform of the twin, conj(a(−r)), is conj(A).
    fields = (one, one.conj().resolve_conj())
    if ramp:
        placed = [_shift_and_ramp(field, reference, rounds) for field in fields]
    else:
        placed = [_shift_alone(field, two) for field in fields]
    twinned = placed[1].height > placed[0].height
    best = placed[int(twinned)]
    moved = _ramped(fields[int(twinned)], -best.shift)
    if ramp:
        moved = torch.fft.fftn(_ramped(torch.fft.ifftn(moved, dim=SPACE), -best.ramp), dim=SPACE)
    inner = complex(torch.vdot(moved.flatten(), two.flatten()))
    turned = moved * (inner / max(abs(inner), 1e-30))
    return Alignment(
        object=torch.fft.ifftn(turned, dim=SPACE),
        overlap=min(best.height / norm, 1.0),
        twinned=twinned,
        margin=abs(placed[1].height - placed[0].height) / norm,
        shift=_triple(best.shift),
        ramp=_triple(best.ramp),
        phase=-float(np.angle(inner)),
    )


_NOWHERE = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Placed:
    """``shift`` and ``ramp``, (3,) each, that maximise an inner product, and its modulus ``height``."""

    shift: NDArray[np.float64]
    ramp: NDArray[np.float64]
    height: float


def _shift_alone(field: Tensor, reference: Tensor) -> _Placed:
    """Place one transform (n0, n1, n2) on another, by their correlation."""
    product = (field.conj() * reference).cpu().numpy()
    start = peak_of(torch.fft.ifftn(torch.from_numpy(product), dim=SPACE).numpy())
    negative, height = climb(product, -start)
    return _Placed(-negative, np.zeros(3), height)


def _shift_and_ramp(field: Tensor, reference: Tensor, rounds: int) -> _Placed:
    """Place the object of a transform ``field`` on ``reference``, both (n0, n1, n2), a ramp being free."""
    obj = torch.fft.ifftn(field, dim=SPACE)
    dense = torch.fft.fftn(reference.abs(), dim=SPACE) * torch.fft.fftn(obj.abs(), dim=SPACE).conj()
    move, ramp, height = peak_of(torch.fft.ifftn(dense, dim=SPACE).cpu().numpy()), np.zeros(3), 0.0
    for turn in range(rounds):
        product = torch.fft.ifftn(_ramped(field, -move), dim=SPACE) * reference.conj()
        start = peak_of(torch.fft.fftn(product, dim=SPACE).cpu().numpy()) if turn == 0 else ramp
        ramp = climb(product.cpu().numpy(), start)[0]
        # A ramp on the object is a shift of its transform: undone in the reference instead.
        turned = torch.fft.fftn(_ramped(reference, ramp), dim=SPACE)
        move, height = climb((field * turned.conj()).cpu().numpy(), move)
    return _Placed(move, ramp, height)


def _ramped(array: Tensor, k: NDArray[np.float64]) -> Tensor:
    """Return ``array`` (n0, n1, n2), corner order, times exp(+2πi k·index/n).

    `scipy.ndimage.fourier_shift` for tensors on any device; of a transform, k is minus a shift in voxels.
    """
    for axis, (n, rate) in enumerate(zip(array.shape, k, strict=True)):
        view = [-1 if a == axis else 1 for a in range(3)]
        index = torch.fft.fftfreq(n, device=array.device, dtype=array.real.dtype)
        array = array * torch.exp(2j * torch.pi * float(rate) * index).reshape(view)
    return array


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def align(obj: Object, reference: Object, *, rounds: int = 4) -> Alignment[Object]:
    """Bring ``obj`` onto ``reference``: twin, sub-voxel shift, phase ramp and global phase removed.

    `register` for arrays, (n0, n1, n2) complex with the origin at index n//2, in double precision.
    """
    if obj.shape != reference.shape or obj.ndim != 3:
        raise ValueError(
            f"align needs two 3D objects of one shape; got {obj.shape!r} and {reference.shape!r}: crop one"
        )
    one, two = (torch.from_numpy(np.fft.ifftshift(np.asarray(a, np.complex128))) for a in (obj, reference))
    norm = float(one.norm() * two.norm())
    if not np.isfinite(norm) or norm == 0:
        raise ValueError("align needs finite objects that are not all zero; look at the reconstruction first")
    found = register(one, two, ramp=True, rounds=rounds)
    moved = np.fft.fftshift(found.object.numpy())
    return Alignment(moved, found.overlap, found.twinned, found.margin, found.shift, found.ramp, found.phase)


def overlap(obj: Object, reference: Object) -> float:
    """Return abs(⟨a, b⟩)/(‖a‖‖b‖) after `align`, 0 … 1."""
    return align(obj, reference).overlap


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


def family(candidate: Candidate) -> str:
    """Return which starts know of each other: the network's guesses, and those that share a support."""
    first = candidate.origin.split(f", {AGAIN}")[0]
    return NETWORK if first.startswith(NETWORK) else first


def independent(a: Candidate, b: Candidate) -> bool:
    """Return whether two candidates may confirm each other: those of one family may not."""
    return family(a) != family(b)


def agreement(best: Candidate, others: Sequence[Candidate], config: SearchConfig = DEFAULT.search) -> float:
    """Return the highest overlap of ``best`` with an independent rival among ``others``, 0 without any."""
    rivals = [c for c in others if c.score <= config.rival * best.score and independent(best, c)]
    return max((register(c.x[0], best.x[0]).overlap for c in rivals[: config.rivals]), default=0.0)


def confirmations(candidates: Sequence[Candidate], config: SearchConfig = DEFAULT.search) -> int:
    """Return how many others ended where the first of ``candidates`` did, each family counted once."""
    best, *others = candidates
    same = {family(c) for c in others if register(c.x[0], best.x[0]).overlap >= config.likely}
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


def consensus(
    candidates: Sequence[Candidate], config: SearchConfig = DEFAULT.search
) -> tuple[list[Candidate], float]:
    """Return the candidates, the one that others confirm best in front, and its agreement with them.

    Only those within ``config.equal`` of the lowest χ² can stand in front: a lower χ² by less may be a
    looser support.
    """
    ranked = sorted(candidates, key=lambda c: c.score)
    near = [c for c in ranked if c.score <= config.equal * ranked[0].score]
    agreed = [agreement(c, [d for d in ranked if d is not c], config) for c in near]
    best = max(range(len(near)), key=agreed.__getitem__)
    return [near[best], *(c for c in ranked if c is not near[best])], agreed[best]
