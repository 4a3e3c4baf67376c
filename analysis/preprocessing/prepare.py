"""From the frames of a rocking scan to the array that is phased."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.geometry import ScanGeometry
from analysis.preprocessing.binning import checked_binning
from analysis.preprocessing.crop import crop_scan
from analysis.preprocessing.frames import Frames, RockingStack
from analysis.preprocessing.peak import centre_of_mass, coarse_peak, survey
from analysis.preprocessing.prepared import PreparedScan

GAP_MARGIN = 20
"""A peak closer than this many pixels to a gap between chips is refused."""


def prepare_scan(
    frames: Frames,
    eta: ArrayLike,
    monitor: ArrayLike | None,
    geometry: ScanGeometry,
    *,
    mask: NDArray[np.bool_] | None = None,
    shape: tuple[int, int, int] = (64, 64, 64),
    frame_index: ArrayLike | None = None,
    binning: tuple[int, int] = (1, 1),
    window: int = 20,
    continuous: bool = False,
    allow_gap: bool = False,
) -> PreparedScan:
    """Find the peak in the frames of a rocking scan and return the crop about it, masked and normalised.

    The default shape is the M1 band: ±32 pixels leave the rutile peak, 45 pixels away, outside. Data are not
    binned unless it is asked for: a crystal of the paper's size would be left undersampled, which is refused.

    Parameters
    ----------
    frames : array_like or h5py.Dataset, (n, rows, cols) unsigned int
        Raw counts. Read in pieces: once all, then the crop.
    eta : array_like, (points,) float, degrees
        Rocking angle of each point.
    monitor : array_like, (points,) float, or None
        Monitor counts; frames are scaled by mean(monitor)/monitor.
    geometry : ScanGeometry
    mask : ndarray, (rows, cols) bool, optional
        Pixels known to be bad, True where bad.
    shape : tuple of int
        Shape of the crop, in voxels (after binning).
    frame_index : array_like, (points,) int, optional
        Which frame belongs to each point.
    binning : tuple of int
        Rows and columns that are summed into one voxel. The q-volume grows with it at the same ``shape``.
    window : int, pixels and steps
        Half-width of the box for the centre of mass.
    continuous : bool
        True if the angle moved during exposures, so that a voxel integrates over its step too.
    allow_gap : bool
        True to accept a peak beside a gap between chips.
    """
    rows, cols = checked_binning(binning)
    stack = RockingStack(frames, eta, monitor, frame_index)
    _check_frames(stack, geometry, mask)
    view = survey(stack, geometry, mask)
    centre = centre_of_mass(stack, view, coarse_peak(view, geometry), window)
    row0, _, col0, _ = geometry.roi
    if not allow_gap:
        _refuse_gap(centre.position + [0, row0, col0], geometry)
    return crop_scan(stack, view, geometry, centre, shape, continuous=continuous, binning=(1, rows, cols))


def _check_frames(stack: RockingStack, geometry: ScanGeometry, mask: NDArray[np.bool_] | None) -> None:
    row0, row1, col0, col1 = geometry.roi
    expected = (row1 - row0, col1 - col0)
    if stack.shape[1:] != expected:
        raise ValueError(
            f"frames of {expected!r} pixels are expected for roi {geometry.roi!r}; got {stack.shape[1:]!r}"
        )
    if mask is not None and mask.shape != expected:
        raise ValueError(f"mask must have the frames' shape {expected!r}; got {mask.shape!r}")


def _refuse_gap(peak: NDArray[np.float64], geometry: ScanGeometry) -> None:
    row0, row1, col0, col1 = geometry.roi
    for name, place, first, last in (("row", peak[1], row0, row1), ("column", peak[2], col0, col1)):
        inside = [gap for gap in geometry.gaps if first <= gap < last]
        if inside and min(abs(gap - place) for gap in inside) < GAP_MARGIN:
            raise ValueError(
                f"the peak must lie at least {GAP_MARGIN} pixels from a gap between chips; it is at {name} "
                f"{place:.1f}, the gap at {inside[0]}–{inside[-1]}: centre it on a chip (locate_reflection)"
            )
