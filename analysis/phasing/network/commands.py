"""Commands of the network: ``python -m analysis.phasing.network.commands train|evaluate|publish``."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from analysis.phasing.network.crystals import CrystalConfig
from analysis.phasing.network.model import NetworkConfig
from analysis.phasing.network.pretrained import (
    DEFAULT_WEIGHTS,
    compact_checkpoint,
    load_pretrained,
    save_weights,
)
from analysis.phasing.network.training import FOUND, TrainingConfig, measure, train
from analysis.phasing.network.training_data import (
    VALIDATION_SEED,
    DetectorConfig,
    TrainingSetConfig,
    simulate_block,
)


def train_network(
    folder: Annotated[
        Path, typer.Argument(help="Receives weights, checkpoint, loss log and curve; resumes if not empty.")
    ],
    steps: int = TrainingConfig.steps,
    batch: int = TrainingConfig.batch,
    architecture: str = "refined",
    threads: int = TrainingConfig.threads,
    twin_weight: float = TrainingConfig.twin_weight,
    average: float = TrainingConfig.average,
    refinements: int = NetworkConfig.refinements,
) -> None:
    """Train the phasing network; a second call with the same folder continues."""
    network = NetworkConfig(refinements=refinements)
    config = TrainingConfig(
        network=network, steps=steps, batch=batch, threads=threads, twin_weight=twin_weight, average=average
    )
    if architecture == "paper":
        config = replace(config, network=NetworkConfig("paper"), loss="eqn1")
    train(config, folder)


_VALIDATION_BASE = TrainingSetConfig(seed=VALIDATION_SEED)
VALIDATION_CLASSES = {
    "as trained": _VALIDATION_BASE,
    "marginal sampling (0.5 to 0.65 of every axis)": replace(
        _VALIDATION_BASE, crystal=CrystalConfig(marginal_share=1.0)
    ),
    "phase up to 2 pi": replace(_VALIDATION_BASE, crystal=CrystalConfig(max_phase=2 * np.pi)),
    "1e3 to 1e4 photons": replace(_VALIDATION_BASE, detector=DetectorConfig(photons=(1e3, 1e4))),
    "1e5 to 1e6 photons": replace(_VALIDATION_BASE, detector=DetectorConfig(photons=(1e5, 1e6))),
    "no detector effects": replace(
        _VALIDATION_BASE, detector=DetectorConfig(blur_share=0, background_share=0, gap_share=0, dead_share=0)
    ),
}
"""Validation classes; block 1 of the validation seed (block 0 steers the training's log)."""


def evaluate_weights(
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
    for name, config in VALIDATION_CLASSES.items():
        overlaps, losses = measure(pretrained.network, simulate_block(config, 1, patterns))
        error = float(overlaps.std()) / patterns**0.5
        found = float((overlaps > FOUND).float().mean())
        row = (float(overlaps.mean()), error, found, float(losses.median()))
        table.add_row(name, *(f"{x:.3f}" for x in row))
    Console().print(table)


def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    record: Annotated[Path, typer.Argument(help="Receives checkpoint, loss log and curve: docs/training.")],
    target: Annotated[Path, typer.Option(help="Where the shipped weights live.")] = DEFAULT_WEIGHTS.parent,
) -> None:
    """Copy the averaged weights, and what continues the training; the model card is written by hand."""
    trained = load_pretrained(folder / "weights.safetensors")
    save_weights(
        target / f"{trained.config.architecture}.safetensors",
        trained.network,
        trained.config,
        step=int(trained.header["step"]),
        scores=json.loads(trained.header["scores"]),
    )
    compact_checkpoint(folder / "checkpoint.safetensors", record / "checkpoint.safetensors")
    shutil.copyfile(folder / "loss.csv", record / "loss.csv")
    shutil.copyfile(folder / "loss.png", record / "loss.png")


app = typer.Typer(no_args_is_help=True, help="Train the phasing network, score its weights, publish a run.")
app.command("train")(train_network)
app.command("evaluate")(evaluate_weights)
app.command("publish")(publish)

if __name__ == "__main__":
    app()
