"""Physical constants and unit cells, shared by the simulated beamline and the analysis.

These are the only facts that both may know (see the import contracts in pyproject.toml).
Values: shared experiment description of Najeeb et al., Diamond beamline I16.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HC_KEV_ANGSTROM = 12.398419843320026
"""Planck constant times speed of light, keV Å (CODATA 2018, exact)."""


@dataclass(frozen=True)
class UnitCell:
    """Direct-lattice parameters, lengths in Å and angles in degrees."""

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float

    def b_matrix(self) -> NDArray[np.float64]:
        """Return B, (3, 3), Å⁻¹ with the 2π included: Q = B·(h, k, l).

        Busing & Levy 1967, doi:10.1107/S0365110X67000970.
        """
        ca, cb, cg = np.cos(np.radians([self.alpha, self.beta, self.gamma]))
        sa, sb, sg = np.sin(np.radians([self.alpha, self.beta, self.gamma]))
        volume = np.sqrt(1 - ca**2 - cb**2 - cg**2 + 2 * ca * cb * cg)
        b1, b2, b3 = sa / (self.a * volume), sb / (self.b * volume), sg / (self.c * volume)
        cos_b3 = (ca * cb - cg) / (sa * sb)
        cos_b2 = (ca * cg - cb) / (sa * sg)
        sin_b2, sin_b3 = np.sqrt(1 - cos_b2**2), np.sqrt(1 - cos_b3**2)
        return (
            2
            * np.pi
            * np.array(
                [
                    [b1, b2 * cos_b3, b3 * cos_b2],
                    [0.0, b2 * sin_b3, -b3 * sin_b2 * ca],
                    [0.0, 0.0, 1 / self.c],
                ]
            )
        )

    def direct_matrix(self) -> NDArray[np.float64]:
        """Return the cell's edges a, b, c as columns, (3, 3) float64, Å, in the frame of `b_matrix`."""
        return np.asarray(2 * np.pi * np.linalg.inv(self.b_matrix()).T, dtype=np.float64)

    def d_spacing(self, hkl: tuple[int, int, int]) -> float:
        """Return the spacing of the planes ``hkl``, Å."""
        return float(2 * np.pi / np.linalg.norm(self.b_matrix() @ np.asarray(hkl, dtype=float)))


VO2_M1 = UnitCell(5.7517, 4.5378, 5.3825, 90.0, 122.646, 90.0)
"""Monoclinic M1 phase of VO2; the measured reflection is (011)."""

VO2_RUTILE = UnitCell(4.5546, 4.5546, 2.8514, 90.0, 90.0, 90.0)
"""Rutile phase of VO2; the counterpart of M1 (011) is (110)."""

UNIT_CELLS = {"VO2 M1": VO2_M1, "VO2 rutile": VO2_RUTILE}
"""By the name that a described experiment may use."""


def _monoclinic(x: float, y: float, z: float) -> list[list[float]]:
    """Return the general position of P2₁/c (No. 14, unique axis b)."""
    return [[x, y, z], [-x, -y, -z], [-x, y + 0.5, 0.5 - z], [x, 0.5 - y, z + 0.5]]


Atoms = Mapping[str, NDArray[np.float64]]

M1_ATOMS: Atoms = {
    "V": np.array(_monoclinic(0.23947, 0.97894, 0.02646)) % 1,
    "O": np.array(_monoclinic(0.10616, 0.21185, 0.20859) + _monoclinic(0.40051, 0.70258, 0.29884)) % 1,
}
"""Fractional coordinates in `VO2_M1`, (n, 3).

Longo & Kierkegaard 1970, doi:10.3891/acta.chem.scand.24-0420.
"""

RUTILE_ATOMS: Atoms = {
    "V": np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
    "O": np.array([[u, u, 0.0] for u in (0.3001, 0.6999)] + [[0.8001, 0.1999, 0.5], [0.1999, 0.8001, 0.5]]),
}
"""The same in `VO2_RUTILE`, P4₂/mnm (No. 136): McWhan et al. 1974, doi:10.1103/PhysRevB.10.490."""


def wavelength(energy: float) -> float:
    """Return the wavelength in Å of photons of ``energy`` keV."""
    if not np.isfinite(energy) or energy <= 0:
        raise ValueError(
            f"energy must be a positive number of keV; got {energy!r}: give the photon energy, e.g. 9.0"
        )
    return HC_KEV_ANGSTROM / energy


def bragg_angle(d: float, energy: float) -> float:
    """Return the Bragg angle θ in degrees for spacing ``d`` Å at ``energy`` keV (λ = 2 d sin θ)."""
    ratio = wavelength(energy) / (2 * d)
    if not 0 < ratio <= 1:
        raise ValueError(
            f"no Bragg angle for d = {d!r} Å at {energy!r} keV: λ/2d = {ratio:.4f} must lie in (0, 1]"
        )
    return float(np.degrees(np.arcsin(ratio)))
