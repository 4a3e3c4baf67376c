"""The six-circle diffractometer (hklpy2 psic, solver ad_hoc) with the beamline's own axis names."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from hklpy2 import creator
from hklpy2.diffract import DiffractometerBase

from profile_collection.devices.axes import SimulatedAxis, VirtualClock
from profile_collection.devices.orientation import Lattice, OrientationReflection
from profile_collection.motor_ranges import LIMITS, SPEEDS

AXIS_NAMES = ("mu", "eta", "chi", "phi", "gam", "delta")
"""Real axes in the order in which the solver counts them (psic's nu is called gam here)."""

BRAGG_TOLERANCE = 0.01
"""Largest accepted difference between the computed delta and 2θ of Bragg's law, degrees."""


def make_simulated_diffractometer(
    twin: Any, clock: VirtualClock, *, name: str = "diffractometer"
) -> DiffractometerBase:
    """Return a diffractometer whose axes move in virtual time and carry the twin along."""
    axes = {
        axis: {
            "class": "profile_collection.devices.axes.SimulatedAxis",
            "clock": clock,
            "limits": LIMITS[axis],
            "speed": SPEEDS[axis],
            "egu": "degrees",
            "position": float(twin.axes[axis]),
        }
        for axis in AXIS_NAMES
    }
    diffractometer = make_diffractometer(axes, name=name)
    for axis in AXIS_NAMES:
        positioner: SimulatedAxis = getattr(diffractometer, axis)
        positioner.follow_with(partial(twin.set_axis, axis), partial(_angle, twin, axis))
    return diffractometer


def _angle(twin: Any, axis: str) -> float:
    """Return what the encoder of an axis says, degrees."""
    return float(twin.axes[axis])


def make_diffractometer(axes: Mapping[str, Any], *, name: str = "diffractometer") -> DiffractometerBase:
    """Return a psic diffractometer over the given real axes, named as they are in documents.

    Parameters
    ----------
    axes : mapping
        For each of mu, eta, chi, phi, gam, delta what hklpy2's `creator` takes: a PV, or a dict with `class`.
    name : str
        Name of the device; the axes' names stay plain.
    """
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
