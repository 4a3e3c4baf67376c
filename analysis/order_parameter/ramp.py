"""The linear phase and the global phase between two objects, on the voxels that both have."""

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complexfloating]
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
