"""Detector and six circles to q, real-space voxel basis.

One laboratory frame throughout: x up, y along the incident beam, z = x × y (You 1999,
doi:10.1107/S0021889899001223).
"""

from analysis.geometry.diffractometer import (
    detector_q,
    detector_rotation,
    rocking_axis,
    rotation,
    sample_q,
    sample_rotation,
    scattering_vectors,
)
from analysis.geometry.instruments import INSTRUMENTS, Detector, Instrument, instrument_named
from analysis.geometry.scan import (
    ScanGeometry,
    aps_34idc_geometry,
    check_units,
    chip_gaps,
    i16_geometry,
)
from analysis.geometry.vectors import (
    circle_arm,
    circle_axis,
    geometry_document,
    geometry_of_document,
    pixel_geometry,
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
    "INSTRUMENTS",
    "Detector",
    "Instrument",
    "instrument_named",
    "Sampling",
    "ScanGeometry",
    "aps_34idc_geometry",
    "check_units",
    "chip_gaps",
    "circle_arm",
    "circle_axis",
    "cubic_grid",
    "detector_q",
    "detector_rotation",
    "geometry_document",
    "geometry_of_document",
    "i16_geometry",
    "laboratory_to_crystal",
    "laboratory_to_sample",
    "orthogonal_basis",
    "pixel_geometry",
    "q_axis",
    "reciprocal_steps",
    "resample",
    "rocking_axis",
    "rotation",
    "sample_q",
    "sample_rotation",
    "sampling",
    "scattering_vectors",
    "two_theta",
    "voxel_basis",
]
