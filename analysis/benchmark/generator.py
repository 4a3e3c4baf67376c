"""The second generator of crystals and patterns, and the cases drawn from it: numpy alone.

Nothing of training set or solver.

Which seeds are for what, the one place that says so:

=========  ========================================  ===================================================
seeds      generator                                 used for
=========  ========================================  ===================================================
1000–1999  `analysis.phasing.network.training_data`  training the network
2000–2999  `analysis.phasing.network.training_data`  validation: choices about network and training
5000–5999  this package                              calibration: numbers of the search, trust limits
7000–8999  this package                              judging: run once all above is frozen, never before
others     either                                    unit tests and examples
=========  ========================================  ===================================================

No crystal is shared: the two generators have no code in common, and a seed belongs to one row.

The density is drawn on a grid of half a voxel, the truth is the inverse transform of its noiseless
amplitude at exactly the voxels of the pattern (docs/science.md section 2.4), and the counts are Poisson.

A drawn crystal is kept only if the pattern can hold it, whatever a search may make of it: at least `HELD`
of what it scatters lies in the measured box, and its phase climbs at most `STEEPEST` per voxel (half of what
a voxel can show). Otherwise body and phase are drawn again from the same random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.benchmark import detection
from analysis.benchmark.crystals import draw_phase, draw_shape

TRAINING_AND_VALIDATION_SEEDS = range(1000, 3000)
CALIBRATION_SEEDS = range(5000, 6000)
JUDGING_SEEDS = range(7000, 9000)


def check_seed(seed: int) -> None:
    """Refuse a seed that belongs to the other generator, so that no table of seeds can be misread."""
    if seed in TRAINING_AND_VALIDATION_SEEDS:
        raise ValueError(
            "a benchmark crystal needs a seed outside 1000 to 2999, which belong to training and validation; "
            f"got {seed!r}: take one of 5000 to 5999 to calibrate, of 7000 to 8999 to judge"
        )


SMALLEST, LARGEST = 0.10, 0.65
"""Extent of a crystal along each axis, as a share of the field of view; never below `FEWEST` voxels."""

FEWEST = 8
"""Voxels across a crystal, at least."""

STEEPEST = np.pi / 2
"""Largest phase step per voxel, rad; 99.9 % of the crystal stays below it."""

HELD = 0.98
"""Share of the scattered intensity that the measured box holds, at least."""

DRAWS = 400
"""Crystals that are drawn before it is given up."""

_FINE = 2
"""Points of the density per voxel."""


@dataclass(frozen=True)
class BenchmarkPattern:
    """One benchmark crystal and its pattern; arrays (n, n, n), q = 0 and the object's origin at index n//2.

    Parameters
    ----------
    counts : ndarray, float32
        As measured, background included; 0 where not measured.
    mask : ndarray, bool
        True where NOT measured.
    background : float
        Expected background, counts per voxel.
    pixel_kernel : three float
        Widths of the voxel in units of its pitch, (rocking, row, column).
    truth : ndarray, complex64
        Object whose abs(fftshift(fftn(ifftshift(truth))))² is the unblurred, noiseless intensity in counts.
    seed : int
    peak_to_peak : float, rad
    photons : float
        Expected signal in the brightest voxel.
    detector : bool
    shape, field : str
        Kinds of body and of phase.
    extent : three float
        Share of the field of view that the crystal fills along each axis.
    coherence : float, voxels
        Standard deviation of the blur along rows and columns.
    draws : int
        Crystals drawn until the pattern could hold one, that one included.
    """

    counts: NDArray[np.float32]
    mask: NDArray[np.bool_]
    background: float
    pixel_kernel: tuple[float, float, float]
    truth: NDArray[np.complex64]
    seed: int
    peak_to_peak: float
    photons: float
    detector: bool
    shape: str
    field: str
    extent: tuple[float, float, float]
    coherence: float
    draws: int = 1

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments that `reconstruct` and `from_truth` take beside the counts."""
        return {"mask": self.mask, "background": self.background, "pixel_kernel": self.pixel_kernel}


