"""Loss of the transfer learning against its step, a curve per temperature (Najeeb et al., Fig 2b)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.figures.style import drawing, temperature_colours
from analysis.results import ScanResult


def loss_curves(results: Sequence[ScanResult], ax: Axes | None = None) -> Figure:
    """Draw the Fourier loss of each temperature's transfer learning; dashed where the result is not trusted.

    A low loss does not make an object right: the curve is that of the paper, never the measure of quality.
    """
    known = [result for result in results if len(result.loss_history)]
    if not known:
        raise ValueError("no result holds a loss history: the network was not asked in any of these scans")
    colours = temperature_colours([result.temperature_setpoint for result in known])
    with drawing(ax, 5.0, 3.2) as (figure, place):
        axes = figure.add_subplot() if place is None else place
        for result, colour in zip(known, colours, strict=True):
            last = float(result.loss_history[-1])
            doubt = "" if result.trusted else ", not trusted"
            axes.plot(
                np.arange(len(result.loss_history)),
                result.loss_history,
                color=colour,
                linestyle="-" if result.trusted else "--",
                label=f"{result.label}   {last:.4f}{doubt}",
            )
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set(xlabel="epoch", ylabel="Fourier loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)
        figure.legend(*axes.get_legend_handles_labels(), title="final loss", loc="outside right center")
        return figure
