"""Transfer learning: fine-tune a copy of the pretrained network on one pattern (the paper's second step).

Only the Fourier loss drives it, L3 of `losses.fourier_loss`: the sum of (s sqrt(I_p) - sqrt(I_m))^2 over the
measured voxels of the central 32^3, divided by the sum of I_m, at the best scale s. A low value is not a
correct object: the curve is a figure (the paper's Fig 2b), never a proof.
"""

from __future__ import annotations

import copy

import numpy as np
import torch

from analysis.phasing.network.losses import fourier_loss
from analysis.phasing.network.model import ORIENTATIONS, orient_back
from analysis.phasing.network.pretrained import (
    Pretrained,
    central_counts,
    mixed_precision,
    scaled_to_counts,
    turned_inputs,
)


def fine_tune(
    pretrained: Pretrained,
    intensity: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    steps: int = 100,
    seed: int = 0,
    learning_rate: float = 1e-4,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Fine-tune on one pattern, leaving the pretrained weights as they are.

    Parameters
    ----------
    pretrained : Pretrained
    intensity : (n0, n1, n2) array
        Counts, q = 0 at index n // 2.
    mask : (n0, n1, n2) bool array, optional
        True where not measured.
    steps : int
        Optimizer steps (the paper: several hundred epochs of the one pattern).
    seed : int
        Chooses the orientation of the input, seed modulo 48; nothing else is random.
    learning_rate : float
        Of Adam.

    Returns
    -------
    objects : list of (32, 32, 32) complex64 arrays
        The object before fine-tuning and the one with the lowest loss, as `Pretrained.guess` returns them.
    loss_history : (steps + 1,) float array
        Fourier loss before each step, and at the end.
    """
    if steps < 1:
        raise ValueError(f"fine-tuning needs at least one step; got {steps!r}")
    counts, masked = central_counts(intensity, mask)
    if not bool(counts.any()):
        raise ValueError(
            "fine-tuning needs a pattern with counts in its central 32 voxels; all are zero or masked"
        )
    number = seed % len(ORIENTATIONS)
    kept, history = _descend(pretrained, *turned_inputs(counts, masked, [number]), steps, learning_rate)
    objects = [scaled_to_counts(orient_back(obj, number), counts, masked) for obj in kept]
    return objects, np.array(history)


def _descend(
    pretrained: Pretrained, counts: torch.Tensor, mask: torch.Tensor, steps: int, rate: float
) -> tuple[list[torch.Tensor], list[float]]:
    """First and best object, (32, 32, 32) complex64 tensors, and the loss history."""
    # Evaluation mode: batch statistics of a single pattern would destroy what training learned.
    network = copy.deepcopy(pretrained.network).eval().requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    modulus, measured = counts.sqrt(), ~mask
    history: list[float] = []
    first = best = torch.empty(0)
    for step in range(steps + 1):
        with mixed_precision():
            guess = network(counts, mask)[-1]
        loss = fourier_loss(guess, modulus, measured).mean()
        history.append(float(loss.detach()))
        if step == 0:
            first = guess[0].detach()
        if history[-1] <= min(history):
            best = guess[0].detach()
        if step < steps:
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return [first, best], history
