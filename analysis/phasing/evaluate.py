"""Held-out scores of a weights file as a table: `python -m analysis.phasing.evaluate [WEIGHTS]`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from analysis.phasing.crystals import CrystalConfig
from analysis.phasing.evaluation import FOUND, measure
from analysis.phasing.network import load_pretrained
from analysis.phasing.patterns import DetectorConfig
from analysis.phasing.training_set import VALIDATION_SEED, TrainingSetConfig, simulate_block

_BASE = TrainingSetConfig(seed=VALIDATION_SEED)
CLASSES = {
    "as trained": _BASE,
    "marginal sampling (0.5 to 0.65 of every axis)": replace(
        _BASE, crystal=CrystalConfig(marginal_share=1.0)
    ),
    "phase up to 2 pi": replace(_BASE, crystal=CrystalConfig(max_phase=2 * np.pi)),
    "1e3 to 1e4 photons": replace(_BASE, detector=DetectorConfig(photons=(1e3, 1e4))),
    "1e5 to 1e6 photons": replace(_BASE, detector=DetectorConfig(photons=(1e5, 1e6))),
    "no detector effects": replace(
        _BASE, detector=DetectorConfig(blur_share=0, background_share=0, gap_share=0, dead_share=0)
    ),
}
"""Validation classes; block 1 of the validation seed (block 0 steers the training's log)."""


def run(
    weights: Annotated[Path | None, typer.Argument(help="Weights file; default: the shipped one.")] = None,
    patterns: Annotated[int, typer.Option(help="Patterns per class.")] = 128,
    threads: int = 1,
) -> None:
    """Score the network alone (one orientation, no iterative engine) on the validation classes."""
    torch.set_num_threads(threads)
    pretrained = load_pretrained(weights)
    table = Table(title=f"{pretrained.config.architecture}, step {pretrained.header.get('step')}")
    for column in ("class", "mean overlap", "±", f"share > {FOUND}", "median chi-squared"):
        table.add_column(column)
    for name, config in CLASSES.items():
        overlaps, losses = measure(pretrained.network, simulate_block(config, 1, patterns))
        error = float(overlaps.std()) / patterns**0.5
        found = float((overlaps > FOUND).float().mean())
        row = (float(overlaps.mean()), error, found, float(losses.median()))
        table.add_row(name, *(f"{x:.3f}" for x in row))
    Console().print(table)
