"""Compressive, neutral, tensile and missing volume of a crystal: fractions, a map, and islands.

Strain, not the colour of the phase: a domain is compressive or tensile where ∂u/∂x along Q is, relative to
the crystal's own mean at that temperature, which is reported as d-spacing. A domain is no phase: in simulated
series M2 is tensile twice as often as M1, which is far from telling the two apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from analysis.structure.isosurface import Mask, Object, isosurface
from analysis.structure.missing import FALSE_ALARMS, HALF, Missing, missing_density
from analysis.structure.strain_field import strain

NEUTRAL_BAND = 1e-4
"""Strain, either way, that counts as none: a phase step of 0.1 rad over a voxel of 52 nm.

A smaller strain has no certain sign: against the truth of a simulated series the phase of a voxel is off by
0.04 to 0.09 rad and its strain by 4e-5 to 9e-5 (standard deviations).
"""

SMALLEST_ISLAND = 8
"""Voxels from which a connected region counts as an island: 2 × 2 × 2, about one element of resolution."""


class Domain(IntEnum):
    """Values of a domain map; 0 is outside the crystal."""

    OUTSIDE = 0
    COMPRESSIVE = 1
    NEUTRAL = 2
    TENSILE = 3
    MISSING = 4


KINDS = (Domain.COMPRESSIVE, Domain.NEUTRAL, Domain.TENSILE, Domain.MISSING)


@dataclass(frozen=True)
class Island:
    """One connected region of a kind.

    Attributes
    ----------
    kind : Domain
    voxels : int
    volume : float, nm³
    diameter : float, nm
        Of the sphere of that volume.
    centroid : tuple of float, nm
        From the array's middle voxel (index n//2), in the frame of the voxel basis.
    """

    kind: Domain
    voxels: int
    volume: float
    diameter: float
    centroid: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Domains:
    """What a crystal consists of at one temperature.

    Attributes
    ----------
    labels : ndarray, (n0, n1, n2) int8
        Map of `Domain` values.
    fractions : mapping of str to float
        Share of the support's volume that is ``compressive``, ``neutral``, ``tensile``, ``missing``; they sum
        to 1.
    islands : tuple of Island
        Compressive, tensile and missing regions of at least `SMALLEST_ISLAND` voxels, largest first within
        their kind.
    specks : mapping of str to int
        How many smaller regions there are; their volume is in the fractions.
    volume : float, nm³
        Of the support.
    mean_strain : float
        The abs(ρ)²-weighted mean that counts as zero.
    neutral_band : float
    missing_threshold, false_alarm_rate : float
        Those of `missing_density`; NaN without a reference.
    """

    labels: NDArray[np.int8]
    fractions: Mapping[str, float]
    islands: tuple[Island, ...]
    specks: Mapping[str, int]
    volume: float
    mean_strain: float
    neutral_band: float
    missing_threshold: float = float("nan")
    false_alarm_rate: float = float("nan")

    def count(self, kind: Domain) -> int:
        """Return how many islands there are of ``kind``."""
        return sum(island.kind == kind for island in self.islands)

    def record(self) -> dict[str, Any]:
        """Return all but the map, JSON-able: fractions, and the islands of each kind, largest first."""
        kinds = {}
        for kind in (Domain.COMPRESSIVE, Domain.TENSILE, Domain.MISSING):
            found = [island for island in self.islands if island.kind == kind]
            kinds[kind.name.lower()] = {
                "count": len(found),
                "specks": self.specks[kind.name.lower()],
                "volumes_nm3": [island.volume for island in found],
                "diameters_nm": [island.diameter for island in found],
                "centroids_nm": [list(island.centroid) for island in found],
            }
        return {
            "fractions": dict(self.fractions),
            "islands": kinds,
            "volume_nm3": self.volume,
            "mean_strain": self.mean_strain,
            "neutral_band": self.neutral_band,
            "missing_threshold": _number(self.missing_threshold),
            "false_alarm_rate": _number(self.false_alarm_rate),
        }


def find_domains(
    array: Object,
    voxel_basis: ArrayLike,
    q_vector: ArrayLike,
    support: Mask | None = None,
    *,
    reference: Object | None = None,
    neutral_band: float = NEUTRAL_BAND,
    threshold: float = HALF,
    false_alarms: float = FALSE_ALARMS,
) -> Domains:
    """Return which part of a crystal is compressive, neutral, tensile or missing.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
        Object with arg = −Q·u.
    voxel_basis : array_like, (3, 3) float, nm
        Columns: voxel vectors.
    q_vector : array_like, (3,) float, Å⁻¹
    support : ndarray, (n0, n1, n2) bool, optional
        The crystal's volume: the reference's support. By default the object's own 95 % isosurface.
    reference : ndarray, (n0, n1, n2) complex, optional
        Object of the reference temperature in the same gauge; without it nothing is called missing.
    neutral_band : float
        Strain, either way, that counts as none.
    threshold, false_alarms : float
        As for `missing_density`.
    """
    if not (np.isfinite(neutral_band) and neutral_band >= 0):
        raise ValueError(f"neutral_band must be a strain of 0 or more; got {neutral_band!r}")
    volume = isosurface(array, 95) if support is None else np.asarray(support, dtype=bool)
    if not volume.any():
        raise ValueError("the support is empty: there is no crystal to divide into domains")
    lost = _lost(array, volume, reference, threshold, false_alarms)
    labels, zero = _labels(array, voxel_basis, q_vector, volume, lost.mask, neutral_band)
    islands, specks = find_islands(labels, voxel_basis)
    counts = np.bincount(labels[volume], minlength=len(Domain)) / np.count_nonzero(volume)
    return Domains(
        labels=labels,
        fractions={kind.name.lower(): float(counts[kind]) for kind in KINDS},
        islands=islands,
        specks=specks,
        volume=float(np.count_nonzero(volume)) * _voxel_volume(voxel_basis),
        mean_strain=zero,
        neutral_band=neutral_band,
        missing_threshold=lost.threshold,
        false_alarm_rate=lost.false_alarm_rate,
    )


def find_islands(
    labels: NDArray[np.integer], voxel_basis: ArrayLike, smallest: int = SMALLEST_ISLAND
) -> tuple[tuple[Island, ...], dict[str, int]]:
    """Return the islands of a domain map, and how many regions of each kind are smaller than ``smallest``.

    Voxels that share a face belong together. Neutral regions are not islands: they are what lies between.

    Parameters
    ----------
    labels : ndarray, (n0, n1, n2) int
        `Domain` values.
    voxel_basis : array_like, (3, 3) float, nm
    smallest : int
        Voxels of the smallest island.
    """
    basis = np.asarray(voxel_basis, dtype=float)
    islands: list[Island] = []
    specks = {}
    for kind in (Domain.COMPRESSIVE, Domain.TENSILE, Domain.MISSING):
        regions, count = ndimage.label(labels == kind)
        sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
        large = [int(index) for index in np.argsort(-sizes, kind="stable") if sizes[index] >= smallest]
        specks[kind.name.lower()] = int(count - len(large))
        middles = ndimage.center_of_mass(regions > 0, regions, [index + 1 for index in large])
        islands.extend(
            _island(kind, int(sizes[index]), basis @ (np.array(middle) - np.array(labels.shape) // 2), basis)
            for index, middle in zip(large, middles, strict=True)
        )
    return tuple(islands), specks


def _island(kind: Domain, voxels: int, centroid: NDArray[np.float64], basis: NDArray[np.float64]) -> Island:
    volume = voxels * _voxel_volume(basis)
    place = float(centroid[0]), float(centroid[1]), float(centroid[2])
    return Island(kind, voxels, volume, float(np.cbrt(6 * volume / np.pi)), place)


def _lost(
    array: Object, volume: Mask, reference: Object | None, threshold: float, false_alarms: float
) -> Missing:
    if reference is None:
        return Missing(np.zeros(volume.shape, dtype=bool), 0.0, float("nan"), float("nan"))
    return missing_density(array, reference, volume, threshold=threshold, false_alarms=false_alarms)


def _labels(
    array: Object, basis: ArrayLike, q_vector: ArrayLike, volume: Mask, missing: Mask, band: float
) -> tuple[NDArray[np.int8], float]:
    """Return the domain map and the strain that counts as zero.

    A lone voxel, whose strain is not defined, counts as neutral.
    """
    kept = volume & ~missing
    values = strain(array, basis, q_vector, kept).values
    known = kept & np.isfinite(values)
    zero = 0.0
    if known.any():
        zero = float(np.average(values[known].astype(float), weights=np.abs(array[known]).astype(float) ** 2))
    labels = np.zeros(volume.shape, dtype=np.int8)
    labels[kept] = Domain.NEUTRAL
    labels[missing] = Domain.MISSING
    with np.errstate(invalid="ignore"):
        labels[known & (values - zero > band)] = Domain.TENSILE
        labels[known & (values - zero < -band)] = Domain.COMPRESSIVE
    return labels, zero


def _voxel_volume(voxel_basis: ArrayLike) -> float:
    """Volume of one voxel, nm³."""
    return float(abs(np.linalg.det(np.asarray(voxel_basis, dtype=float))))


def _number(value: float) -> float | None:
    """Return ``value``, or None where it is not finite, for JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