@dataclass(frozen=True)
class Crystal:
    """A density (m0, m1, m2) complex128 at ``positions`` (fractions of the field of view), and what it is."""

    density: NDArray[np.complex128]
    phase: NDArray[np.float64]
    inside: NDArray[np.bool_]
    positions: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    shape: str
    field: str
    extent: tuple[float, float, float]


def benchmark_pattern(
    seed: int,
    *,
    peak_to_peak: float = 2 * np.pi,
    photons: float = 1e5,
    detector: bool = False,
    measured: bool = False,
    size: int = 64,
) -> BenchmarkPattern:
    """Make one benchmark crystal and its pattern, the same for the same arguments.

    Parameters
    ----------
    seed : int
        5000–5999 to calibrate, 7000–8999 to judge (`check_seed`).
    peak_to_peak : float, rad
        Of the phase inside the crystal, free of its best-fitting ramp; met exactly.
    photons : float
        Expected signal of the brightest voxel; met exactly before the Poisson draw.
    detector : bool
        Pixels integrated along rows and columns, background, a blur of up to 0.3 voxels, a gap, dead
        pixels, and a pattern up to half a voxel off centre. Without: point samples and Poisson noise.
    measured : bool
        The detector's frames as most are kept: nobody flattened it, watched the beam or wrote down the width
        of a pixel, and the pattern says nothing of it (`detection.Unrecorded`).
    size : int
        Voxels per axis.
    """
    check_seed(seed)
    if not (peak_to_peak > 0 and photons > 0):
        raise ValueError(f"phase and photons must be positive; got {peak_to_peak!r} rad and {photons!r}")
    rng = np.random.default_rng([seed, 20_261_122])
    detector = detector or measured
    crystal, field, draws = _phaseable(rng, peak_to_peak, size, 0.5 if detector else 0.0)
    truth = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(field)))
    background, sigma, widths = 0.0, 0.0, (0.0, 0.0, 0.0)
    if detector:
        background = float(10 ** rng.uniform(-2, -1))
        sigma, widths = float(rng.uniform(0, 0.5 if measured else 0.3)), (0.0, 1.0, 1.0)
    voxels = (size, size, size)
    unrecorded = detection.draw_unrecorded(rng, voxels) if measured else None
    q = detection.whole_q(voxels) if unrecorded is None else unrecorded.q(voxels)
    intensity = detection.integrated(crystal.density, crystal.positions, q, widths, (0.0, sigma, sigma))
    scale = photons / intensity.max()
    expected = intensity * scale + background
    if unrecorded is not None:
        expected, widths = unrecorded.counted(expected), (0.0, 0.0, 0.0)
    counts = rng.poisson(expected).astype(np.float32)
    a, b, c = (int(i) for i in np.unravel_index(int(intensity.argmax()), voxels))
    mask = detection.draw_mask(rng, voxels, (a, b, c)) if detector else np.zeros(voxels, bool)
    counts[mask] = 0
    return BenchmarkPattern(
        counts=counts,
        mask=mask,
        background=background,
        pixel_kernel=widths,
        truth=(truth * np.sqrt(scale)).astype(np.complex64),
        seed=seed,
        peak_to_peak=float(peak_to_peak),
        photons=float(photons),
        detector=detector,
        shape=crystal.shape,
        field=crystal.field,
        extent=crystal.extent,
        coherence=sigma,
        draws=draws,
    )


