"""The six-circle diffractometer: its rotations, and the scattering vectors of detector pixels.

Laboratory frame: x up, y along the incident beam, z = x × y (You 1999, doi:10.1107/S0021889899001223).
Angles are degrees, matrices (3, 3) float64; they act on column vectors.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from analysis.unit_cells import wavelength

Matrix = NDArray[np.float64]

BEAM: Matrix = np.array([0.0, 1.0, 0.0])
"""Direction of the incident beam in the laboratory frame."""


def rotation(axis: ArrayLike, angle: float) -> Matrix:
    """Return the right-handed rotation by ``angle`` degrees about ``axis`` (3,), of any length."""
    direction = np.asarray(axis, dtype=float)
    turn = Rotation.from_rotvec(angle * direction / np.linalg.norm(direction), degrees=True)
    return np.asarray(turn.as_matrix(), dtype=np.float64)


def about_x(angle: float) -> Matrix:
    """Return You's MU and NU, the rotation of mu and gam."""
    return rotation([1, 0, 0], angle)


def about_minus_z(angle: float) -> Matrix:
    """Return You's ETA, PHI and DELTA, [[c, s, 0], [-s, c, 0], [0, 0, 1]]."""
    return rotation([0, 0, -1], angle)


def about_y(angle: float) -> Matrix:
    """Return You's CHI, [[c, 0, s], [0, 1, 0], [-s, 0, c]]."""
    return rotation([0, 1, 0], angle)


def sample_rotation(mu: float, eta: float, chi: float, phi: float) -> Matrix:
    """Return Z = MU·ETA·CHI·PHI, which turns sample coordinates into laboratory ones (You 1999)."""
    return about_x(mu) @ about_minus_z(eta) @ about_y(chi) @ about_minus_z(phi)


def detector_rotation(delta: float, gam: float) -> Matrix:
    """Return NU(gam)·DELTA(delta), which turns detector-arm coordinates into laboratory ones (You 1999)."""
    return about_x(gam) @ about_minus_z(delta)


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
