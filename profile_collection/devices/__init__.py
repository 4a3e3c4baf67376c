"""Ophyd devices: diffractometer, heated stage, Merlin detector, beam.

Each has a simulated form, which takes the twin as an injected object, and one over EPICS with the same
attributes; plans see attribute names only.
"""

from profile_collection.devices.axes import SimulatedAxis
from profile_collection.devices.beam import Beam, Shutter
from profile_collection.devices.beamline import Beamline, make_simulated
from profile_collection.devices.detector_geometry import DetectorGeometry
from profile_collection.devices.diffractometer import (
    AXIS_NAMES,
    make_diffractometer,
    make_simulated_diffractometer,
    orient,
)
from profile_collection.devices.epics_beamline import make_epics
from profile_collection.devices.heated_stage import HeatedStage
from profile_collection.devices.merlin import Merlin
from profile_collection.devices.orientation import VO2_M1, Lattice, OrientationReflection, simulated_mount

__all__ = [
    "AXIS_NAMES",
    "VO2_M1",
    "Beam",
    "Beamline",
    "DetectorGeometry",
    "HeatedStage",
    "Lattice",
    "Merlin",
    "OrientationReflection",
    "Shutter",
    "SimulatedAxis",
    "make_diffractometer",
    "make_epics",
    "make_simulated",
    "make_simulated_diffractometer",
    "orient",
    "simulated_mount",
]
