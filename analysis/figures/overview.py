"""The series at a glance: the crystal cut open at every temperature, over the order parameter."""

import math

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analysis.figures.order_parameter import order_parameter
from analysis.figures.rendering import PIXELS, Pictures, View, render
from analysis.figures.style import PHASE_MAP, drawing, label_phase, panels, title
from analysis.figures.surface_mesh import surface
from analysis.order_parameter import SeriesResult

PERCENT = 95.0
"""At 95 % what has left the Bragg condition is missing; at 99.74 % its faint rest counts as inside."""

COLUMNS = 5
TOWARDS_EYE = (0.80, 0.38, 0.46)
"""Direction to the eye along the grid's x, y ∥ Q and z: mostly onto the cut, which is normal to x."""


def cut_open(series: SeriesResult, *, pixels: int = PIXELS) -> Pictures:
    """Render every temperature's 95 % isosurface, cut open normal to x, from one oblique side."""
    directions = series.basis / np.linalg.norm(series.basis, axis=0)
    looking = -directions @ (np.array(TOWARDS_EYE) / np.linalg.norm(TOWARDS_EYE))
    up = directions[:, series.q_axis] - looking * (looking @ directions[:, series.q_axis])
    up /= np.linalg.norm(up)
    middle = float(np.argwhere(series.support)[:, 0].mean())
    surfaces = [surface(array, series.basis, PERCENT, cut=(0, middle)) for array in series.aligned]
    return render(surfaces, [View(np.cross(looking, up), up)], pixels=pixels)


def overview(series: SeriesResult, ax: Axes | None = None, *, pictures: Pictures | None = None) -> Figure:
    """Draw the crystal cut open at every temperature, coloured by phase, over the order parameter."""
    seen = pictures or cut_open(series)
    columns = min(COLUMNS, len(series))
    rows = math.ceil(len(series) / columns)
    panel = 7.0 / COLUMNS
    with drawing(ax, 7.8, rows * (panel + 0.22) + 3.0) as (figure, place):
        grid = panels(figure, place, 2, 1, height_ratios=[rows * (panel + 0.22), 2.8])
        crystals = grid[0].subgridspec(rows, columns, wspace=0.02, hspace=0.06)
        shown = [figure.add_subplot(crystals[row // columns, row % columns]) for row in range(len(series))]
        bottom, top, left, right = _frame(seen)
        for row, axes in enumerate(shown):
            axes.imshow(
                seen.images[row, 0, bottom:top, left:right], interpolation="antialiased", rasterized=True
            )
            title(axes, series.labels[row], trusted=bool(series.trusted[row]))
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(not series.trusted[row])
        scale = ScalarMappable(Normalize(-np.pi, np.pi), mpl.colormaps[PHASE_MAP])
        label_phase(figure.colorbar(scale, ax=shown, shrink=0.9, aspect=22, pad=0.01))
        order_parameter(series, figure.add_subplot(grid[1]))
        return figure


def _frame(seen: Pictures) -> tuple[int, int, int, int]:
    """Return the rows and columns (first, one past the last) where any picture shows something."""
    covered = np.max(seen.images[:, 0, :, :, 3], axis=0) > 0
    rows = np.flatnonzero(np.asarray(covered.any(axis=1)))
    columns = np.flatnonzero(np.asarray(covered.any(axis=0)))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
