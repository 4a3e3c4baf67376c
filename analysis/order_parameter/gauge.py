"""One gauge for a whole series: twin, origin, ramp and global phase, carried from neighbour to neighbour.

What its ramp carries is how far each temperature's Bragg peak lies from the reference's.

Late in the transition an object says little about its twin when held against the first one (overlap 0.37
direct, 0.32 twinned); held against its neighbour in temperature it does. So the gauge is carried outward
from the reference through trusted temperatures: the twin by the overlap with the nearest of them, the origin
by the amplitude of the reference, ramp and phase by the nearest one again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from analysis.geometry import orthogonal_basis, q_axis, resample
from analysis.order_parameter.selection import sample_path
from analysis.order_parameter.two_objects import refine_origin, relative_ramp, without_ramp
from analysis.phasing.registration import align, centre_of_mass, shift, twin
from analysis.results import AlignedObjects, Gauge, ScanResult
from analysis.structure import isosurface, lost

Complex = NDArray[np.complex64]
Floats = NDArray[np.float64]

GRID = (64, 64, 64)
"""Shape of the orthogonal grid on which temperatures are compared, that of Najeeb et al."""

SUPPORT_PERCENT = 95.0
"""Isosurface of the reference that is S_0. Larger ones take in the ringing of the band limit."""

TWIN_MARGIN = 0.05
"""Difference of overlap between direct and twinned below which the twin counts as undecided.

