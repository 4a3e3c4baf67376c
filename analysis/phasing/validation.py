"""What comes in is looked at before anything is computed; what cannot be phased is refused in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from analysis.phasing.device import DEVICE
from analysis.phasing.engine import to_corner
from analysis.phasing.pattern import Pattern

SMALLEST, LARGEST = 32, 256
"""Voxels per axis that can be reconstructed."""


def checked_pattern(
    intensity: ArrayLike,
    mask: ArrayLike | None,
    pixel_kernel: Sequence[float] | None,
    background: ArrayLike | None,
) -> Pattern:
    """Return the measurement in corner order, or raise a ValueError that says what is wrong with it."""
    counts = _checked_shape(intensity)
    hidden = _checked_mask(mask, counts.shape)
    _check_counts(counts, hidden)
    expected = _checked_background(background, counts.shape)
    counts = np.where(hidden, 0, counts).astype(np.float32)
    return Pattern(
        counts=to_corner(torch.from_numpy(counts)).to(DEVICE),
        mask=to_corner(torch.from_numpy(hidden)).to(DEVICE),
        background=to_corner(torch.from_numpy(expected)).to(DEVICE),
        widths=_checked_widths(pixel_kernel),
    )


def _checked_shape(intensity: ArrayLike) -> NDArray[Any]:
    counts = np.asarray(intensity)
    if counts.ndim != 3:
        raise ValueError(
            f"intensity must have three axes (rocking, row, column); got the shape {counts.shape!r}: "
            "stack the frames of one rocking scan"
        )
    if min(counts.shape) < SMALLEST or max(counts.shape) > LARGEST:
        raise ValueError(
            f"every axis of the intensity must have {SMALLEST} to {LARGEST} voxels; got {counts.shape!r}: "
            "crop or pad about the peak"
        )
    if not (np.issubdtype(counts.dtype, np.integer) or np.issubdtype(counts.dtype, np.floating)):
        raise ValueError(f"intensity must be real counts; got the type {counts.dtype!r}: pass abs(field)²")
    return counts


def _checked_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if mask is None:
        return np.zeros(shape, bool)
    hidden = np.asarray(mask)
    if hidden.shape != shape:
        raise ValueError(
            f"the mask must have the shape of the intensity, {shape!r}; got {hidden.shape!r}: "
            "crop it with the intensity"
        )
    hidden = hidden.astype(bool)
    if hidden.all():
        raise ValueError("at least one voxel must be measured; the mask hides all: True means NOT measured")
    return hidden


def _check_counts(counts: NDArray[Any], hidden: NDArray[np.bool_]) -> None:
    measured = counts[~hidden]
    if not np.all(np.isfinite(measured)):
        bad = int(np.count_nonzero(~np.isfinite(measured)))
        raise ValueError(f"measured counts must be finite; got {bad!r} NaN or infinite voxels: mask them")
    if measured.min() < 0:
        raise ValueError(
            f"counts must not be negative; got a smallest value of {measured.min()!r}: pass raw counts and "
            "give the background beside them instead of subtracting it"
        )
    if measured.max() <= 0:
        raise ValueError(
            "the pattern must hold counts; got zeros in every measured voxel: look at the shutter"
        )


def _checked_background(background: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    expected = np.asarray(0.0 if background is None else background, np.float32)
    if not np.all(np.isfinite(expected)) or expected.min() < 0:
        raise ValueError(
            "the background must be finite expected counts of at least 0; "
            f"got a smallest value of {expected.min()!r}: estimate it again"
        )
    try:
        return np.ascontiguousarray(np.broadcast_to(expected, shape))
    except ValueError as error:
        raise ValueError(
            f"the background must be one number or an array that fits {shape!r}; got {expected.shape!r}"
        ) from error


def _checked_widths(pixel_kernel: Sequence[float] | None) -> tuple[float, float, float]:
    widths = tuple(float(w) for w in ((0.0, 0.0, 0.0) if pixel_kernel is None else pixel_kernel))
    if len(widths) != 3 or not all(0 <= w <= 2 for w in widths):
        raise ValueError(
            f"the pixel kernel must be three voxel widths between 0 and 2 pitches; got {pixel_kernel!r}"
        )
    return widths[0], widths[1], widths[2]
