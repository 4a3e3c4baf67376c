"""Isosurfaces coloured by phase, from three orthogonal sides (Najeeb et al., Figs 1b and 3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from analysis.figures.rendering import PIXELS, Pictures, View, render, surface
from analysis.figures.style import (
    GREY,
    NAMES,
    PHASE_MAP,
    axis_names,
    drawing,
    figure_of,
    label_phase,
    panels,
    title,
)
from analysis.results import SeriesResult

PERCENT = 99.74
"""Isosurface of the paper's figures."""

COLUMNS = 5
SIDES = (1, 0, 2)
"""Normals of the three views: along Q, along the rocking direction, along the horizontal one."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Surfaces of a series' temperatures from three sides: expensive, so made once for several figures.

    Attributes
    ----------
    pictures : Pictures
        One surface for each of ``rows``, one view for each of `SIDES`.
    rows : tuple of int
        Temperatures, as rows of the series.
    percent : float
    """

    pictures: Pictures
    rows: tuple[int, ...]
    percent: float


def make_gallery(
    series: SeriesResult,
    rows: Sequence[int] | None = None,
    *,
    percent: float = PERCENT,
    pixels: int = PIXELS,
) -> Gallery:
    """Render the isosurfaces of ``rows`` of a series (all by default) from three sides."""
    chosen = tuple(range(len(series)) if rows is None else rows)
    surfaces = [surface(series.gauge.aligned[row], series.gauge.basis, percent) for row in chosen]
    views = [_view(series, normal) for normal in SIDES]
    return Gallery(render(surfaces, views, pixels=pixels), chosen, percent)


def isosurface_views(
    series: SeriesResult, ax: Axes | None = None, *, gallery: Gallery | None = None
) -> Figure:
    """Draw the reference temperature's isosurface from three orthogonal sides (Fig 1b)."""
    reference = series.gauge.reference
    seen = gallery if gallery and reference in gallery.rows else make_gallery(series, [reference])
    ranges = [_limits(series, seen, side, reference) for side in range(3)]
    scale = (7.2 - 2.6) / sum(across.ptp for across, _ in ranges)
    with drawing(ax, 7.2, scale * max(upward.ptp for _, upward in ranges) + 0.85) as (figure, place):
        grid = panels(figure, place, 1, 3, width_ratios=[across.ptp for across, _ in ranges])
        axes = [figure.add_subplot(grid[0, column]) for column in range(3)]
        for side, one in enumerate(axes):
            _show(one, series, seen, reference, ranges[side], side)
            one.locator_params(nbins=5)
            across, upward = _plane(SIDES[side])
            names = axis_names(series.gauge.q_axis)
            one.set(xlabel=f"{names[across]} (nm)", ylabel=f"{names[upward]} (nm)")
            one.set_title(f"seen along {NAMES[SIDES[side]]}", pad=3)
        _phase_bar(axes)
        if place is None:
            figure.suptitle(f"{series.scans.labels[reference]}, {seen.percent:g} % isosurface", fontsize=8)
        return figure


def isosurfaces(series: SeriesResult, ax: Axes | None = None, *, gallery: Gallery | None = None) -> Figure:
    """Draw the isosurfaces of all temperatures from three sides, the critical region boxed (Fig 3).

    All on one scale; a temperature's own 99.74 % of Σ abs(ρ)², so that missing density shows as missing.
    """
    seen = gallery or make_gallery(series)
    columns = min(COLUMNS, len(seen.rows))
    blocks = math.ceil(len(seen.rows) / columns)
    width = 7.2 if columns > 2 else 2.0 * columns + 1.3
    panel = (width - 2.1) / columns
    ranges = [_limits(series, seen, side) for side in range(3)]
    heights = [upward.ptp / across.ptp for across, upward in ranges]
    height = blocks * (panel * sum(heights) + 0.45) + 0.7
    with drawing(ax, width, height) as (figure, place):
        grid = panels(figure, place, 3 * blocks, columns, height_ratios=heights * blocks)
        axes: list[list[Axes]] = []
        for number, row in enumerate(seen.rows):
            block, column = divmod(number, columns)
            axes.append([figure.add_subplot(grid[3 * block + side, column]) for side in range(3)])
            for side, one in enumerate(axes[-1]):
                _show(one, series, seen, row, ranges[side], side)
                one.locator_params(nbins=3)
                one.tick_params(labelleft=column == 0, labelbottom=False, pad=2)
                if column == 0:
                    one.set_ylabel(f"{NAMES[_plane(SIDES[side])[1]]} (nm)")
            title(axes[-1][0], series.scans.labels[row], trusted=bool(series.trusted[row]))
            if number + columns >= len(seen.rows):
                for side in (1, 2):
                    axes[-1][side].tick_params(labelbottom=True)
                    axes[-1][side].set_xlabel(f"{NAMES[_plane(SIDES[side])[0]]} (nm)", labelpad=1)
        _phase_bar([one for column in axes for one in column])
        if place is None:
            figure.suptitle(_caption(seen) if columns > 2 else f"{seen.percent:g} % isosurface", fontsize=8)
            _box_critical(figure, series, seen, axes, columns)
        return figure


