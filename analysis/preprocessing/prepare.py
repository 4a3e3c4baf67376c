"""From the frames of a rocking scan to the array that is phased: where the peak is, and the crop about it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.geometry import Sampling, ScanGeometry, sampling, voxel_basis
from analysis.preprocessing.binning import binned, checked_binning, require_oversampling
from analysis.preprocessing.defects import filled, spikes
from analysis.preprocessing.frames import Frames, RockingStack
from analysis.preprocessing.peak import Centre, Survey, centre_of_mass, coarse_peak, further_peak, survey
from analysis.preprocessing.prepared import PreparedScan, autocorrelation_wrap
from analysis.preprocessing.response import responding
from analysis.preprocessing.thinning import Thinning


def crop_scan(
    stack: RockingStack,
    view: Survey,
    geometry: ScanGeometry,
    centre: Centre,
    shape: tuple[int, int, int],
    *,
    continuous: bool,
    binning: tuple[int, int, int],
    thinning: Thinning | None = None,
) -> PreparedScan:
    """Return the crop of ``shape`` whose middle voxel is nearest to ``centre``, masked and normalised.

    With ``thinning`` it is that of a shorter exposure: raw counts are thinned before anything else is done to
    them; what is bad, where the peak is and, scaled, the background are those of all counts.
    """
    from analysis.phasing.counting import not_counted, refuse_multiples  # torch comes with it

    middle = np.array(shape) // 2 * binning + (np.array(binning) - 1) / 2
    corner = np.rint(centre.position - middle).astype(int)
    crop = _read(stack, view, corner, tuple(np.multiply(shape, binning)))
    refuse_multiples(crop.raw, ~crop.measured)  # behind the monitor's factors nothing could tell any more
    counts = (crop.raw * crop.factors[:, None, None]).astype(np.float32)
    saturated = crop.measured & (crop.raw >= geometry.saturation)
    lone = spikes(counts, ~crop.measured)
    bad = ~crop.measured | saturated | lone
    share = 1.0 if thinning is None else thinning.fraction
    if thinning is not None:
        counts = (thinning(crop.raw) * crop.factors[:, None, None]).astype(np.float32)
    not_counts = not_counted(crop.raw, bad)
    if stack.strays:
        counts, bad = _evened(stack, crop.steps, corner[0], counts, bad)
    whole, mask = binned(filled(counts, bad), binning), binned(bad, binning) > 0
    voxel_background, planes = view.background * share * float(np.prod(binning)), None
    if view.along is not None:
        steps = np.clip(corner[0] + np.arange(shape[0]), 0, len(view.along) - 1)
        planes = (view.along[steps] * share * np.prod(binning)).astype(np.float32)
        voxel_background = float(planes.mean())
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
        background_planes=planes,
        pixel_kernel=(1.0 if continuous else 0.0, 1.0, 1.0),
        monitor_factors=crop.factors,
        wrap=wrap,
        counts=float(whole[~mask].sum()),
        lost_fraction=float(whole[mask].sum() / max(float(whole.sum()), 1e-9)),
        defects=defects,
        not_counts=not_counts,
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


SHARE = 0.05
"""Weight of a voxel that was not measured from which what is interpolated with it counts as not measured."""


def _evened(
    stack: RockingStack,
    steps: list[int],
    first: int,
    counts: NDArray[np.float32],
    bad: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return counts (planes, rows, columns) at an even grid's angles, and which are not measured."""
    planes, weights = np.array(steps) - first, stack.evened(steps)
    measured = np.where(bad, 0, counts)[planes]
    even, hidden = counts.copy(), bad.copy()
    even[planes] = np.maximum(np.tensordot(weights, measured, axes=1), 0)
    hidden[planes] = np.tensordot(np.abs(weights) * (np.abs(weights) > SHARE), bad[planes], axes=1) > 0
    return even, hidden


@dataclass(frozen=True)
class _Crop:
    steps: list[int]
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
    counts, held = stack.read(steps, rows, cols)
    raw[place] = counts * good
    measured[place] = good & held
    beyond[place] = False
    factors[np.array(steps) - corner[0]] = stack.factors[steps]
    return _Crop(steps, raw, measured, beyond, factors)


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


GAP_MARGIN = 20
"""A peak closer than this many pixels to a gap between chips is refused."""


