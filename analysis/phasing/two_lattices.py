"""Phasing of what a scan measured: as one lattice, or as two where the crop holds the peaks of both.

Of two, the main one comes first, then the other in the holes that it leaves.

Phased as a whole, such a crop stagnates: on the coarse levels the second lattice is missing density, the
support closes around its holes, and later its share of the counts has nowhere to go but into the first as
stripes. But each lattice has its own peak, and what is missing about the first is where the second must be.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from analysis.phasing.config import DEFAULT
from analysis.phasing.projections import DEVICE, fixed_threads, to_centre, to_corner
from analysis.phasing.reconstruction import THREADS, Reconstruction, checked_pattern, from_truth, reconstruct
from analysis.phasing.schedules import Level
from analysis.structure.density import amplitude_level, isosurface
from analysis.structure.rutile import rutile_offset

Complex = NDArray[np.complexfloating]
Mask = NDArray[np.bool_]
Offset = Sequence[float] | NDArray[np.float64]


SECOND = DEFAULT.second


class Measured(Protocol):
    """What phasing needs of a scan: a `PreparedScan` has it, and a stored `ScanResult`.

    Attributes
    ----------
    intensity : ndarray, (n0, n1, n2) float32, counts
    mask : ndarray, (n0, n1, n2) bool
        True where a voxel was NOT measured.
    background : float, counts
    background_planes : ndarray, (n0,) float32, counts, or None
        Where the background changes along the first axis.
    pixel_kernel : three float
    voxel_basis : ndarray, (3, 3) float64, nm
    q_vector : ndarray, (3,) float64, Å⁻¹
    given_flat_field, dark : ndarray, (n1, n2) float32, or None
        What each pixel counts of the same light, and counts without any.
    not_counts : tuple of str
        What spoke against counts as they were read.
    """

    @property
    def intensity(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def mask(self) -> Mask: ...  # noqa: D102
    @property
    def background(self) -> float: ...  # noqa: D102
    @property
    def pixel_kernel(self) -> tuple[float, float, float]: ...  # noqa: D102
    @property
    def voxel_basis(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def q_vector(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def given_flat_field(self) -> NDArray[np.float32] | None: ...  # noqa: D102
    @property
    def dark(self) -> NDArray[np.float32] | None: ...  # noqa: D102
    @property
    def background_planes(self) -> NDArray[np.float32] | None: ...  # noqa: D102
    @property
    def not_counts(self) -> tuple[str, ...]: ...  # noqa: D102


def phase(
    prepared: Measured, seed: int, *, strain: float | None, band: tuple[int, int, int]
) -> Reconstruction:
    """Phase a prepared scan from one seed: as two lattices where it holds the peaks of both, else as one.

    Live and replayed analysis, repeats from other seeds and benchmarks of stored scans all call this.

    Parameters
    ----------
    prepared : Measured
    seed : int
    strain : float, optional
        Of the second lattice against the first along Q; None where there is none (`Experiment`).
    band : three int
        Shape of the crop about the first peak that leaves the second outside.
    """
    intensity, mask, background = prepared.intensity, prepared.mask, prepared.background
    flat_field, dark = prepared.given_flat_field, prepared.dark
    kernel, offset = prepared.pixel_kernel, second_peak(prepared, strain, band)
    if offset is None:
        planes = prepared.background_planes
        return reconstruct(
            intensity,
            mask,
            seed=seed,
            pixel_kernel=kernel,
            background=background if planes is None else planes[:, None, None],
            flat_field=flat_field,
            dark=dark,
            not_counts=prepared.not_counts,
        )
    return reconstruct_both(
        intensity,
        mask,
        offset=offset,
        band=band,
        seed=seed,
        pixel_kernel=kernel,
        background=background,
        flat_field=flat_field,
        dark=dark,
        not_counts=prepared.not_counts,
    )


def second_peak(
    prepared: Measured, strain: float | None, band: tuple[int, int, int]
) -> NDArray[np.float64] | None:
    """Return where the second lattice's peak is, (3,) voxels of q from the first's; None where not inside."""
    if strain is None:
        return None
    shape = prepared.intensity.shape
    offset = rutile_offset(prepared.voxel_basis, prepared.q_vector, shape, strain)
    return offset if holds_both(shape, offset, band) else None


@dataclass(frozen=True)
class Second:
    """The second lattice about its own peak.

    Attributes
    ----------
    object : ndarray, (b0, b1, b2) complex128
        Mean of the starts.
    corner : tuple of int
        First voxel of its box in the wide crop.
    own : ndarray, (b0, b1, b2) bool
        Where in the box of q the second peak is the stronger.
    agreement : float
        Smallest overlap of two starts; 1 where nothing is to be found.
    """

    object: Complex
    corner: tuple[int, int, int]
    own: Mask
    agreement: float


def reconstruct_both(
    intensity: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    offset: Offset,
    band: tuple[int, int, int],
    seed: int = 0,
    pixel_kernel: Sequence[float] | None = None,
    background: float = 0.0,
    flat_field: NDArray[np.floating] | None = None,
    dark: NDArray[np.floating] | None = None,
    not_counts: Sequence[str] | None = None,
) -> Reconstruction:
    """Reconstruct a crop that holds the peaks of two lattices.

    Parameters
    ----------
    intensity : array_like, (n0, n1, n2), counts
        The first lattice's peak at index n // 2.
    mask : array_like, same shape, bool, optional
        True where a voxel was NOT measured.
    offset : three float, voxels
        From the first peak to the second.
    band : three int
        Shape of the crop about the first peak that leaves the second outside.
    seed, pixel_kernel, background, flat_field, dark, not_counts
        As for `reconstruct`.

    Raises
    ------
    ValueError
        The crop does not hold the second peak.
    """
    began = time.perf_counter()
    counts = np.asarray(intensity)
    hidden = np.zeros(counts.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    box, corner = second_box(counts.shape, offset, band)
    inner = central(counts.shape, band)
    model: dict[str, Any] = {"pixel_kernel": pixel_kernel, "background": background}
    pixels = {"flat_field": flat_field, "dark": dark}
    within: dict[str, Any] = {name: None if one is None else one[inner[1:]] for name, one in pixels.items()}
    first = reconstruct(counts[inner], hidden[inner], seed=seed, not_counts=not_counts, **model, **within)
    model |= pixels
    pattern = checked_pattern(counts, hidden, **model)
    amplitude = to_centre(pattern.amplitude(first.coherence)).cpu().numpy()
    second = phase_second(amplitude, hidden, first.object, offset, box, corner, np.random.default_rng(seed))
    start = join(first.object, second, counts.shape)
    found = from_truth(counts, start, hidden, **model)
    doubts = []
    if second.agreement < SECOND.agreement:
        doubts.append(
            f"the starts of the second lattice agree to {second.agreement:.2f}, below {SECOND.agreement:g}"
        )
    return replace(
        found,
        trusted=first.trusted and found.trusted and not doubts,
        reasons=(*dict.fromkeys((*first.reasons, *found.reasons)), *doubts),
        loss_history=first.loss_history,
        seconds=time.perf_counter() - began,
        seed=seed,
        weights_hash=first.weights_hash,
        agreement=min(first.agreement, second.agreement),
        origin=f"{first.origin}, second lattice in its holes",
        iterations=first.iterations,
    )


def second_box(
    shape: Sequence[int], offset: Offset, band: Sequence[int]
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return the shape of the box about the second peak, and its first voxel in the crop of ``shape``."""
    away = np.asarray(offset, dtype=float)
    box, corner = _place(shape, away, band)
    if not holds_both(shape, offset, band):
        raise ValueError(
            f"a crop that holds the second peak, {tuple(np.round(away, 1).tolist())!r} voxels from the "
            f"first, is required; got one of {tuple(shape)!r}: take a larger one (--crop 20nm)"
        )
    a, b, c = (int(n) for n in box)
    x, y, z = (int(n) for n in corner)
    return (a, b, c), (x, y, z)


