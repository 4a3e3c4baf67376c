"""Strain along Q against temperature at several isosurfaces (Najeeb et al., Fig 4)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    GREY,
    MARKERS,
    VERMILLION,
    drawing,
    panels,
    temperature_colours,
)
from analysis.results import ScanResult

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
    known = [result for result in results if result.strain]
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
            axes.set(xlabel="temperature (K)", title=name)
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
    for branch in ("heating", "cooling"):
        rows = [result for result in results if result.branch == branch and percent in result.strain]
        rows.sort(key=lambda result: result.temperature)
        if not rows:
            continue
        at = np.array([result.temperature for result in rows])
        values = np.array([result.strain[percent][quantity] for result in rows]) / UNIT
        trusted = np.array([result.trusted for result in rows])
        axes.plot(at, values, "-" if branch == "heating" else "--", color=colour, linewidth=0.9)
        suffix = "" if branch == "heating" else f" {branch}"
        axes.plot(
            at[trusted],
            values[trusted],
            MARKERS[branch],
            color=colour,
            markersize=4,
            label=f"{percent} %{suffix}" if trusted.any() else None,
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
