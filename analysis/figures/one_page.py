"""One reconstruction on one page: slices of amplitude and phase, measured against calculated, the verdict."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.phase_retrieval import FAINTEST, NOT_MEASURED, calculated_intensity
from analysis.figures.style import COUNTS_MAP, NAMES, PHASE_MAP, VERMILLION, drawing, label_phase
from analysis.results import ScanResult
from analysis.results.vtk_files import Volume
from analysis.structure.volumes import on_laboratory_axes

AXES = ("rocking", "row", "column")
FAINT = 0.1
"""Share of the largest amplitude below which no phase is drawn: it is noise."""

MARGIN = 0.15
"""Of the crystal's extent that is drawn around it."""


def one_page(
    result: ScanResult, words: Sequence[str] = (), ax: Axes | None = None, *, scaled: bool = True
) -> Figure:
    """Draw one scan's reconstruction on a page.

    Parameters
    ----------
    result : ScanResult
    words : sequence of str
        Lines about it, the verdict first.
    ax : Axes, optional
        To draw the amplitude's middle slice alone in its place.
    scaled : bool
        Whether the voxels' size is known: slices along the laboratory's axes in nm, else along the array's in
        voxels.
    """
    array, pitch, names, unit = _cube(result, scaled)
    with drawing(ax, 7.2, 8.4) as (figure, place):
        if place is not None:
            _slice(place, np.abs(array), 0, pitch, names, unit, COUNTS_MAP, (0, float(np.abs(array).max())))
            return figure
        grid = figure.add_gridspec(4, 1, height_ratios=(2.2, 2.2, 2.4, 1.5))
        amplitude, phase = np.abs(array), -np.angle(array)
        top = float(amplitude.max())
        inside = amplitude > FAINT * top
        rows = (
            (amplitude, COUNTS_MAP, (0.0, top), "amplitude (√counts)"),
            (np.ma.masked_where(~inside, phase), PHASE_MAP, (-np.pi, np.pi), "phase"),
        )
        for row, (values, colours, limits, label) in enumerate(rows):
            panels = figure.add_subfigure(grid[row]).subplots(1, 3)
            for normal, panel in enumerate(panels):
                image = _slice(panel, values, normal, pitch, names, unit, colours, limits, inside=inside)
            bar = panels[0].figure.colorbar(image, ax=panels, shrink=0.85, aspect=18, pad=0.02)
            label_phase(bar) if label == "phase" else bar.set_label(label)
        _draw_counts(figure.add_subfigure(grid[2]), result)
        _write(figure.add_subfigure(grid[3]), result, words, scaled=scaled)
        return figure


def _cube(
    result: ScanResult, scaled: bool
) -> tuple[NDArray[np.complexfloating], float, tuple[str, ...], str]:
    """Return the object on cubic voxels, their edge, the names of the axes and the unit."""
    if not scaled:
        return result.object, 1.0, AXES, "voxels"
    volume = Volume(result.object, result.support, result.voxel_basis, result.q_vector)
    cube = on_laboratory_axes(volume)
    return cube.array, float(cube.basis[0, 0]), NAMES, "nm"


