"""The paper's network against the shipped architecture, both trained from scratch for the same CPU seconds.

Same patterns in the same order (training seed), same batches, optimizer and schedule; each with its own loss:
Eqn 1 for the paper's, the overlap loss for ours. The schedule is planned from the speed of one block of
patterns, which is trained for that purpose beforehand and thrown away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from analysis.benchmark.judge import RIGHT
from analysis.phasing.network.losses import fourier_loss, overlap, register
from analysis.phasing.network.model import NetworkConfig
from analysis.phasing.network.pretrained import mixed_precision
from analysis.phasing.network.training import FOUND, Trainer, TrainingConfig, batches
from analysis.phasing.network.training_data import (
    TRAINING_SEED,
    VALIDATION_SEED,
    Batch,
    DetectorConfig,
    TrainingSetConfig,
    simulate_block,
)
from analysis.phasing.projections import fixed_threads, to_centre, to_corner
from analysis.phasing.registration import overlap as aligned_overlap
from analysis.phasing.schedules import STRATEGIES, Level, iterate, support_of

logger = logging.getLogger(__name__)

HELD_OUT_BLOCK, HELD_OUT = 5, 128
"""Block of the validation seed that scores the networks alone, and its patterns."""

ENGINE_BLOCK, ENGINE_PATTERNS = 6, 32
"""The same for what the engine makes of their guesses; without detector effects, from 1e4 photons on."""

VARIANTS: dict[str, TrainingConfig] = {
    "paper's network, Eqn 1": TrainingConfig(network=NetworkConfig("paper"), loss="eqn1"),
    "this project's, overlap loss": TrainingConfig(network=NetworkConfig("refined"), loss="overlap"),
}
"""What is compared."""


@dataclass(frozen=True)
class AblationRow:
    """One network after its training.

    Parameters
    ----------
    name : str
    parameters : int
    steps : int
        That fitted into the CPU seconds.
    cpu_seconds : float
        Of the training, simulation of the patterns included.
    overlap : float
        Mean over held-out patterns, twin and whole-voxel shift removed.
    found : float
        Share of them above `evaluation.FOUND`.
    chi_squared : float
        Median scale-free Fourier loss against the noiseless patterns.
    engine_overlap, engine_success : float
        Median overlap, and share above `RIGHT`, after one pass of the engine from the network's guess.
    """

    name: str
    parameters: int
    steps: int
    cpu_seconds: float
    overlap: float
    found: float
    chi_squared: float
    engine_overlap: float
    engine_success: float


def run_ablation(
    cpu_seconds: float, variants: Sequence[str] = tuple(VARIANTS), *, progress: bool = True
) -> list[AblationRow]:
    """Train each of ``variants`` for ``cpu_seconds`` and score it; a last row starts the engine at random."""
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown or cpu_seconds <= 0:
        raise ValueError(
            f"variants of {sorted(VARIANTS)} and positive CPU seconds are required; "
            f"got {unknown!r} and {cpu_seconds!r}"
        )
    rows = []
    with fixed_threads(1):
        for name in variants:
            trainer, used = train_for(VARIANTS[name], cpu_seconds, progress=progress)
            rows.append(_scored(name, trainer, used))
            logger.info("%s", rows[-1])
        patterns = engine_patterns()
        reached = _engine_scores(engine_overlaps(random_guesses(patterns), patterns))
    nan = float("nan")
    return [*rows, AblationRow("random start, no network", 0, 0, 0.0, nan, nan, nan, *reached)]


def train_for(config: TrainingConfig, cpu_seconds: float, *, progress: bool = True) -> tuple[Trainer, float]:
    """Train a fresh network for about ``cpu_seconds``; return it and the CPU seconds that were used."""
    per_block = config.block // config.batch * config.reuse
    began = time.process_time()
    _advance(Trainer(config, torch.device("cpu")), config, per_block, progress=False)
    per_step = (time.process_time() - began) / per_block
    planned = replace(config, steps=max(int(cpu_seconds / per_step), config.warm_up + 1))
    trainer = Trainer(planned, torch.device("cpu"))
    began = time.process_time()
    _advance(trainer, planned, planned.steps, progress=progress)
    return trainer, time.process_time() - began


def _advance(trainer: Trainer, config: TrainingConfig, steps: int, *, progress: bool) -> None:
    bar = tqdm(total=steps, unit="step", disable=not progress, mininterval=20)
    for batch in batches(config, 0):
        if trainer.step >= steps:
            break
        loss = trainer.advance(batch)
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        bar.update()
    bar.close()


def _scored(name: str, trainer: Trainer, cpu_seconds: float) -> AblationRow:
    network = trainer.average
    held_out = simulate_block(TrainingSetConfig(seed=VALIDATION_SEED), HELD_OUT_BLOCK, HELD_OUT)
    overlaps, losses = measure_alone(network, held_out)
    patterns = engine_patterns()
    engine_overlap, engine_success = _engine_scores(engine_overlaps(guesses_of(network, patterns), patterns))
    return AblationRow(
        name=name,
        parameters=sum(p.numel() for p in network.parameters()),
        steps=trainer.step,
        cpu_seconds=cpu_seconds,
        overlap=float(overlaps.mean()),
        found=float((overlaps > FOUND).float().mean()),
        chi_squared=float(losses.median()),
        engine_overlap=engine_overlap,
        engine_success=engine_success,
    )


@torch.no_grad()
def measure_alone(network: nn.Module, batch: Batch, chunk: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlap, twin and shift removed, and scale-free χ² of each pattern, both (n,) float32.

    Eqn 1 is blind to the origin, so a network that it trained may put the object anywhere.
    """
    overlaps, losses = [], []
    for start in range(0, len(batch), chunk):
        part = batch.pick(slice(start, start + chunk))
        guess = network(part.counts, part.mask)[-1]
        overlaps.append(overlap(guess, register(guess, part.truth)))
        losses.append(fourier_loss(guess, part.modulus))
    return torch.cat(overlaps), torch.cat(losses)


