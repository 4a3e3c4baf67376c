"""Transfer learning: fine-tune a copy of the pretrained network on one pattern (the paper's second step).

Only the Fourier loss drives it. `transfer` is the paper's, for as many epochs as wanted: its L3 predicts
counts as they are measured (`losses.CountsLoss`), so that a right object leaves little more than noise.
`fine_tune` is the last resort of a search: a few steps, with L3 of plain moduli (`losses.fourier_loss`). A
low value is not a correct object: the curve is a figure (the paper's Fig 2b), never a proof.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.phasing.config import DEFAULT, TransferConfig
from analysis.phasing.network.losses import CountsLoss, fourier_loss
from analysis.phasing.network.model import ORIENTATIONS, SIZE, orient_back
from analysis.phasing.network.pretrained import (
    Pretrained,
    central_counts,
    computes_in_bfloat16,
    mixed_precision,
    scaled_to_counts,
    turned_inputs,
)
from analysis.phasing.pattern import COHERENT, Pattern, Triple
from analysis.phasing.projections import fixed_threads, to_centre, to_corner
from analysis.phasing.registration import register
from analysis.phasing.schedules import crop, resample
from analysis.results import Transfer

Between = Callable[[int, float], None]
"""Told the epoch and its loss before each epoch; may wait, and ends the learning by raising."""


def transfer(
    pretrained: Pretrained,
    pattern: Pattern,
    *,
    coherence: Triple = COHERENT,
    response: NDArray[np.float32] | None = None,
    reference: NDArray[np.complex64] | None = None,
    seed: int = 0,
    config: TransferConfig = DEFAULT.transfer,
    between: Between = lambda epoch, loss: None,
) -> Transfer:
    """Fine-tune on one pattern, leaving the pretrained weights as they are.

    One thread computes, however many torch has. The network sees the counts corrected for voxel width and
    blur (`Pattern.amplitude`); its object answers for the counts themselves.

    Parameters
    ----------
    pretrained : Pretrained
    pattern : Pattern
    coherence : three float, voxels
        Blur of the pattern per axis, as the search found it.
    response : (n0, n1, n2) float32 array, q = 0 at index n // 2, optional
        What is counted of what should be (exposure times flat field, given and found); by default the flat
        field that was given.
    reference : (n0, n1, n2) complex64 array, centred, optional
        The search's object. Its loss, and the overlap with it, are measured and steer nothing.
    seed : int
        Chooses the orientation of the input, seed modulo 48; nothing else is random.
    config : TransferConfig
    between : callable
        Called before each epoch with its number and the loss.
    """
    _check(config)
    began = time.thread_time()
    number = seed % len(ORIENTATIONS)
    with fixed_threads(1):
        loss, corrected, mask = _centre_of(pattern, coherence, response)
        known = None if reference is None else _coarse(reference)
        losses, epochs, overlaps = [], [], []
        guess = torch.empty(0)
        inputs = turned_inputs(corrected, mask, [number])
        for epoch, (turned, value) in enumerate(
            _tuned(pretrained, *inputs, lambda g: loss(orient_back(g, number)), config)
        ):
            guess = orient_back(turned, number)
            losses.append(value)
            if known is not None and (epoch % config.overlap_every == 0 or epoch == config.epochs):
                epochs.append(epoch)
                overlaps.append(register(to_corner(guess), known).overlap)
            between(epoch, value)
        scale = loss.scale(loss.predict(guess)).sqrt()
        search_loss, rms = float("nan"), float("nan")
        if known is not None:
            search_loss = float(loss(to_centre(known)))
            rms = phase_rms(register(to_corner(guess), known).object, known)
    return Transfer(
        object=(scale * guess).numpy().astype(np.complex64),
        loss_history=np.array(losses),
        overlap_epochs=np.array(epochs, np.int64),
        overlaps=np.array(overlaps, np.float64),
        search_loss=search_loss,
        phase_rms=rms,
        learning_rate=config.learning_rate,
        seed=seed,
        weights_hash=pretrained.hash,
        precision="bfloat16" if computes_in_bfloat16() else "float32",
        cpu_seconds=time.thread_time() - began,
    )


def phase_rms(obj: torch.Tensor, reference: torch.Tensor) -> float:
    """Return the RMS phase difference, rad, of registered objects, weighted with the reference's density."""
    density, product = reference.abs().square(), obj * reference.conj()
    return float(((product.angle().square() * density).sum() / density.sum()).sqrt())


