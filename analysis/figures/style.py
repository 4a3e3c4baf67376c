"""What all figures share: sizes, colours and how doubt is drawn.

Figures are made without pyplot, so that they need no display and leave no state behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": True,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.4,
}

BLUE, VERMILLION, SKY, GREY = "#0072B2", "#D55E00", "#2E9BD6", "#767676"
"""Okabe–Ito colours, told apart by colour-blind readers, and a grey of equal weight."""

PHASE_MAP = "twilight_shifted"
"""Cyclic and perceptually uniform: 0 is light, negative goes blue, positive red, ±π meet in the dark."""

COUNTS_MAP = "magma"
TEMPERATURE_MAP = "viridis"


CYCLES = (BLUE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe–Ito colours of the first, second, … cycle: a heating leg and the cooling one after it."""

MARKERS = {"heating": "o", "cooling": "v"}
LINES: dict[str, Any] = {"heating": "-", "cooling": (0, (5, 2))}
"""By the way that the sample goes."""

NAMES = ("x", "y", "z")
"""Axes of the orthogonal grid; on I16 y lies along Q and z is horizontal."""


@contextmanager
def drawing(ax: Axes | None, width: float, height: float) -> Iterator[tuple[Figure, Axes | None]]:
    """Yield the figure to draw on, in the house style: that of ``ax``, or a new one (inches)."""
    with mpl.rc_context(STYLE):
        if ax is None:
            figure = Figure(figsize=(width, height), layout="constrained")
            FigureCanvasAgg(figure)
            yield figure, None
        else:
            yield figure_of(ax), ax


def figure_of(ax: Axes) -> Figure:
    """Return the figure that ``ax`` belongs to."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("ax must belong to a figure; it was removed from its own: make a new one")
    return figure


def panels(
    figure: Figure, ax: Axes | None, rows: int, columns: int, **spacing: Any
) -> GridSpec | GridSpecFromSubplotSpec:
    """Return a grid of panels over the whole figure, or in the place of ``ax``, which is taken out."""
    if ax is None:
        return figure.add_gridspec(rows, columns, **spacing)
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError("ax must come from subplots or a gridspec to be divided into panels")
    ax.remove()
    return place.subgridspec(rows, columns, **spacing)


def temperature_colours(temperatures: list[float]) -> list[Any]:
    """Return one colour per temperature, dark to light, the palest end left out."""
    colours = mpl.colormaps[TEMPERATURE_MAP]
    low, high = min(temperatures), max(temperatures)
    return [colours(0.9 * (t - low) / max(high - low, 1e-9)) for t in temperatures]


def show_kelvin(ax: Axes, temperatures: Any) -> None:
    """Label a temperature axis; where all are the same setpoint, show a kelvin about it, not its noise."""
    ax.set_xlabel("temperature (K)")
    low, high = float(np.min(temperatures)), float(np.max(temperatures))
    if high - low < NARROWEST:
        middle = (low + high) / 2
        ax.set_xlim(middle - NARROWEST / 2, middle + NARROWEST / 2)
    ax.ticklabel_format(axis="x", useOffset=False)


NARROWEST = 2.0
"""Kelvin that a temperature axis shows at least."""


def leg_colours(count: int) -> list[Any]:
    """Return a colour for each leg of a series: blue alone, or one for each cycle."""
    if count <= len(LINES):
        return [BLUE] * count
    return [CYCLES[(leg // 2) % len(CYCLES)] for leg in range(count)]


def title(ax: Axes, label: str, *, trusted: bool, note: str = "") -> None:
    """Write a panel's title; a temperature that is not trusted says so, in the colour of doubt."""
    text = f"{label}{note}" if trusted else f"{label} · not trusted"
    ax.set_title(text, color="black" if trusted else VERMILLION, pad=3)
    if not trusted:
        for spine in ax.spines.values():
            spine.set(edgecolor=VERMILLION, linestyle=(0, (3, 2)), linewidth=1.0)


def axis_names(q_axis: int) -> list[str]:
    """Return the grid's axes in words; the one along Q says so."""
    return [f"{name} ∥ Q" if axis == q_axis else name for axis, name in enumerate(NAMES)]


def label_phase(bar: Colorbar) -> None:
    """Give a colour bar of phase its ticks and its name."""
    bar.set_ticks([-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], labels=["−π", "−π/2", "0", "π/2", "π"])
    bar.set_label("phase Q·u (rad)")


def headline(figure: Figure, notes: tuple[str, ...]) -> None:
    """Write what casts doubt on the whole figure above it, in the colour of doubt."""
    if notes:
        figure.suptitle("\n".join(notes), fontsize=7, color=VERMILLION)