def prepare_scan(
    frames: Frames,
    eta: ArrayLike,
    monitor: ArrayLike | None,
    geometry: ScanGeometry,
    *,
    mask: NDArray[np.bool_] | None = None,
    flat_field: NDArray[np.floating] | None = None,
    dark: NDArray[np.floating] | None = None,
    shape: tuple[int, int, int] = (64, 64, 64),
    frame_index: ArrayLike | None = None,
    binning: tuple[int, int] = (1, 1),
    window: int = 20,
    continuous: bool = False,
    allow_gap: bool = False,
    stopped_early: bool = False,
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
    mask : ndarray, (rows, cols) or (points, rows, cols) bool, optional
        Pixels known to be bad, in all frames or in each, True where bad.
    flat_field, dark : ndarray, (rows, cols) float, optional
        What each pixel counts of the same light, and its counts without any in the exposure of a frame. The
        counts stay as they were read: phasing has both in its model.
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
    stopped_early : bool
        True for a scan that was broken off: one whose peak has not passed is refused.
    """
    return locate_scan(
        frames,
        eta,
        monitor,
        geometry,
        mask=mask,
        flat_field=flat_field,
        dark=dark,
        shape=shape,
        frame_index=frame_index,
        binning=binning,
        window=window,
        continuous=continuous,
        allow_gap=allow_gap,
        stopped_early=stopped_early,
    ).prepared()


@dataclass(frozen=True, kw_only=True, eq=False)
class LocatedScan:
    """A rocking scan whose peak, bad pixels and background are known; what is phased is cut out of it.

    Its frames must stay readable; the attributes are those of `prepare_scan`, and what was found.
    """

    stack: RockingStack
    view: Survey
    geometry: ScanGeometry
    centre: Centre
    shape: tuple[int, int, int]
    binning: tuple[int, int, int]
    continuous: bool
    flat_field: NDArray[np.floating] | None
    dark: NDArray[np.floating] | None

    def prepared(self, thinning: Thinning | None = None) -> PreparedScan:
        """Return the crop about the peak, masked and normalised; with ``thinning``, of a shorter exposure."""
        prepared = crop_scan(
            self.stack,
            self.view,
            self.geometry,
            self.centre,
            self.shape,
            continuous=self.continuous,
            binning=self.binning,
            thinning=thinning,
        )
        if self.flat_field is None and self.dark is None:
            return prepared
        dark = self.dark if thinning is None or self.dark is None else thinning.fraction * self.dark
        return responding(prepared, self.geometry, self.flat_field, dark)


def locate_scan(
    frames: Frames,
    eta: ArrayLike,
    monitor: ArrayLike | None,
    geometry: ScanGeometry,
    *,
    mask: NDArray[np.bool_] | None = None,
    flat_field: NDArray[np.floating] | None = None,
    dark: NDArray[np.floating] | None = None,
    shape: tuple[int, int, int] = (64, 64, 64),
    frame_index: ArrayLike | None = None,
    binning: tuple[int, int] = (1, 1),
    window: int = 20,
    continuous: bool = False,
    allow_gap: bool = False,
    stopped_early: bool = False,
) -> LocatedScan:
    """Read all frames once and find the peak in them; parameters as for `prepare_scan`."""
    rows, cols = checked_binning(binning)
    each = None if mask is None or mask.ndim == 2 else np.asarray(mask, dtype=bool)
    stack = RockingStack(frames, eta, monitor, frame_index, each)
    _check_frames(stack, geometry, mask, len(np.atleast_1d(np.asarray(eta))))
    view = survey(stack, geometry, mask if each is None else np.asarray(each.all(axis=0)))
    centre = centre_of_mass(stack, view, coarse_peak(view, geometry), window)
    if other := further_peak(view, geometry, centre.position, (shape[0], shape[1] * rows, shape[2] * cols)):
        stack.notes.append(other)
    row0, _, col0, _ = geometry.roi
    if stopped_early:
        _refuse_unfinished(float(centre.position[0]), stack.shape[0], shape[0])
    if not allow_gap:
        _refuse_gap(centre.position + [0, row0, col0], geometry)
    return LocatedScan(
        stack=stack,
        view=view,
        geometry=geometry,
        centre=centre,
        shape=shape,
        binning=(1, rows, cols),
        continuous=continuous,
        flat_field=flat_field,
        dark=dark,
    )


def _check_frames(
    stack: RockingStack, geometry: ScanGeometry, mask: NDArray[np.bool_] | None, points: int
) -> None:
    row0, row1, col0, col1 = geometry.roi
    expected = (row1 - row0, col1 - col0)
    if stack.shape[1:] != expected:
        raise ValueError(
            f"frames of {expected!r} pixels are expected for roi {geometry.roi!r}; got {stack.shape[1:]!r}"
        )
    if mask is not None and mask.shape not in (expected, (points, *expected)):
        raise ValueError(
            f"mask must have the frames' shape {expected!r}, or one of it for each of {points} points; "
            f"got {mask.shape!r}"
        )


def _refuse_unfinished(peak: float, steps: int, planes: int) -> None:
    """Refuse a scan that was broken off less than a quarter of the crop after its peak."""
    least = planes // 4
    if steps - 1 - peak < least:
        raise ValueError(
            f"a scan that was broken off needs {least} points after its peak to be analysed; the peak is at "
            f"point {peak + 1:.0f} of {steps}: measure it again"
        )


def _refuse_gap(peak: NDArray[np.float64], geometry: ScanGeometry) -> None:
    row0, row1, col0, col1 = geometry.roi
    for name, place, first, last in (("row", peak[1], row0, row1), ("column", peak[2], col0, col1)):
        inside = [gap for gap in geometry.gaps if first <= gap < last]
        if inside and min(abs(gap - place) for gap in inside) < GAP_MARGIN:
            raise ValueError(
                f"the peak must lie at least {GAP_MARGIN} pixels from a gap between chips; it is at {name} "
                f"{place:.1f}, the gap at {inside[0]}–{inside[-1]}: centre it on a chip (locate_reflection)"
            )
