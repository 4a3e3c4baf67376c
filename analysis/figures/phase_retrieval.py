"""Phase retrieval: network, loss, and measured against calculated diffraction (Najeeb et al., Fig 2)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray
from torch import nn

from analysis.figures.style import (
    BLUE,
    COUNTS_MAP,
    GREY,
    SKY,
    VERMILLION,
    drawing,
    panels,
    temperature_colours,
    title,
)
from analysis.geometry import reciprocal_steps
from analysis.phasing.forward import PixelKernel
from analysis.phasing.network.model import SIZE
from analysis.results import ScanResult, numbered_labels

BRANCHES = {"amplitude": 1, "phase": -1, "direction": -1}
"""Parts that the network bifurcates into, and the lane each is drawn in."""

COLOURS = {0: SKY, 1: BLUE, -1: VERMILLION}
LANE = 1.35
"""Distance of the branches from the middle."""

GAP = 0.34
INPUT, OUTPUT = "input", "object"


@dataclass(frozen=True)
class Block:
    """A stage of the network: what it hands on.

    Attributes
    ----------
    part : str
        Name of the part (a direct child of the model) that computes it.
    channels, size : int
        Of its output (b, channels, size, size, size).
    """

    part: str
    channels: int
    size: int


def trace(network: nn.Module, size: int = SIZE) -> list[Block]:
    """Return the stages of a network in the order it runs through them, found by running it once.

    Parameters
    ----------
    network : nn.Module
        Maps counts and mask (b, size, size, size) to objects.
    size : int
        Side of its input.
    """
    blocks: list[Block] = []

    def listener(part: str) -> Callable[[nn.Module, object, object], None]:
        def note(_module: nn.Module, _given: object, output: object) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 5:
                block = Block(part, int(output.shape[1]), int(output.shape[2]))
                if not blocks or blocks[-1] != block:
                    blocks.append(block)

        return note

    hooks = [
        module.register_forward_hook(listener(name.partition(".")[0]))
        for name, module in network.named_modules()
        if name
    ]
    training = network.training
    try:
        network.eval()
        with torch.inference_mode():
            network(torch.ones(1, size, size, size), torch.zeros(1, size, size, size, dtype=torch.bool))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return blocks


def network_diagram(network: nn.Module, ax: Axes | None = None) -> Figure:
    """Draw the stages of a network as blocks, as tall as their arrays and as wide as their channels.

    Channels and side are read off the model as it runs; where it bifurcates, amplitude is drawn above and
    phase below.
    """
    blocks = [Block(INPUT, 1, SIZE), *trace(network), Block(OUTPUT, 1, SIZE)]
    with drawing(ax, 7.2, 3.1) as (figure, place):
        axes = figure.add_subplot() if place is None else place
        ends: dict[int, float] = {0: -GAP}
        spans: list[tuple[str, int, float, float]] = []
        for block in blocks:
            lane = BRANCHES.get(block.part, 0)
            start = (max(ends.values()) if lane == 0 else ends.get(lane, ends[0])) + GAP
            sources = [other for other in ends if other == lane] or [0]
            if lane == 0 and len(ends) > 1:
                sources, ends = [other for other in ends if other], {other: ends[other] for other in ends}
            for source in sources if block.part != INPUT else []:
                _draw_arrow(axes, (ends[source], source * LANE), (start, lane * LANE))
            ends[lane] = start + _draw_block(axes, block, start, lane)
            if lane == 0:
                ends = {0: ends[0]}
            spans.append((block.part, lane, start, ends[lane]))
        _name_parts(axes, spans, blocks)
        count = sum(weight.numel() for weight in network.parameters())
        axes.set_title(
            f"{type(network).__name__}, {count:,} weights; above each block: channels and side of its array"
        )
        axes.set_axis_off()
        axes.set(xlim=(-0.3, max(ends.values()) + 0.3), ylim=(-LANE - 1.35, LANE + 1.3))
        return figure


def _draw_block(axes: Axes, block: Block, start: float, lane: int) -> float:
    """Draw a block with its channels and side written over it; return its width."""
    height, width = _height(block), 0.1 + 0.055 * (block.channels.bit_length() - 1)
    colour = GREY if block.part in (INPUT, OUTPUT) else COLOURS[lane]
    axes.add_patch(
        Rectangle(
            (start, lane * LANE - height / 2),
            width,
            height,
            facecolor=colour,
            edgecolor="black",
            linewidth=0.5,
            alpha=0.85,
        )
    )
    text = f"{block.size}³" if block.channels == 1 else f"{block.channels}\n{block.size}³"
    top = lane * LANE + height / 2 + 0.06
    axes.text(start + width / 2, top, text, ha="center", va="bottom", fontsize=6.5, linespacing=0.95)
    return width


def _height(block: Block) -> float:
    return 1.5 * (block.size / SIZE) ** 0.6


def _draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 0.7, "mutation_scale": 6}
    )


def _name_parts(axes: Axes, spans: list[tuple[str, int, float, float]], blocks: list[Block]) -> None:
    """Write the name of each part under its blocks, above them in the upper lane."""
    for part in dict.fromkeys(name for name, *_ in spans):
        own = [(lane, start, end) for name, lane, start, end in spans if name == part]
        lane = own[0][0]
        tallest = max(_height(block) for block in blocks if block.part == part) / 2
        edge = lane * LANE + tallest + 0.48 if lane > 0 else lane * LANE - tallest - 0.1
        left, right = own[0][1], own[-1][2]
        if len(own) > 1:
            axes.plot([left, right], [edge, edge], color=GREY, linewidth=0.6)
        at, align = (edge + 0.05, "bottom") if lane > 0 else (edge - 0.05, "top")
        axes.text((left + right) / 2, at, part, ha="center", va=align, fontsize=7)


def loss_curves(results: Sequence[ScanResult], ax: Axes | None = None) -> Figure:
    """Draw the transfer learning of each temperature: L3 and the overlap with the search's object, by epoch.

    Dotted is the L3 of the search's own object; dashed where that is not trusted. A low loss does not make an
    object right. Where no transfer learning has run the figure says so, and draws `finish_curves` instead.
    """
    if not any(result.transfer for result in results):
        return finish_curves(
            results, ax, "no transfer learning has run; instead $χ^2$ of the phasing's last stage"
        )
    named = zip(results, numbered_labels(results), strict=True)
    known = [(one, label, one.transfer) for one, label in named if one.transfer is not None]
    without = [
        label for one, label in zip(results, numbered_labels(results), strict=True) if not one.transfer
    ]
    colours = _curve_colours([one for one, *_ in known])
    with drawing(ax, 7.2, 3.2) as (figure, place):
        grid = panels(figure, place, 1, 2)
        losses, overlaps = (figure.add_subplot(grid[0, column]) for column in (0, 1))
        for (one, label, learned), colour in zip(known, colours, strict=True):
            line = {"color": colour, "linestyle": "-" if one.trusted else "--"}
            doubt = "" if one.trusted else ", not trusted"
            text = f"{label}   {learned.final_loss:.4f}   {learned.search_loss:.4f}{doubt}"
            losses.plot(np.arange(learned.epochs + 1), learned.loss_history, label=text, **line)
            losses.axhline(learned.search_loss, color=colour, linestyle=":", linewidth=0.7)
            overlaps.plot(learned.overlap_epochs, learned.overlaps, **line)
        losses.set_yscale("log")
        losses.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        losses.yaxis.set_minor_locator(NullLocator())
        losses.set(xlabel="epoch", ylabel="loss L3 (dotted: of the search's object)")
        overlaps.set(xlabel="epoch", ylabel="overlap with the search's object", ylim=(0, 1))
        for axes in (losses, overlaps):
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.margins(x=0.02)
        heading = "last L3, the search's" + "".join(f"\n{label}: none yet" for label in without)
        figure.legend(*losses.get_legend_handles_labels(), title=heading, loc="outside right center")
        return figure


def _curve_colours(results: Sequence[ScanResult]) -> list[Any]:
    """Return a colour for each scan's curve: by temperature, by order where one comes twice."""
    kelvin = [one.temperature_setpoint for one in results]
    return temperature_colours(
        kelvin if len(set(kelvin)) == len(kelvin) else [float(n) for n in range(len(kelvin))]
    )


