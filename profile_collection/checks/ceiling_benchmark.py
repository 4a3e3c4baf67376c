"""Stored scans of a simulated series, phased again now, beside what a start from the truth reaches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from analysis.experiment import Experiment
from analysis.phasing.registration import align
from analysis.phasing.two_lattices import phase
from analysis.results import ScanResult
from callbacks.series import read_results
from profile_collection.checks.truth.comparison import ceiling_of, true_fields, truth_file
from profile_collection.twin.truth import crystal_truth

WANTED_RUTILE = (0.20, 0.45)
"""Rutile fractions whose nearest temperatures are judged beside the reference."""

NEAR, SECONDS = 0.02, 25.0
"""Largest distance to the ceiling, and most CPU seconds of a reconstruction, that are wanted."""


@dataclass(frozen=True)
class CeilingRow:
    """One scan phased again: overlaps with the truth, stored, now and from the truth, and CPU seconds."""

    label: str
    rutile: float
    stored: float
    overlap: float
    ceiling: float
    trusted: bool
    cpu_seconds: float

    @property
    def passed(self) -> bool:
        """Whether the overlap comes near enough to the ceiling in time."""
        return self.ceiling - self.overlap <= NEAR and self.cpu_seconds <= SECONDS


def chosen_scans(scans: Sequence[ScanResult], truth: Path) -> list[tuple[ScanResult, float]]:
    """Return the coldest scan and those nearest to `WANTED_RUTILE`, each with its rutile fraction."""
    rutile = [crystal_truth(truth_file(scan, truth)).rutile_fraction for scan in scans]
    wanted = [min(range(len(scans)), key=lambda n: scans[n].temperature_setpoint)]
    wanted += [min(range(len(scans)), key=lambda n: abs(rutile[n] - goal)) for goal in WANTED_RUTILE]
    return [(scans[n], rutile[n]) for n in dict.fromkeys(wanted)]


def ceiling_rows(results: Path, truth: Path) -> Iterator[CeilingRow]:
    """Phase the chosen scans of a series again; ``results`` and ``truth`` are its two folders."""
    scans = read_results(results)
    if not scans:
        raise FileNotFoundError(f"results are required in {str(results)!r}, none came: analyse the series")
    for scan, rutile in chosen_scans(scans, truth):
        began = time.process_time()
        experiment = Experiment.of_scan(scan)
        found = phase(scan, scan.seed, strain=experiment.transformation_strain, band=experiment.crop)
        used = time.process_time() - began
        true = true_fields(scan, truth)["monoclinic"]
        yield CeilingRow(
            label=scan.label,
            rutile=rutile,
            stored=align(scan.object, true).overlap,
            overlap=align(found.object, true).overlap,
            ceiling=ceiling_of(scan, truth),
            trusted=found.trusted,
            cpu_seconds=used,
        )


def ceiling_table(rows: Sequence[CeilingRow]) -> Table:
    """Return the rows as a table."""
    table = Table(title=f"Simulated series: within {NEAR} of the ceiling in at most {SECONDS:g} CPU s")
    for name in ("scan", "rutile", "stored overlap", "overlap now", "ceiling", "trusted", "CPU s", ""):
        table.add_column(name, justify="left" if name == "scan" else "right")
    for row in rows:
        numbers = [f"{x:.4f}" for x in (row.stored, row.overlap, row.ceiling)]
        verdict = "[green]✓[/]" if row.passed else "[red]✗[/]"
        trusted = "yes" if row.trusted else "NO"
        table.add_row(row.label, f"{row.rutile:.2f}", *numbers, trusted, f"{row.cpu_seconds:.1f}", verdict)
    return table
