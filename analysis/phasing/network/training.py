"""Training of the phasing network on patterns simulated on the fly, its held-out scores and its loss log.

Every random number is a function of (seed, step), so a run that is resumed from a checkpoint continues
exactly as if it had never stopped. Run it as `vo2 train FOLDER --steps N`, or
under `torchrun` for several devices.
"""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from analysis.phasing.network.losses import eqn1, fourier_loss, overlap, overlap_loss
from analysis.phasing.network.model import NetworkConfig, build_network
from analysis.phasing.network.pretrained import load_checkpoint, read_recipe, save_checkpoint, save_weights
from analysis.phasing.network.training_data import VALIDATION_SEED, Batch, TrainingSetConfig, simulate_block
from analysis.phasing.projections import choose_device

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


COLUMNS = ("step", "cpu_seconds", "learning_rate", "loss", "overlap", "chi_squared", "found")


class TrainingLog:
    """Appends a row per step to `loss.csv`; rows after the step a run resumes from are dropped."""

    def __init__(self, folder: Path, first_step: int):
        self.path = folder / "loss.csv"
        rows = [row for row in read_log(self.path) if int(row["step"]) <= first_step]
        self._before = float(rows[-1]["cpu_seconds"]) if rows else 0.0
        self._start = time.process_time()
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def write(self, step: int, rate: float, loss: float, scores: Scores | None) -> None:
        """Append one step; validation columns stay empty where nothing was validated."""
        seconds = self._before + time.process_time() - self._start
        row = [step, f"{seconds:.1f}", f"{rate:.3e}", f"{loss:.5f}"]
        row += (
            ["", "", ""]
            if scores is None
            else [f"{x:.4f}" for x in (scores.overlap, scores.chi_squared, scores.found)]
        )
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)

    def draw(self) -> None:
        """Training loss (mean of 50 steps) and held-out overlap against the step, as `loss.png`."""
        import matplotlib.pyplot as plt
        import numpy as np

        rows = read_log(self.path)
        steps = np.array([int(row["step"]) for row in rows])
        loss = np.array([float(row["loss"]) for row in rows])
        held = [(int(row["step"]), float(row["overlap"])) for row in rows if row["overlap"]]
        width = max(1, min(50, len(loss)))
        figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
        axis.plot(
            steps[width - 1 :], np.convolve(loss, np.ones(width) / width, "valid"), label="training loss"
        )
        if held:
            axis.plot(*zip(*held, strict=True), "o-", markersize=3, label="held-out overlap")
        axis.set(xlabel="step", ylabel="loss, overlap")
        axis.legend(frameon=False)
        figure.savefig(self.path.with_suffix(".png"), dpi=120)
        plt.close(figure)


