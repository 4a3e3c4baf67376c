"""Order parameter against temperature, with fit and error bars (Najeeb et al., Fig 5b).

And the series at a glance: the crystal cut open at every temperature, over the order parameter.
"""

import math

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.rendering import PIXELS, Pictures, View, render, surface
from analysis.figures.style import (
    GREY,
    LINES,
    MARKERS,
    PHASE_MAP,
    SKY,
    VERMILLION,
    drawing,
    label_phase,
    leg_colours,
    panels,
    show_kelvin,
    title,
)
from analysis.results import SeriesResult, Transition


def order_parameter(series: SeriesResult, ax: Axes | None = None) -> Figure:
    """Draw the order parameter, its best-fit curve and the distance between them as dashed error bars.

    Solid bars with caps are the reconstructions' own errors, whose source the legend names; dotted, the
    transition model of each branch. Filled points are trusted and final, open ones provisional; open grey
    squares are temperatures that are not trusted: they have no say in component or fit. Where the sample
    comes back to a temperature, points lie upon each other: a second panel shows them in the order in which
    they were measured, a colour for each cycle.
    """
    again = comes_back(series)
    with drawing(ax, 4.6, 3.4 + SEQUENCE * again) as (figure, place):
        if again:
            grid = panels(figure, place, 2, 1, height_ratios=[3.4, SEQUENCE])
            axes = figure.add_subplot(grid[0])
            _draw_sequence(figure.add_subplot(grid[1]), series)
        else:
            axes = figure.add_subplot() if place is None else place
        _draw_curve(axes, series)
        for transition in series.fit.transitions:
            _draw_transition(axes, series, transition)
        axes.axhline(0, color=GREY, linewidth=0.5, zorder=0)
        for leg, colour in enumerate(leg_colours(int(series.scans.legs[-1]) + 1)):
            _draw_points(axes, series, leg, colour)
        _draw_untrusted(axes, series)
        axes.set_ylabel("order parameter $O$ (rad)")
        axes.margins(x=0.06, y=0.12)
        show_kelvin(axes, series.scans.temperatures)
        if not series.order.parameter.any():
            axes.set_ylim(-1, 1)
        axes.legend(
            title=_heading(series),
            title_fontsize=7,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0.3,
            alignment="left",
            ncols=2,
        )
        return figure


SEQUENCE = 1.9
"""Height of the panel that shows the scans in the order in which they were measured, inches."""


def comes_back(series: SeriesResult) -> bool:
    """Return whether a temperature was measured more than once on one branch."""
    places = list(zip(np.round(series.scans.setpoints, 1), series.scans.branches, strict=True))
    return len(set(places)) < len(places) or int(series.scans.legs[-1]) >= len(LINES)


def _draw_sequence(ax: Axes, series: SeriesResult) -> None:
    """Draw the order parameter against the scans' places in the series."""
    scans, order = series.scans, series.order
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    ax.plot(scans.indices + 1, order.parameter, color=GREY, linewidth=0.7, zorder=1)
    errors = np.nan_to_num(order.spread)
    colours, count = leg_colours(int(scans.legs[-1]) + 1), len(series)
    for row in range(count):
        trusted = bool(series.trusted[row])
        colour = colours[int(scans.legs[row])] if trusted else GREY
        ax.errorbar(
            scans.indices[row] + 1,
            order.parameter[row],
            yerr=errors[row],
            fmt=MARKERS[scans.branches[row]] if trusted else "s",
            color=colour,
            ecolor="black" if trusted else GREY,
            markerfacecolor=colour if trusted and not series.provisional[row] else "white",
            markersize=5,
            elinewidth=0.9,
            capsize=2.2,
            zorder=3,
        )
    name_scans(ax, series)
    ax.set_ylabel("$O$ (rad)")


def name_scans(ax: Axes, series: SeriesResult) -> None:
    """Label an axis along which scans stand in the order of measurement, with their setpoints."""
    scans, count = series.scans, len(series)
    labelled = np.arange(0, count, math.ceil(count / MOST_LABELS))
    ax.set_xticks(
        scans.indices[labelled] + 1,
        [f"{scans.indices[row] + 1}\n{scans.setpoints[row]:g} K" for row in labelled],
    )
    ax.set_xlabel("scan of the series")
    ax.margins(x=0.06, y=0.15)


MOST_LABELS = 10
"""Scans that are named along an axis of this width."""


def _draw_curve(ax: Axes, series: SeriesResult) -> None:
    """Draw the fit along the way that the sample went: what belongs to cooling is dashed."""
    named: set[str] = set()
    for leg in np.unique(series.fit.curve_legs):
        part, branch = np.flatnonzero(series.fit.curve_legs == leg), series.scans.branch_of(int(leg))
        label = "best fit" if branch == "heating" else "best fit, cooling"
        ax.plot(
            *series.fit.curve[:, max(part[0] - 1, 0) : part[-1] + 1],
            color=VERMILLION,
            linestyle=LINES[branch],
            zorder=2,
            label=None if label in named else label,
        )
        named.add(label)


def _draw_transition(ax: Axes, series: SeriesResult, transition: Transition) -> None:
    rows = (series.scans.legs == transition.leg) & series.trusted
    if not rows.any():
        return
    at = np.linspace(series.scans.temperatures[rows].min(), series.scans.temperatures[rows].max(), 200)
    name = series.scans.leg_name(transition.leg)
    suffix = "" if name == "heating" else f", {name}"
    ax.plot(
        at,
        transition(at),
        color=SKY,
        linestyle=":",
        linewidth=1.4,
        zorder=1,
        label=f"step at {transition.t_c:.1f} ± {transition.t_c_error:.1f} K{suffix}",
    )