def _phaseable(
    rng: np.random.Generator, peak_to_peak: float, size: int, off_centre: float
) -> tuple[Crystal, NDArray[np.complex128], int]:
    """Draw crystals until the pattern can hold one; return it, its amplitude at the voxels, and the draws."""
    q = detection.whole_q((size, size, size))
    for draw in range(1, DRAWS + 1):
        crystal = draw_crystal(rng, peak_to_peak, size)
        if steepest(crystal) > STEEPEST:
            continue
        crystal = centred(crystal, rng.uniform(-off_centre, off_centre, 3))
        field = detection.amplitude(crystal.density, crystal.positions, q)
        if held(crystal, field) >= HELD:
            return crystal, field, draw
    raise RuntimeError(
        f"no crystal of {peak_to_peak!r} rad on {size!r} voxels can be held after {DRAWS} draws: "
        "weaken the phase"
    )


def draw_crystal(rng: np.random.Generator, peak_to_peak: float, size: int) -> Crystal:
    """Draw body, size, position and phase of one crystal."""
    name, level = draw_shape(rng)
    extent = draw_extent(rng, size)
    positions, x = _grid(extent, rng.uniform(-0.5, 0.5, 3), size)
    depth = level(x)
    solid = _antialiased(depth, edge=_FINE * rng.uniform(0.5, 1.5))
    inside = solid > 0.5
    field, phase = draw_phase(rng, x, depth, inside, peak_to_peak)
    direction = rng.normal(size=3)
    tilt = sum(c * d for c, d in zip(x, direction / np.linalg.norm(direction), strict=True))
    solid = solid * (1 + rng.uniform(0, 0.08) * np.clip(tilt, -1.5, 1.5))
    a, b, c = (float(e) for e in extent)
    return Crystal(solid * np.exp(1j * phase), phase, inside, positions, name, field, (a, b, c))