@dataclass(frozen=True)
class _Range:
    low: float
    high: float

    @property
    def ptp(self) -> float:
        return self.high - self.low


def _caption(seen: Gallery) -> str:
    sides = ", ".join(NAMES[normal] for normal in SIDES)
    return f"{seen.percent:g} % isosurface, seen along {sides}; colour: phase at the surface"


def _plane(normal: int) -> tuple[int, int]:
    """Return the grid axes that point right and up when looking along ``normal``, as in the phase slices."""
    across, upward = (axis for axis in (2, 1, 0) if axis != normal)
    return across, upward


def _view(series: SeriesResult, normal: int) -> View:
    directions = series.gauge.basis / np.linalg.norm(series.gauge.basis, axis=0)
    across, upward = _plane(normal)
    return View(directions[:, across], directions[:, upward])


def _limits(series: SeriesResult, seen: Gallery, side: int, row: int | None = None) -> tuple[_Range, _Range]:
    """Return what is drawn across and upward, nm: where the picture of ``row``, or any, shows something."""
    pictures = seen.pictures
    rows = range(len(seen.rows)) if row is None else [seen.rows.index(row)]
    covered: NDArray[np.bool_] = np.max([pictures.images[n, side, ..., 3] for n in rows], axis=0) > 0
    view = _view(series, SIDES[side])
    scale = 2 * pictures.half / covered.shape[0]
    ranges = []
    for direction, hit, flipped in (
        (view.right, np.asarray(covered.any(axis=0)), False),
        (view.up, np.asarray(covered.any(axis=1)), True),
    ):
        places = np.flatnonzero(hit[::-1] if flipped else hit)
        start = float(pictures.middle @ direction) - pictures.half
        low, high = start + scale * places[0], start + scale * (places[-1] + 1)
        margin = 0.04 * (high - low)
        ranges.append(_Range(low - margin, high + margin))
    return ranges[0], ranges[1]


def _show(
    ax: Axes, series: SeriesResult, seen: Gallery, row: int, limits: tuple[_Range, _Range], side: int
) -> None:
    """Show one picture with its axes in nm."""
    pictures, view = seen.pictures, _view(series, SIDES[side])
    across, upward = (float(pictures.middle @ direction) for direction in (view.right, view.up))
    half = pictures.half
    ax.imshow(
        pictures.images[seen.rows.index(row), side],
        extent=(across - half, across + half, upward - half, upward + half),
        interpolation="antialiased",
        rasterized=True,
    )
    horizontal, vertical = limits
    ax.set(xlim=(horizontal.low, horizontal.high), ylim=(vertical.low, vertical.high))


def _phase_bar(axes: Sequence[Axes]) -> None:
    scale = ScalarMappable(Normalize(-np.pi, np.pi), mpl.colormaps[PHASE_MAP])
    bar = figure_of(axes[0]).colorbar(scale, ax=list(axes), shrink=0.8, aspect=26, pad=0.015)
    label_phase(bar)


def _box_critical(
    figure: Figure, series: SeriesResult, seen: Gallery, axes: list[list[Axes]], columns: int
) -> None:
    """Draw a box about the temperatures of the critical region, one in each block that has some."""
    low, high = series.critical_region or (np.inf, -np.inf)
    inside = [n for n, row in enumerate(seen.rows) if low <= series.scans.setpoints[row] <= high]
    if not inside:
        return
    figure.draw_without_rendering()  # the layout is known only now
    figure.set_layout_engine("none")
    for block in sorted({number // columns for number in inside}):
        shown = [one for number in inside if number // columns == block for one in axes[number]]
        boxes = [one.get_position() for one in shown]
        named = [one.title.get_window_extent().transformed(figure.transFigure.inverted()) for one in shown]
        left, right = min(box.x0 for box in boxes), max(box.x1 for box in boxes)
        bottom, top = min(box.y0 for box in boxes), max(box.y1 for box in [*boxes, *named])
        pad = 0.006
        figure.add_artist(
            Rectangle(
                (left - pad, bottom - pad),
                right - left + 2 * pad,
                top - bottom + 2 * pad,
                fill=False,
                edgecolor=GREY,
                linewidth=1.4,
                label="critical region",
            )
        )