Simulated neighbours 5 K apart are decided by 0.5 to 0.8.
"""


def fix_gauge(results: Sequence[ScanResult], reference: int) -> Gauge:
    """Bring a series into the gauge of its reference.

    Parameters
    ----------
    results : sequence of ScanResult
        One for each place in the series, in the order in which they were measured, all of one crop.
    reference : int
        Which of them all others are compared with.

    Returns
    -------
    Gauge
    """
    _check_shapes(results)
    first = results[reference]
    shape = first.object.shape
    basis = orthogonal_basis(first.voxel_basis, first.q_vector, shape, GRID)
    objects = [_Volume(resample(result.object, result.voxel_basis, basis, GRID)) for result in results]
    path = sample_path(results)
    links = {
        reference: (_Link(objects[reference].array, 1.0, 1.0, False, np.zeros(3), np.zeros(3)), reference)
    }
    anchors = [reference]
    for row in sorted(range(len(results)), key=lambda row: (abs(path[row] - path[reference]), row)):
        if row == reference:
            continue
        links[row] = _best_link(row, anchors, path, links, objects, objects[reference])
        if results[row].trusted and links[row][0].margin >= TWIN_MARGIN:
            anchors.append(row)
    ordered = [links[row] for row in range(len(results))]
    return Gauge(
        aligned=_levelled([link.array for link, _ in ordered], reference),
        basis=basis,
        q_axis=q_axis(basis, first.q_vector),
        q_vector=first.q_vector,
        support=isosurface(objects[reference].array, SUPPORT_PERCENT),
        reference=reference,
        neighbour=tuple(neighbour for _, neighbour in ordered),
        overlap=np.array([link.overlap for link, _ in ordered]),
        margin=np.array([link.margin for link, _ in ordered]),
        twinned=tuple(link.twinned for link, _ in ordered),
        moved=np.stack([link.moved for link, _ in ordered]),
        ramp=np.stack([link.ramp for link, _ in ordered]),
        decided=np.array([link.margin >= TWIN_MARGIN for link, _ in ordered]),
    )


def into_gauge(gauge: Gauge, row: int, result: ScanResult) -> tuple[Complex, float]:
    """Return another reconstruction of the scan in ``row``, brought into the gauge, and its twin margin.

    It is held against the neighbour that the row was held against, so that the two differ as reconstructions
    do, not as gauges.

    Returns
    -------
    tuple of ndarray, (64, 64, 64) complex64, and float
    """
    placed = _Volume(resample(result.object, result.voxel_basis, gauge.basis, GRID))
    neighbour = _Volume(gauge.aligned[gauge.neighbour[row]])
    link = _link(placed, neighbour, _Volume(gauge.aligned[gauge.reference]))
    return link.array, link.margin


def beside(aligned: AlignedObjects, result: ScanResult) -> Complex:
    """Return an object that is none of a series' own, laid upon the last of its aligned ones.

    For looking at a preview or an early result; nothing is computed from it.

    Returns
    -------
    ndarray, (64, 64, 64) complex64
    """
    last = _Volume(aligned.objects[-1])
    placed = resample(result.object, result.voxel_basis, aligned.basis, GRID)
    return _link(_Volume(placed), last, last).array


def _levelled(arrays: list[Complex], reference: int) -> Complex:
    """Return all objects, turned together so that the reference's Bragg peak is at q = 0, its mean phase 0.

    This fixes what is drawn; differences to the reference do not see it.
    """
    first = arrays[reference]
    peak = centre_of_mass(np.abs(np.fft.fftshift(np.fft.fftn(first))) ** 2)
    ramp = 2 * np.pi * peak / np.array(first.shape)
    level = without_ramp(first, ramp, 0.0)
    phase = float(np.angle(np.sum(np.abs(level) * level)))
    return np.stack([without_ramp(array, ramp, phase).astype(np.complex64) for array in arrays])


@dataclass(frozen=True, eq=False)
class _Link:
    array: Complex
    overlap: float
    margin: float
    twinned: bool
    moved: Floats
    ramp: Floats


class _Volume:
    """An array that is known by its contents, so that a link is computed once while a series grows."""

    def __init__(self, array: Complex) -> None:
        self.array = np.ascontiguousarray(array, dtype=np.complex64)
        self.array.setflags(write=False)
        self.digest = blake2b(self.array.tobytes(), digest_size=16).digest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Volume) and self.digest == other.digest


def _best_link(
    row: int,
    anchors: list[int],
    path: Floats,
    links: dict[int, tuple[_Link, int]],
    objects: list[_Volume],
    reference: _Volume,
) -> tuple[_Link, int]:
    """Return the link of ``row`` to the nearest anchor that decides its twin, else to the best of three."""
    nearest = sorted(anchors, key=lambda anchor: (abs(path[anchor] - path[row]), anchor))[:3]
    tried = []
    for anchor in nearest:
        tried.append((_link(objects[row], _Volume(links[anchor][0].array), reference), anchor))
        if tried[-1][0].margin >= TWIN_MARGIN:
            return tried[-1]
    return max(tried, key=lambda pair: pair[0].margin)


@lru_cache(maxsize=24)
def _link(obj: _Volume, neighbour: _Volume, reference: _Volume) -> _Link:
    """Bring one object onto its neighbour: twin, origin, then ramp and phase."""
    support = isosurface(reference.array, SUPPORT_PERCENT)
    rough = align(obj.array, neighbour.array, rounds=2)
    upright = twin(obj.array) if rough.twinned else obj.array
    moved, ramp = np.array(rough.shift), 2 * np.pi * np.array(rough.ramp) / np.array(GRID)
    # The ramp goes before the shift: a shift by a fraction of a voxel is exact only for what is band-limited.
    for _ in range(6):
        level = without_ramp(upright, ramp, 0.0)
        moved = moved + refine_origin(shift(level, moved), reference.array, support)
        placed = shift(level, moved)
        gone = lost(placed, reference.array, support) | lost(neighbour.array, reference.array, support)
        both = support & ~gone
        used = both if np.count_nonzero(both) >= 8 else support
        rest, phase = relative_ramp(placed, neighbour.array, used)
        ramp = ramp + rest
        if np.abs(rest).max() < 5e-6:
            break
    aligned = without_ramp(placed, rest, phase).astype(np.complex64)
    return _Link(aligned, rough.overlap, rough.margin, rough.twinned, moved, ramp)


def _check_shapes(results: Sequence[ScanResult]) -> None:
    if not results:
        raise ValueError(
            "at least one scan result is required to fix a gauge; got none: analyse a scan first"
        )
    shapes = {result.object.shape for result in results}
    if len(shapes) > 1:
        raise ValueError(
            f"temperatures can only be compared in one q-volume; the crops are {sorted(shapes)!r}: "
            "analyse all scans with one crop shape"
        )


def bragg_shift(results: Sequence[ScanResult], gauge: Gauge) -> Floats:
    """Return by how much abs(q) of each Bragg peak exceeds the reference's, (n,) float64, Å⁻¹.

    A linear phase k·r that an object has beyond the reference's is a shift of its peak by k; the middle of
    its crop, ``q_vector``, moves as well. Taken from the phase of the voxels that both have, it is
    independent of the centre of mass of the intensity.

    Parameters
    ----------
    results : sequence of ScanResult
        As given to `fix_gauge`.
    gauge : Gauge
    """
    waves = 0.1 * gauge.ramp @ np.linalg.inv(gauge.basis)
    middles = np.stack([result.q_vector for result in results])
    lengths = np.linalg.norm(middles + waves, axis=1)
    return np.asarray(lengths - np.linalg.norm(middles[gauge.reference]))


def ramp_spacing(shift: Floats, reference: float) -> Floats:
    """Return the plane spacing that a `bragg_shift` stands for, (n,) float64, Å: d = 2π / (2π/d_0 + shift).

    Parameters
    ----------
    shift : ndarray, (n,) float64, Å⁻¹
    reference : float, Å
        Spacing d_0 of the reference, from its centre of mass.
    """
    return np.asarray(2 * np.pi / (2 * np.pi / reference + shift))
