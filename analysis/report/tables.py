"""The tables of a series: order parameter and fit (S1), χ² (S2), strain, plane spacing, domains."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.experiment import Experiment, paper
from analysis.figures import Morphology
from analysis.results import ScanResult, SeriesResult, replacing
from analysis.structure import KINDS, Domain

UNKNOWN = "–"


@dataclass(frozen=True)
class Table:
    """Text in rows, one for each temperature.

    Attributes
    ----------
    name : str
        For file and anchor.
    title, note : str
    columns : tuple of str
    rows : tuple of tuple of str
    doubtful : tuple of bool
        Rows of temperatures that are not trusted.
    """

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    doubtful: tuple[bool, ...]

    def write(self, folder: Path) -> Path:
        """Write the table as CSV into ``folder`` and return its path."""
        path = Path(folder) / f"{self.name}.csv"
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([self.columns, *self.rows])
        return path


def all_tables(series: SeriesResult, results: Sequence[ScanResult], measured: Morphology) -> list[Table]:
    """Return every table of a series; ``results`` are those that it counts, in its order."""
    tables = [
        order_parameter_table(series),
        chi_squared_table(series, results),
        strain_table(series, results),
        d_spacing_table(series),
        morphology_table(series, measured),
    ]
    if any(result.transfer for result in results):
        tables.append(network_table(series, results))
    return [*tables, domain_table(series)] if series.structure.domains else tables


def order_parameter_table(series: SeriesResult) -> Table:
    """Return Table S1: order parameter, fit and errors of each temperature."""
    heads = (
        "O (rad)",
        "best fit (rad)",
        "residual (rad)",
        "error (rad)",
        "PC2 (rad)",
        "RMS Δφ (rad)",
        "valid",
    )
    steps = "; ".join(
        f"Transition model, {series.scans.leg_name(one.leg)}: "
        f"T_c {one.t_c:.2f} ± {one.t_c_error:.2f} K, width {one.width:.2f} K"
        + (f" ± {one.width_error:.2f} K" if one.width_error is not None else " (at its limit)")
        for one in series.fit.transitions
    )
    note = (
        "O = v₁ᵀΔφ against "
        + series.reference
        + "; residual: the paper's error bar; error: over seeds where "
        "there are several, else by a bootstrap over voxels, and at least what repeated temperatures show. "
        + (steps or "No leg has enough temperatures for a transition model.")
    )

    spread = series.order.spread
    cells = [
        [
            number(series.order.parameter[row], 2),
            number(series.fit.values[row], 2),
            number(series.fit.residual[row], 2),
            number(spread[row], 2),
            number(series.order.scores[row, 1], 2),
            number(series.order.rms_phase[row], 3),
            number(100 * series.order.valid_fraction[row], 1, " %"),
        ]
        for row in range(len(series))
    ]
    return _table("order_parameter_and_fit", "Order parameter and fit (Table S1)", note, series, heads, cells)


def chi_squared_table(series: SeriesResult, results: Sequence[ScanResult]) -> Table:
    """Return Table S2: χ² of each temperature, with what else speaks for or against it."""
    heads = (
        "χ²",
        "noise ratio",
        "L3 after transfer learning",
        "the paper's loss",
        "resolution (nm)",
        "monitor σ",
        "overlap with neighbour",
        "twin margin",
        "verdict",
    )
    note = (
        "χ² = Σ(√I_p − √I_m)²/ΣI_m over measured voxels. Noise ratio: the same misfit against what counting "
        "alone would give; 1 is the noise itself. L3 after transfer learning: where the curve of Fig. 2b "
        "ends, of the network's object and the central voxels alone. The paper's loss: not comparable: the "
        "paper does not define its average. Resolution: what several seeds agree to (vo2 repeat). "
        "Monitor σ: how far the incident flux strayed during the scan."
    )

    cells = [
        [
            number(series.scans.chi_squared[row], 5),
            number(series.scans.noise_ratio[row], 2),
            UNKNOWN if result.transfer is None else number(result.transfer.final_loss, 4),
            _loss_of_the_paper(result),
            number(series.scans.resolution[row], 0),
            number(100 * series.scans.monitor_spread[row], 2, " %"),
            number(series.gauge.overlap[row], 3),
            number(series.gauge.margin[row], 3),
            verdict(series, row),
        ]
        for row, result in enumerate(results)
    ]
    return _table("chi_squared", "χ² per temperature (Table S2)", note, series, heads, cells)


PAPER_LOSSES = {345.0: 0.0329, 365.0: 0.0807}
"""Najeeb et al., Fig. 2b: average training loss by temperature, K."""


def _loss_of_the_paper(result: ScanResult) -> str:
    same = result.branch == "heating" and Experiment.of_scan(result).name == paper().name
    return number(PAPER_LOSSES.get(result.temperature_setpoint, np.nan) if same else np.nan, 4)


def network_table(series: SeriesResult, results: Sequence[ScanResult]) -> Table:
    """Return what the network alone would have said of each temperature, with and without transfer."""
    heads = (
        "overlap, guess",
        "overlap, transfer",
        "phase RMS (rad)",
        "L3, guess",
        "L3, transfer",
        "L3, search",
        "epochs",
    )
    note = (
        "The network's guess, and its object after transfer learning on the pattern, against the search's "
        "object on the network's 32³ voxels; L3 is χ² of the central 32³ voxels of q. It counts nowhere."
    )
    cells = [
        [UNKNOWN] * len(heads)
        if (one := result.transfer) is None or not len(one.overlaps)
        else [
            number(one.overlaps[0], 3),
            number(one.overlaps[-1], 3),
            number(one.phase_rms, 2),
            number(one.loss_history[0], 4),
            number(one.final_loss, 4),
            number(one.search_loss, 4),
            str(one.epochs),
        ]
        for result in results
    ]
    return _table("network_alone", "What the network alone would have said", note, series, heads, cells)


def strain_table(series: SeriesResult, results: Sequence[ScanResult]) -> Table:
    """Return the strain statistics inside each isosurface, and surface against bulk."""
    percents = sorted({percent for result in results for percent in result.strain}, key=float)
    surfaces = series.structure.surface_bulk
    columns = {"max_abs": "max |ε|", "mean_abs": "mean |ε|", "sigma": "σ"}
    heads = tuple(f"{name}, {percent} %" for percent in percents for name in columns.values())
    shells = ("σ surface", "σ bulk") if surfaces else ()
    note = "Strain along Q in 10⁻⁴, tensile positive. From 99 % on, ringing in the rim adds to it."
    if surfaces:
        note += f" Surface: within {surfaces[0].shell:.0f} nm of the reference's outline."

    cells = [
        [
            number(1e4 * result.strain[percent][name], 2) if percent in result.strain else UNKNOWN
            for percent in percents
            for name in columns
        ]
        for result in results
    ]
    for row, shell in zip(cells, surfaces, strict=False):  # none where there are no shells
        row += [number(1e4 * shell.surface.sigma, 2), number(1e4 * shell.bulk.sigma, 2)]
    return _table("strain", "Strain along Q", note, series, (*heads, *shells), cells)


def d_spacing_table(series: SeriesResult) -> Table:
    """Return the plane spacing of each temperature."""
    heads = ("d (Å)", "error (Å)", "d from the ramp (Å)", "Bragg shift (10⁻⁴ Å⁻¹)", "change (10⁻⁴)")
    note = (
        "From the peak's centre of mass, and from the phase ramp that the gauge took out; "
        f"change: against {series.reference}."
    )
    start = float(series.lattice.d_spacing[series.gauge.reference])

    cells = [
        [
            number(series.lattice.d_spacing[row], 5),
            number(series.lattice.d_spacing_error[row], 6),
            number(series.lattice.d_spacing_ramp[row], 5),
            number(1e4 * series.lattice.bragg_shift[row], 3),
            number(1e4 * (series.lattice.d_spacing[row] / start - 1), 3),
        ]
        for row in range(len(series))
    ]
    return _table("d_spacing", "Plane spacing", note, series, heads, cells)


def morphology_table(series: SeriesResult, measured: Morphology) -> Table:
    """Return thickness and total density of each temperature."""
    unit = "photons per monitor count" if measured.absolute else "relative to the reference"
    heads = (f"mean thickness along {measured.axis} (nm)", f"total density ({unit})")
    note = (
        "Thickness between half-amplitude facets; density: Σ|ρ|² of the analysed band at one incident flux."
    )

    cells = [
        [number(thickness, 0), f"{density:.4g}"]
        for thickness, density in zip(measured.thickness, measured.density, strict=True)
    ]
    return _table("morphology", "Size and density", note, series, heads, cells)


def domain_table(series: SeriesResult) -> Table:
    """Return the domain fractions and the number of islands of each temperature."""
    islands = (Domain.COMPRESSIVE, Domain.TENSILE, Domain.MISSING)
    heads = (
        *(f"{kind.name.lower()} (%)" for kind in KINDS),
        *(f"{kind.name.lower()} islands" for kind in islands),
        "false alarms (%)",
    )
    note = (
        "Share of the reference's volume; neutral: within "
        f"±{1e4 * series.structure.domains[0].neutral_band:g}·10⁻⁴ of the mean strain. "
        "False alarms: what the same test would call missing of a whole crystal."
    )

    cells = [
        [
            *(number(100 * found.fractions[kind.name.lower()], 1) for kind in KINDS),
            *(str(found.count(kind)) for kind in islands),
            number(100 * found.false_alarm_rate, 2),
        ]
        for found in series.structure.domains
    ]
    return _table("domains", "Domains and missing density", note, series, heads, cells)


def verdict(series: SeriesResult, row: int) -> str:
    """Return in a word or two what a temperature's value is worth."""
    if not series.trusted[row]:
        return "not trusted"
    return "provisional" if series.provisional[row] else "trusted"


def number(value: float, digits: int, unit: str = "") -> str:
    """Return a number as text with a true minus sign; what is not finite is a dash."""
    if not np.isfinite(value):
        return UNKNOWN
    text = f"{value:.{digits}f}{unit}"
    return text.replace("-", "−") if float(f"{value:.{digits}f}") else text.lstrip("-")


def _table(
    name: str,
    heading: str,
    note: str,
    series: SeriesResult,
    heads: Sequence[str],
    cells: Sequence[Sequence[str]],
) -> Table:
    """Return a table whose first columns name the temperature and say its mean with standard deviation."""
    rows = tuple(
        (
            series.scans.labels[row],
            f"{series.scans.temperatures[row]:.3f} ± {series.scans.temperature_sigma[row]:.3f}",
            *values,
        )
        for row, values in enumerate(cells)
    )
    doubtful = tuple(not trusted for trusted in series.trusted)
    return Table(name, heading, note, ("setpoint", "T (K)", *heads), rows, doubtful)
