"""Scattering vectors of detector pixels on a six-circle diffractometer."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.geometry.rotations import BEAM, Matrix, detector_rotation, sample_rotation
from analysis.unit_cells import wavelength

Vectors = NDArray[np.float64]


def scattering_vectors(
    rows: ArrayLike,
    cols: ArrayLike,
    *,
    arm: Matrix,
    energy: float,
    distance: float,
    pixel_size: float,
    centre: tuple[float, float],
) -> Vectors:
    """Return q = kf − ki of pixels on a detector whose arm stands anywhere.

    Parameters
    ----------
    rows, cols : array_like, broadcastable, pixels
        Pixel numbers on the whole detector; fractions are allowed.
    arm : ndarray, (3, 3) float64
        Columns: laboratory directions of increasing row, of the arm (from the sample), of increasing column.
    energy : float, keV
    distance, pixel_size : float, mm
    centre : tuple of float, pixels
        (row, column) that the arm points to.

    Returns
    -------
    ndarray, (…, 3) float64, Å⁻¹, laboratory frame
    """
    row, col = np.broadcast_arrays(np.asarray(rows, dtype=float), np.asarray(cols, dtype=float))
    on_arm = np.stack(
        [(row - centre[0]) * pixel_size, np.full(row.shape, float(distance)), (col - centre[1]) * pixel_size],
        axis=-1,
    )
    along_kf = on_arm @ arm.T
    along_kf /= np.linalg.norm(along_kf, axis=-1, keepdims=True)
    return 2 * np.pi / wavelength(energy) * (along_kf - BEAM)


def detector_q(
    delta: float,
    gam: float,
    rows: ArrayLike,
    cols: ArrayLike,
    *,
    energy: float,
    distance: float,
    pixel_size: float,
    centre: tuple[float, float],
) -> Vectors:
    """Return q in the laboratory frame, (…, 3) Å⁻¹, for a six-circle arm at ``delta``, ``gam`` degrees.

    Row grows with delta, column with gam; the other parameters are those of `scattering_vectors`.
    """
    return scattering_vectors(
        rows,
        cols,
        arm=detector_rotation(delta, gam),
        energy=energy,
        distance=distance,
        pixel_size=pixel_size,
        centre=centre,
    )


def sample_q(
    eta: float,
    delta: float,
    gam: float,
    rows: ArrayLike,
    cols: ArrayLike,
    *,
    mu: float = 0.0,
    chi: float = 0.0,
    phi: float = 0.0,
    energy: float,
    distance: float,
    pixel_size: float,
    centre: tuple[float, float],
) -> Vectors:
    """Return q in the sample's own frame, (…, 3) Å⁻¹: Zᵀ (kf − ki), comparable with UB·(h, k, l).

    ``mu``, ``eta``, ``chi``, ``phi`` are degrees; the other parameters are those of `detector_q`.
    """
    lab = detector_q(
        delta, gam, rows, cols, energy=energy, distance=distance, pixel_size=pixel_size, centre=centre
    )
    return lab @ sample_rotation(mu, eta, chi, phi)
