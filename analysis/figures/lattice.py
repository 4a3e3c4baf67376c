"""The lattice: unit cells of M1 and rutile (Najeeb et al., Fig 5c), and plane spacing against temperature."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.order_parameter import SEQUENCE, comes_back, name_scans
from analysis.figures.style import (
    BLUE,
    GREY,
    LINES,
    MARKERS,
    SKY,
    VERMILLION,
    drawing,
    leg_colours,
    panels,
    show_kelvin,
)
from analysis.results import SeriesResult
from analysis.unit_cells import M1_ATOMS, RUTILE_ATOMS, VO2_M1, VO2_RUTILE, Atoms, UnitCell

Points = NDArray[np.float64]

V_O_BOND = 2.15
"""Å; V–O distances are 1.76 to 2.07 Å in M1 and 1.92 to 1.93 Å in rutile."""

SIZES = {"V": 95, "O": 38}
COLOURS = {"V": BLUE, "O": VERMILLION}


@dataclass(frozen=True)
class Structure:
    """A crystal structure to draw.

    Attributes
    ----------
    name : str
    cell : UnitCell
    atoms : mapping of str to ndarray, (n, 3) float64
        Element to fractional coordinates.
    cells : tuple of int
        Cells drawn along a, b, c.
    chain, across : int
        Cell edge along the chains of vanadium, drawn upright, and the edge drawn to the right.
    overhang : float
        Cells by which the chains are drawn beyond the ends.
    """

    name: str
    cell: UnitCell
    atoms: Atoms
    cells: tuple[int, int, int]
    chain: int
    across: int
    overhang: float

    def edges(self) -> Points:
        """Return the cell's edges as columns, (3, 3), Å: chains along z, ``across`` in the plane of x."""
        direct = self.cell.direct_matrix()
        upright = direct[:, self.chain] / np.linalg.norm(direct[:, self.chain])
        right = direct[:, self.across] - upright * (upright @ direct[:, self.across])
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(upright, right), upright]) @ direct


STRUCTURES = (
    Structure("M1, monoclinic P2₁/c, insulating", VO2_M1, M1_ATOMS, (1, 1, 1), 0, 1, 0.27),
    Structure("R, rutile P4₂/mnm, metallic", VO2_RUTILE, RUTILE_ATOMS, (1, 1, 2), 2, 0, 0.04),
)
"""M1 beside two cells of rutile: a of M1 is twice c of rutile, b of M1 is a of rutile."""


def unit_cells(structures: Sequence[Structure] = STRUCTURES, ax: Axes | None = None) -> Figure:
    """Draw the structures with their V–V distances along the chains: pairs in M1, equal steps in rutile."""
    with drawing(ax, 3.6 * len(structures), 3.5) as (figure, place):
        grid = panels(figure, place, 1, len(structures))
        for column, one in enumerate(structures):
            _draw(figure.add_subplot(grid[0, column], projection="3d"), one)
        for element, colour in COLOURS.items():
            figure.axes[0].plot(
                [], [], "o", color=colour, markersize=SIZES[element] ** 0.5 * 0.6, label=element
            )
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return figure


def vanadium_steps(one: Structure) -> list[tuple[Points, Points, float]]:
    """Return the V–V steps along the chains inside the drawn cells: two ends and their distance, all in Å."""
    vanadium = _filled(one, "V")
    steps = []
    for first, second in itertools.combinations(vanadium, 2):
        length = float(np.linalg.norm(second - first))
        if length < 3.3 and abs(second[2] - first[2]) > 0.9 * length:
            steps.append((first, second, length))
    return steps


def _filled(one: Structure, element: str) -> Points:
    """Return the positions (n, 3), Å, of an element's atoms in and on the surface of the drawn cells."""
    shifts = np.array(list(itertools.product(*(range(-1, count + 1) for count in one.cells))))
    fractional = (one.atoms[element][:, None] + shifts[None]).reshape(-1, 3)
    margin = np.full(3, 0.04)
    margin[one.chain] = one.overhang if element == "V" else 0.04
    inside = ((fractional > -margin) & (fractional < np.array(one.cells) + margin)).all(axis=1)
    return np.asarray(fractional[inside] @ one.edges().T)


def _draw(axes: Any, one: Structure) -> None:
    cell = one.edges()
    _draw_edges(axes, cell, one.cells)
    positions = {element: _filled(one, element) for element in one.atoms}
    for vanadium, oxygen in itertools.product(positions["V"], positions["O"]):
        if np.linalg.norm(vanadium - oxygen) < V_O_BOND:
            axes.plot(*np.stack([vanadium, oxygen], axis=1), color="#bdbdbd", linewidth=1.0, zorder=1)
    steps = vanadium_steps(one)
    shortest = min((length for *_, length in steps), default=0.0)
    for first, second, length in steps:
        short = length < shortest + 0.1
        axes.plot(
            *np.stack([first, second], axis=1),
            color=BLUE,
            linewidth=3.0 if short else 1.2,
            linestyle="-" if short else (0, (3, 2)),
        )
    for element, points in positions.items():
        axes.scatter(*points.T, s=SIZES[element], color=COLOURS[element], edgecolor="white", linewidth=0.5)
    _frame(axes, cell, one, sorted({round(length, 2) for *_, length in steps}))


def _draw_edges(axes: Any, cell: Points, cells: tuple[int, int, int]) -> None:
    corners = list(itertools.product(*(range(count + 1) for count in cells)))
    for first, second in itertools.combinations(corners, 2):
        apart = np.subtract(second, first)
        if np.abs(apart).sum() == 1:
            axes.plot(*(cell @ np.stack([first, second], axis=1)), color=GREY, linewidth=0.7)


def _frame(axes: Any, cell: Points, one: Structure, distances: list[float]) -> None:
    extent = cell * np.array(one.cells)
    for axis, name in enumerate("abc"):
        beside = 0.5 * extent[:, axis] - 0.16 * extent[:, one.across]
        at = beside if axis == one.chain else 1.2 * extent[:, axis]
        axes.text(*at, name, fontsize=9, style="italic", ha="center", va="center")
    corners = np.array([extent @ corner for corner in itertools.product((0, 1), repeat=3)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2] - 1.6, high[2] + 1.6))
    axes.set_box_aspect(high - low + np.array([0, 0, 3.2]), zoom=1.12)
    axes.set_axis_off()
    axes.set_proj_type("ortho")
    axes.view_init(elev=16, azim=-66)
    between = " and ".join(f"{distance:.2f}" for distance in distances)
    axes.set_title(f"{one.name}\nV–V {between} Å along {'abc'[one.chain]}", pad=0)


def d_spacing(series: SeriesResult, ax: Axes | None = None) -> Figure:
    """Draw d(T) from the peak's centre of mass, with errors, and from the ramp that the gauge took out.

    Where a temperature was measured more than once on one branch, a panel below shows the same in the order
    of measurement: by temperature the points would lie upon each other.
    """
    again = comes_back(series)
    with drawing(ax, 4.6, 3.2 + SEQUENCE * again) as (figure, place):
        if again:
            grid = panels(figure, place, 2, 1, height_ratios=[3.2, SEQUENCE])
            axes, below = (figure.add_subplot(grid[row, 0]) for row in (0, 1))
            _draw_spacings(below, series, series.scans.indices + 1, named=False)
            name_scans(below, series)
        else:
            axes = figure.add_subplot() if place is None else place
        _draw_spacings(axes, series, series.scans.temperatures, named=True)
        show_kelvin(axes, series.scans.temperatures)
        axes.legend(loc="best")
        return figure


def _draw_spacings(ax: Axes, series: SeriesResult, at: NDArray[Any], *, named: bool) -> None:
    """Draw spacings with their errors against ``at``, (n,), leg by leg."""
    for leg, first in enumerate(leg_colours(int(series.scans.legs[-1]) + 1)):
        here, branch = series.scans.legs == leg, series.scans.branch_of(leg)
        name = series.scans.leg_name(leg)
        suffix = "" if name == "heating" else f", {name}"
        ax.plot(
            at[here],
            series.lattice.d_spacing_ramp[here],
            linestyle=LINES[branch],
            marker="x",
            markersize=3,
            color=SKY,
            linewidth=1.0,
            label=f"ramp of the phase{suffix}" if named else None,
        )
        for rows, colour, face, words in (
            (here & series.trusted, first, first, f"centre of mass{suffix}"),
            (here & ~series.trusted, VERMILLION, "white", f"not trusted{suffix}"),
        ):
            if rows.any():
                ax.errorbar(
                    at[rows],
                    series.lattice.d_spacing[rows],
                    yerr=np.nan_to_num(series.lattice.d_spacing_error[rows]),
                    fmt=MARKERS[branch],
                    color=colour,
                    markerfacecolor=face,
                    markersize=4.5,
                    capsize=2.2,
                    elinewidth=0.9,
                    label=words if named else None,
                )
    ax.set_ylabel("plane spacing $d$ (Å)" if named else "$d$ (Å)")
    ax.ticklabel_format(axis="y", useOffset=False)
    start = float(series.lattice.d_spacing[series.gauge.reference])
    change = ax.secondary_yaxis("right", functions=_relative(start))
    change.set_ylabel(f"against {series.reference} (10⁻⁴)" if named else "10⁻⁴")
    change.tick_params(colors=GREY)


def _relative(start: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the change against ``start`` in 10⁻⁴ of a spacing, and the way back."""
    return lambda d: (np.asarray(d) / start - 1) * 1e4, lambda change: start * (1 + np.asarray(change) * 1e-4)
