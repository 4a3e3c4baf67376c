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
from analysis.geometry.scan import ScanGeometry, aps_34idc_geometry, chip_gaps, i16_geometry
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
    "Sampling",
    "ScanGeometry",
    "aps_34idc_geometry",
    "chip_gaps",
    "cubic_grid",
    "detector_q",
    "detector_rotation",
    "i16_geometry",
    "laboratory_to_crystal",
    "laboratory_to_sample",
    "orthogonal_basis",
    "q_axis",
    "reciprocal_steps",
    "resample",
    "rocking_axis",
    "rotation",
    "sample_q",
    "sample_rotation",
    "sampling",
    "scattering_vectors",
    "voxel_basis",
]
