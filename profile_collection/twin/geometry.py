"""Six-circle geometry of the simulated beamline, written independently of the analysis.

Laboratory frame of You (1999, doi:10.1107/S0021889899001223): x up, y along the incident beam, z = x × y.
The crystal's own frame has the axes (rocking direction, Q, horizontal) and coincides with the laboratory at
the nominal mount: q_lab = Z · Z0⁻¹ · M · E · q_crystal, with E the three axes in the laboratory and M the
mount's error. All q are in Å⁻¹. How far and how fast the
simulated motors go holds for devices of this process and for records of the soft IOC alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from analysis.unit_cells import wavelength
from profile_collection.twin.config import DetectorConfig, MountConfig

FloatArray = NDArray[np.float64]

MOTOR_LIMITS: dict[str, tuple[float, float]] = {
    "mu": (-5.0, 90.0),
    "eta": (-20.0, 100.0),
    "chi": (-10.0, 105.0),
    "phi": (-180.0, 180.0),
    "gam": (-5.0, 120.0),
    "delta": (-5.0, 130.0),
    "sx": (-5.0, 5.0),
    "sy": (-5.0, 5.0),
    "sz": (-5.0, 5.0),
}
"""Lowest and highest position of each motor, degrees or mm."""

MOTOR_SPEEDS: dict[str, float] = {
    "mu": 0.5,
    "eta": 0.5,
    "chi": 1.0,
    "phi": 2.0,
    "gam": 1.0,
    "delta": 1.0,
    "sx": 0.5,
    "sy": 0.5,
    "sz": 0.5,
}
"""Degrees or mm per second."""


def about_x(degrees: float) -> FloatArray:
    """MU and NU, (3, 3)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def about_y(degrees: float) -> FloatArray:
    """CHI, (3, 3)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def about_z(degrees: float) -> FloatArray:
    """ETA, PHI and DELTA, (3, 3): positive angles turn the beam direction y upwards to x."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def sample_rotation(mu: float, eta: float, chi: float, phi: float) -> FloatArray:
    """Z = MU · ETA · CHI · PHI, (3, 3), angles in degrees."""
    return about_x(mu) @ about_z(eta) @ about_y(chi) @ about_z(phi)


def crystal_axes(mount: MountConfig) -> FloatArray:
    """E, (3, 3): columns are rocking direction, Q and horizontal in the laboratory, right-handed."""
    theta = np.radians(mount.theta)
    c, s = np.cos(theta), np.sin(theta)
    return np.array([[-s, c, 0.0], [-c, -s, 0.0], [0.0, 0.0, 1.0]])


def crystal_to_lab(mount: MountConfig, mu: float, eta: float, chi: float, phi: float) -> FloatArray:
    """Rotation, (3, 3), that takes a vector from the crystal's frame to the laboratory."""
    error = Rotation.from_rotvec(np.radians(mount.error)).as_matrix()
    return sample_rotation(mu, eta, chi, phi) @ sample_rotation(*mount.angles).T @ error @ crystal_axes(mount)


@dataclass(frozen=True)
class Pose:
    """Where everything stands except eta: angles in degrees, energy in keV."""

    mu: float
    chi: float
    phi: float
    delta: float
    gam: float
    energy: float

    def lab_to_crystal(self, mount: MountConfig, eta: float) -> FloatArray:
        """Rotation, (3, 3), from the laboratory to the crystal's frame at ``eta``."""
        return crystal_to_lab(mount, self.mu, eta, self.chi, self.phi).T


def pixel_q(detector: DetectorConfig, pose: Pose, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Momentum transfer kf − ki at detector positions given in (fractional) pixels of the whole detector.

    Parameters
    ----------
    rows, columns : ndarray, float64, any common shape
        Row grows with delta, column with gam.

    Returns
    -------
    ndarray, float64, (..., 3), Å⁻¹
        In the laboratory frame, exact: the Ewald sphere's curvature is included.
    """
    row0, column0 = (detector.shape[0] - 1) / 2, (detector.shape[1] - 1) / 2
    arm = np.stack(
        [
            (rows - row0) * detector.pixel_size,
            np.full(np.shape(rows), detector.distance),
            (columns - column0) * detector.pixel_size,
        ],
        axis=-1,
    )
    direction = arm @ (about_x(pose.gam) @ about_z(pose.delta)).T
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    direction[..., 1] -= 1.0
    return direction * (2 * np.pi / wavelength(pose.energy))


def bragg_pixel(detector: DetectorConfig, pose: Pose, q_lab: FloatArray) -> tuple[float, float]:
    """Return the pixel (row, column) of a reciprocal vector rocked onto the Ewald sphere.

    It is rocked in its own plane with the beam.

    Parameters
    ----------
    q_lab : ndarray, float64, (3,), Å⁻¹
        Near the Bragg condition.
    """
    k = 2 * np.pi / wavelength(pose.energy)
    length = np.linalg.norm(q_lab)
    across = q_lab - np.array([0.0, q_lab[1], 0.0])
    sine = length / (2 * k)
    on_sphere = length * (
        np.sqrt(1 - sine**2) * across / np.linalg.norm(across) - sine * np.array([0.0, 1.0, 0.0])
    )
    outgoing = (about_x(pose.gam) @ about_z(pose.delta)).T @ (on_sphere + np.array([0.0, k, 0.0]))
    scale = detector.distance / outgoing[1] / detector.pixel_size
    return (
        float(outgoing[0] * scale + (detector.shape[0] - 1) / 2),
        float(outgoing[2] * scale + (detector.shape[1] - 1) / 2),
    )