def finish_curves(results: Sequence[ScanResult], ax: Axes | None = None, note: str = "") -> Figure:
    """Draw χ² over the last stage of each temperature's phasing; dashed where the result is not trusted.

    Before each iteration of the final descent; where a start was the network fine-tuned on the pattern, the
    loss of that instead, which is the same measure. A low one does not make an object right.
    """
    known = [result for result in results if len(result.loss_history)]
    if not known:
        raise ValueError("no result holds a loss history: run 'vo2 transfer' on the series, or analyse it")
    colours = _curve_colours(known)
    with drawing(ax, 5.0, 3.2) as (figure, place):
        axes = figure.add_subplot() if place is None else place
        for result, label, colour in zip(known, numbered_labels(known), colours, strict=True):
            last = float(result.loss_history[-1])
            doubt = "" if result.trusted else ", not trusted"
            axes.plot(
                np.arange(len(result.loss_history)),
                result.loss_history,
                color=colour,
                linestyle="-" if result.trusted else "--",
                label=f"{label}   {last:.4f}{doubt}",
            )
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set(xlabel="iteration of the last stage", ylabel="$χ^2$")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)
        axes.set_title(note)
        figure.legend(*axes.get_legend_handles_labels(), title="last $χ^2$", loc="outside right center")
        return figure


