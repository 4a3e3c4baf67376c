"""The crop about the peak, and where in reciprocal space it lies."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.geometry import Sampling, ScanGeometry, sampling, voxel_basis
from analysis.preprocessing.binning import binned, require_oversampling
from analysis.preprocessing.defects import filled, spikes
from analysis.preprocessing.frames import RockingStack
from analysis.preprocessing.peak import Centre, Survey
from analysis.preprocessing.prepared import PreparedScan
from analysis.preprocessing.wrapping import autocorrelation_wrap


def crop_scan(
    stack: RockingStack,
    view: Survey,
    geometry: ScanGeometry,
    centre: Centre,
    shape: tuple[int, int, int],
    *,
    continuous: bool,
    binning: tuple[int, int, int],
) -> PreparedScan:
    """Return the crop of ``shape`` whose middle voxel is nearest to ``centre``, masked and normalised."""
    middle = np.array(shape) // 2 * binning + (np.array(binning) - 1) / 2
    corner = np.rint(centre.position - middle).astype(int)
    crop = _read(stack, view, corner, tuple(np.multiply(shape, binning)))
    counts = (crop.raw * crop.factors[:, None, None]).astype(np.float32)
    saturated = crop.measured & (crop.raw >= geometry.saturation)
    lone = spikes(counts, ~crop.measured)
    bad = ~crop.measured | saturated | lone
    whole, mask = binned(filled(counts, bad), binning), binned(bad, binning) > 0
    voxel_background = view.background * float(np.prod(binning))
    defects = {
        "beyond_scan": int(crop.beyond.sum()),
        "bad_pixels": int((~crop.measured & ~crop.beyond).sum()),
        "saturated": int(saturated.sum()),
        "spikes": int(lone.sum()),
    }
    where = _place(stack, geometry, centre, corner, shape, binning)
    wrap = autocorrelation_wrap(whole - voxel_background)
    require_oversampling(binning, where["sampling"], wrap)
    return PreparedScan(
        intensity=np.where(mask, 0, whole).astype(np.float32),
        mask=mask,
        background=voxel_background,
        pixel_kernel=(1.0 if continuous else 0.0, 1.0, 1.0),
        monitor_factors=crop.factors,
        wrap=wrap,
        counts=float(whole[~mask].sum()),
        lost_fraction=float(whole[mask].sum() / max(float(whole.sum()), 1e-9)),
        defects=defects,
        notes=(*stack.notes, *_remarks(defects, where["sampling"])),
        **where,
    )


def _place(
    stack: RockingStack,
    geometry: ScanGeometry,
    centre: Centre,
    corner: NDArray[np.int64],
    shape: tuple[int, int, int],
    binning: tuple[int, int, int],
) -> dict[str, Any]:
    """Return the fields of `PreparedScan` that say where in reciprocal space the crop lies."""
    offset = np.array([0, geometry.roi[0], geometry.roi[2]])
    peak, crop = centre.position + offset, corner + offset
    # A binned voxel stands for the middle of its pixels, half-way between two of them where they are even.
    middle = crop + np.array(shape) // 2 * binning + (np.array(binning) - 1) / 2
    step, row, col = (float(place) for place in middle)
    dq = geometry.steps(row, col, stack.step)
    q_vector = geometry.lab_q(row, col)
    spacing = 2 * np.pi / float(np.linalg.norm(geometry.lab_q(peak[1], peak[2])))
    # Turning the crystal leaves abs(q) alone: the error of d comes from the detector's axes.
    towards_q = q_vector / np.linalg.norm(q_vector) @ dq
    per_pixel = spacing * towards_q[1:] / np.linalg.norm(q_vector)
    counting, systematic = (
        float(np.linalg.norm(per_pixel * error[1:])) for error in (centre.sigma, centre.systematic)
    )
    return {
        "peak": (float(peak[0]), float(peak[1]), float(peak[2])),
        "crop": (int(crop[0]), int(crop[1]), int(crop[2])),
        "binning": binning,
        "angle": float(stack.angles[0] + stack.step * step),
        "dq": dq * binning,
        "voxel_basis": voxel_basis(dq * binning, shape),
        "q_vector": q_vector,
        "d_spacing": spacing,
        "d_spacing_sigma": counting,
        "d_spacing_error": float(np.hypot(counting, systematic)),
        "sampling": sampling(dq * binning, shape, geometry.crystal_size),
    }


@dataclass(frozen=True)
class _Crop:
    raw: NDArray[Any]
    measured: NDArray[np.bool_]
    beyond: NDArray[np.bool_]
    factors: NDArray[np.float64]


def _read(stack: RockingStack, view: Survey, corner: NDArray[np.int64], shape: tuple[int, int, int]) -> _Crop:
    """Return raw counts, which voxels were measured, which lie beyond the scan, and the monitor factors."""
    low = np.maximum(corner, 0)
    high = np.minimum(corner + shape, stack.shape)
    steps = [step for step in range(low[0], high[0]) if stack.present[step]]
    rows, cols = slice(low[1], high[1]), slice(low[2], high[2])
    place = np.ix_(
        np.array(steps) - corner[0],
        np.arange(low[1], high[1]) - corner[1],
        np.arange(low[2], high[2]) - corner[2],
    )
    good = ~view.defects.bad[rows, cols]
    raw, factors = np.zeros(shape), np.zeros(shape[0])
    measured, beyond = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
    raw[place] = stack.raw(steps, rows, cols) * good
    measured[place] = good
    beyond[place] = False
    factors[np.array(steps) - corner[0]] = stack.factors[steps]
    return _Crop(raw, measured, beyond, factors)


def _remarks(defects: dict[str, int], report: Sampling) -> list[str]:
    remarks = []
    if defects["beyond_scan"]:
        remarks.append(
            f"the crop reaches beyond the scan: {defects['beyond_scan']} voxels count as not measured"
        )
    if defects["saturated"]:
        remarks.append(f"{defects['saturated']} voxels are saturated: lower the transmission")
    if defects["spikes"]:
        remarks.append(f"{defects['spikes']} lone spikes were masked")
    if not report.sufficient:
        remarks.append(f"oversampling is too low to be phased: {report.describe()}")
    return remarks
