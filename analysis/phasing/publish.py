"""Put a finished training run into the package: `python -m analysis.phasing.publish FOLDER`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from analysis.phasing.checkpoints import compact_checkpoint
from analysis.phasing.network import DEFAULT_WEIGHTS, load_pretrained, save_weights


def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    target: Annotated[Path, typer.Option(help="Where the shipped weights live.")] = DEFAULT_WEIGHTS.parent,
) -> None:
    """Copy averaged weights, compact checkpoint, loss log and curve; the model card is written by hand."""
    trained = load_pretrained(folder / "weights.safetensors")
    save_weights(
        target / f"{trained.config.architecture}.safetensors",
        trained.network,
        trained.config,
        step=int(trained.header["step"]),
        scores=json.loads(trained.header["scores"]),
    )
    compact_checkpoint(folder / "checkpoint.safetensors", target / "checkpoint.safetensors")
    shutil.copyfile(folder / "loss.csv", target / "loss.csv")
    shutil.copyfile(folder / "loss.png", target / "loss.png")
