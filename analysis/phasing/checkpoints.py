"""Training checkpoints as safetensors (no pickle): model, average, optimizer and step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

FORMAT = "vo2-bcdi training checkpoint"
_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    recipe: dict[str, Any],
) -> None:
    """Write everything the next step depends on; random numbers follow from (seed, step).

    Parameters
    ----------
    recipe : dict
        JSON-able training configuration, kept in the header.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for name, parameter in model.named_parameters():
        for moment in _MOMENTS:
            if parameter in optimizer.state:
                tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "step": str(step), "recipe": json.dumps(recipe)}
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata=header)
    temporary.replace(path)


def read_recipe(path: Path) -> tuple[int, dict[str, Any]]:
    """Step and training configuration of a checkpoint."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
    if header.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} is not a training checkpoint of this software; got {header!r}")
    return int(header["step"]), json.loads(header["recipe"])


def load_checkpoint(
    path: Path, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Restore what `save_checkpoint` wrote into the given objects; returns the step."""
    step, _ = read_recipe(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: _full(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    for prefix, module in (("model.", model), ("average.", average)):
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
    for name, parameter in model.named_parameters():
        moments = {
            m: tensors[f"{m}.{name}"].to(parameter.device) for m in _MOMENTS if f"{m}.{name}" in tensors
        }
        if moments:
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
    return step


def compact_checkpoint(source: Path, target: Path) -> None:
    """Copy a checkpoint at half its size, for the repository: weights as float16, moments as bfloat16.

    Training continues from it, but not bit for bit as from the original.
    """
    with safe_open(source, framework="pt") as file:
        header = file.metadata()
        tensors = {name: _compact(name, file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, target, metadata=header)


def _compact(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    # Squared gradients fall below what float16 can hold.
    return tensor.to(torch.bfloat16 if name.startswith(_MOMENTS) else torch.float16)


def _full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor
