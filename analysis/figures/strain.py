"""Strain along Q against temperature, as statistics (Najeeb et al., Fig 4), as domains and as their maps."""

import math
from collections.abc import Sequence

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
    LINES,
    MARKERS,
    NAMES,
    VERMILLION,
    axis_names,
    drawing,
    figure_of,
    panels,
    show_kelvin,
    temperature_colours,
    title,
)
from analysis.order_parameter.selection import legs
from analysis.results import ScanResult, SeriesResult
from analysis.structure import Domain, Domains

QUANTITIES = {
    "max_abs": "$ε_{max}$, largest |ε|",
    "mean_abs": "$ε_{mean}$, mean |ε|",
    "sigma": "$ε_σ$, standard deviation",
}
"""The paper's three, and what they are called here."""

UNIT = 1e-4


def strain(results: Sequence[ScanResult], ax: Axes | None = None) -> Figure:
    """Draw the largest, the mean and the standard deviation of the strain, a curve per isosurface.

    Cooling is dashed with its own marker, a temperature without trust hollow. At 99 % and more the ringing of
    the band limit in the rim adds to the strain.
    """
    known = sorted((one for one in results if one.strain), key=lambda one: one.series_index)
    if not known:
        raise ValueError("no result holds strain statistics: analyse the scans again")
    percents = sorted({percent for result in known for percent in result.strain}, key=float)
    colours = temperature_colours([float(number) for number in range(len(percents))])
    with drawing(ax, 7.2, 2.9) as (figure, place):
        grid = panels(figure, place, 1, len(QUANTITIES))
        for column, (quantity, name) in enumerate(QUANTITIES.items()):
            axes = figure.add_subplot(grid[0, column])
            for percent, colour in zip(percents, colours, strict=True):
                _curves(axes, known, percent, quantity, colour)
            axes.set_title(name)
            show_kelvin(axes, [one.temperature for one in known])
            axes.set_ylim(0, 1.08 * max(axes.dataLim.y1, 1e-9))
            axes.margins(x=0.06)
            if quantity == "max_abs":
                _draw_limit(axes, known)
            if column == 0:
                axes.set_ylabel("strain along Q (10⁻⁴)")
                handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, title="isosurface", loc="outside lower center", ncols=4)
        return figure


def _curves(axes: Axes, results: list[ScanResult], percent: str, quantity: str, colour: str) -> None:
    numbers = legs(results)
    for leg in range(int(numbers[-1]) + 1):
        here = [result for result, number in zip(results, numbers, strict=True) if number == leg]
        rows, branch = [result for result in here if percent in result.strain], here[0].branch
        if not rows:
            continue
        at = np.array([result.temperature for result in rows])
        values = np.array([result.strain[percent][quantity] for result in rows]) / UNIT
        trusted = np.array([result.trusted for result in rows])
        axes.plot(at, values, linestyle=LINES[branch], color=colour, linewidth=0.9)
        suffix = "" if branch == "heating" else f" {branch}"
        axes.plot(
            at[trusted],
            values[trusted],
            MARKERS[branch],
            color=colour,
            markersize=4,
            label=f"{percent} %{suffix}" if trusted.any() and leg < len(LINES) else None,
        )
        axes.plot(at[~trusted], values[~trusted], MARKERS[branch], color=VERMILLION, markerfacecolor="white")


def _draw_limit(axes: Axes, results: list[ScanResult]) -> None:
    """Draw the strain of a phase step of π per voxel, beyond which it wraps, where any scan comes near it."""
    limit = min(_limit(result) for result in results) / UNIT
    if axes.dataLim.y1 > 0.9 * limit:
        axes.axhline(limit, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
        axes.set_ylim(top=1.14 * limit)
        axes.text(
            0.03, limit * 1.02, "π per voxel", transform=axes.get_yaxis_transform(), fontsize=7, va="bottom"
        )


def _limit(result: ScanResult) -> float:
    """Return the largest strain that a voxel of this scan can show: π per voxel."""
    q = 10 * result.q_vector
    return float(np.pi * np.abs(np.linalg.inv(result.voxel_basis) @ q).max() / (q @ q))


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
    inside = np.argwhere(series.gauge.support)
    index = round(float(inside[:, axis].mean()))
    pitch = np.linalg.norm(series.gauge.basis, axis=0)
    low, high = inside.min(axis=0) - 2, inside.max(axis=0) + 3
    middle = np.array(series.gauge.support.shape) // 2
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
            title(axes, series.scans.labels[row], trusted=bool(series.trusted[row]))
            axes.locator_params(nbins=4)
            last = row + columns >= len(series)
            axes.tick_params(labelleft=row % columns == 0, labelbottom=last)
            names = axis_names(series.gauge.q_axis)
            if row % columns == 0:
                axes.set_ylabel(f"{names[upward]} (nm)")
            if last:
                axes.set_xlabel(f"{names[across]} (nm)")
            shown.append(axes)
        _legend(shown[0])
        return figure


def _known(series: SeriesResult) -> tuple[Domains, ...]:
    if not series.structure.domains:
        raise ValueError("the series holds no domains: analyse it again")
    return tuple(series.structure.domains)


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
        for setpoint, branch in zip(series.scans.setpoints, series.scans.branches, strict=True)
    ]
    axes.set_xticks(np.arange(len(series)), names, rotation=45 if len(series) > 6 else 0)
    for label, trusted in zip(axes.get_xticklabels(), series.trusted, strict=True):
        label.set_color("black" if trusted else VERMILLION)
    cooling = "; c: cooling" if "cooling" in series.scans.branches else ""
    axes.set_xlabel(f"temperature (K){cooling}")
