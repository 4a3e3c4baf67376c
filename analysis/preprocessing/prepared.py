"""What preprocessing hands to phase retrieval."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.geometry import Sampling
from analysis.preprocessing.frames import Counts
from analysis.preprocessing.wrapping import WRAPS


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedScan:
    """A rocking scan cropped about its Bragg peak. Axes are (rocking, row, column).

    Attributes
    ----------
    intensity : ndarray, (n0, n1, n2) float32, counts
        Monitor-normalised; the peak's centre of mass lies within half a voxel of index n//2.
    mask : ndarray, (n0, n1, n2) bool
        True where a voxel was not measured: gap, hot, dead, saturated, or beyond the scan.
    background : float, counts
        Per voxel.
    pixel_kernel : tuple of float, voxels
        Width over which a voxel integrates: a pixel's area; a step scan takes points in angle.
    monitor_factors : ndarray, (n0,) float64
        By which counts were multiplied; 0 where nothing was measured.
    peak : tuple of float
        Centre of mass: (step, row, column), pixels of the whole detector.
    crop : tuple of int
        (step, row, column) of the array's first voxel, same numbering; may be negative.
    binning : tuple of int
        Steps, rows and columns of the detector that were summed into one voxel.
    angle : float, degrees
        Rocking angle of the array's centre.
    dq : ndarray, (3, 3) float64, Å⁻¹
        Columns: steps of q along the array axes.
    voxel_basis : ndarray, (3, 3) float64, nm
        Columns: real-space voxel vectors.
    q_vector : ndarray, (3,) float64, Å⁻¹
        Scattering vector of the array's centre, laboratory frame at ``angle``.
    d_spacing, d_spacing_error, d_spacing_sigma : float, Å
        Of the centre of mass; its error, counting, window and background together; and that of counting
        alone. What detector distance and photon energy leave open is the same at all temperatures and left
        out.
    sampling : Sampling
    wrap : tuple of float
        Level of the autocorrelation at the edge of the box, per axis (`autocorrelation_wrap`).
    counts : float
        Within the crop.
    lost_fraction : float
        Share of the crop's counts that its unmeasured voxels would have held.
    defects : dict of str to int
        Voxels of the crop by what is wrong with them.
    notes : tuple of str
        What a person should know.
    """

    intensity: Counts
    mask: NDArray[np.bool_]
    background: float
    pixel_kernel: tuple[float, float, float]
    monitor_factors: NDArray[np.float64]
    peak: tuple[float, float, float]
    crop: tuple[int, int, int]
    binning: tuple[int, int, int]
    angle: float
    dq: NDArray[np.float64]
    voxel_basis: NDArray[np.float64]
    q_vector: NDArray[np.float64]
    d_spacing: float
    d_spacing_error: float
    d_spacing_sigma: float
    sampling: Sampling
    wrap: tuple[float, float, float]
    counts: float
    lost_fraction: float
    defects: dict[str, int]
    notes: tuple[str, ...]

    @property
    def wraps(self) -> bool:
        """Whether the autocorrelation runs over the edge: then it cannot tell the crystal's size."""
        return max(self.wrap) > WRAPS

    @property
    def parameters(self) -> dict[str, Any]:
        """What a result must state about its q-volume, JSON-able."""
        return {
            "crop_shape": list(self.intensity.shape),
            "crop_origin": list(self.crop),
            "binning": list(self.binning),
            "voxel_size_nm": list(self.sampling.voxel_size),
            "field_of_view_nm": list(self.sampling.field_of_view),
            "oversampling": list(self.sampling.oversampling) if self.sampling.oversampling else None,
            "peak": list(self.peak),
            "rocking_angle_deg": self.angle,
            "wrap": list(self.wrap),
            "lost_fraction": self.lost_fraction,
            "defects": self.defects,
            "counts": self.counts,
            "d_spacing_sigma": self.d_spacing_sigma,
        }
