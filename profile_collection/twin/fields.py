"""Smooth random fields and level sets with walls of one width, the raw material of the crystal's state."""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter

Field = NDArray[np.float32]


def correlated_field(rng: np.random.Generator, axes: tuple[Field, Field, Field], length: float) -> Field:
    """Draw a Gaussian field of zero mean and unit variance whose correlation is exp(−r² / 2 length²).

    The field is drawn on a coarse grid of ``length``/3 and carried to the fine one by cubic splines, so
    that a finer grid shows the same field.

    Parameters
    ----------
    rng : numpy.random.Generator
    axes : three ndarrays, float32, nm
        Node positions of the grid along each axis.
    length : float
        Correlation length, nm.

    Returns
    -------
    ndarray, float32, (n0, n1, n2)
    """
    spacing = length / 3
    half = [max(abs(float(a[0])), abs(float(a[-1]))) for a in axes]
    counts = [2 * int(np.ceil(h / spacing)) + 9 for h in half]
    noise = rng.standard_normal(counts)
    # A filter of length/√2 on white noise gives the correlation exp(−r² / 2 length²).
    coarse = gaussian_filter(noise, length / spacing / np.sqrt(2), mode="wrap")
    coarse /= coarse.std()
    result = coarse
    for axis, (nodes, count) in enumerate(zip(axes, counts, strict=True)):
        knots = (np.arange(count) - count // 2) * spacing
        weights = make_interp_spline(knots, np.eye(count), k=3)(nodes.astype(float))
        result = np.moveaxis(np.tensordot(weights, result, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(result, dtype=np.float32)


def level_set(
    field: Field,
    inside: NDArray[np.bool_],
    fraction: float,
    wall: float,
    pitch: tuple[float, float, float],
    length: float,
) -> Field:
    """Fill the highest ``fraction`` of ``field`` with 1, with walls of the width ``wall`` everywhere.

    The field is divided by its own gradient, which turns it into a distance from the level; tanh(distance /
    wall) is the profile of a wall between two variants. Smooth in ``fraction``, and exactly empty at 0 and
    full at 1.

    Parameters
    ----------
    field : ndarray, float32, (n0, n1, n2)
    inside : ndarray, bool, (n0, n1, n2)
        Where the fraction is counted.
    fraction : float
    wall, pitch, length : float
        Half-width of the wall, grid pitch, correlation length of the field, nm.

    Returns
    -------
    ndarray, float32, (n0, n1, n2), between 0 and 1
    """
    if fraction <= 0:
        return np.zeros_like(field)
    if fraction >= 1:
        return np.ones_like(field)
    level = np.quantile(field[inside][::7], 1 - fraction)
    slope = np.square(np.float32(0.3 / length), dtype=np.float32) + np.zeros_like(field)
    for part in np.gradient(field, *pitch):
        slope += np.square(part, dtype=np.float32)
    distance = (field - np.float32(level)) / np.sqrt(slope)
    # The ends fade in and out, so that the first nucleus does not appear at once.
    fade = np.tanh(fraction / 0.004) * np.tanh((1 - fraction) / 0.004)
    profile = 0.5 * (1 + np.tanh(distance / np.float32(wall)))
    return (fade * profile + (1 - fade) * (fraction > 0.5)).astype(np.float32)
