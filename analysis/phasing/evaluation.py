"""Held-out scores of a network alone, before any iterative refinement."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from analysis.phasing.losses import fourier_loss, overlap
from analysis.phasing.training_set import Batch

FOUND = 0.8
"""Overlap above which an iterative engine usually finishes the work."""


@dataclass(frozen=True)
class Scores:
    """Means over held-out patterns.

    Parameters
    ----------
    overlap : float
        abs(<p, g>) / (norm p, norm g), the better twin, no shift allowed.
    chi_squared : float
        Fourier loss (scale-free) against the noiseless pattern, median.
    found : float
        Share of patterns with an overlap above `FOUND`.
    """

    overlap: float
    chi_squared: float
    found: float


def score(network: nn.Module, batch: Batch, chunk: int = 16) -> Scores:
    """Score the network's last refinement on simulated patterns."""
    overlaps, losses = measure(network, batch, chunk)
    return Scores(float(overlaps.mean()), float(losses.median()), float((overlaps > FOUND).float().mean()))


@torch.no_grad()
def measure(network: nn.Module, batch: Batch, chunk: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlap and scale-free chi-squared of each pattern, both (n,) float32 tensors."""
    device = next(network.parameters()).device
    overlaps, losses = [], []
    for start in range(0, len(batch), chunk):
        part = batch.pick(slice(start, start + chunk)).to(device)
        guess = network(part.counts, part.mask)[-1]
        overlaps.append(overlap(guess, part.truth))
        losses.append(fourier_loss(guess, part.modulus))
    return torch.cat(overlaps).cpu(), torch.cat(losses).cpu()
