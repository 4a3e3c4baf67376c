"""Rutile as the wide crop shows it, beside the simulation's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.experiment import Experiment
from analysis.phasing.registration import align
from analysis.results import ScanResult, read_scan
from analysis.structure import find_rutile
from profile_collection.checks.truth.comparison import true_fields
from profile_collection.checks.truth.verdict import Verdict

WIDE = "wide"
"""Folder beside ``scans`` for reconstructions of a crop that holds the rutile peak."""

ENOUGH = 0.05
"""True rutile fraction from which its map is judged: below, it is a few voxels."""

DICE, FRACTION, PERIOD = 0.8, 0.05, 0.05


@dataclass(frozen=True)
class RutileRow:
    """One wide reconstruction.

    Attributes
    ----------
    label : str
    shape : tuple of int
    trusted : bool
    overlap : float
        With the true object of all density, both lattices.
    fraction, true_fraction : float
        Rutile share of the crystal's volume.
    dice : float
        Twice the common volume of found and true rutile over the sum of the two.
    amplitude_ratio : float
        Amplitude of rutile over that of the rest.
    period, true_period : float, nm
        Length in which the phase of rutile turns once.
    """

    label: str
    shape: tuple[int, ...]
    trusted: bool
    overlap: float
    fraction: float
    true_fraction: float
    dice: float
    amplitude_ratio: float
    period: float
    true_period: float


def compare_rutile(results: Path, truth: Path) -> tuple[RutileRow, ...]:
    """Return a row for each file in ``results/wide``, by temperature; none where there is no such folder.

    Parameters
    ----------
    results, truth : Path
        As for `compare_with_truth`.
    """
    scans = [read_scan(path) for path in sorted((results / WIDE).glob("*.h5"))]
    return tuple(_row(scan, truth) for scan in sorted(scans, key=lambda one: one.temperature_setpoint))


def _row(scan: ScanResult, truth: Path) -> RutileRow:
    fields = true_fields(scan, truth)
    placed = align(scan.object, fields["full"])
    basis, q = fields["voxel_basis"], fields["q_vector"]
    strain = Experiment.of_scan(scan).transformation_strain
    if strain is None:
        raise ValueError(f"{scan.label}: the experiment describes no second lattice to look for")
    found = find_rutile(placed.object, basis, q, transformation=strain)
    ideal = find_rutile(fields["full"], basis, q, transformation=strain)
    crystal = fields["support"] > 0.5
    true = crystal & (fields["rutile"] > 0.5)
    volumes = int(np.count_nonzero(found.mask) + np.count_nonzero(true))
    return RutileRow(
        label=scan.label,
        shape=scan.object.shape,
        trusted=scan.trusted,
        overlap=placed.overlap,
        fraction=found.fraction,
        true_fraction=float(np.count_nonzero(true) / np.count_nonzero(crystal)),
        dice=2 * int(np.count_nonzero(found.mask & true)) / volumes if volumes else 1.0,
        amplitude_ratio=found.amplitude_ratio,
        period=found.period,
        true_period=ideal.period,
    )


def rutile_lines(rows: tuple[RutileRow, ...]) -> list[str]:
    """Return a line of text per wide reconstruction."""
    return [
        f"wide crop {' × '.join(str(n) for n in row.shape)} at {row.label}: "
        f"{'trusted' if row.trusted else 'NOT trusted'}, overlap {row.overlap:.3f}, "
        f"rutile {row.fraction:.3f} ({row.true_fraction:.3f}), dice {row.dice:.3f}, "
        f"amplitude {row.amplitude_ratio:.2f} of M1's, ramp of {row.period:.1f} nm ({row.true_period:.1f})"
        for row in rows
    ]


def rutile_verdicts(rows: tuple[RutileRow, ...]) -> tuple[Verdict, ...]:
    """Return whether rutile is told from M1 in each wide reconstruction that has enough of it."""
    return tuple(
        Verdict(
            f"rutile separated at {row.label}: dice ≥ {DICE:g}, fraction within {100 * FRACTION:.0f} points, "
            f"ramp within {100 * PERIOD:.0f} %",
            f"{row.dice:.3f}, {100 * (row.fraction - row.true_fraction):+.1f} points, "
            f"{100 * (row.period / row.true_period - 1):+.1f} %",
            row.dice >= DICE
            and abs(row.fraction - row.true_fraction) <= FRACTION
            and abs(row.period / row.true_period - 1) <= PERIOD,
        )
        for row in rows
        if row.true_fraction >= ENOUGH
    )
