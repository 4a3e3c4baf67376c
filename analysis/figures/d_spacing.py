"""Plane spacing of the reflection against temperature: the mean lattice change that the ramp carries."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import BLUE, GREY, MARKERS, SKY, VERMILLION, drawing
from analysis.order_parameter import SeriesResult


def d_spacing(series: SeriesResult, ax: Axes | None = None) -> Figure:
    """Draw d(T) from the peak's centre of mass, with errors, and from the ramp that the gauge took out."""
    reference = series.labels.index(series.reference)
    with drawing(ax, 4.6, 3.2) as (figure, place):
        axes = figure.add_subplot() if place is None else place
        for branch in dict.fromkeys(series.branches):
            here = np.array([name == branch for name in series.branches])
            suffix = "" if branch == "heating" else f", {branch}"
            axes.plot(
                series.temperatures[here],
                series.d_spacing_ramp[here],
                "-" if branch == "heating" else "--",
                color=SKY,
                linewidth=1.0,
                label=f"ramp of the phase{suffix}",
            )
            for rows, colour, face, name in (
                (here & series.trusted, BLUE, BLUE, f"centre of mass{suffix}"),
                (here & ~series.trusted, VERMILLION, "white", f"not trusted{suffix}"),
            ):
                if rows.any():
                    axes.errorbar(
                        series.temperatures[rows],
                        series.d_spacing[rows],
                        yerr=np.nan_to_num(series.d_spacing_error[rows]),
                        fmt=MARKERS[branch],
                        color=colour,
                        markerfacecolor=face,
                        markersize=4.5,
                        capsize=2.2,
                        elinewidth=0.9,
                        label=name,
                    )
        axes.set(xlabel="temperature (K)", ylabel="plane spacing $d$ (Å)")
        axes.ticklabel_format(axis="y", useOffset=False)
        change = axes.secondary_yaxis("right", functions=_relative(float(series.d_spacing[reference])))
        change.set_ylabel(f"against {series.reference} (10⁻⁴)")
        change.tick_params(colors=GREY)
        axes.legend(loc="best")
        return figure


def _relative(start: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the change against ``start`` in 10⁻⁴ of a spacing, and the way back."""
    return lambda d: (np.asarray(d) / start - 1) * 1e4, lambda change: start * (1 + np.asarray(change) * 1e-4)
