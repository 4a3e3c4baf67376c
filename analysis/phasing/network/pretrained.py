"""Pretrained weights and training checkpoints, as safetensors without pickle.

And the coarse guesses they make.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from analysis.phasing.network.model import (
    ORIENTATIONS,
    SIZE,
    NetworkConfig,
    build_network,
    orient,
    orient_back,
)

CHECKPOINT_FORMAT = "vo2-bcdi training checkpoint"
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
    header = {"format": CHECKPOINT_FORMAT, "step": str(step), "recipe": json.dumps(recipe)}
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata=header)
    temporary.replace(path)


def read_recipe(path: Path) -> tuple[int, dict[str, Any]]:
    """Step and training configuration of a checkpoint."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
    if header.get("format") != CHECKPOINT_FORMAT:
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


WEIGHTS_FORMAT = "vo2-bcdi phasing network"
WEIGHTS_VERSION = 1
DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "refined.safetensors"


@dataclass(frozen=True)
class Pretrained:
    """A trained network, ready to guess; treat its weights as read-only.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    config : NetworkConfig
    hash : str
        SHA-256 of the weights file.
    header : dict of str
        What the file says about itself (training step, held-out scores, ...).
    """

    network: nn.Module
    config: NetworkConfig
    hash: str
    header: dict[str, str]

    def guess(
        self,
        intensity: np.ndarray,
        mask: np.ndarray | None = None,
        *,
        orientations: Sequence[int] = (0,),
        threads: int | None = None,
    ) -> list[np.ndarray]:
        """Guess the object from a pattern of any size, once per orientation of the input.

        Parameters
        ----------
        intensity : (n0, n1, n2) array
            Counts, q = 0 at index n // 2, each size at least 32; only the central 32 voxels are used.
        mask : (n0, n1, n2) bool array, optional
            True where not measured.
        orientations : sequence of int
            Numbers 0 to 47 (`orientations.ORIENTATIONS`); each gives another opinion, turned back to the
            input's axes.
        threads : int, optional
            Number of torch threads; the setting before the call is restored.

        Returns
        -------
        list of (32, 32, 32) complex64 arrays
            Coarse objects on the WHOLE field of view (non-zero in its central three quarters), centre at
            index 16; a voxel is n / 32 fine voxels wide along each axis: pad the transform with zeros.
            The scale is such that the transform's modulus fits the central counts.
        """
        counts, masked = central_counts(intensity, mask)
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        try:
            with torch.inference_mode(), mixed_precision():
                chunks = [orientations[i : i + 8] for i in range(0, len(orientations), 8)]
                return [obj for chunk in chunks for obj in _guess(self.network, counts, masked, chunk)]
        finally:
            torch.set_num_threads(before)


def central_counts(intensity: np.ndarray, mask: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the central 32 voxels of q: counts (32, 32, 32) float32, 0 where unmeasured, and the mask, bool."""
    if intensity.ndim != 3 or min(intensity.shape) < SIZE:
        raise ValueError(
            f"the network needs a 3D pattern of at least {SIZE} voxels per axis; got {intensity.shape!r}"
        )
    if mask is not None and mask.shape != intensity.shape:
        raise ValueError(f"the mask must have the pattern's shape {intensity.shape!r}; got {mask.shape!r}")
    window = tuple(slice(n // 2 - SIZE // 2, n // 2 + SIZE // 2) for n in intensity.shape)
    counts = np.array(intensity[window], dtype=np.float32)
    masked = np.zeros(counts.shape, bool) if mask is None else np.array(mask[window], dtype=bool)
    masked |= ~np.isfinite(counts)
    counts[masked] = 0
    return torch.from_numpy(np.maximum(counts, 0)), torch.from_numpy(masked)


def mixed_precision() -> torch.autocast:
    """Autocast to bfloat16 where this CPU computes in it: 1.5 to 4 times faster, overlaps equal to 1e-3."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=computes_in_bfloat16())


def computes_in_bfloat16() -> bool:
    """Return whether this CPU does; others would emulate it, which is slower than float32."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def _guess(
    network: nn.Module, counts: torch.Tensor, mask: torch.Tensor, orientations: Sequence[int]
) -> list[np.ndarray]:
    """Guess from several orientations of one pattern at a time: a batch is cheaper than its parts."""
    turned = turned_inputs(counts, mask, orientations)
    objects = [orient_back(obj, n) for obj, n in zip(network(*turned)[-1], orientations, strict=True)]
    return [scaled_to_counts(obj, counts, mask) for obj in objects]


def turned_inputs(
    counts: torch.Tensor, mask: torch.Tensor, orientations: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack counts and mask (32, 32, 32) in several orientations, both (n, 32, 32, 32)."""
    wrong = [number for number in orientations if not 0 <= number < len(ORIENTATIONS)]
    if wrong:
        raise ValueError(f"an orientation is a number from 0 to {len(ORIENTATIONS) - 1}; got {wrong!r}")
    return (
        torch.stack([orient(counts, number) for number in orientations]),
        torch.stack([orient(mask, number) for number in orientations]),
    )


def scaled_to_counts(obj: torch.Tensor, counts: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """Scale the object, (32, 32, 32) complex64, so that its transform's modulus best fits the counts."""
    modulus = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(obj))).abs() * ~mask
    scale = (modulus * counts.sqrt()).sum() / modulus.square().sum().clamp_min(1e-20)
    return (obj * scale).numpy().astype(np.complex64)


def save_weights(
    path: Path,
    network: nn.Module,
    config: NetworkConfig,
    *,
    step: int = 0,
    scores: dict[str, float] | None = None,
) -> None:
    """Write half-precision safetensors with a header that `load_pretrained` verifies; whole or not at all."""
    header = {
        "format": WEIGHTS_FORMAT,
        "version": str(WEIGHTS_VERSION),
        "architecture": json.dumps(asdict(config)),
        "step": str(step),
        "scores": json.dumps(scores or {}),
    }
    tensors = {name: _halved(tensor.detach()).contiguous() for name, tensor in network.state_dict().items()}
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata=header)
    temporary.replace(path)


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    """Floats as float16: half the file, a rounding of 5e-4; counters as they are."""
    return tensor.half() if tensor.is_floating_point() else tensor


def load_pretrained(path: str | Path | None = None) -> Pretrained:
    """Load and verify trained weights; without a path, the weights that ship with the package."""
    path = Path(path) if path is not None else DEFAULT_WEIGHTS
    if not path.is_file():
        raise ValueError(
            f"a weights file is required; {str(path)!r} does not exist: train one or give its path"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{str(path)!r} is not a readable safetensors file ({error}): it may be cut short"
        ) from error
    config = _verified_config(path, header)
    network = build_network(config)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(
            f"the tensors of {str(path)!r} do not fit its own architecture {config!r}"
        ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Pretrained(network.eval().requires_grad_(False), config, digest, header)


def _verified_config(path: Path, header: dict[str, str]) -> NetworkConfig:
    if header.get("format") != WEIGHTS_FORMAT:
        raise ValueError(
            f"{str(path)!r} is not a weights file of this software: its header must say "
            f"format {WEIGHTS_FORMAT!r}, it says {header.get('format')!r}"
        )
    if header.get("version") != str(WEIGHTS_VERSION):
        raise ValueError(
            f"{str(path)!r} has weights format version {header.get('version')!r}; this software reads "
            f"{WEIGHTS_VERSION!r}: train again or use the software that wrote it"
        )
    try:
        return NetworkConfig(**json.loads(header["architecture"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the header of {str(path)!r} names no architecture that is known here ({error})"
        ) from error
