"""What preprocessing hands to phase retrieval, and whether its autocorrelation fits the box."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.geometry import Sampling
from analysis.preprocessing.frames import Counts

WRAPS = 0.005
"""Level at the edge from which an autocorrelation is said to wrap.

Simulated crystals of strong phase oversampled 1.67 times reach 0.008 to 0.026, those oversampled 1.9 times
0.018, 2.1 times at most 0.003.
"""


def autocorrelation_wrap(intensity: NDArray[np.floating]) -> tuple[float, float, float]:
    """Return how much of a pattern's autocorrelation reaches the edge of its box, along each axis.

    The transform of an intensity is the autocorrelation of the object, twice as wide as it. Oversampled below
    2 along an axis, it runs over the edge and folds back: the value says THAT it wraps, never how wide the
    crystal is.

    Parameters
    ----------
    intensity : ndarray, (n0, n1, n2) float, counts
        Background-subtracted, without holes, q = 0 at index n//2.

    Returns
    -------
    tuple of float
        Root mean square of abs(autocorrelation) on the outermost plane of each axis, less that of counting
        noise, over the autocorrelation's centre; compare with `WRAPS`.
    """
    window = _taper(intensity.shape)
    tapered = intensity * window
    autocorrelation = np.abs(np.fft.fftn(tapered))
    # A transform of independent counts has the variance Σ counts at every place.
    noise = float((np.abs(intensity) * window**2).sum())
    total = max(float(tapered.sum()), 1e-30)
    levels = []
    for axis, size in enumerate(intensity.shape):
        plane = np.take(autocorrelation, size // 2, axis=axis)
        levels.append(float(np.sqrt(max(np.mean(plane**2) - noise, 0.0)) / total))
    return levels[0], levels[1], levels[2]


def _taper(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a Hann window over the box: a hard edge of the crop would itself ring out to the edge."""
    first, second, third = (np.hanning(size + 1)[:size] for size in shape)
    return np.asarray(first[:, None, None] * second[:, None] * third)


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
    background_planes : ndarray, (n0,) float32, counts, or None
        Per voxel of each plane, where the background changes along the scan.
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
    given_flat_field, dark : ndarray, (n1, n2) float32, or None
        Of the voxels of a frame: what each counts of the same light, and its counts without any.
    not_counts : tuple of str
        What speaks against counts as they were read (`analysis.phasing.counting.not_counted`).
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
    given_flat_field: Counts | None = None
    dark: Counts | None = None
    background_planes: Counts | None = None
    not_counts: tuple[str, ...] = ()

    @property
    def wraps(self) -> bool:
        """Whether the autocorrelation runs over the edge: then it cannot tell the crystal's size."""
        return max(self.wrap) > WRAPS

    @property
    def monitor_spread(self) -> float | None:
        """Standard deviation of the monitor over the crop's measured points, relative to its mean.

        None where no monitor was recorded: all factors are 1 then.
        """
        readings = 1 / self.monitor_factors[self.monitor_factors > 0]
        return None if (readings == 1).all() else float(readings.std() / readings.mean())

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
            **({} if self.monitor_spread is None else {"monitor_spread": self.monitor_spread}),
            "d_spacing_sigma": self.d_spacing_sigma,
        }
