"""Random crystals for training: facets, strong phase, domain walls, missing density.

Everything lives on a box of 36 voxels, three quarters of a 48-voxel field of view; the pattern module turns
it into a 32-voxel band-limited object. Nothing here is shared with the simulated beamline, which must stay
an independent judge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import HalfspaceIntersection

FIELD_OF_VIEW = 48
BOX = 36
MONOCLINIC_BETA = np.deg2rad(122.646)

_axis = (torch.arange(BOX, dtype=torch.float32) - (BOX - 1) / 2) / FIELD_OF_VIEW


@dataclass(frozen=True)
class CrystalConfig:
    """How crystals are drawn; the defaults include the crystal of docs/science.md section 1.2.

    Parameters
    ----------
    size_range : tuple of float
        Smallest and largest extent, as a fraction of the field of view, per axis.
    marginal_share : float
        Share of crystals that fill 0.5 to 0.65 of every axis, as the paper's does (oversampling below 2).
    max_phase : float
        Largest peak-to-peak phase, rad.
    domain_share, missing_share : float
        Shares of crystals with domain walls or islands, and with missing density.
    max_gradient : float
        Largest phase step between neighbouring voxels of the 48 grid, rad: what steeper crystals scatter
        falls outside of the 32-voxel band.
    """

    size_range: tuple[float, float] = (0.10, 0.65)
    marginal_share: float = 0.4
    max_phase: float = 5 * np.pi
    domain_share: float = 0.35
    missing_share: float = 0.35
    max_gradient: float = 0.5 * np.pi


def random_crystal(rng: np.random.Generator, config: CrystalConfig | None = None) -> torch.Tensor:
    """Draw one crystal.

    Returns
    -------
    (36, 36, 36) complex64 tensor
        Complex density, amplitude about 1 inside, 0 outside.
    """
    config = config or CrystalConfig()
    extent = draw_extent(rng, config)
    normals, offsets = fit_to_extent(*draw_planes(rng), extent)
    density = polyhedron(normals, offsets, edge=rng.uniform(0.7, 1.5))
    inside = density > 0.5
    density = density * (1 + rng.uniform(0, 0.15) * correlated_field(rng, 0.3 * extent))
    phase = strong_phase(rng, extent, inside, config)
    if rng.random() < config.domain_share:
        phase, density = add_domains(rng, extent, phase, density)
    if rng.random() < config.missing_share:
        density = remove_density(rng, extent, density)
    return torch.polar(density.clamp_min(0), phase)


def draw_extent(rng: np.random.Generator, config: CrystalConfig) -> np.ndarray:
    """Draw extents (3,) along the axes as fractions of the field of view: a mixture of three habits."""
    low, high = config.size_range
    kind = rng.random()
    if kind < config.marginal_share:
        extent = rng.uniform(0.50, 0.65, 3)
    elif kind < config.marginal_share + 0.35:
        extent = rng.uniform(0.25, 0.60, 3)
    else:
        extent = np.exp(rng.uniform(np.log(low), np.log(high), 3))
    return np.clip(extent, low, high).astype(np.float32)


def draw_planes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Half spaces normals @ x <= offsets, of a monoclinic prism or a freely faceted crystal.

    Returns
    -------
    normals : (n, 3) float array
    offsets : (n,) float array
        Distances from the centre in units of the half axes.
    """
    if rng.random() < 0.45:
        normals, offsets = _monoclinic_planes(rng)
    else:
        count = int(rng.integers(6, 22))
        normals = rng.normal(size=(count, 3))
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        offsets = rng.uniform(0.55, 1.0, count)
    return normals @ _random_rotation(rng).T, offsets


def _monoclinic_planes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    beta = MONOCLINIC_BETA
    cell = np.array([[1, 0, 0], [0, 1, 0], [np.cos(beta), 0, np.sin(beta)]]) * rng.uniform(0.4, 1.0, (3, 1))
    faces = np.linalg.inv(cell).T
    normals, offsets = np.concatenate([faces, -faces]), np.ones(6)
    cuts = int(rng.integers(0, 4))
    if cuts:
        hkl = rng.integers(-2, 3, (cuts, 3)) + rng.choice([-0.01, 0.01], (cuts, 3))
        reach = np.abs(hkl).sum(axis=1)
        normals = np.concatenate([normals, hkl @ faces])
        offsets = np.concatenate([offsets, reach * rng.uniform(0.55, 0.95, cuts)])
    return normals, offsets


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    spread = rng.normal(size=(3, 3))
    if rng.random() < 0.35:  # lying along the axes, as a crystal chosen for its orientation does
        spread = np.eye(3) + 0.12 * spread
    q, r = np.linalg.qr(spread)
    return q * np.sign(np.diag(r))