def holds_both(shape: Sequence[int], offset: Offset, band: Sequence[int]) -> bool:
    """Return whether a crop of ``shape`` holds the first peak's ``band`` and the second at ``offset``."""
    box, corner = _place(shape, np.asarray(offset, dtype=float), band)
    return bool((corner >= 0).all() and (corner + box <= shape).all() and (np.array(band) <= shape).all())


def _place(
    shape: Sequence[int], offset: NDArray[np.float64], band: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    main = int(np.argmax(np.abs(offset)))
    box = np.array(band)
    box[main] = 2 * round(SECOND.share * abs(offset[main]))
    return box, np.array(shape) // 2 + np.rint(offset).astype(int) - box // 2


def central(shape: Sequence[int], band: Sequence[int]) -> tuple[slice, ...]:
    """Return the slices of the central ``band`` of an array of ``shape``, centre on centre (index n // 2)."""
    return tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(shape, band, strict=True))


def holes(first: Complex) -> Mask:
    """Return where a convex crystal lacks the first lattice, (n0, n1, n2) bool, its own rim included."""
    amplitude = ndimage.gaussian_filter(np.abs(first), 0.7)
    filled = amplitude > SECOND.present * amplitude_level(first, isosurface(first, 95))
    pieces, _ = ndimage.label(filled)
    filled = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    hull = convex_hull_image(filled, offset_coordinates=False)
    return np.asarray(ndimage.binary_dilation(hull & ~filled) & ndimage.binary_dilation(hull))


