"""Phase in central slices through the crystal at every temperature (Najeeb et al., Figs 5a, S3, S4)."""

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from numpy.typing import NDArray

from analysis.figures.style import (
    GREY,
    NAMES,
    PHASE_MAP,
    axis_names,
    drawing,
    figure_of,
    headline,
    label_phase,
    panels,
    title,
)
from analysis.results import SeriesResult
from analysis.structure import HALF, amplitude_level

COLUMNS = 5
FINE = 8
"""Points drawn per voxel, interpolated over the slice's own Fourier coefficients."""

HATCH = "//////"


@dataclass(frozen=True)
class _View:
    """A cut through the grid: which axes it shows, where they lie in nm, and what is inside the crystal."""

    normal: int
    index: int
    across: int
    upward: int
    outline: NDArray[np.floating]
    threshold: float
    level: float
    extent: tuple[float, float, float, float]
    limits: tuple[float, float, float, float]


def phase_slices(series: SeriesResult, ax: Axes | None = None, *, normal: str = "y") -> Figure:
    """Draw the phase phi = Q·u of all temperatures in the slice through the crystal's middle.

    Phase is shown inside the outline of the reference (half its amplitude); hatched where density is missing.

    Parameters
    ----------
    series : SeriesResult
    ax : Axes, optional
        To draw in its place; a new figure by default.
    normal : {"x", "y", "z"}
        Axis of the orthogonal grid that the slice is normal to; on I16 y lies along Q and z is horizontal.
    """
    if normal not in NAMES:
        raise ValueError(f"normal must be one of {NAMES!r}; got {normal!r}")
    view = _view(series, NAMES.index(normal))
    columns = min(COLUMNS, len(series))
    rows = math.ceil(len(series) / columns)
    shape = (view.limits[3] - view.limits[2]) / (view.limits[1] - view.limits[0])
    width = 7.2 if columns > 2 else 2.2 * columns + 1.3
    panel = (width - 1.35) / columns
    notes = () if series.final else tuple(f"provisional: {note}" for note in series.notes)
    height = rows * (panel * shape + 0.3) + 0.6 + 0.12 * len(notes)
    with drawing(ax, width, height) as (figure, place):
        grid = panels(figure, place, rows, columns)
        axes: list[Axes] = []
        holes = False
        for row in range(len(series)):
            share = axes[0] if axes else None
            axes.append(figure.add_subplot(grid[row // columns, row % columns], sharex=share, sharey=share))
            image, missing = _draw_slice(axes[-1], series, row, view)
            holes |= missing
        _label_outer(axes, columns, view, series.gauge.q_axis)
        _colour_bar(axes, image)
        if place is None:
            if holes:
                hatched = Patch(facecolor="white", edgecolor=GREY, hatch=HATCH, label="missing density")
                figure.legend(handles=[hatched], loc="outside lower right")
            headline(figure, notes)
        return figure


def _view(series: SeriesResult, normal: int) -> _View:
    across, upward = (axis for axis in (2, 1, 0) if axis != normal)
    reference = series.gauge.aligned[series.gauge.reference]
    middle = np.argwhere(series.gauge.support)[:, normal].mean()
    index = round(float(middle))
    pitch = np.linalg.norm(series.gauge.basis, axis=0)
    outline = np.abs(_fine_slice(reference, normal, index))
    level = amplitude_level(reference, series.gauge.support)
    threshold = HALF * level
    sides = [_axis_nm(series.gauge.aligned.shape[1 + axis], pitch[axis]) for axis in (across, upward)]
    inside = outline > threshold
    limits = [_limits(side, np.any(inside, axis=axis)) for side, axis in zip(sides, (0, 1), strict=True)]
    half = [(side[1] - side[0]) / 2 for side in sides]
    edges = [(side[0] - step, side[-1] + step) for side, step in zip(sides, half, strict=True)]
    return _View(
        normal,
        index,
        across,
        upward,
        outline,
        threshold,
        level,
        (*edges[0], *edges[1]),
        (*limits[0], *limits[1]),
    )


def _axis_nm(size: int, pitch: float) -> NDArray[np.float64]:
    """Return the places of the fine points, nm from the grid's middle."""
    return (np.arange(size * FINE) / FINE - size // 2) * pitch


def _limits(side: NDArray[np.float64], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the drawn range: the crystal and a twelfth of it on either side."""
    low, high = side[inside].min(), side[inside].max()
    return low - (high - low) / 12, high + (high - low) / 12


def _fine_slice(array: NDArray[np.complexfloating], normal: int, index: int) -> NDArray[np.complex128]:
    """Return a slice with `FINE` points per voxel, axes (upward, across): its transform padded with zeros."""
    plane = np.take(array, index, axis=normal)
    rows, columns = plane.shape
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(plane)))
    padded = np.zeros((rows * FINE, columns * FINE), dtype=complex)
    top, left = (FINE - 1) * rows // 2, (FINE - 1) * columns // 2
    padded[top : top + rows, left : left + columns] = spectrum
    return np.asarray(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(padded)))) * FINE**2


def _draw_slice(ax: Axes, series: SeriesResult, row: int, view: _View) -> tuple[AxesImage, bool]:
    """Draw one temperature; return the image, and whether density is missing in it."""
    fine = _fine_slice(series.gauge.aligned[row], view.normal, view.index)
    inside = view.outline > view.threshold
    level = amplitude_level(series.gauge.aligned[row], series.gauge.support)
    limit = series.structure.domains[row].missing_threshold * level
    missing = inside & (np.abs(fine) < limit * view.outline / view.level)
    phase = np.ma.masked_where(~inside | missing, -np.angle(fine))
    image = ax.imshow(
        phase,
        cmap=PHASE_MAP,
        vmin=-np.pi,
        vmax=np.pi,
        origin="lower",
        extent=view.extent,
        interpolation="nearest",
        rasterized=True,
    )
    if missing.any():
        hatched = ax.contourf(
            missing.astype(float),
            levels=[0.5, 1.5],
            colors="none",
            hatches=[HATCH],
            extent=view.extent,
            origin="lower",
        )
        hatched.set_edgecolor(GREY)
        hatched.set_linewidth(0)
    ax.contour(
        view.outline, [view.threshold], colors="black", linewidths=0.7, extent=view.extent, origin="lower"
    )
    ax.set(xlim=view.limits[:2], ylim=view.limits[2:])
    reference = " (reference)" if row == series.gauge.reference else ""
    title(ax, series.scans.labels[row], trusted=bool(series.trusted[row]), note=reference)
    return image, bool(missing.any())


def _label_outer(axes: list[Axes], columns: int, view: _View, q_axis: int) -> None:
    names = axis_names(q_axis)
    for number, ax in enumerate(axes):
        ax.locator_params(axis="x", nbins=3)
        ax.locator_params(axis="y", nbins=4)
        ax.tick_params(labelleft=number % columns == 0, labelbottom=number + columns >= len(axes))
        if number % columns == 0:
            ax.set_ylabel(f"{names[view.upward]} (nm)")
        if number + columns >= len(axes):
            ax.set_xlabel(f"{names[view.across]} (nm)")


def _colour_bar(axes: list[Axes], image: AxesImage) -> None:
    bar = figure_of(axes[0]).colorbar(image, ax=axes, shrink=0.85, aspect=24, pad=0.015)
    label_phase(bar)
