"""Origin, linear phase and global phase of one object against another, on what both have.

The origin is found from amplitudes alone, where part of the density is missing.

The outline of the crystal stays as the temperature moves, its phase does not: an origin from the complex
overlap is drawn along by phase and by missing regions (1.4 voxels where a side of the crystal, 45 % of it, is
gone). So the outline alone is compared, and only where it is far from missing density: the edge of a hole is
as steep as that of the crystal. On simulated crystals this is right to 0.01 voxel with 45 to 55 % missing.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis.phasing.registration import shift
from analysis.structure import amplitude_level, lost

Complex = NDArray[np.complexfloating]
Amplitude = NDArray[np.floating]
Mask = NDArray[np.bool_]

CLEARANCE = 3
"""Voxels about missing density that have no say: its edge spreads over as many at the band's resolution."""

LEAST_OUTLINE = 0.05
"""Share of the outline that must be left; otherwise the clearance is narrowed."""


def refine_origin(
    obj: Complex, reference: Complex, support: Mask, *, rounds: int = 12
) -> NDArray[np.float64]:
    """Return by how many voxels (3,) ``obj`` is to be moved so that its amplitude lies on the reference's.

    Gauss–Newton on Σ (abs(ρ(r − s)) − β abs(ρ_0(r)))² over the voxels about the support's surface where the
    object has density. It converges from within about two voxels.

    Parameters
    ----------
    obj, reference : ndarray, (n0, n1, n2) complex
    support : ndarray, (n0, n1, n2) bool
        Support of the reference.
    rounds : int
        Most iterations.
    """
    move = np.zeros(3)
    target = np.abs(reference)
    outline = ndimage.binary_dilation(support, iterations=2) & ~ndimage.binary_erosion(support, iterations=2)
    for _ in range(rounds):
        moved = shift(obj, move)
        amplitude = np.abs(moved)
        used = _away_from(_holes(amplitude, target, support), outline)
        if np.count_nonzero(used) < 8:
            break
        columns = [_amplitude_slope(moved, amplitude, axis)[used] for axis in range(3)]
        system = np.stack([*columns, target[used]]).astype(np.float64)
        solution = np.linalg.solve(system @ system.T, system @ amplitude[used])
        step = np.clip(solution[:3], -0.5, 0.5)
        move = move + step
        if np.abs(step).max() < 1e-5:
            break
    return move


def _holes(amplitude: Amplitude, target: Amplitude, support: Mask) -> Mask:
    """Return the voxels where the reference has density and the object has lost at least half of it."""
    body = target > 0.002 * amplitude_level(target, support)
    return np.asarray(body & lost(amplitude, target, support))


def _away_from(holes: Mask, outline: Mask) -> Mask:
    """Return the part of ``outline`` `CLEARANCE` voxels from every hole, nearer where that leaves little."""
    for clearance in range(CLEARANCE, 0, -1):
        used = outline & ~ndimage.binary_dilation(holes, iterations=clearance)
        if np.count_nonzero(used) >= LEAST_OUTLINE * np.count_nonzero(outline):
            break
    return np.asarray(used)


def _amplitude_slope(obj: Complex, amplitude: Amplitude, axis: int) -> NDArray[np.float64]:
    """Return ∂abs(ρ)/∂n along ``axis``: what abs(ρ(r − s)) loses per voxel of s."""
    size = obj.shape[axis]
    wave = 2j * np.pi * np.fft.fftfreq(size)
    wave[size // 2] = 0
    view = [1, 1, 1]
    view[axis] = size
    slope = np.fft.ifft(np.fft.fft(obj, axis=axis) * wave.reshape(view), axis=axis)
    floor = 1e-9 * float(amplitude.max())
    return np.asarray((np.conj(obj) * slope).real / np.maximum(amplitude, floor))


Floats = NDArray[np.float64]


def relative_ramp(obj: Complex, reference: Complex, used: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Return the ramp (3,) and phase by which ``obj`` turns against ``reference``, in rad per voxel and rad.

    They maximise abs(Σ exp(i (arg ρ ρ_0* − k·n))): phases are averaged on the circle, never unwrapped, and
    every voxel of ``used`` counts alike, so that density which comes and goes does not weigh.

    Parameters
    ----------
    obj, reference : ndarray, (n0, n1, n2) complex
        With one origin, at index n//2.
    used : ndarray, (n0, n1, n2) bool
        Where both have density.
    """
    product = obj * np.conj(reference)
    turn = np.zeros(obj.shape, dtype=complex)
    turn[used] = product[used] / np.maximum(np.abs(product[used]), 1e-300)
    places = np.argwhere(used) - np.array(obj.shape) // 2
    ramp = _climb(turn[used], places.astype(float), _coarse(turn))
    return ramp, float(np.angle(np.sum(turn[used] * np.exp(-1j * places @ ramp))))


def without_ramp(obj: Complex, ramp: Floats, phase: float) -> Complex:
    """Return ``obj`` times exp(−i (ramp·n + phase)), n counted from index n//2."""
    waves = [rate * (np.arange(n) - n // 2) for rate, n in zip(ramp, obj.shape, strict=True)]
    turn = waves[0][:, None, None] + waves[1][:, None] + waves[2]
    return np.asarray(obj * np.exp(-1j * (turn + phase)))


def _coarse(turn: Complex) -> Floats:
    """Return the strongest frequency of ``turn``, (3,) rad per voxel, to the nearest one of the transform."""
    spectrum = np.abs(np.fft.fftn(np.fft.ifftshift(turn)))
    place = np.unravel_index(int(np.argmax(spectrum)), turn.shape)
    return np.array(
        [2 * np.pi * np.fft.fftfreq(n)[index] for index, n in zip(place, turn.shape, strict=True)]
    )


def _climb(turn: Complex, places: Floats, start: Floats) -> Floats:
    """Return the frequency (3,) near ``start`` that maximises abs(Σ turn·exp(−i k·n)), by Newton's method."""
    ramp = start
    for _ in range(20):
        share = turn * np.exp(-1j * places @ ramp)
        share = share / share.sum()
        mean = places.T @ share
        spread = (places * share[:, None]).T @ places - np.outer(mean, mean)
        hessian = -spread.real
        if np.linalg.eigvalsh(hessian).max() >= 0:
            return ramp
        step = np.linalg.solve(hessian, mean.imag)
        ramp = ramp - np.clip(step, -0.05, 0.05)
        if np.abs(step).max() < 1e-9:
            return ramp
    return ramp
