"""The absolute scale: how many photons one unit of computed intensity stands for."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from analysis.unit_cells import bragg_angle
from profile_collection.twin.config import DetectorConfig, MountConfig, TwinConfig
from profile_collection.twin.crystal import crystal
from profile_collection.twin.diffraction import Diffraction
from profile_collection.twin.geometry import D_M1, NOMINAL_ENERGY, Pose

_REGION = (217, 297, 217, 297)
"""The Bragg peak on the middle of the detector and everything that can be brightest near it."""


def photons_per_intensity(config: TwinConfig) -> float:
    """Return photons per nm⁶ in the reference exposure.

    Makes the brightest pixel of the 320 K rocking scan ``peak_photons``, wherever detector and sample
    really stand.
    """
    mount = MountConfig(angles=config.mount.angles)
    plain = replace(config, mount=mount, detector=DetectorConfig(blur=config.detector.blur))
    return config.beam.peak_photons / _brightest(replace(plain, beam=type(config.beam)()))


@lru_cache(maxsize=8)
def _brightest(config: TwinConfig) -> float:
    """Return the largest intensity of a rocking scan at the reference temperature, nm⁶."""
    mu, eta, chi, phi = config.mount.angles
    pose = Pose(mu, chi, phi, delta=2 * bragg_angle(D_M1, NOMINAL_ENERGY), gam=0.0, energy=NOMINAL_ENERGY)
    state = crystal(config.crystal).state(config.crystal.reference_temperature)
    scan = Diffraction(config, state, pose, region=_REGION)
    return float(scan.intensity(eta + 0.01 * np.arange(-24.0, 25.0)).max())