def engine_patterns() -> Batch:
    """Patterns for the engine: point samples and Poisson noise."""
    clean = DetectorConfig(photons=(1e4, 1e6), blur_share=0, background_share=0, gap_share=0, dead_share=0)
    config = TrainingSetConfig(seed=VALIDATION_SEED, detector=clean)
    return simulate_block(config, ENGINE_BLOCK, ENGINE_PATTERNS)


@torch.no_grad()
def guesses_of(network: nn.Module, batch: Batch) -> list[torch.Tensor]:
    """Return the network's objects, (32, 32, 32) complex64 each."""
    with mixed_precision():
        guesses = network(batch.counts, batch.mask)[-1]
    return list(guesses.to(torch.complex64))


def random_guesses(batch: Batch) -> list[torch.Tensor]:
    """Return random objects in a box of 0.55 of every axis, one for each pattern."""
    rng = np.random.default_rng(VALIDATION_SEED)
    size = batch.counts.shape[-1]
    inside = np.abs(np.arange(size) - size // 2) <= 0.55 * size / 2
    box = inside[:, None, None] & inside[:, None] & inside
    noise = rng.random((len(batch), *box.shape)) * np.exp(2j * np.pi * rng.random((len(batch), *box.shape)))
    return [torch.from_numpy((n * box).astype(np.complex64)) for n in noise]


_ITERATIONS = sum(recipe.iterations + recipe.settle for recipe in STRATEGIES[0])
"""Of one pass of the engine."""


def engine_overlaps(guesses: Iterable[torch.Tensor], batch: Batch) -> list[float]:
    """Return the overlap with the truth after one pass of the engine from each guess."""
    reached = []
    for guess, counts, mask, truth in zip(guesses, batch.counts, batch.mask, batch.truth, strict=True):
        level = Level(to_corner(counts).sqrt(), to_corner(mask), counts.shape)
        x = to_corner(guess)[None]
        support = support_of(level, x)
        x = x * support
        for recipe in STRATEGIES[0]:
            x, support = iterate(level, x, support, recipe)
        reached.append(aligned_overlap(to_centre(x)[0].numpy(), truth.numpy()))
    return reached


def _engine_scores(reached: Sequence[float]) -> tuple[float, float]:
    values = np.array(reached)
    return float(np.median(values)), float((values > RIGHT).mean())


def as_markdown(rows: Sequence[AblationRow], command: str) -> str:
    """Return the table and how it was made."""
    head = (
        "network | parameters | steps | CPU s | mean overlap | share > 0.8 | median χ² | "
        "engine: median overlap | engine: share > 0.95"
    )
    lines = [
        "# Ablation: the paper's network and this project's, trained from scratch",
        "",
        f"Made by `{command}`, one thread. Patterns of training seed {TRAINING_SEED}. The networks alone: "
        f"{HELD_OUT} held-out patterns (validation seed {VALIDATION_SEED}, block {HELD_OUT_BLOCK}), twin and "
        f"whole-voxel shift removed. The engine: one pass of {_ITERATIONS} iterations at 32³ "
        f"from each guess, {ENGINE_PATTERNS} patterns (block {ENGINE_BLOCK}, Poisson noise only, "
        "1e4–1e6 photons).",
        "",
        f"| {head} |",
        "|" + "---|" * (head.count("|") + 1),
    ]
    return "\n".join([*lines, *(_markdown_row(row) for row in rows)]) + "\n"


def _markdown_row(row: AblationRow) -> str:
    numbers = [row.overlap, row.found, row.chi_squared, row.engine_overlap, row.engine_success]
    cells = ["–" if np.isnan(x) else f"{x:.3f}" for x in numbers]
    size = f"{row.parameters:,}".replace(",", " ") if row.parameters else "–"
    return f"| {row.name} | {size} | {row.steps or '–'} | {row.cpu_seconds:.0f} | " + " | ".join(cells) + " |"
