"""Size and amount of the crystal against temperature (Najeeb et al., beside Fig 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.style import GREY, LINES, MARKERS, VERMILLION, drawing, leg_colours, panels
from analysis.results import ScanResult, SeriesResult
from analysis.structure import HALF, amplitude_level

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Morphology:
    """Size and total density of each temperature of a series.

    Attributes
    ----------
    temperatures : ndarray, (n,) float64, K
    branches : tuple of str
    legs : ndarray, (n,) int64
        Number of the leg, as in `SeriesScans`.
    trusted : ndarray, (n,) bool
    thickness : ndarray, (n,) float64, nm
        Mean distance between the first and the last facet along the reference's thinnest axis.
    axis : str
        Name of that axis of the orthogonal grid.
    density : ndarray, (n,) float64
        Σ abs(ρ)² in the units of ``absolute``.
    absolute : bool
        True: photons in the analysed band per monitor count, at full transmission. False: relative to
        the reference, for the monitor or the attenuator of some scan is not known.
    critical_region : tuple of float or None, K
        Shaded from its first to its last temperature.
    """

    temperatures: Floats
    branches: tuple[str, ...]
    legs: NDArray[np.int64]
    trusted: NDArray[np.bool_]
    thickness: Floats
    axis: str
    density: Floats
    absolute: bool
    critical_region: tuple[float, float] | None = None


def measure_morphology(series: SeriesResult, results: Sequence[ScanResult]) -> Morphology:
    """Return thickness and total density of a series' temperatures.

    Σ abs(ρ)² is, by Parseval, the number of photons in the analysed band over the number of voxels; it is
    brought to one incident flux by the monitor and the attenuator's transmission.
    """
    by_uid = {result.run_uid: result for result in results}
    chosen = [by_uid[uid] for uid in series.scans.run_uids]
    pitch = np.linalg.norm(series.gauge.basis, axis=0)
    reference = series.gauge.reference
    inside = [
        np.abs(array) > HALF * amplitude_level(array, series.gauge.support) for array in series.gauge.aligned
    ]
    spans = [thickness(inside[reference], axis) * pitch[axis] for axis in range(3)]
    axis = int(np.argmin(spans))
    photons = np.array([float(np.sum(np.abs(one.object) ** 2)) * one.object.size for one in chosen])
    flux = np.array([incident_flux(one) for one in chosen])
    absolute = bool(np.isfinite(flux).all())
    density = photons / flux if absolute else photons / photons[reference]
    return Morphology(
        temperatures=series.scans.temperatures,
        branches=series.scans.branches,
        legs=series.scans.legs,
        trusted=series.trusted,
        thickness=np.array([thickness(mask, axis) * pitch[axis] for mask in inside]),
        axis="xyz"[axis],
        density=density,
        absolute=absolute,
        critical_region=series.critical_region,
    )


def thickness(inside: NDArray[np.bool_], axis: int) -> float:
    """Return the mean distance, voxels, from the first to the last voxel inside, over all lines that hit."""
    lines = np.moveaxis(inside, axis, -1).reshape(-1, inside.shape[axis])
    lines = lines[lines.any(axis=1)]
    if not len(lines):
        return 0.0
    first, last = lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    return float((last - first + 1).mean())


def incident_flux(result: ScanResult) -> float:
    """Return mean monitor counts times transmission of a scan; NaN where the monitor was not recorded.

    A scan whose attenuator is not on record ran without one.
    """
    monitor = float(result.instrument.get("ic1monitor", np.nan))
    transmission = float(result.instrument.get("transmission", 1.0))
    return monitor * transmission if monitor > 0 and transmission > 0 else float("nan")


def morphology(measured: Morphology, ax: Axes | None = None) -> Figure:
    """Draw thickness and total density against temperature, the critical region shaded."""
    with drawing(ax, 7.2, 2.7) as (figure, place):
        grid = panels(figure, place, 1, 2)
        left, right = (figure.add_subplot(grid[0, column]) for column in range(2))
        _draw(left, measured, measured.thickness)
        left.set(ylabel=f"mean thickness along {measured.axis} (nm)")
        _draw(right, measured, measured.density)
        unit = "photons per monitor count" if measured.absolute else "relative to the reference"
        right.set(ylabel=f"total density in the band\n({unit})")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return figure


def _draw(ax: Axes, measured: Morphology, values: Floats) -> None:
    if measured.critical_region is not None:
        low, high = measured.critical_region
        ax.axvspan(low - 1, high + 1, color="#e6e6e6", zorder=0, label="critical region")
    colours = leg_colours(int(measured.legs[-1]) + 1)
    for leg, colour in enumerate(colours):
        here = measured.legs == leg
        branch = measured.branches[int(np.flatnonzero(here)[0])]
        good, doubtful = here & measured.trusted, here & ~measured.trusted
        ax.plot(measured.temperatures[here], values[here], linestyle=LINES[branch], color=GREY, linewidth=0.8)
        name = branch if len(colours) <= 2 else f"{branch}, leg {leg + 1}"
        ax.plot(
            measured.temperatures[good],
            values[good],
            MARKERS[branch],
            color=colour,
            markersize=4.5,
            label=name,
        )
        if doubtful.any():
            ax.plot(
                measured.temperatures[doubtful],
                values[doubtful],
                MARKERS[branch],
                color=VERMILLION,
                markerfacecolor="white",
                label=f"{name}, not trusted",
            )
    ax.set_xlabel("temperature (K)")
    low, high = float(values.min()), float(values.max())
    room = 0.15 * (high - low) if high - low > 0.15 * high else 0.15 * high
    ax.set_ylim(max(0.0, low - room), high + room)
