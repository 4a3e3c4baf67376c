"""Command line of the training, for detached runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from analysis.phasing.architectures import NetworkConfig
from analysis.phasing.training import TrainingConfig, train


def run(
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


def main() -> None:
    """Entry point of `python -m analysis.phasing.training`."""
    typer.run(run)
