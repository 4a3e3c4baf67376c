"""Compressive, neutral, tensile and missing volume: fractions against temperature, and maps."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analysis.figures.style import (
    BLUE,
    GREY,
    NAMES,
    VERMILLION,
    axis_names,
    drawing,
    figure_of,
    panels,
    title,
)
from analysis.order_parameter import SeriesResult
from analysis.structure import Domain, Domains

COLOURS = {
    Domain.COMPRESSIVE: VERMILLION,
    Domain.NEUTRAL: "#e3e3e3",
    Domain.TENSILE: BLUE,
    Domain.MISSING: "#ffffff",
}
HATCH = "//////"
COLUMNS = 5


def domain_fractions(series: SeriesResult, ax: Axes | None = None) -> Figure:
    """Draw what share of the reference's volume is compressive, neutral, tensile, missing, and count islands.

    Strain is counted from the crystal's own mean at each temperature, within a stated band.
    """
    found = _known(series)
    place_of = np.arange(len(series))
    with drawing(ax, 7.2, 2.9) as (figure, place):
        grid = panels(figure, place, 1, 2, width_ratios=[1.35, 1])
        left, right = (figure.add_subplot(grid[0, column]) for column in range(2))
        below = np.zeros(len(series))
        for kind, colour in COLOURS.items():
            share = np.array([one.fractions[kind.name.lower()] for one in found])
            left.bar(
                place_of,
                share,
                0.8,
                bottom=below,
                color=colour,
                edgecolor=GREY,
                linewidth=0.5,
                hatch=HATCH if kind is Domain.MISSING else None,
                label=kind.name.lower(),
            )
            below = below + share
        left.set(ylabel="share of the reference's volume", ylim=(0, 1))
        for kind, marker in ((Domain.COMPRESSIVE, "v"), (Domain.TENSILE, "^"), (Domain.MISSING, "s")):
            colour = GREY if kind is Domain.MISSING else COLOURS[kind]
            right.plot(place_of, [one.count(kind) for one in found], marker + "-", color=colour, markersize=4)
        right.set(ylabel="islands", ylim=(0, None))
        right.yaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (left, right):
            _name_temperatures(axes, series)
        band = found[0].neutral_band
        figure.legend(
            *left.get_legend_handles_labels(),
            title=f"neutral: within ±{band * 1e4:g}·10⁻⁴ of the mean strain",
            loc="outside lower center",
            ncols=len(COLOURS),
        )
        return figure


def domain_maps(series: SeriesResult, ax: Axes | None = None, *, normal: str = "x") -> Figure:
    """Draw the domains of all temperatures in the slice through the crystal's middle.

    Parameters
    ----------
    series : SeriesResult
    ax : Axes, optional
        To draw in its place; a new figure by default.
    normal : {"x", "y", "z"}
        Axis of the orthogonal grid that the slice is normal to.
    """
    if normal not in NAMES:
        raise ValueError(f"normal must be one of {NAMES!r}; got {normal!r}")
    found, axis = _known(series), NAMES.index(normal)
    across, upward = (other for other in (2, 1, 0) if other != axis)
    inside = np.argwhere(series.support)
    index = round(float(inside[:, axis].mean()))
    pitch = np.linalg.norm(series.basis, axis=0)
    low, high = inside.min(axis=0) - 2, inside.max(axis=0) + 3
    middle = np.array(series.support.shape) // 2
    edges = [(low[a] - middle[a] - 0.5, high[a] - middle[a] - 0.5) for a in (across, upward)]
    extent = tuple(edge * pitch[a] for a, pair in zip((across, upward), edges, strict=True) for edge in pair)
    columns = min(COLUMNS, len(series))
    rows = math.ceil(len(series) / columns)
    width = 7.2 if columns > 2 else 2.0 * columns + 1.0
    shape = (extent[3] - extent[2]) / (extent[1] - extent[0])
    with drawing(ax, width, rows * ((width - 1.0) / columns * shape + 0.3) + 0.7) as (figure, place):
        grid = panels(figure, place, rows, columns)
        shown: list[Axes] = []
        for row, one in enumerate(found):
            axes = figure.add_subplot(grid[row // columns, row % columns])
            plane = np.take(one.labels, index, axis=axis)
            _draw_map(axes, plane[low[upward] : high[upward], low[across] : high[across]], extent)
            title(axes, series.labels[row], trusted=bool(series.trusted[row]))
            axes.locator_params(nbins=4)
            last = row + columns >= len(series)
            axes.tick_params(labelleft=row % columns == 0, labelbottom=last)
            names = axis_names(series.q_axis)
            if row % columns == 0:
                axes.set_ylabel(f"{names[upward]} (nm)")
            if last:
                axes.set_xlabel(f"{names[across]} (nm)")
            shown.append(axes)
        _legend(shown[0])
        return figure


def _known(series: SeriesResult) -> tuple[Domains, ...]:
    if not series.domains:
        raise ValueError("the series holds no domains: analyse it again")
    return tuple(series.domains)


def _draw_map(axes: Axes, plane: NDArray[np.integer], extent: tuple[float, float, float, float]) -> None:
    steps = ListedColormap(["white", *COLOURS.values()])
    axes.imshow(
        plane,
        cmap=steps,
        vmin=-0.5,
        vmax=len(COLOURS) + 0.5,
        origin="lower",
        extent=extent,
        interpolation="nearest",
        rasterized=True,
    )
    if (plane == Domain.MISSING).any():
        hatched = axes.contourf(
            (plane == Domain.MISSING).astype(float),
            levels=[0.5, 1.5],
            colors="none",
            hatches=[HATCH],
            extent=extent,
            origin="lower",
        )
        hatched.set_edgecolor(GREY)
        hatched.set_linewidth(0)
    if (plane != Domain.OUTSIDE).any():
        outline = (plane != Domain.OUTSIDE).astype(float)
        axes.contour(outline, [0.5], colors="black", linewidths=0.6, extent=extent, origin="lower")


def _legend(axes: Axes) -> None:
    handles = [
        Patch(
            facecolor=colour,
            edgecolor=GREY,
            hatch=HATCH if kind is Domain.MISSING else None,
            label=kind.name.lower(),
        )
        for kind, colour in COLOURS.items()
    ]
    figure_of(axes).legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _name_temperatures(axes: Axes, series: SeriesResult) -> None:
    """Name the temperatures along an axis; cooling by a c, doubt by its colour."""
    names = [
        f"{setpoint:g}" + (" c" if branch == "cooling" else "")
        for setpoint, branch in zip(series.setpoints, series.branches, strict=True)
    ]
    axes.set_xticks(np.arange(len(series)), names, rotation=45 if len(series) > 6 else 0)
    for label, trusted in zip(axes.get_xticklabels(), series.trusted, strict=True):
        label.set_color("black" if trusted else VERMILLION)
    cooling = "; c: cooling" if "cooling" in series.branches else ""
    axes.set_xlabel(f"temperature (K){cooling}")
