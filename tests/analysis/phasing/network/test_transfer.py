import numpy as np
import pytest
import torch

from analysis.phasing.network.model import NetworkConfig, build_network
from analysis.phasing.network.pretrained import load_pretrained, save_weights
from analysis.phasing.network.training_data import VALIDATION_SEED, TrainingSetConfig, simulate_block
from analysis.phasing.network.transfer import fine_tune

TINY = NetworkConfig(width=8, refiner_width=8, refinements=1)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, build_network(TINY), TINY)
    return load_pretrained(path)


@pytest.fixture(scope="module")
def pattern():
    batch = simulate_block(TrainingSetConfig(seed=VALIDATION_SEED), 60, 1)
    return batch.counts[0].numpy(), batch.mask[0].numpy()


def chi_squared(obj, counts, mask):
    predicted = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj))))
    return float((((predicted - np.sqrt(counts)) ** 2)[~mask]).sum() / counts[~mask].sum())


def test_fine_tuning_lowers_the_loss_and_leaves_the_weights_alone(pretrained, pattern):
    before = {name: tensor.clone() for name, tensor in pretrained.network.state_dict().items()}
    objects, history = fine_tune(pretrained, *pattern, steps=12, learning_rate=1e-3)
    assert history.shape == (13,)
    assert history.min() < 0.8 * history[0]
    assert all(torch.equal(before[n], t) for n, t in pretrained.network.state_dict().items())
    assert not any(p.requires_grad for p in pretrained.network.parameters())
    # The losses reported are those of the objects returned, by their definition.
    first, best = (chi_squared(obj, *pattern) for obj in objects)
    assert first == pytest.approx(history[0], rel=0.05)
    assert best == pytest.approx(history.min(), rel=0.05)


def test_fine_tuning_is_reproducible_and_the_seed_turns_the_input(pretrained, pattern):
    one, same, other = (fine_tune(pretrained, *pattern, steps=2, seed=s)[1] for s in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other, rtol=1e-6)


def test_fine_tuning_refuses_what_it_cannot_use(pretrained, pattern):
    with pytest.raises(ValueError, match="at least one step"):
        fine_tune(pretrained, *pattern, steps=0)
    with pytest.raises(ValueError, match="all are zero or masked"):
        fine_tune(pretrained, np.zeros((32, 32, 32)))