COLUMNS = 5
NOT_MEASURED = "#9a9a9a"
FAINTEST = 0.5
"""Counts that are drawn darkest; 0 has no logarithm."""


def calculated_intensity(result: ScanResult) -> NDArray[np.float32]:
    """Return the counts that the reconstructed object predicts, (n0, n1, n2) float32.

    Integrated over each voxel, blurred by the coherence that was fitted, background added; as each
    pixel and each frame was found to respond.
    """
    kernel = PixelKernel(result.object.shape, result.pixel_kernel, result.coherence)
    corner = torch.from_numpy(np.fft.ifftshift(result.object).astype(np.complex64))
    _, integrated = kernel.predict(corner)
    counts = np.fft.fftshift(integrated.numpy())
    # The background is that of an even detector where a flat field was given, of this one where it was found.
    given = np.float32(1) if result.given_flat_field is None else result.given_flat_field
    if result.exposure is not None:
        counts *= result.exposure[:, None, None]
    if result.flat_field is not None:
        counts *= result.flat_field
    planes = result.background_planes
    level = np.float32(result.background) if planes is None else planes[:, None, None]
    behind = level * given + (0 if result.dark is None else result.dark)
    return np.asarray(counts + behind, np.float32)


def diffraction_comparison(results: Sequence[ScanResult], ax: Axes | None = None) -> Figure:
    """Draw each scan's central detector image over the one calculated from its reconstruction.

    Both on one logarithmic scale of counts, shared by all temperatures; grey is not measured.
    """
    if not results:
        raise ValueError("at least one scan result is required to compare diffraction; got none")
    columns = min(COLUMNS, len(results))
    blocks = math.ceil(len(results) / columns)
    brightest = max(float(result.intensity[_middle(result)].max()) for result in results)
    norm = LogNorm(vmin=FAINTEST, vmax=max(brightest, 10.0))
    width = 7.2 if columns > 2 else 1.9 * columns + 1.5
    panel = (width - 1.5) / columns
    with drawing(ax, width, blocks * (2 * panel + 0.35) + 0.4) as (figure, place):
        grid = panels(figure, place, 2 * blocks, columns)
        shown: list[Axes] = []
        for number, (result, label) in enumerate(zip(results, numbered_labels(results), strict=True)):
            row, column = 2 * (number // columns), number % columns
            pair = [figure.add_subplot(grid[row + line, column]) for line in (0, 1)]
            last = number + columns >= len(results)
            image = _draw_pair(pair, result, label, norm, first=column == 0, last=last)
            shown += pair
        bar = figure.colorbar(image, ax=shown, shrink=0.6, aspect=26, pad=0.015, extend="min")
        bar.set_label("counts per voxel")
        return figure


def _middle(result: ScanResult) -> int:
    return result.intensity.shape[0] // 2


def _draw_pair(
    pair: list[Axes], result: ScanResult, label: str, norm: LogNorm, *, first: bool, last: bool
) -> AxesImage:
    middle = _middle(result)
    measured = np.ma.masked_where(result.mask[middle], result.intensity[middle])
    steps = np.linalg.norm(reciprocal_steps(result.voxel_basis, result.object.shape), axis=0) * 1e3
    rows, cols = (steps[axis] * result.intensity.shape[axis] / 2 for axis in (1, 2))
    for ax, values in zip(pair, (measured, calculated_intensity(result)[middle]), strict=True):
        image = ax.imshow(
            np.ma.maximum(values, FAINTEST),
            norm=norm,
            cmap=COUNTS_MAP,
            origin="lower",
            extent=(-cols, cols, -rows, rows),
            interpolation="nearest",
            rasterized=True,
        )
        ax.set_facecolor(NOT_MEASURED)
        ax.locator_params(nbins=3)
        ax.tick_params(labelleft=first, labelbottom=last and ax is pair[1], color="white")
    title(pair[0], label, trusted=result.trusted)
    pair[1].text(
        0.95,
        0.04,
        f"χ² {result.chi_squared:.4f}",
        transform=pair[1].transAxes,
        color="white",
        fontsize=7,
        ha="right",
    )
    if first:
        pair[0].set_ylabel("measured")
        pair[1].set_ylabel("calculated\n$q$ (10⁻³ Å⁻¹)")
    if last:
        pair[1].set_xlabel("$q$ (10⁻³ Å⁻¹)")
    return image
