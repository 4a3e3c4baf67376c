"""The six-circle diffractometer (hklpy2 psic, solver ad_hoc), and how the crystal sits on it.

The crystal is known by its lattice and by the two reflections that define UB. The axes carry the beamline's
own names. Angles in degrees, six-circle convention of You (1999), doi:10.1107/S0021889899001223.
"""

import contextlib
import locale
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import asin, atan2, cos, degrees, hypot, radians, sin
from typing import Any

import numpy as np
from hklpy2 import creator
from hklpy2.diffract import DiffractometerBase
from numpy.typing import NDArray

HC = 12.398419843320026
"""h·c in keV Å (CODATA 2018, exact)."""

Angles = dict[str, float]
HKL = tuple[float, float, float]


@dataclass(frozen=True)
class Lattice:
    """Direct-lattice parameters, lengths in Å and angles in degrees."""

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float

    def as_dict(self) -> dict[str, float]:
        """Return the six parameters by name."""
        return asdict(self)

    def b_matrix(self) -> NDArray[np.float64]:
        """Return B, (3, 3), Å⁻¹, 2π included, a* along x and b* in xy.

        Busing & Levy (1967), doi:10.1107/S0365110X67000970.
        """
        alpha, beta, gamma = np.radians([self.alpha, self.beta, self.gamma])
        direct = np.zeros((3, 3))  # columns a, b, c with a along x and b in the xy plane
        direct[:, 0] = [self.a, 0, 0]
        direct[:, 1] = [self.b * cos(gamma), self.b * sin(gamma), 0]
        x = cos(beta)
        y = (cos(alpha) - cos(beta) * cos(gamma)) / sin(gamma)
        direct[:, 2] = self.c * np.array([x, y, np.sqrt(1 - x**2 - y**2)])
        reciprocal = np.asarray(2 * np.pi * np.linalg.inv(direct).T, dtype=np.float64)  # columns a*, b*, c*
        return _orthonormal(reciprocal[:, 0], reciprocal[:, 1]).T @ reciprocal

    def bragg_angle(self, hkl: HKL, energy: float) -> float:
        """Return the Bragg angle θ in degrees of reflection `hkl` at `energy` keV."""
        ratio = HC / energy * float(np.linalg.norm(self.b_matrix() @ np.asarray(hkl, float))) / (4 * np.pi)
        if not 0 < ratio <= 1:
            raise ValueError(
                f"reflection {hkl!r} cannot be reached at {energy!r} keV: λ/2d must be in (0, 1], "
                f"it is {ratio:.4f}. Choose a higher energy or another reflection."
            )
        return degrees(asin(ratio))


@dataclass(frozen=True)
class OrientationReflection:
    """A reflection and the angles (degrees, by axis name) at which it was found."""

    hkl: HKL
    angles: Angles


def simulated_mount(
    lattice: Lattice, energy: float, *, eta: float, first: HKL
) -> tuple[OrientationReflection, OrientationReflection]:
    """Return the two reflections that a crystal mounted like the simulated one shows.

    `first` diffracts in the vertical plane at mu = 0, `eta`, chi = 90, phi = 0, so that `eta` minus the Bragg
    angle is the tilt of the mount. The component of the second one across `first` points along −x of the phi
    frame.

    Parameters
    ----------
    lattice : Lattice
    energy : float
        Photon energy, keV.
    eta : float
        Angle at which `first` diffracts, degrees.
    first : tuple of float
        Miller indices.
    """
    second = _another(first)
    theta = lattice.bragg_angle(first, energy)
    found = OrientationReflection(
        first, {"mu": 0.0, "eta": eta, "chi": 90.0, "phi": 0.0, "gam": 0.0, "delta": 2 * theta}
    )
    q_second = _rotation(lattice, first, second, theta - eta) @ lattice.b_matrix() @ np.asarray(second, float)
    return found, OrientationReflection(
        second, _vertical_angles(q_second, lattice.bragg_angle(second, energy))
    )


def _another(first: HKL) -> HKL:
    """Return a reflection that is not parallel to `first`: its mirror image in l, or a simple one."""
    h, k, l = first  # noqa: E741  the field's own names
    return (h, k, -l) if l and (h or k) else (0, 0, 1) if not l else (0, 1, 0)


def _rotation(lattice: Lattice, first: HKL, second: HKL, tilt: float) -> NDArray[np.float64]:
    """Return U (3, 3): `first` to where chi = 90 puts it along ETA(tilt)·x, `second` across it along −x."""
    b = lattice.b_matrix()
    crystal = _orthonormal(b @ np.asarray(first, float), b @ np.asarray(second, float))
    along_q = np.array([0.0, -sin(radians(tilt)), cos(radians(tilt))])  # CHI(90)ᵀ·ETA(tilt)·x
    across = np.array([-1.0, 0.0, 0.0])
    return _orthonormal(along_q, across) @ crystal.T