def fit_to_extent(
    normals: np.ndarray, offsets: np.ndarray, extent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and centre the polyhedron to span `extent` along the axes (an affine map keeps facets flat)."""
    # A far cube closes polyhedra that the drawn planes leave open.
    normals = np.concatenate([normals, np.eye(3), -np.eye(3)])
    offsets = np.concatenate([offsets, np.full(6, 2.5)])
    corners = HalfspaceIntersection(np.column_stack([normals, -offsets]), np.zeros(3)).intersections
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre, width = (low + high) / 2, (high - low) / extent
    return normals * width, offsets - normals @ centre


def polyhedron(normals: np.ndarray, offsets: np.ndarray, edge: float) -> torch.Tensor:
    """Return the anti-aliased density on the (36, 36, 36) box; `edge` is the rim's width in voxels."""
    density = torch.ones(BOX, BOX, BOX)
    for normal, offset in zip(normals, offsets, strict=True):
        length = float(np.linalg.norm(normal)) / FIELD_OF_VIEW * edge
        nx, ny, nz = (float(component) / length for component in normal)
        depth = (float(offset) / length + 0.5) - nx * _axis[:, None, None] - ny * _axis[:, None]
        density = torch.minimum(density, depth - nz * _axis)
    return density.clamp_(0, 1)


def correlated_field(rng: np.random.Generator, length: np.ndarray) -> torch.Tensor:
    """Gaussian-correlated random field of unit variance.

    Parameters
    ----------
    length : (3,) float array
        Standard deviation of the correlating Gaussian along each axis, fraction of the field of view.

    Returns
    -------
    (36, 36, 36) float32 tensor
    """
    noise = torch.from_numpy(rng.standard_normal((BOX, BOX, BOX), dtype=np.float32))
    # A clamp keeps the filter from passing nothing but the mean for long correlations in this periodic box.
    widths = np.clip(np.broadcast_to(length, 3), 0.01, 0.16) * FIELD_OF_VIEW / BOX
    full, half = torch.fft.fftfreq(BOX, 1 / BOX), torch.fft.rfftfreq(BOX, 1 / BOX)
    gauss = [
        torch.exp(-2 * (np.pi * float(w) * k) ** 2) for w, k in zip(widths, (full, full, half), strict=True)
    ]
    spectrum = torch.fft.rfftn(noise) * (gauss[0][:, None, None] * gauss[1][:, None] * gauss[2])
    spectrum[0, 0, 0] = 0
    field = torch.fft.irfftn(spectrum, s=noise.shape)
    return field / field.std()


def strong_phase(
    rng: np.random.Generator, extent: np.ndarray, inside: torch.Tensor, config: CrystalConfig
) -> torch.Tensor:
    """Draw a Gaussian-correlated phase, rad, with at most `config.max_phase` peak to peak in the crystal."""
    follow = extent if rng.random() < 0.5 else np.full(3, extent.mean())
    field = correlated_field(rng, rng.uniform(0.10, 0.35) * follow)
    values = field[inside]
    if values.numel() < 2:
        return field
    span = float(values.max() - values.min())
    slopes = [field.diff(dim=axis).abs() for axis in range(3)]
    masks = [inside.narrow(axis, 1, BOX - 1) for axis in range(3)]
    steepest = max(float((slope * mask).max()) for slope, mask in zip(slopes, masks, strict=True))
    # Weaker phases are drawn more often: beyond 3 pi few patterns teach anything yet.
    scale = config.max_phase * rng.random() ** 1.5 / max(span, 1e-6)
    return field * min(scale, config.max_gradient / max(steepest, 1e-6))


def add_domains(
    rng: np.random.Generator, extent: np.ndarray, phase: torch.Tensor, density: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add twin walls (planes) or M2 islands (blobs): another phase inside, less density on the wall."""
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.5:
            normal = rng.normal(size=3) / extent
            signed = sum(
                float(n) * x
                for n, x in zip(normal, (_axis[:, None, None], _axis[:, None], _axis), strict=True)
            )
            field = torch.as_tensor(signed) / float(np.linalg.norm(normal)) * FIELD_OF_VIEW
            level = float(rng.uniform(-0.3, 0.3) * extent.mean() * FIELD_OF_VIEW)
        else:
            field = 4 * correlated_field(rng, rng.uniform(0.12, 0.25) * extent)
            level = float(rng.uniform(0.5, 6.0))
        domain = torch.sigmoid((field - level) * rng.uniform(1.0, 4.0))
        phase = phase + rng.uniform(-np.pi, np.pi) * domain
        density = density * (1 - rng.uniform(0, 0.6) * 4 * domain * (1 - domain))
    return phase, density


def remove_density(rng: np.random.Generator, extent: np.ndarray, density: torch.Tensor) -> torch.Tensor:
    """Take density out of grains and surface regions, as rutile does to the M1 peak; at most half of it."""
    field = correlated_field(rng, rng.uniform(0.10, 0.30) * extent)
    level = (
        float(np.quantile(field[density > 0.5].numpy(), 1 - rng.uniform(0.05, 0.5)))
        if bool((density > 0.5).any())
        else 1.0
    )
    gone = torch.sigmoid((field - level) * rng.uniform(4, 15))
    return density * (1 - rng.uniform(0.7, 1.0) * gone)
