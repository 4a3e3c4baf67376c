"""How far independent reconstructions of one pattern differ: phase spread and resolution.

Arrays in, arrays out: objects of one shape, each a reconstruction of the same pattern from another seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from analysis.phasing.agreement import match
from analysis.phasing.engine import to_centre, to_corner

THRESHOLD = 1 / np.e
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
    matches = [match(o, stack[0]) for o in stack[1:]]
    norm = stack[0].norm()
    moved = [stack[0], *(m.moved * (norm / m.moved.norm().clamp_min(1e-20)) for m in matches)]
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
    below = np.flatnonzero(transfer < THRESHOLD)
    if below.size == 0:
        return float(1 / q[-1]), False
    i = int(below[0])
    if i == 0:
        return float(1 / q[0]), True
    share = (transfer[i - 1] - THRESHOLD) / (transfer[i - 1] - transfer[i])
    return float(1 / (q[i - 1] + share * (q[i] - q[i - 1]))), True