def _slice(
    ax: Axes,
    values: NDArray[np.floating],
    normal: int,
    pitch: float,
    names: Sequence[str],
    unit: str,
    colours: str,
    limits: tuple[float, float],
    *,
    inside: NDArray[np.bool_] | None = None,
) -> object:
    """Draw the slice through the middle of the crystal that is normal to an axis; return the image."""
    up, across = (axis for axis in range(3) if axis != normal)
    weight = (values > FAINT * float(values.max())) if inside is None else inside
    places = np.argwhere(weight)
    middle = round(float(places[:, normal].mean()))
    edges = [(-(values.shape[axis] // 2) - 0.5) * pitch for axis in (across, up)]
    far = [edge + values.shape[axis] * pitch for edge, axis in zip(edges, (across, up), strict=True)]
    image = ax.imshow(
        np.ma.take(values, middle, axis=normal),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        origin="lower",
        extent=(edges[0], far[0], edges[1], far[1]),
        interpolation="nearest",
        rasterized=True,
    )
    low, high = (places.min(axis=0), places.max(axis=0)) if len(places) else (np.zeros(3), values.shape)
    sides = [
        ((low[axis] - values.shape[axis] // 2) * pitch, (high[axis] - values.shape[axis] // 2) * pitch)
        for axis in (across, up)
    ]
    (left, right), (bottom, top) = sides
    room = MARGIN * max(right - left, top - bottom)
    if not np.ma.isMaskedArray(values):  # amplitude: beyond the box there is none
        ax.set_facecolor(colormaps[colours](0.0))
    ax.set(xlim=(left - room, right + room), ylim=(bottom - room, top + room))
    ax.set(xlabel=f"{names[across]} ({unit})", ylabel=f"{names[up]} ({unit})")
    ax.locator_params(nbins=4)
    ax.set_title(f"normal to {names[normal]}")
    return image


def _draw_counts(figure: object, result: ScanResult) -> None:
    """Draw the middle frame as measured, as calculated, and their sums over the rocking axis."""
    ax = figure.subplots(1, 3)  # type: ignore[attr-defined]
    middle = result.intensity.shape[0] // 2
    calculated = np.where(result.mask, np.nan, calculated_intensity(result))
    measured = np.where(result.mask, np.nan, result.intensity)
    norm = LogNorm(vmin=FAINTEST, vmax=max(float(np.nanmax(measured)), 10.0))
    for panel, values, name in zip(ax, (measured, calculated), ("measured", "calculated"), strict=False):
        image = panel.imshow(
            np.maximum(values[middle], FAINTEST),
            norm=norm,
            cmap=COUNTS_MAP,
            origin="lower",
            interpolation="nearest",
            rasterized=True,
        )
        panel.set_facecolor(NOT_MEASURED)
        panel.set(title=name, xlabel="column", ylabel="row")
    figure.colorbar(image, ax=ax[:2], shrink=0.85, aspect=18, pad=0.02, label="counts per voxel")  # type: ignore[attr-defined]
    seen = ~result.mask.all(axis=(1, 2))
    sums = [np.where(seen, np.nansum(values, axis=(1, 2)), np.nan) for values in (measured, calculated)]
    ax[2].semilogy(sums[0], "o", markersize=2, color="black", label="measured")
    ax[2].semilogy(sums[1], color=VERMILLION, label="calculated")
    ax[2].set(xlabel="step of the rocking curve", ylabel="counts of a frame")
    ax[2].legend()


def with_error(value: float, error: float) -> str:
    """Return a value and its error in words, both to the first digit of the error.

    Examples
    --------
    >>> with_error(3.2067312, 0.0000034)
    '3.206731 ± 0.000003'
    """
    if not (math.isfinite(error) and error > 0):
        return f"{value:.5f}"
    digits = max(0, -math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _write(figure: object, result: ScanResult, words: Sequence[str], *, scaled: bool) -> None:
    """Write what there is to say, the verdict in the colour of doubt if it is one."""
    shape = " × ".join(str(size) for size in result.object.shape)
    facts = [f"{result.sample.get('name', '')}, {result.temperature:.1f} K, {shape} voxels"]
    if scaled:
        edges = " × ".join(f"{edge:.1f}" for edge in np.linalg.norm(result.voxel_basis, axis=0))
        spacing = with_error(result.d_spacing, result.d_spacing_error)
        facts.append(f"d {spacing} Å; voxels of {edges} nm")
    lines = [line for one in (*facts, *words) for line in textwrap.wrap(one, 118)]
    room = 13
    if len(lines) > room:
        lines = [*lines[: room - 1], "…"]
    ax = figure.add_axes((0.02, 0.0, 0.96, 1.0))  # type: ignore[attr-defined]
    ax.set_axis_off()
    for number, line in enumerate(lines):
        doubt = "not trusted" in line
        ax.text(
            0.0,
            1 - (number + 1) / (room + 1),
            line,
            fontsize=7,
            va="center",
            color=VERMILLION if doubt else "black",
            transform=ax.transAxes,
        )