def phase_second(
    amplitude: NDArray[np.floating],
    mask: Mask,
    first: Complex,
    offset: Offset,
    box: tuple[int, int, int],
    corner: tuple[int, int, int],
    rng: np.random.Generator,
) -> Second:
    """Phase the second peak alone, its support the holes of the ``first`` lattice.

    A known support of that shape leaves neither twin nor origin open; only the phase against the first.

    Parameters
    ----------
    amplitude : ndarray, (n0, n1, n2) float32, √counts
        Of the wide crop, without background and blur.
    mask : ndarray, (n0, n1, n2) bool
    first : ndarray, (m0, m1, m2) complex
        The first lattice, same box, its own voxels.
    offset, box, corner
        As `second_box` has them.
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        Too little of the second peak was measured.
    """
    support = _regrid(holes(first), box)
    cut = tuple(slice(start, start + n) for start, n in zip(corner, box, strict=True))
    own = ~_foreign(offset, box)
    hidden = mask[cut] | ~own
    measured = 1 - np.count_nonzero(hidden & own) / np.count_nonzero(own)
    if measured < SECOND.measured:
        raise ValueError(
            f"at least {SECOND.measured:.0%} of the second peak's box must be measured, {measured:.0%} is: "
            "scan and read out a region that holds it, or phase the first peak's crop alone ('m1')"
        )
    if not support.any():
        return Second(np.zeros(box, dtype=complex), corner, own, 1.0)
    inside = to_corner(torch.from_numpy(support))[None].to(DEVICE)
    level = Level(
        to_corner(torch.from_numpy(np.ascontiguousarray(amplitude[cut], dtype=np.float32))).to(DEVICE),
        to_corner(torch.from_numpy(np.ascontiguousarray(hidden))).to(DEVICE),
        box,
    )
    found = []
    with fixed_threads(THREADS):
        for _ in range(SECOND.starts):
            noise = (rng.random(box) * np.exp(2j * np.pi * rng.random(box))).astype(np.complex64)
            x = to_corner(torch.from_numpy(noise))[None].to(DEVICE) * inside
            x = level.engine.raar(level.engine.hio(x, inside, SECOND.hio, 0.9), inside, SECOND.raar, 0.85)
            found.append(
                to_centre(level.engine.er(x, inside, SECOND.settle))[0].cpu().numpy().astype(complex)
            )
    turned = [one * np.exp(-1j * np.angle(np.vdot(found[0], one))) for one in found]
    agreement = min(_overlap(one, other) for n, one in enumerate(found) for other in found[:n])
    return Second(np.mean(turned, axis=0), corner, own, float(agreement))


def _foreign(offset: Offset, box: tuple[int, int, int]) -> Mask:
    """Return which voxels of the second peak's box belong to the first peak's tail."""
    away = np.asarray(offset, dtype=float)
    main = int(np.argmax(np.abs(away)))
    towards = -np.sign(away[main]) * (np.arange(box[main]) - box[main] // 2)
    view = [1, 1, 1]
    view[main] = box[main]
    return np.broadcast_to((towards > SECOND.foreign * abs(away[main])).reshape(view), box)


def _regrid(mask: Mask, shape: Sequence[int]) -> Mask:
    """Return ``mask`` on another number of voxels of the same box."""
    places = [(np.arange(n) - n // 2) * (m / n) + m // 2 for n, m in zip(shape, mask.shape, strict=True)]
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 0.6)
    return np.asarray(ndimage.map_coordinates(smooth, np.meshgrid(*places, indexing="ij"), order=1) > 0.35)


def join(first: Complex, second: Second, shape: Sequence[int]) -> Complex:
    """Return the object of both lattices on the wide crop's voxels, (n0, n1, n2) complex64.

    Each peak's neighbourhood is that of its own lattice. Their relative phase is where the two overlap: the
    edge of the first peak's crop holds the second peak's tail, which the first reconstruction took along.
    """
    whole = np.zeros(tuple(shape), dtype=complex)
    other = np.zeros(tuple(shape), dtype=complex)
    inner = central(shape, first.shape)
    whole[inner] = _forward(first)
    cut = tuple(slice(start, start + n) for start, n in zip(second.corner, second.object.shape, strict=True))
    other[cut] = _forward(second.object)
    tail = np.zeros(tuple(shape), dtype=bool)
    tail[cut] = second.own
    shared = np.vdot(other[inner][tail[inner]], whole[inner][tail[inner]])
    turn = shared / abs(shared) if abs(shared) > 0 else 1.0
    own = np.ones(tuple(shape), dtype=bool)
    own[inner] = False
    whole[own] = turn * other[own]
    back = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(whole)))
    return back.astype(np.complex64)


def _overlap(one: Complex, other: Complex) -> float:
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(abs(np.vdot(one, other)) / norm) if norm > 0 else 0.0


def _forward(array: Complex) -> Complex:
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(array)))