def draw_extent(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Draw the extents (3,): two in five as large as the paper's crystal, the others of any size."""
    low = max(SMALLEST, FEWEST / size)
    habit = rng.random()
    if habit < 0.4:
        return rng.uniform(0.45, LARGEST, 3)
    if habit < 0.7:
        return rng.uniform(0.25, 0.5, 3)
    return np.exp(rng.uniform(np.log(low), np.log(LARGEST), 3))


def _grid(
    extent: NDArray[np.float64], offset: NDArray[np.float64], size: int
) -> tuple[tuple[NDArray[Any], NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Return positions (fractions of the field of view) and body coordinates of the fine points.

    ``offset`` (3,) moves the body by parts of a voxel.
    """
    positions, coordinates = [], []
    for axis, (share, moved) in enumerate(zip(extent, offset, strict=True)):
        half = int(np.ceil(share * size * _FINE / 2)) + 3 * _FINE
        line = np.arange(-half, half + 1) / (size * _FINE)
        view = [1, 1, 1]
        view[axis] = -1
        positions.append(line)
        coordinates.append(((line - moved / size) / (share / 2)).reshape(view))
    return (positions[0], positions[1], positions[2]), (coordinates[0], coordinates[1], coordinates[2])


def _antialiased(depth: NDArray[Any], edge: float) -> NDArray[np.float64]:
    """Return 1 inside, 0 outside, and a rim ``edge`` fine points wide, from a level function."""
    slope = np.sqrt(sum(np.gradient(depth, axis=axis) ** 2 for axis in range(3)))
    return np.clip(0.5 + depth / np.maximum(slope, 1e-9) / edge, 0, 1)


def steepest(crystal: Crystal) -> float:
    """Return the phase step per voxel, rad, that 99.9 % of the crystal stays below."""
    slopes = [np.gradient(crystal.phase, axis=axis)[crystal.inside] for axis in range(3)]
    return _FINE * float(np.quantile(np.sqrt(sum(s**2 for s in slopes)), 0.999))


def centred(crystal: Crystal, offset: NDArray[np.float64]) -> Crystal:
    """Add a ramp that puts the pattern's centre of mass ``offset`` (3,) voxels from q = 0.

    The mean of q weighted by the intensity is the density-weighted mean slope of the phase.
    """
    density = crystal.density
    for axis, (line, goal) in enumerate(zip(crystal.positions, offset, strict=True)):
        here = np.take(density, range(len(line) - 1), axis)
        there = np.take(density, range(1, len(line)), axis)
        slope = np.angle(np.vdot(here, there)) / (line[1] - line[0]) / (2 * np.pi)
        view = [1, 1, 1]
        view[axis] = -1
        density = density * np.exp(2j * np.pi * (goal - slope) * line).reshape(view)
    return Crystal(
        density,
        crystal.phase,
        crystal.inside,
        crystal.positions,
        crystal.shape,
        crystal.field,
        crystal.extent,
    )


def held(crystal: Crystal, field: NDArray[np.complex128]) -> float:
    """Return the share of what ``crystal`` scatters that lies in ``field``, its amplitude at the voxels."""
    total = float((np.abs(crystal.density) ** 2).sum()) * field.size * _FINE**3
    return float((np.abs(field) ** 2).sum()) / total


@dataclass(frozen=True)
class BenchmarkClass:
    """One class of crystals and the share of them that must be found.

    Parameters
    ----------
    name : str
    turns : float
        Peak-to-peak phase in units of π.
    photons : tuple of float
        At the peak; taken in turn.
    detector : bool
    target : float
        Least share of crystals with an overlap above 0.95.
    measured : bool
        As `benchmark_pattern` has it.
    """

    name: str
    turns: float
    photons: tuple[float, ...]
    detector: bool
    target: float
    measured: bool = False


def _classes() -> tuple[BenchmarkClass, ...]:
    kinds = (
        (2, (1e5, 1e6), "2π, 1e5–1e6", 0.99),
        (3, (1e4, 1e5, 1e6), "3π, 1e4–1e6", 0.95),
        (4, (1e4, 1e5, 1e6), "4π, 1e4–1e6", 0.85),
    )
    return tuple(
        BenchmarkClass(f"{label}, {'detector' if detector else 'plain'}", turns, photons, detector, target)
        for turns, photons, label, target in kinds
        for detector in (False, True)
    )


CLASSES = _classes()
"""Phase × photons, as point samples and as a detector measures them."""

MEASURED = BenchmarkClass("3π, 1e5–1e6, measured", 3, (1e5, 1e6), True, 0.85, measured=True)
"""As measured data are kept. Each takes ten times the CPU seconds: only where it is asked for by name."""


@dataclass(frozen=True)
class Case:
    """One crystal to run: a seed, its class, and the photons at the peak."""

    seed: int
    kind: BenchmarkClass
    photons: float

    def pattern(self) -> BenchmarkPattern:
        """Make the pattern."""
        return benchmark_pattern(
            self.seed,
            peak_to_peak=self.kind.turns * np.pi,
            photons=self.photons,
            detector=self.kind.detector,
            measured=self.kind.measured,
        )


def chosen_classes(words: str | None) -> tuple[BenchmarkClass, ...]:
    """Return the classes whose name holds any of the ``words`` (commas between); `CLASSES` of no words."""
    wanted = [word.strip() for word in (words or "").split(",") if word.strip()]
    if not wanted:
        return CLASSES
    every = (*CLASSES, MEASURED)
    chosen = tuple(kind for kind in every if any(word in kind.name for word in wanted))
    if not chosen:
        raise ValueError(f"the classes are {[kind.name for kind in every]!r}; none holds {words!r}")
    return chosen


def draw_cases(seeds: Sequence[int], count: int, classes: Sequence[BenchmarkClass] = CLASSES) -> list[Case]:
    """Return ``count`` cases, a seed each, classes in turn, so that a part of the list is balanced too."""
    if not 0 < count <= len(seeds):
        raise ValueError(f"between 1 and {len(seeds)} crystals can be drawn from these seeds; got {count!r}")
    cases = []
    for number in range(count):
        turn, which = divmod(number, len(classes))
        kind = classes[which]
        cases.append(Case(seeds[number], kind, kind.photons[turn % len(kind.photons)]))
    return cases
