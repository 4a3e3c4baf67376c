"""Whether starts that know nothing of each other ended at one object.

Objects of one pattern have one modulus and one ramp, so only the twin, the origin and the global phase are
free: three transforms tell their overlap, where `ambiguities.align` needs dozens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.phasing.ambiguities import climb, peak_of
from analysis.phasing.coherence import Triple
from analysis.phasing.engine import SPACE

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