def _orthonormal(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, 3) columns: `first`, the part of `second` across it, and their cross product, normalised."""
    e1 = first / np.linalg.norm(first)
    across = second - (second @ e1) * e1
    e2 = across / np.linalg.norm(across)
    return np.stack([e1, e2, np.cross(e1, e2)], axis=1)


def _vertical_angles(q_phi: NDArray[np.float64], theta: float) -> Angles:
    """Return the angles at which q_phi (phi frame, Å⁻¹) diffracts with mu = gam = 0 and eta = θ."""
    x, y, z = q_phi
    phi, chi = degrees(atan2(y, x)), degrees(atan2(z, hypot(x, y)))
    return {"mu": 0.0, "eta": theta, "chi": chi, "phi": phi, "gam": 0.0, "delta": 2 * theta}


def rotation_matrices(angles: Angles) -> NDArray[np.float64]:
    """Return Z = MU·ETA·CHI·PHI, (3, 3), that takes the phi frame into the laboratory (You 1999)."""
    mu, eta, chi, phi = (radians(angles[name]) for name in ("mu", "eta", "chi", "phi"))
    m_mu = np.array([[1, 0, 0], [0, cos(mu), -sin(mu)], [0, sin(mu), cos(mu)]])
    m_eta = np.array([[cos(eta), sin(eta), 0], [-sin(eta), cos(eta), 0], [0, 0, 1]])
    m_chi = np.array([[cos(chi), 0, sin(chi)], [0, 1, 0], [-sin(chi), 0, cos(chi)]])
    m_phi = np.array([[cos(phi), sin(phi), 0], [-sin(phi), cos(phi), 0], [0, 0, 1]])
    return m_mu @ m_eta @ m_chi @ m_phi


AXIS_NAMES = ("mu", "eta", "chi", "phi", "gam", "delta")
"""Real axes in the order in which the solver counts them (psic's nu is called gam here)."""

BRAGG_TOLERANCE = 0.01
"""Largest accepted difference between the computed delta and 2θ of Bragg's law, degrees."""


@contextlib.contextmanager
def _files_read_as_utf8() -> Iterator[None]:
    """Have files that are opened without an encoding read as UTF-8, whatever the user's locale.

    The solver's geometry files are UTF-8 and are opened in the locale's encoding: in another one none could
    be read, and psic was unknown.
    """
    before = locale.setlocale(locale.LC_CTYPE)
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    try:
        yield
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def make_diffractometer(axes: Mapping[str, Any], *, name: str = "diffractometer") -> DiffractometerBase:
    """Return a psic diffractometer over the given real axes, named as they are in documents.

    Parameters
    ----------
    axes : mapping
        For each of mu, eta, chi, phi, gam, delta what hklpy2's `creator` takes: a PV, or a dict with `class`.
    name : str
        Name of the device; the axes' names stay plain.
    """
    with _files_read_as_utf8():
        diffractometer = creator(
            name=name, geometry="psic", solver="ad_hoc", reals={axis: axes[axis] for axis in AXIS_NAMES}
        )
    diffractometer.core.mode = "fixed_phi_vertical"
    for axis in AXIS_NAMES:
        positioner = getattr(diffractometer, axis)
        positioner.name = axis
        if hasattr(positioner, "user_readback"):  # a motor record is read under its axis' name
            positioner.user_readback.name = axis
    return diffractometer


def orient(
    diffractometer: DiffractometerBase,
    lattice: Lattice,
    reflections: tuple[OrientationReflection, OrientationReflection],
    *,
    energy: float,
    sample: str = "VO2",
) -> None:
    """Define the sample, compute UB from two reflections, and check it against Bragg's law.

    Adding a sample alone leaves UB as it was, and every angle computed with it would be wrong without a word;
    so nothing is returned unless the first reflection's delta is right.
    """
    set_energy(diffractometer, energy)
    diffractometer.add_sample(sample, **lattice.as_dict(), replace=True)
    first, second = (
        diffractometer.add_reflection(reflection.hkl, reflection.angles, name=f"r{number}", replace=True)
        for number, reflection in enumerate(reflections, start=1)
    )
    diffractometer.core.calc_UB(first, second)
    check_orientation(diffractometer, lattice, reflections[0], energy=energy)


def set_energy(diffractometer: DiffractometerBase, energy: float) -> None:
    """Let all angles be computed for photons of `energy` keV.

    hklpy2 1.0 pushes a new wavelength to its solver and then the sample, with which the solver ad_hoc goes
    back to the wavelength of the last reflection, in silence. So the wavelength is pushed again, on its own.
    """
    diffractometer.beam.energy.put(energy)
    diffractometer.core.update_solver()
    diffractometer.core.update_solver(wavelength=diffractometer.beam.wavelength.get())


def check_orientation(
    diffractometer: DiffractometerBase,
    lattice: Lattice,
    reflection: OrientationReflection,
    *,
    energy: float,
) -> None:
    """Raise `ValueError` if the angles computed from UB contradict Bragg's law or the reflection found."""
    computed = diffractometer.forward(*reflection.hkl)
    expected = 2 * lattice.bragg_angle(reflection.hkl, energy)
    if abs(computed.delta - expected) > BRAGG_TOLERANCE:
        raise ValueError(
            f"UB is wrong: delta of {reflection.hkl!r} must be {expected:.4f}° at {energy:g} keV (Bragg), "
            f"UB gives {computed.delta:.4f}°. Check the lattice and the two orientation reflections."
        )
    if abs(computed.eta - reflection.angles["eta"]) > BRAGG_TOLERANCE:
        raise ValueError(
            f"UB is wrong: {reflection.hkl!r} was at eta = {reflection.angles['eta']:.4f}°, UB gives "
            f"{computed.eta:.4f}°. Check the orientation reflections and mode {diffractometer.core.mode!r}."
        )


def ub_matrix(diffractometer: DiffractometerBase) -> list[list[float]]:
    """Return UB as 3 × 3 lists, Å⁻¹, 2π included, for the start document."""
    ub: list[list[float]] = np.asarray(diffractometer.sample.UB, dtype=float).tolist()
    return ub
