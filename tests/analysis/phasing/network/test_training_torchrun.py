"""Training on two processes is training on batches of twice the size, and continues where it stopped."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from analysis.phasing.network.model import NetworkConfig
from analysis.phasing.network.training import Trainer, TrainingConfig, batches, read_log
from analysis.phasing.network.training_data import Batch

# The plateau lasts to the end, so that the rate of a step does not depend on where the run is told to stop.
CONFIG = TrainingConfig(
    network=NetworkConfig(width=8, refiner_width=8, refinements=1),
    steps=3,
    batch=2,
    block=2,
    reuse=1,
    warm_up=1,
    plateau=1.0,
    bf16=False,
    validate_every=100,
    validation_size=2,
)

PROCESS = """
import os, sys
from pathlib import Path
from safetensors.torch import save_file
from analysis.phasing.network import training
from analysis.phasing.network.model import NetworkConfig

made = []

class Kept(training.Trainer):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen = []
        made.append(self)

    def advance(self, batch):
        self.seen.append(batch)
        return super().advance(batch)

training.Trainer = Kept
from dataclasses import replace
config = {config}
folder = Path(sys.argv[1])
training.train(replace(config, steps=int(sys.argv[2])), folder, progress=False)
rank = os.environ["RANK"]
save_file(made[0].model.state_dict(), folder / f"rank{{rank}}.safetensors")
seen = [(step, name, t) for step, batch in enumerate(made[0].seen) for name, t in vars(batch).items()]
save_file({{f"{{step}}.{{name}}": t for step, name, t in seen}}, folder / f"seen{{rank}}.safetensors")
"""


@pytest.fixture
def torchrun(tmp_path):
    """Return what runs a few steps of training on two processes and returns the parameters of both."""
    script = tmp_path / "process.py"
    imports = (
        "from analysis.phasing.network.training import TrainingConfig\n"
        "from analysis.phasing.network.training_data import TrainingSetConfig\n"
        "from analysis.phasing.network.crystals import CrystalConfig\n"
        "from analysis.phasing.network.training_data import DetectorConfig\n"
    )
    script.write_text(imports + PROCESS.format(config=repr(CONFIG)))
    folder = tmp_path / "run"

    def run(steps):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        done = subprocess.run(
            [*command, str(script), str(folder), str(steps)],
            capture_output=True,
            text=True,
            timeout=240,
            # Processes of their own must find this checkout, and no accelerator: gloo is what is tested.
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return [load_file(folder / f"rank{rank}.safetensors") for rank in range(2)]

    return run


def in_one_process(folder, steps):
    """Train on the batches that both processes saw together.

    They are not drawn again: Poisson counts follow the last bit of an intensity, and so the number of
    threads.
    """
    trainer = Trainer(CONFIG, torch.device("cpu"))
    seen = [load_file(folder / f"seen{rank}.safetensors") for rank in range(2)]
    for step in range(steps):
        names = [name.removeprefix(f"{step}.") for name in seen[0] if name.startswith(f"{step}.")]
        joined = {name: torch.cat([one[f"{step}.{name}"] for one in seen]) for name in names}
        trainer.advance(Batch(**joined))
    return trainer.model.state_dict()


@pytest.mark.slow
def test_two_processes_train_one_network_and_resume(torchrun, tmp_path):
    first, second = torchrun(1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    # Only the first step can be compared: the loss of a fresh network magnifies rounding step by step.
    together, fresh = (in_one_process(tmp_path / "run", steps) for steps in (1, 0))
    alone, shared = (
        torch.cat([(moved[name] - fresh[name]).flatten() for name in first]) for moved in (together, first)
    )
    assert float(alone.abs().max()) > 1e-3
    assert float(torch.nn.functional.cosine_similarity(alone, shared, 0)) > 0.999
    resumed, beside = torchrun(2)
    assert all(torch.equal(resumed[name], beside[name]) for name in resumed)
    assert any(not torch.equal(first[name], resumed[name]) for name in first)
    assert [int(row["step"]) for row in read_log(tmp_path / "run" / "loss.csv")] == [1, 2]


def test_each_process_sees_other_patterns():
    one, two = (next(batches(CONFIG, 0, rank, 2)) for rank in range(2))
    assert not torch.equal(one.counts, two.counts)
    assert len(one) == len(two) == CONFIG.batch
