"""Principal components of the phase differences: scree and clusters (Najeeb et al., Figs S1 and S2)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import (
    BLUE,
    GREY,
    MARKERS,
    VERMILLION,
    drawing,
    headline,
    temperature_colours,
)
from analysis.results import SeriesResult


def scree(series: SeriesResult, ax: Axes | None = None) -> Figure:
    """Draw all eigenvalues of C, falling, with the share of Σ Δφ² that the first ones explain (Fig S1)."""
    _need_two(series)
    values = np.asarray(series.order.eigenvalues, dtype=float)
    number = np.arange(1, len(values) + 1)
    with drawing(ax, 4.4, 3.0) as (figure, place):
        axes = figure.add_subplot() if place is None else place
        axes.plot(number, values, "o-", color=BLUE, markersize=4.5, label="eigenvalue")
        axes.set(xlabel="principal component", ylabel="eigenvalue $λ$ (rad²)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(0, 1.08 * max(values.max(initial=0), 1e-12))
        axes.margins(x=0.05)
        share = axes.twinx()
        share.plot(
            number,
            np.cumsum(series.order.explained_ratio),
            "s--",
            color=VERMILLION,
            markersize=3.5,
            linewidth=0.9,
        )
        share.set_ylim(0, 1.08)
        share.set_ylabel("share explained by the first ones", color=VERMILLION)
        share.tick_params(axis="y", colors=VERMILLION)
        if place is None:
            headline(figure, _doubts(series))
        return figure


def clusters(series: SeriesResult, ax: Axes | None = None) -> Figure:
    """Draw the temperatures in the plane of the first two principal components (Fig S2).

    Heating goes round and cooling down; temperatures without trust are hollow. A thin line follows the
    sample's way.
    """
    _need_two(series)
    with drawing(ax, 4.6, 3.5) as (figure, place):
        axes = figure.add_subplot() if place is None else place
        temperatures = [float(value) for value in series.scans.setpoints]
        colours = temperature_colours(temperatures)
        axes.plot(*series.order.scores[:, :2].T, color=GREY, linewidth=0.6, zorder=1)
        for row, colour in enumerate(colours):
            axes.plot(
                *series.order.scores[row, :2],
                MARKERS[series.scans.branches[row]],
                color=colour,
                markerfacecolor=colour if series.trusted[row] else "white",
                markersize=7,
                zorder=3,
            )
        _name_points(axes, series)
        _explain_markers(axes, series)
        axes.axhline(0, color=GREY, linewidth=0.4, zorder=0)
        axes.axvline(0, color=GREY, linewidth=0.4, zorder=0)
        shares = [*series.order.explained_ratio, 0.0, 0.0]
        axes.set(xlabel=f"PC1 (rad), {shares[0]:.0%}", ylabel=f"PC2 (rad), {shares[1]:.0%}")
        axes.margins(0.16)
        if len(set(temperatures)) > 1:
            steps = ListedColormap(
                temperature_colours(list(np.linspace(min(temperatures), max(temperatures), 64)))
            )
            scale = ScalarMappable(Normalize(min(temperatures), max(temperatures)), steps)
            figure.colorbar(scale, ax=axes, shrink=0.85, aspect=24, pad=0.02).set_label("temperature (K)")
        if place is None:
            headline(figure, _doubts(series))
        return figure


def _name_points(axes: Axes, series: SeriesResult) -> None:
    """Write each temperature beside its point, away from the middle of all of them.

    One that was measured more than once has the scan's number in the series behind it; points that lie upon
    each other share a name.
    """
    scans = series.scans
    middle = series.order.scores[:, :2].mean(axis=0)
    spread = np.maximum(np.ptp(series.order.scores[:, :2], axis=0), 1e-9)
    places = series.order.scores[:, :2] / spread
    named: dict[int, str] = {}
    for row in range(len(series)):
        several = np.count_nonzero(np.isclose(scans.setpoints, scans.setpoints[row])) > 1
        number = f" #{scans.indices[row] + 1}" if several else ""
        upon = next((other for other in named if np.abs(places[other] - places[row]).max() < SHARED), None)
        if upon is not None and np.isclose(scans.setpoints[upon], scans.setpoints[row]):
            named[upon] += f",{number}"
        else:
            named[row] = f"{scans.setpoints[row]:g}{number}"
    for row, text in named.items():
        away = (series.order.scores[row, :2] - middle) / spread
        away /= max(float(np.linalg.norm(away)), 1e-9)
        axes.annotate(
            text,
            (float(series.order.scores[row, 0]), float(series.order.scores[row, 1])),
            xytext=tuple(9 * away),
            textcoords="offset points",
            fontsize=7,
            ha="left" if away[0] > 0.25 else "right" if away[0] < -0.25 else "center",
            va="bottom" if away[1] > 0.25 else "top" if away[1] < -0.25 else "center",
            color="black" if series.trusted[row] else VERMILLION,
        )


SHARED = 0.03
"""Share of the figure's width and height within which two points have one name."""


def _doubts(series: SeriesResult) -> tuple[str, ...]:
    return () if series.final else tuple(f"provisional: {note}" for note in series.notes)


def _explain_markers(axes: Axes, series: SeriesResult) -> None:
    """Say what the markers mean where there is more than one kind."""
    handles = [
        Line2D([], [], marker=MARKERS[branch], linestyle="", color=GREY, label=branch)
        for branch in dict.fromkeys(series.scans.branches)
        if "cooling" in series.scans.branches
    ]
    names = [label for label, trusted in zip(series.scans.labels, series.trusted, strict=True) if not trusted]
    if names:
        text = f"not trusted: {', '.join(names)}"
        handles.append(
            Line2D([], [], marker="o", linestyle="", color=GREY, markerfacecolor="white", label=text)
        )
    if handles:
        axes.legend(handles=handles, loc="best")


def _need_two(series: SeriesResult) -> None:
    if len(series) < 2:
        raise ValueError(
            f"principal components need at least two temperatures; got {len(series)}: measure another"
        )