def _draw_points(ax: Axes, series: SeriesResult, leg: int, colour: str) -> None:
    rows, branch = (series.scans.legs == leg) & series.trusted, series.scans.branch_of(leg)
    if not rows.any():
        return
    provisional = bool(series.provisional[rows].any())
    name = series.scans.leg_name(leg) if series.scans.legs.any() else "measured"
    ax.errorbar(
        series.scans.temperatures[rows],
        series.order.parameter[rows],
        yerr=_towards_fit(series, rows),
        fmt=MARKERS[branch],
        color=colour,
        markerfacecolor="white" if provisional else colour,
        markersize=5,
        elinewidth=0.9,
        zorder=3,
        label=f"{name}, provisional" if provisional else name,
    )[2][0].set_linestyle("--")
    spread = np.nan_to_num(series.order.spread[rows])
    if spread.any():
        ax.errorbar(
            series.scans.temperatures[rows],
            series.order.parameter[rows],
            yerr=spread,
            fmt="none",
            ecolor="black",
            elinewidth=0.9,
            capsize=2.2,
            zorder=4,
            label=series.order.spread_source if leg == _first_leg(series) else None,
        )


def _first_leg(series: SeriesResult) -> int:
    """Return the first leg that has error bars of its own; its label stands for all."""
    drawn = series.trusted & (np.nan_to_num(series.order.spread) > 0)
    return int(series.scans.legs[drawn].min())


def _towards_fit(series: SeriesResult, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how far each bar reaches down and up: from the point to the curve."""
    residual = series.fit.residual[rows]
    return np.stack([np.maximum(residual, 0), np.maximum(-residual, 0)])


def _draw_untrusted(ax: Axes, series: SeriesResult) -> None:
    rows = ~series.trusted
    if not rows.any():
        return
    names = ", ".join(label for label, doubtful in zip(series.scans.labels, rows, strict=True) if doubtful)
    ax.plot(
        series.scans.temperatures[rows],
        series.order.parameter[rows],
        "s",
        color=GREY,
        markerfacecolor="white",
        markersize=5,
        zorder=3,
        label=f"not trusted: {names}",
    )


def _heading(series: SeriesResult) -> str:
    share = series.order.explained_ratio[0] if len(series.order.explained_ratio) else 0.0
    heading = f"first component: {share:.0%} of Σ Δφ²"
    return heading if series.final else f"{heading}\n" + "\n".join(series.notes)


PERCENT = 95.0
"""At 95 % what has left the Bragg condition is missing; at 99.74 % its faint rest counts as inside."""

COLUMNS = 5
TOWARDS_EYE = (0.80, 0.38, 0.46)
"""Direction to the eye along the grid's x, y ∥ Q and z: mostly onto the cut, which is normal to x."""


def cut_open(series: SeriesResult, *, pixels: int = PIXELS) -> Pictures:
    """Render every temperature's 95 % isosurface, cut open normal to x, from one oblique side."""
    directions = series.gauge.basis / np.linalg.norm(series.gauge.basis, axis=0)
    looking = -directions @ (np.array(TOWARDS_EYE) / np.linalg.norm(TOWARDS_EYE))
    up = directions[:, series.gauge.q_axis] - looking * (looking @ directions[:, series.gauge.q_axis])
    up /= np.linalg.norm(up)
    middle = float(np.argwhere(series.gauge.support)[:, 0].mean())
    surfaces = [
        surface(array, series.gauge.basis, PERCENT, cut=(0, middle)) for array in series.gauge.aligned
    ]
    return render(surfaces, [View(np.cross(looking, up), up)], pixels=pixels)


def overview(series: SeriesResult, ax: Axes | None = None, *, pictures: Pictures | None = None) -> Figure:
    """Draw the crystal cut open at every temperature, coloured by phase, over the order parameter."""
    seen = pictures or cut_open(series)
    columns = min(COLUMNS, len(series))
    rows = math.ceil(len(series) / columns)
    panel = 7.0 / COLUMNS
    below = 2.8 + SEQUENCE * comes_back(series)
    with drawing(ax, 7.8, rows * (panel + 0.22) + below + 0.2) as (figure, place):
        grid = panels(figure, place, 2, 1, height_ratios=[rows * (panel + 0.22), below])
        crystals = grid[0].subgridspec(rows, columns, wspace=0.02, hspace=0.06)
        shown = [figure.add_subplot(crystals[row // columns, row % columns]) for row in range(len(series))]
        bottom, top, left, right = _frame(seen)
        for row, axes in enumerate(shown):
            axes.imshow(
                seen.images[row, 0, bottom:top, left:right], interpolation="antialiased", rasterized=True
            )
            title(axes, series.scans.labels[row], trusted=bool(series.trusted[row]))
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(not series.trusted[row])
        scale = ScalarMappable(Normalize(-np.pi, np.pi), mpl.colormaps[PHASE_MAP])
        label_phase(figure.colorbar(scale, ax=shown, shrink=0.9, aspect=22, pad=0.01))
        order_parameter(series, figure.add_subplot(grid[1]))
        return figure


def _frame(seen: Pictures) -> tuple[int, int, int, int]:
    """Return the rows and columns (first, one past the last) where any picture shows something."""
    covered = np.max(seen.images[:, 0, :, :, 3], axis=0) > 0
    rows = np.flatnonzero(np.asarray(covered.any(axis=1)))
    columns = np.flatnonzero(np.asarray(covered.any(axis=0)))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
