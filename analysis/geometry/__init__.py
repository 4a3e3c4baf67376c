"""Detector and six circles to q, real-space voxel basis.

One laboratory frame throughout: x up, y along the incident beam, z = x × y (You 1999,
doi:10.1107/S0021889899001223).
"""

from analysis.geometry.diffractometer import (
    detector_q,
    detector_rotation,
    rotation,
    sample_q,
    sample_rotation,
    scattering_vectors,
)
from analysis.geometry.instruments import INSTRUMENTS, Detector, Instrument, gaps_of, instrument_named
from analysis.geometry.scan import ScanGeometry, check_units
from analysis.geometry.vectors import (
    FRAMES,
    circle_arm,
    circle_axis,
    direction,
    geometry_document,
    geometry_of_document,
    pixel_geometry,
    turned,
    two_theta,
)
from analysis.geometry.voxels import (
    Sampling,
    cubic_grid,
    laboratory_to_crystal,
    laboratory_to_sample,
    orthogonal_basis,
    q_axis,
    reciprocal_steps,
    resample,
    sampling,
    voxel_basis,
)

__all__ = [
    "FRAMES",
    "INSTRUMENTS",
    "Detector",
    "Instrument",
    "instrument_named",
    "Sampling",
    "ScanGeometry",
    "check_units",
    "circle_arm",
    "circle_axis",
    "cubic_grid",
    "detector_q",
    "detector_rotation",
    "direction",
    "gaps_of",
    "geometry_document",
    "geometry_of_document",
    "laboratory_to_crystal",
    "laboratory_to_sample",
    "orthogonal_basis",
    "pixel_geometry",
    "q_axis",
    "reciprocal_steps",
    "resample",
    "rotation",
    "sample_q",
    "sample_rotation",
    "sampling",
    "scattering_vectors",
    "turned",
    "two_theta",
    "voxel_basis",
]
