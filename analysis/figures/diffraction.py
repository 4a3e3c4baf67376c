"""Measured and calculated diffraction side by side (Najeeb et al., supplementary figure)."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from analysis.figures.style import COUNTS_MAP, drawing, panels, title
from analysis.geometry import reciprocal_steps
from analysis.phasing.kernels import PixelKernel
from analysis.results import ScanResult

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
    if result.flat_field is not None and result.exposure is not None:
        counts *= result.exposure[:, None, None] * result.flat_field
    return np.asarray(counts + np.float32(result.background))


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
        for number, result in enumerate(results):
            row, column = 2 * (number // columns), number % columns
            pair = [figure.add_subplot(grid[row + line, column]) for line in (0, 1)]
            last = number + columns >= len(results)
            image = _draw_pair(pair, result, norm, first=column == 0, last=last)
            shown += pair
        bar = figure.colorbar(image, ax=shown, shrink=0.6, aspect=26, pad=0.015, extend="min")
        bar.set_label("counts per voxel")
        return figure


def _middle(result: ScanResult) -> int:
    return result.intensity.shape[0] // 2


def _draw_pair(pair: list[Axes], result: ScanResult, norm: LogNorm, *, first: bool, last: bool) -> AxesImage:
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
    title(pair[0], result.label, trusted=result.trusted)
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
