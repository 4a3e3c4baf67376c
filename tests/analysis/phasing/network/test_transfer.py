import dataclasses

import numpy as np
import pytest
import torch

from analysis.phasing.config import TransferConfig
from analysis.phasing.forward import PixelKernel
from analysis.phasing.network.losses import CountsLoss
from analysis.phasing.network.model import NetworkConfig, build_network
from analysis.phasing.network.pretrained import load_pretrained, save_weights
from analysis.phasing.network.training_data import VALIDATION_SEED, TrainingSetConfig, simulate_block
from analysis.phasing.network.transfer import fine_tune, phase_rms, transfer
from analysis.phasing.pattern import checked_pattern
from analysis.phasing.projections import to_centre, to_corner

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


WIDTHS, BLUR = (0.0, 1.0, 1.0), (0.0, 0.3, 0.3)
FEW = TransferConfig(epochs=7, learning_rate=1e-3, overlap_every=3)


@pytest.fixture(scope="module")
def blurred():
    """Return a crystal (40, 36, 48) complex64, centred, and the noiseless counts of it through the kernel."""
    shape = (40, 36, 48)
    axes = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    body = np.prod(
        [np.abs(x) < n * half for x, n, half in zip(axes, shape, (0.2, 0.27, 0.25), strict=True)], 0
    )
    obj = 30 * body * np.exp(1j * (0.004 * axes[0] * axes[1] + 0.2 * axes[2]))
    obj = torch.from_numpy(obj.astype(np.complex64))
    counts = to_centre(PixelKernel(shape, WIDTHS, BLUR).predict(to_corner(obj))[1])
    return obj.numpy(), counts.numpy() + np.float32(0.02)


def test_the_loss_predicts_counts_as_the_kernel_of_the_engine_does():
    shape = (16, 12, 14)
    x = torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    expected = to_centre(PixelKernel(shape, WIDTHS, BLUR).predict(to_corner(x))[1])
    everywhere, nothing = torch.ones(shape, dtype=torch.bool), torch.zeros(shape)
    loss = CountsLoss(expected, everywhere, nothing, WIDTHS, BLUR)
    torch.testing.assert_close(loss.predict(x), expected, rtol=1e-4, atol=1e-3)
    assert float(loss(5 * x)) < 1e-6
    # A response and a background enter as they are measured, and the scale is still found.
    factor = torch.rand(shape, generator=torch.Generator().manual_seed(2)) + 0.5
    seen = CountsLoss(factor * expected + 3, everywhere, nothing + 3, WIDTHS, BLUR, factor)
    assert float(seen(0.2 * x)) < 1e-6
    assert float(loss.scale(loss.predict(2 * x))) == pytest.approx(0.25, rel=1e-4)


def test_the_gradient_of_the_loss_is_its_slope():
    rng = torch.Generator().manual_seed(3)
    shape = (8, 8, 6)
    x, step = (torch.randn(shape, dtype=torch.complex128, generator=rng) for _ in range(2))
    counts = 50 * torch.rand(shape, dtype=torch.float64, generator=rng)
    loss = CountsLoss(counts, torch.rand(shape, generator=rng) > 0.2, 0.1 + 0 * counts, WIDTHS, BLUR)
    x.requires_grad_(True)
    loss(x).backward()
    slope = torch.view_as_real(x.grad * step.conj()).sum((0, 1, 2))[0]
    with torch.no_grad():
        ahead, behind = (loss(x + sign * 1e-5 * step) for sign in (1, -1))
    assert float((ahead - behind) / 2e-5) == pytest.approx(float(slope), rel=1e-4)


def test_transfer_keeps_the_whole_curve_and_the_overlap_beside_it(pretrained, blurred):
    obj, counts = blurred
    pattern = checked_pattern(counts, None, WIDTHS, 0.02)
    told = []
    learned = transfer(
        pretrained, pattern, coherence=BLUR, reference=obj, config=FEW, between=lambda *one: told.append(one)
    )
    assert learned.epochs == FEW.epochs
    assert told == list(enumerate(learned.loss_history))
    assert learned.final_loss < learned.loss_history[0]
    assert list(learned.overlap_epochs) == [0, 3, 6, 7]
    assert np.all((learned.overlaps > 0) & (learned.overlaps < 1))
    assert learned.weights_hash == pretrained.hash
    assert learned.object.shape == (32, 32, 32)
    # The right object leaves what its central voxels of q cannot say, far less than without the kernel.
    assert learned.search_loss < 0.002
    assert 0 < learned.phase_rms < np.pi
    plain = transfer(pretrained, dataclasses.replace(pattern, widths=(0, 0, 0)), reference=obj, config=FEW)
    assert plain.search_loss > 3 * learned.search_loss


def test_transfer_is_repeatable_on_one_thread_and_gives_the_threads_back(pretrained, blurred):
    pattern = checked_pattern(blurred[1], None, WIDTHS, 0.02)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        inside = []
        one, same, other = (
            transfer(
                pretrained,
                pattern,
                seed=seed,
                config=FEW,
                between=lambda *_: inside.append(torch.get_num_threads()),
            )
            for seed in (5, 5, 6)
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(inside) == {1}
    np.testing.assert_array_equal(one.loss_history, same.loss_history)
    np.testing.assert_array_equal(one.object, same.object)
    assert not np.allclose(one.loss_history, other.loss_history, rtol=1e-6)
    assert np.isnan(one.search_loss)
    assert len(one.overlaps) == 0


def test_transfer_does_without_bfloat16(pretrained, blurred, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    pattern = checked_pattern(blurred[1], None, WIDTHS, 0.02)
    learned = transfer(pretrained, pattern, config=FEW)
    assert learned.precision == "float32"
    assert learned.final_loss < learned.loss_history[0]


def test_transfer_refuses_what_it_cannot_use(pretrained, blurred):
    counts = blurred[1]
    pattern = checked_pattern(counts, None, WIDTHS, 0.02)
    with pytest.raises(ValueError, match="needs 0 epochs or more"):
        transfer(pretrained, pattern, config=TransferConfig(epochs=-1))
    assert len(transfer(pretrained, pattern, config=TransferConfig(epochs=0)).loss_history) == 1
    mask = np.zeros(counts.shape, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    with pytest.raises(ValueError, match="all are zero or masked there"):
        transfer(pretrained, checked_pattern(counts, mask, WIDTHS, 0.0), config=FEW)


def test_the_phase_is_compared_where_the_crystal_is():
    x = torch.zeros(8, 8, 8, dtype=torch.complex64)
    x[2:6, 2:6, 2:6] = 2
    turned = x * torch.exp(torch.tensor(0.3j)) + (x == 0) * 1j
    assert phase_rms(turned, x) == pytest.approx(0.3, rel=1e-5)
