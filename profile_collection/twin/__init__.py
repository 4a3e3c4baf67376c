"""The simulated beamline in plain Python: crystal, scattering, thermal model and detector physics."""

from profile_collection.twin.beamline import Exposure, FrameLostError, Twin
from profile_collection.twin.config import (
    BeamConfig,
    CrystalConfig,
    DetectorConfig,
    MountConfig,
    ThermalConfig,
    TwinConfig,
)
from profile_collection.twin.crystal import Oversampling, oversampling
from profile_collection.twin.instruments import Clock
from profile_collection.twin.truth import truth_objects

__all__ = [
    "BeamConfig",
    "Clock",
    "CrystalConfig",
    "DetectorConfig",
    "Exposure",
    "FrameLostError",
    "MountConfig",
    "Oversampling",
    "ThermalConfig",
    "Twin",
    "TwinConfig",
    "oversampling",
    "truth_objects",
]