def _check(config: TransferConfig) -> None:
    if config.epochs < 0 or config.overlap_every < 1:
        raise ValueError(
            "transfer learning needs 0 epochs or more, and at least one from an overlap to the next; got "
            f"epochs={config.epochs!r}, overlap_every={config.overlap_every!r}"
        )


def _centre_of(
    pattern: Pattern, coherence: Triple, response: NDArray[np.float32] | None
) -> tuple[CountsLoss, torch.Tensor, torch.Tensor]:
    """Return the loss on the central voxels of q, corrected counts and mask there, (32, 32, 32) centred."""
    given = torch.ones_like(pattern.counts) if pattern.gain is None else pattern.gain
    factor = given
    if response is not None:
        factor = to_corner(torch.from_numpy(np.array(response, np.float32))).to(given)

    def central(array: torch.Tensor) -> torch.Tensor:
        return to_centre(crop(array, (SIZE, SIZE, SIZE))).cpu()

    counts, mask = central(pattern.as_counted), central(pattern.mask)
    if not bool((counts * ~mask).any()):
        raise ValueError(
            f"transfer learning needs counts in the central {SIZE} voxels; all are zero or masked there"
        )
    behind = central(pattern.responding(pattern.background))
    loss = CountsLoss(counts, ~mask, behind, pattern.widths, coherence, central(factor))
    corrected = central(pattern.corrected(factor / given).amplitude(coherence)).square() * ~mask
    return loss, corrected, mask


def _coarse(reference: NDArray[np.complex64]) -> torch.Tensor:
    """Return an object (n0, n1, n2) centred on the network's voxels, (32, 32, 32) complex64, corner order."""
    fine = to_corner(torch.from_numpy(np.ascontiguousarray(reference, np.complex64)))
    return resample(fine, (SIZE, SIZE, SIZE))


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
    turned, hidden = turned_inputs(counts, masked, [number])
    loss = partial(fourier_loss, modulus=turned.sqrt(), measured=~hidden)
    history: list[float] = []
    first = best = torch.empty(0)
    config = TransferConfig(epochs=steps, learning_rate=learning_rate)
    for guess, value in _tuned(pretrained, turned, hidden, loss, config):
        history.append(value)
        if len(history) == 1:
            first = guess
        if value <= min(history):
            best = guess
    objects = [scaled_to_counts(orient_back(obj, number), counts, masked) for obj in (first, best)]
    return objects, np.array(history)


def _tuned(
    pretrained: Pretrained,
    counts: torch.Tensor,
    mask: torch.Tensor,
    loss: Callable[[torch.Tensor], torch.Tensor],
    config: TransferConfig,
) -> Iterator[tuple[torch.Tensor, float]]:
    """Yield the object (32, 32, 32) complex64 and its loss before each epoch, and at the end.

    ``counts`` and ``mask`` are the network's input, ``loss`` is given its objects, (1, 32, 32, 32) each.
    """
    # Evaluation mode: batch statistics of a single pattern would destroy what training learned.
    network = copy.deepcopy(pretrained.network).eval().requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    for epoch in range(config.epochs + 1):
        with mixed_precision():
            guess = network(counts, mask)[-1]
        value = loss(guess).mean()
        yield guess[0].detach(), float(value.detach())
        if epoch < config.epochs:
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
