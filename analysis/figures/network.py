"""The phasing network, drawn from the model itself (Najeeb et al., Fig 2a)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from analysis.figures.style import BLUE, GREY, SKY, VERMILLION, drawing
from analysis.phasing.architectures import SIZE

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
