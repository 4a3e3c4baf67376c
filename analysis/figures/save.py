"""All figures of a series into a folder."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from analysis.figures.order_parameter import order_parameter
from analysis.figures.phase_retrieval import diffraction_comparison, loss_curves
from analysis.figures.phase_slices import phase_slices
from analysis.figures.style import NAMES
from analysis.order_parameter import counting
from analysis.results import ScanResult, SeriesResult, replacing

RESOLUTION = 200
"""Dots per inch of the PNG files."""


def save_all(folder: Path, results: Sequence[ScanResult], series: SeriesResult) -> list[Path]:
    """Draw every figure of a series and write them as PNG into ``folder``; return their paths.

    Only what the series counts of each temperature is drawn.
    """
    chosen = counting(results)
    figures = {"order_parameter": order_parameter(series)}
    figures |= {f"phase_slices_{normal}": phase_slices(series, normal=normal) for normal in NAMES}
    figures["diffraction"] = diffraction_comparison(chosen)
    if any(result.transfer or len(result.loss_history) for result in chosen):
        figures["loss_curves"] = loss_curves(chosen)
    return [save(figure, Path(folder) / f"{name}.png") for name, figure in figures.items()]


def save(figure: Figure, path: Path) -> Path:
    """Write ``figure`` to ``path`` (the suffix says the format), whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=RESOLUTION, format=path.suffix.lstrip(".") or "png")
    return path
