from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from analysis.phasing.network.commands import publish
from analysis.phasing.network.model import NetworkConfig
from analysis.phasing.network.pretrained import load_pretrained
from analysis.phasing.network.training import Trainer, TrainingConfig, batches, learning_rate, read_log, train

TINY = TrainingConfig(
    network=NetworkConfig(width=8, refiner_width=8, refinements=1),
    steps=6,
    batch=2,
    block=4,
    reuse=2,
    warm_up=2,
    validate_every=3,
    validation_size=2,
    threads=1,
)


def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(TINY, whole, progress=False)
    # The schedule must be the same, so the first part stops by hand in the middle of a block.
    trainer = Trainer(TINY, torch.device("cpu"))
    parts.mkdir()
    for batch in batches(TINY, 0):
        if trainer.step == 3:
            break
        trainer.advance(batch)
    trainer.save(parts, None)
    again = Trainer(TINY, torch.device("cpu"))
    again.resume(parts)
    for one in (trainer, again):
        assert one.optimizer.param_groups[0]["lr"] == learning_rate(TINY, 3)
    train(TINY, parts, progress=False)
    one, two = (load_file(folder / "checkpoint.safetensors") for folder in (whole, parts))
    assert one.keys() == two.keys()
    assert any(name.startswith("exp_avg_sq.") for name in one)
    assert all(torch.equal(one[name], two[name]) for name in one)
    one, two = (load_file(folder / "weights.safetensors") for folder in (whole, parts))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_training_writes_log_curve_and_loadable_weights(tmp_path):
    path = train(TINY, tmp_path, progress=False)
    rows = read_log(tmp_path / "loss.csv")
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [bool(row["overlap"]) for row in rows] == [False, False, True, False, False, True]
    assert (tmp_path / "loss.png").stat().st_size > 1000
    assert load_pretrained(path).header["step"] == "6"
    train(TINY, tmp_path, progress=False)  # finished: nothing more to do
    assert len(read_log(tmp_path / "loss.csv")) == 6


def test_training_lowers_the_loss_on_one_batch():
    config = replace(TINY, warm_up=1, plateau=1.0, learning_rate=3e-3)
    trainer = Trainer(config, torch.device("cpu"))
    batch = next(batches(config, 0))
    losses = [trainer.advance(batch) for _ in range(15)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_papers_network_trains_with_eqn1():
    config = replace(TINY, network=NetworkConfig("paper", width=4), loss="eqn1", alphas=(1, 1, 2), warm_up=1)
    trainer = Trainer(config, torch.device("cpu"))
    batch = next(batches(config, 0))
    losses = [trainer.advance(batch) for _ in range(10)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_batches_do_not_depend_on_where_the_iteration_began():
    from_start = [batch for batch, _ in zip(batches(TINY, 0), range(6), strict=False)]
    later = next(batches(TINY, 5))
    assert torch.equal(from_start[5].counts, later.counts)
    assert torch.equal(from_start[5].truth, later.truth)
    other = next(batches(TINY, 0, rank=1, world=2))
    assert not torch.equal(from_start[0].counts.sum(), other.counts.sum())


def test_the_rate_warms_up_stays_and_falls():
    config = TrainingConfig(steps=1000, warm_up=100, plateau=0.5, learning_rate=1.0, final=0.01)
    assert learning_rate(config, 0) == pytest.approx(0.01)
    assert learning_rate(config, 300) == pytest.approx(1)
    assert learning_rate(config, 750) == pytest.approx(0.505)
    assert learning_rate(config, 1000) == pytest.approx(0.01)


def test_wrong_settings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'mse'"):
        train(replace(TINY, loss="mse"), tmp_path, progress=False)
    with pytest.raises(ValueError, match="at least one batch"):
        next(batches(replace(TINY, block=1), 0))
    train(TINY, tmp_path, progress=False)
    with pytest.raises(ValueError, match="another run"):
        train(replace(TINY, network=NetworkConfig(width=16, refiner_width=8)), tmp_path, progress=False)


def test_a_published_run_ships_its_weights_and_can_be_continued(tmp_path):
    run, shipped, record = tmp_path / "run", tmp_path / "shipped", tmp_path / "record"
    shipped.mkdir()
    record.mkdir()
    path = train(TINY, run, progress=False)
    publish(run, record, target=shipped)
    original, copy = (
        load_pretrained(p).network.state_dict() for p in (path, shipped / "refined.safetensors")
    )
    assert all(torch.equal(original[name], copy[name]) for name in original)
    size = (run / "checkpoint.safetensors").stat().st_size
    assert (record / "checkpoint.safetensors").stat().st_size < 0.7 * size
    train(replace(TINY, steps=8), record, progress=False)
    assert [int(row["step"]) for row in read_log(record / "loss.csv")] == list(range(1, 9))
