"""Displacement along Q from the unwrapped phase, and where no unwrapping can be right.

Strain does not need it: it is made from wrapped products (`strain`). A displacement does, and around a
dislocation or across a wall that slips by more than half a plane it does not exist as a single-valued field.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.restoration import unwrap_phase

from analysis.structure.density import Mask, Object, isosurface
from analysis.structure.strain_field import Field

_PATH_SEED = 0
"""The unwrapping breaks ties between equally reliable paths by a random draw: always the same one."""


@dataclass(frozen=True, eq=False)
class Displacement:
    """Displacement along Q of one object.

    Attributes
    ----------
    values : ndarray, (n0, n1, n2) float32, nm
        u = phi / abs(Q), its abs(ρ)²-weighted mean 0 over the largest region; NaN outside.
    torn : ndarray, (n0, n1, n2) bool
        Voxels that meet a neighbour across more than half a plane spacing: there the unwrapped phase
        contradicts the measured step, as it must around a dislocation.
    vortices : ndarray, (n0, n1, n2) bool
        Voxels at a vortex of the phase (`phase_vortices`): the line of a dislocation, or a hole.
    regions : int
        Connected parts. Between two of them a displacement is known but for multiples of ``period``.
    period : float, nm
        Plane spacing 2π / abs(Q), by which a phase turns once.
    """

    values: Field
    torn: Mask
    vortices: Mask
    regions: int
    period: float

    def record(self) -> dict[str, Any]:
        """Return what can be said in numbers, JSON-able."""
        known = self.values[np.isfinite(self.values)].astype(np.float64)
        return {
            "sigma_nm": float(known.std()),
            "range_nm": float(np.ptp(known)),
            "period_nm": self.period,
            "torn_voxels": int(self.torn.sum()),
            "vortex_voxels": int(self.vortices.sum()),
            "regions": self.regions,
        }

    @property
    def single_valued(self) -> bool:
        """Whether the unwrapped phase agrees with every measured step."""
        return not bool(self.torn.any())


def displacement(array: Object, q_vector: ArrayLike, inside: Mask | None = None) -> Displacement:
    """Return the displacement along Q, by unwrapping the phase of an object.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
        Object with arg = −Q·u.
    q_vector : array_like, (3,) float, Å⁻¹
    inside : ndarray, (n0, n1, n2) bool, optional
        Where the displacement is wanted; by default the 95 % isosurface.

    References
    ----------
    Herráez, Burton, Lalor & Gdeisat 2002, doi:10.1364/AO.41.007437: unwrapping sorted by reliability, here
    scikit-image's ``unwrap_phase`` in three dimensions.
    """
    within = isosurface(array, 95) if inside is None else np.asarray(inside, dtype=bool)
    if within.shape != array.shape:
        raise ValueError(f"inside must have the object's shape {array.shape!r}; got {within.shape!r}")
    if not within.any():
        raise ValueError("inside holds no voxel: there is nothing to unwrap")
    if not np.isfinite(array[within]).all():
        raise ValueError("a finite object is required; voxels inside are NaN or infinite: reconstruct again")
    per_radian = 0.1 / float(np.linalg.norm(q_vector))
    wrapped = np.angle(np.conj(array)).astype(np.float64)
    phase = np.asarray(unwrap_phase(np.ma.masked_array(wrapped, ~within), rng=_PATH_SEED).data)
    labels, regions = ndimage.label(within)
    phase = _levelled(phase, np.abs(array).astype(np.float64) ** 2, labels)
    values = np.where(within, phase * per_radian, np.nan).astype(np.float32)
    return Displacement(
        values, _torn(phase, within), phase_vortices(array, within), int(regions), 2 * np.pi * per_radian
    )


def phase_vortices(array: Object, inside: Mask) -> Mask:
    """Return the voxels around which the phase turns by a multiple of 2π that is not 0, (n0, n1, n2) bool.

    Wrapped steps are summed around each square of four neighbours that lie inside; all four are marked.
    """
    found = np.zeros(array.shape, dtype=bool)
    for first, second in combinations(range(3), 2):
        across, up = _step(array, first), _step(array, second)
        turn = across + np.roll(up, -1, axis=first) - np.roll(across, -1, axis=second) - up
        corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
        whole = np.logical_and.reduce([_ahead(inside, first, a, second, b) for a, b in corners])
        vortex = whole & (np.abs(turn) > np.pi)
        for a, b in corners:
            found |= np.roll(vortex, (a, b), axis=(first, second))
    return found


def _step(array: Object, axis: int) -> NDArray[np.float64]:
    """Return the wrapped step of phi to the next voxel, rad."""
    return np.asarray(np.angle(np.conj(np.roll(array, -1, axis=axis)) * array), dtype=np.float64)


def _ahead(inside: Mask, first: int, by: int, second: int, and_by: int) -> Mask:
    """Return ``inside`` of the voxel that lies ahead; False beyond the box."""
    moved = np.roll(inside, (-by, -and_by), axis=(first, second))
    for axis, ahead in ((first, by), (second, and_by)):
        if ahead:
            moved = moved.copy()
            np.moveaxis(moved, axis, 0)[-1] = False
    return moved


def _levelled(
    phase: NDArray[np.float64], weight: NDArray[np.float64], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the phase with the largest region's mean at 0 and each other one's within half a turn of it."""
    sizes = np.bincount(labels.ravel())[1:]
    index = np.arange(1, len(sizes) + 1)
    means = ndimage.sum_labels(phase * weight, labels, index) / np.maximum(
        ndimage.sum_labels(weight, labels, index), 1e-300
    )
    main = means[int(np.argmax(sizes))]
    turns = 2 * np.pi * np.rint((means - main) / (2 * np.pi))
    return np.asarray(phase - main - np.concatenate([[0.0], turns])[labels])


def _torn(phase: NDArray[np.float64], inside: Mask) -> Mask:
    torn = np.zeros(phase.shape, dtype=bool)
    for axis in range(3):
        pair = inside & np.roll(inside, -1, axis=axis)
        np.moveaxis(pair, axis, 0)[-1] = False
        apart = pair & (np.abs(np.roll(phase, -1, axis=axis) - phase) > np.pi * (1 + 1e-9))
        torn |= apart | np.roll(apart, 1, axis=axis)
    return torn