def read_log(path: Path) -> list[dict[str, str]]:
    """Rows of a loss log; none where there is no log yet."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """A training run.

    Parameters
    ----------
    network, data : NetworkConfig, TrainingSetConfig
    loss : str
        "overlap" (default network) or "eqn1" (the paper's Eqn 1 with the integers `alphas`).
    twin_weight : float
        What the overlap loss charges for undecided mixtures of the two twins.
    steps, batch : int
        Optimizer steps (resuming with another number moves the end of the schedule) and patterns per step.
    block, reuse : int
        Patterns simulated at a time, and how often each is used, every time in another orientation.
    learning_rate, weight_decay, betas, clip : float
        AdamW and the gradient's largest norm.
    warm_up, plateau, final : float
        The rate climbs for `warm_up` steps, stays until the share `plateau` of the steps, then falls by a
        cosine to the share `final` of itself.
    average : float
        Decay of the exponential moving average of the weights, which is what ships.
    bf16 : bool
        Mixed precision; 1.5 times faster on a CPU with AVX512-BF16.
    threads : int
        Torch threads.
    seed : int
        Of the initial weights; the patterns have their own seed in `data`.
    checkpoint_seconds : float
        Between checkpoints.
    validate_every, validation_size : int
        Steps between validations on patterns of the validation seed, and their number.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    data: TrainingSetConfig = field(default_factory=TrainingSetConfig)
    loss: str = "overlap"
    alphas: tuple[int, int, int] = (1, 1, 1)
    twin_weight: float = 0.3
    steps: int = 4000
    batch: int = 16
    block: int = 192
    reuse: int = 3
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    warm_up: int = 100
    plateau: float = 0.4
    final: float = 0.01
    average: float = 0.998
    bf16: bool = True
    threads: int = 1
    seed: int = 0
    checkpoint_seconds: float = 240.0
    validate_every: int = 200
    validation_size: int = 64


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Warm-up, plateau, cosine."""
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    start = config.plateau * config.steps
    progress = min(max((step - start) / max(config.steps - start, 1), 0.0), 1.0)
    return config.learning_rate * (config.final + (1 - config.final) * (1 + np.cos(np.pi * progress)) / 2)


def batches(config: TrainingConfig, first_step: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
    """Batches from `first_step` on; the batch of a step does not depend on where the iteration began."""
    per_pass = config.block // config.batch
    if per_pass < 1:
        raise ValueError(
            f"a block must hold at least one batch; got block {config.block}, batch {config.batch}"
        )
    per_block = per_pass * config.reuse
    block, skip = divmod(first_step, per_block)
    while True:
        number = block * world + rank
        examples = simulate_block(config.data, number, config.block)
        rng = np.random.default_rng([config.data.seed, number, 1])
        order = np.stack(
            [rng.permutation(config.block)[: per_pass * config.batch] for _ in range(config.reuse)]
        )
        turns = rng.integers(0, 48, per_block)
        chosen = order.reshape(per_block, config.batch)
        for index, turn in list(zip(chosen, turns, strict=True))[skip:]:
            yield examples.pick(index).oriented(int(turn))
        block, skip = block + 1, 0


def batch_loss(config: TrainingConfig, guesses: list[torch.Tensor], batch: Batch) -> torch.Tensor:
    """Loss of all refinements, the last ones weighing most."""
    weights = np.arange(1, len(guesses) + 1, dtype=float)
    total = torch.zeros((), device=batch.counts.device)
    for weight, guess in zip(weights / weights.sum(), guesses, strict=True):
        if config.loss == "eqn1":
            value = eqn1(guess, batch.truth, batch.modulus, config.alphas)
        else:
            value = overlap_loss(guess, batch.truth, batch.modulus, config.twin_weight).mean()
        total = total + float(weight) * value
    return total


class Trainer:
    """Network, average, optimizer and step of one run, and how to advance them."""

    def __init__(self, config: TrainingConfig, device: torch.device):
        if config.loss not in ("overlap", "eqn1"):
            raise ValueError(f"the loss must be 'overlap' or 'eqn1'; got {config.loss!r}")
        self.config, self.device, self.step = config, device, 0
        torch.manual_seed(config.seed)
        self.model = build_network(config.network).to(device)
        self.averaged = AveragedModel(self.model, multi_avg_fn=self._average)
        self.averaged.n_averaged.fill_(1)  # the initial weights count, too: torch would overwrite them
        self.average = self.averaged.module.eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1.0, betas=config.betas, weight_decay=config.weight_decay
        )
        self.schedule = LambdaLR(self.optimizer, partial(learning_rate, config))
        self._wrapped: nn.Module = self.model

    def distribute(self) -> None:
        """Average gradients over the processes of `torchrun`."""
        self._wrapped = DistributedDataParallel(self.model)

    def advance(self, batch: Batch) -> float:
        """One optimizer step; returns the loss."""
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.bf16):
            guesses = self._wrapped(batch.counts, batch.mask)
        loss = batch_loss(self.config, guesses, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
        self.averaged.update_parameters(self.model)
        self.schedule.step()
        self.step += 1
        return float(loss.detach())

    def _average(
        self,
        mean: list[torch.Tensor] | tuple[torch.Tensor, ...],
        now: list[torch.Tensor] | tuple[torch.Tensor, ...],
        count: torch.Tensor | int,
    ) -> None:
        """Move the mean weights on; early on they follow faster than later."""
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(mean, now, 1 - decay)

    def save(self, folder: Path, scores: Scores | None) -> None:
        """Checkpoint and averaged weights."""
        save_checkpoint(
            folder / "checkpoint.safetensors",
            self.model,
            self.average,
            self.optimizer,
            self.step,
            asdict(self.config),
        )
        summary = {} if scores is None else asdict(scores)
        save_weights(
            folder / "weights.safetensors", self.average, self.config.network, step=self.step, scores=summary
        )

    def resume(self, folder: Path) -> None:
        """Continue from the folder's checkpoint."""
        path = folder / "checkpoint.safetensors"
        _, recipe = read_recipe(path)
        # Refinements share their weights, so their number may change from one part of a run to the next.
        own = {**asdict(self.config.network), "refinements": recipe["network"].get("refinements")}
        if recipe["network"] != own or recipe["data"]["seed"] != self.config.data.seed:
            raise ValueError(
                f"{str(path)!r} belongs to another run ({recipe['network']!r}, seed "
                f"{recipe['data']['seed']!r}): resume with its network and seed, or choose an empty folder"
            )
        self.step = load_checkpoint(path, self.model, self.average, self.optimizer)
        self.schedule = LambdaLR(
            self.optimizer, partial(learning_rate, self.config), last_epoch=self.step - 1
        )


def train(config: TrainingConfig, folder: str | Path, *, progress: bool = True) -> Path:
    """Train, or continue the training found in `folder`, and return the path of the averaged weights.

    The folder receives `weights.safetensors`, `checkpoint.safetensors`, `loss.csv` and `loss.png`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rank, world = _join_processes()
    torch.set_num_threads(config.threads)
    trainer = Trainer(config, choose_device(rank))
    if (folder / "checkpoint.safetensors").is_file():
        trainer.resume(folder)
        logger.info("resumed at step %d", trainer.step)
    if world > 1:
        trainer.distribute()
    _loop(trainer, folder, rank, world, progress)
    if world > 1:
        torch.distributed.destroy_process_group()
    return folder / "weights.safetensors"


def _join_processes() -> tuple[int, int]:
    if "RANK" not in os.environ:
        return 0, 1
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _loop(trainer: Trainer, folder: Path, rank: int, world: int, progress: bool) -> None:
    config = trainer.config
    log = TrainingLog(folder, trainer.step) if rank == 0 else None
    held_out = simulate_block(TrainingSetConfig(seed=VALIDATION_SEED), 0, config.validation_size)
    scores, saved = None, time.monotonic()
    bar = tqdm(
        total=config.steps,
        initial=trainer.step,
        unit="step",
        disable=not progress or rank > 0,
        mininterval=10,
    )
    for batch in batches(config, trainer.step, rank, world):
        if trainer.step >= config.steps:
            break
        rate = learning_rate(config, trainer.step)
        loss = trainer.advance(batch)
        bar.update()
        if log is None:
            continue
        validate = trainer.step % config.validate_every == 0 or trainer.step == config.steps
        if validate:
            scores = score(trainer.average, held_out)
            bar.set_postfix(loss=f"{loss:.3f}", overlap=f"{scores.overlap:.3f}")
        log.write(trainer.step, rate, loss, scores if validate else None)
        if time.monotonic() - saved > config.checkpoint_seconds or trainer.step == config.steps:
            trainer.save(folder, scores)
            log.draw()
            saved = time.monotonic()
    bar.close()
