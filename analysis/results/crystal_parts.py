"""Parts of a crystal at one temperature: domains and their islands, surface shell and bulk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


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


def _number(value: float) -> float | None:
    """Return ``value``, or None where it is not finite, for JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class RegionStrain:
    """Strain within a part of the crystal.

    Attributes
    ----------
    voxels : int
        Where strain is defined.
    mean, sigma, mean_abs : float
        Mean, standard deviation and mean modulus; NaN where there is no voxel.
    """

    voxels: int
    mean: float
    sigma: float
    mean_abs: float


@dataclass(frozen=True)
class SurfaceBulk:
    """Surface against bulk.

    Attributes
    ----------
    shell : float, nm
        Depth to which the surface reaches.
    surface, bulk : RegionStrain
    """

    shell: float
    surface: RegionStrain
    bulk: RegionStrain

    def record(self) -> dict[str, Any]:
        """Return a JSON-able record; what is not known is None."""

        def plain(region: RegionStrain) -> dict[str, Any]:
            return {name: value if np.isfinite(value) else None for name, value in asdict(region).items()}

        return {"shell_nm": self.shell, "surface": plain(self.surface), "bulk": plain(self.bulk)}
