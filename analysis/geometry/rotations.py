"""Rotations of the six-circle diffractometer.

Laboratory frame: x up, y along the incident beam, z = x × y (You 1999, doi:10.1107/S0021889899001223).
Angles are degrees, matrices (3, 3) float64; they act on column vectors.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

BEAM: Matrix = np.array([0.0, 1.0, 0.0])
"""Direction of the incident beam in the laboratory frame."""


def rotation(axis: ArrayLike, angle: float) -> Matrix:
    """Return the right-handed rotation by ``angle`` degrees about ``axis`` (3,) (Rodrigues' formula)."""
    direction = np.asarray(axis, dtype=float)
    x, y, z = direction / np.linalg.norm(direction)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    radians = np.radians(angle)
    return np.eye(3) + np.sin(radians) * cross + (1 - np.cos(radians)) * cross @ cross


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


def rocking_axis(axis: str, *, mu: float, eta: float, chi: float) -> Matrix:
    """Return the laboratory direction (3,) about which the sample turns when ``axis`` moves.

    Parameters
    ----------
    axis : {"mu", "eta", "chi", "phi"}
        The circle that is scanned; the circles outside it carry it along.
    mu, eta, chi : float, degrees
        Where those circles stand.
    """
    outer = {
        "mu": np.eye(3),
        "eta": about_x(mu),
        "chi": about_x(mu) @ about_minus_z(eta),
        "phi": about_x(mu) @ about_minus_z(eta) @ about_y(chi),
    }
    own = {"mu": [1, 0, 0], "eta": [0, 0, -1], "chi": [0, 1, 0], "phi": [0, 0, -1]}
    if axis not in outer:
        raise ValueError(
            f"the rocking axis must be one of {sorted(outer)}; got {axis!r}: name the scanned circle"
        )
    return outer[axis] @ np.asarray(own[axis], dtype=float)
