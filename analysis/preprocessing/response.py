"""What is known of the detector's response, in the voxels of a crop: flat field and dark image."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.geometry import ScanGeometry
from analysis.preprocessing.binning import binned
from analysis.preprocessing.prepared import PreparedScan


def responding(
    prepared: PreparedScan,
    geometry: ScanGeometry,
    flat_field: NDArray[np.floating] | None,
    dark: NDArray[np.floating] | None,
) -> PreparedScan:
    """Return a crop with its part of flat field and dark image; the dark counts leave the background.

    Where a flat field is not above 0, phasing takes the pixel for not measured.
    """
    gain, without = (_cropped(image, prepared, geometry) for image in (flat_field, dark))
    seen = ~prepared.mask.all(axis=0)
    if gain is not None:
        block = prepared.binning[1] * prepared.binning[2]
        gain = np.where(np.isfinite(gain) & (gain > 0), gain / block, 0)
        gain = (gain / gain[seen & (gain > 0)].mean()).astype(np.float32)
    background, planes = prepared.background, prepared.background_planes
    if without is not None:
        level = float(without[seen].mean())
        background = max(0.0, background - level)
        planes = None if planes is None else np.maximum(planes - np.float32(level), 0)
    return replace(
        prepared, given_flat_field=gain, dark=without, background=background, background_planes=planes
    )


def _cropped(
    image: NDArray[np.floating] | None, prepared: PreparedScan, geometry: ScanGeometry
) -> NDArray[np.float32] | None:
    """Return an image of the detector (rows, cols) in the crop's voxels, 0 beyond the frames."""
    if image is None:
        return None
    row0, row1, col0, col1 = geometry.roi
    if image.shape != (row1 - row0, col1 - col0):
        raise ValueError(
            f"flat field and dark image must have the frames' shape {(row1 - row0, col1 - col0)!r}; "
            f"got {image.shape!r}"
        )
    rows, cols = (
        size * by for size, by in zip(prepared.intensity.shape[1:], prepared.binning[1:], strict=True)
    )
    corner = np.array(prepared.crop[1:]) - [row0, col0]
    low, high = np.maximum(corner, 0), np.minimum(corner + [rows, cols], image.shape)
    part = np.zeros((1, rows, cols))
    there = tuple(slice(a - c, b - c) for a, b, c in zip(low, high, corner, strict=True))
    part[0][there] = image[low[0] : high[0], low[1] : high[1]]
    return binned(part, prepared.binning)[0].astype(np.float32)
