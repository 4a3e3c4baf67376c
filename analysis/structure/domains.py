"""Parts of a crystal: compressive, neutral, tensile and missing volume, islands, surface shell and bulk.

Strain, not the colour of the phase: a domain is compressive or tensile where ∂u/∂x along Q is, relative to
the crystal's own mean at that temperature, which is reported as d-spacing. A domain is no phase: in simulated
series M2 is tensile twice as often as M1, which is far from telling the two apart.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import label, regionprops

from analysis.results.crystal_parts import KINDS, Domain, Domains, Island, RegionStrain, SurfaceBulk
from analysis.structure.density import FALSE_ALARMS, HALF, Mask, Missing, Object, isosurface, missing_density
from analysis.structure.displacement import displacement
from analysis.structure.strain_field import strain

NEUTRAL_BAND = 1e-4
"""Strain, either way, that counts as none: a phase step of 0.1 rad over a voxel of 52 nm.

A smaller strain has no certain sign: against the truth of a simulated series the phase of a voxel is off by
0.04 to 0.09 rad and its strain by 4e-5 to 9e-5 (standard deviations).
"""

SMALLEST_ISLAND = 8
"""Voxels from which a connected region counts as an island: 2 × 2 × 2, about one element of resolution."""


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
    middle = np.array(labels.shape) // 2
    for kind in (Domain.COMPRESSIVE, Domain.TENSILE, Domain.MISSING):
        regions = regionprops(label(labels == kind, connectivity=1))
        large = [region for region in regions if region.num_pixels >= smallest]
        specks[kind.name.lower()] = len(regions) - len(large)
        islands.extend(
            _island(kind, int(region.num_pixels), basis @ (region.centroid - middle), basis)
            for region in sorted(large, key=lambda region: -region.num_pixels)
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


SHELL_VOXELS = 1.5
"""Default thickness of the shell, in lengths of the longest voxel edge."""


def depth_below_surface(inside: Mask, voxel_basis: ArrayLike) -> NDArray[np.float32]:
    """Return how far each voxel of a body lies from the nearest voxel outside, centre to centre.

    Distances are those of space, on voxels of any slant; beyond the box all is outside.

    Parameters
    ----------
    inside : ndarray, (n0, n1, n2) bool
    voxel_basis : array_like, (3, 3) float, nm
        Columns: voxel vectors.

    Returns
    -------
    ndarray, (n0, n1, n2) float32, nm
        0 outside.
    """
    basis = np.asarray(voxel_basis, dtype=float)
    body = np.pad(np.asarray(inside, dtype=bool), 1)
    # On slanted voxels the nearest one outside may touch by an edge or a corner alone.
    skin = ndimage.binary_dilation(body, np.ones((3, 3, 3), dtype=bool)) & ~body
    depth = np.zeros(body.shape, dtype=np.float32)
    if body.any():
        tree = cKDTree(np.argwhere(skin) @ basis.T)
        depth[body] = tree.query(np.argwhere(body) @ basis.T)[0]
    return depth[1:-1, 1:-1, 1:-1]


def surface_and_bulk(
    array: Object,
    voxel_basis: ArrayLike,
    q_vector: ArrayLike,
    inside: Mask | None = None,
    *,
    outline: Mask | None = None,
    shell: float | None = None,
) -> SurfaceBulk:
    """Return the strain of the surface shell and of the bulk.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
        Object with arg = −Q·u.
    voxel_basis : array_like, (3, 3) float, nm
        Columns: voxel vectors.
    q_vector : array_like, (3,) float, Å⁻¹
    inside : ndarray, (n0, n1, n2) bool, optional
        Where strain is taken; by default in the 95 % isosurface. Beyond 99 % the rim rings.
    outline : ndarray, (n0, n1, n2) bool, optional
        The crystal whose surface it is, where parts of it are missing: the reference's support. By default
        ``inside``.
    shell : float, nm, optional
        A voxel within this distance of one outside is surface; by default 1.5 lengths of the longest voxel
        edge, 78 nm on I16.
    """
    basis = np.asarray(voxel_basis, dtype=float)
    thickness = SHELL_VOXELS * float(np.linalg.norm(basis, axis=0).max()) if shell is None else float(shell)
    if not (np.isfinite(thickness) and thickness > 0):
        raise ValueError(f"shell must be a positive depth in nm; got {shell!r}")
    body = isosurface(array, 95) if inside is None else np.asarray(inside, dtype=bool)
    values = strain(array, basis, q_vector, body).values
    known = body & np.isfinite(values)
    crystal = body if outline is None else np.asarray(outline, dtype=bool)
    if crystal.shape != array.shape:
        raise ValueError(f"outline must have the object's shape {array.shape!r}; got {crystal.shape!r}")
    near = depth_below_surface(crystal, basis) <= thickness
    return SurfaceBulk(thickness, _region(values[known & near]), _region(values[known & ~near]))


def _region(values: NDArray[np.float32]) -> RegionStrain:
    if values.size == 0:
        return RegionStrain(0, float("nan"), float("nan"), float("nan"))
    exact = values.astype(np.float64)
    return RegionStrain(values.size, float(exact.mean()), float(exact.std()), float(np.abs(exact).mean()))


def structure_summary(array: Object, voxel_basis: ArrayLike, q_vector: ArrayLike) -> dict[str, Any]:
    """Return surface against bulk, domains and displacement of one scan on its own, JSON-able.

    Within its own 95 % isosurface. What is missing can only be said against the reference: here it is 0 and
    its false-alarm rate None; the series' result has it.

    Returns
    -------
    dict
        ``surface_bulk`` (`SurfaceBulk.record`), ``domains`` (`Domains.record`) and ``displacement``
        (`Displacement.record`).
    """
    body = isosurface(array, 95)
    return {
        "surface_bulk": surface_and_bulk(array, voxel_basis, q_vector, body).record(),
        "domains": find_domains(array, voxel_basis, q_vector, body).record(),
        "displacement": displacement(array, q_vector, body).record(),
    }
