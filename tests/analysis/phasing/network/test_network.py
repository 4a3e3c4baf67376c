import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from analysis.phasing.network.losses import (
    amplitude_loss,
    eqn1,
    fourier_loss,
    fourier_modulus,
    overlap,
    overlap_loss,
    phase_loss,
    register,
)
from analysis.phasing.network.model import (
    NetworkConfig,
    build_network,
    centre_crop,
    centre_pad,
    fold,
    orient,
    twin,
    unfold,
)
from analysis.phasing.network.pretrained import load_pretrained, save_weights
from analysis.phasing.network.training_data import VALIDATION_SEED, TrainingSetConfig, simulate_block

TINY = NetworkConfig(width=8, refiner_width=8, refinements=1)


@pytest.fixture(scope="module")
def batch():
    return simulate_block(TrainingSetConfig(seed=VALIDATION_SEED), 50, 2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, build_network(TINY), TINY, step=7, scores={"overlap": 0.5})
    return path


@pytest.mark.parametrize("config", [TINY, NetworkConfig("paper", width=4)])
def test_networks_map_counts_to_finite_trainable_objects(config, batch):
    network = build_network(config)
    objects = network(batch.counts, batch.mask)
    assert objects[-1].shape == (2, 32, 32, 32)
    assert objects[-1].dtype == torch.complex64
    overlap_loss(objects[-1], batch.truth, batch.modulus).sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(bool(torch.isfinite(g).all()) for g in gradients)
    assert sum(float(g.abs().sum()) for g in gradients) > 0


def test_the_papers_box_is_half_of_the_input_and_ours_three_quarters(batch):
    for config, size in ((NetworkConfig("paper", width=4), 16), (TINY, 24)):
        obj = build_network(config).eval()(batch.counts, batch.mask)[-1].detach()
        inside = centre_pad(centre_crop(obj.abs(), size), 32)
        assert float((obj.abs() - inside).abs().max()) == 0
        assert float(inside.max()) > 0


def test_unknown_architecture_is_refused():
    with pytest.raises(ValueError, match="'vision'"):
        build_network(NetworkConfig("vision"))


def test_fold_and_unfold_are_inverse_and_crop_keeps_the_centre():
    x = torch.randn(2, 3, 8, 8, 8)
    torch.testing.assert_close(unfold(fold(x)), x)
    assert float(centre_crop(x, 4)[0, 0, 2, 2, 2]) == float(x[0, 0, 4, 4, 4])
    torch.testing.assert_close(centre_crop(centre_pad(x, 12), 8), x)


def disguised(obj):
    """Return the same crystal to the eye of the detector: twin, moved, turned in phase, scaled."""
    return 3 * twin(obj).roll((2, -3, 1), (-3, -2, -1)) * np.exp(1.1j)


def test_what_the_intensity_cannot_know_costs_nothing(batch):
    disguise = disguised(batch.truth)
    registered = register(disguise, batch.truth)
    assert float(amplitude_loss(disguise, registered).max()) < 1e-3
    assert float(phase_loss(disguise, registered).max()) < 1e-3
    assert float(fourier_loss(disguise, batch.modulus).max()) < 1e-3
    assert float(eqn1(disguise, batch.truth, batch.modulus)) < 1e-3


def test_a_wrong_object_costs_in_every_term(batch):
    wrong = batch.truth.abs() + 0j
    registered = register(wrong, batch.truth)
    assert float(phase_loss(wrong, registered).min()) > 0.01
    assert float(fourier_loss(wrong, batch.modulus).min()) > 0.01
    thin = batch.truth * (torch.arange(32) > 16)
    assert float(amplitude_loss(thin, register(thin, batch.truth)).min()) > 0.1


def test_phase_loss_ignores_wraps_and_averages_one_half_for_random_phases():
    amplitude = torch.ones(1, 16, 16, 16)
    phase = 20 * torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    obj = torch.polar(amplitude, phase)
    assert float(phase_loss(obj, torch.polar(amplitude, phase + 2 * np.pi))) < 1e-4
    assert float(phase_loss(obj, amplitude + 0j)) == pytest.approx(0.5, abs=0.03)


def test_eqn1_weighs_its_terms_by_integers(batch):
    wrong = batch.truth.abs() + 0j
    only = [float(eqn1(wrong, batch.truth, batch.modulus, a)) for a in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    mixed = float(eqn1(wrong, batch.truth, batch.modulus, (1, 2, 3)))
    assert mixed == pytest.approx((only[0] + 2 * only[1] + 3 * only[2]) / 6, rel=1e-5)
    with pytest.raises(ValueError, match="not all zero"):
        eqn1(wrong, batch.truth, batch.modulus, (0, 0, 0))


def test_fourier_loss_of_a_scaled_half_is_known_and_skips_unmeasured_voxels(batch):
    modulus = fourier_modulus(batch.truth)
    spoiled = modulus.clone()
    spoiled[:, 3] = 1e3
    measured = torch.ones_like(modulus, dtype=torch.bool)
    measured[:, 3] = False
    assert float(fourier_loss(batch.truth, spoiled).min()) > 0.01
    assert float(fourier_loss(batch.truth, spoiled, measured).max()) < 1e-4


def test_overlap_is_one_for_the_twin_and_small_for_noise(batch):
    assert float(overlap(2j * twin(batch.truth), batch.truth).min()) == pytest.approx(1, abs=1e-3)
    noise = torch.randn(batch.truth.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert float(overlap(noise, batch.truth).max()) < 0.1


def test_weights_survive_the_file_and_carry_their_hash(weights, batch):
    one, two = load_pretrained(weights), load_pretrained(str(weights))
    assert one.hash == two.hash
    assert len(one.hash) == 64
    assert one.config == TINY
    assert one.header["step"] == "7"
    a, b = (p.network(batch.counts, batch.mask)[-1] for p in (one, two))
    assert torch.equal(a, b)


def test_guess_takes_any_size_and_turns_its_opinions_back(weights, batch):
    pretrained = load_pretrained(weights)
    counts, mask = batch.counts[0].numpy(), batch.mask[0].numpy()
    large = np.pad(counts, ((16, 16), (0, 0), (8, 9)))
    plain, large_guess = (pretrained.guess(c, orientations=[0])[0] for c in (counts, large))
    assert plain.shape == (32, 32, 32)
    assert plain.dtype == np.complex64
    np.testing.assert_array_equal(plain, large_guess)
    # Opinion 13 about a pattern is opinion 0 about the turned pattern, turned back.
    turned = orient(batch.counts[0], 13).numpy()
    other = pretrained.guess(turned, orient(batch.mask[0], 13).numpy())[0]
    opinion = pretrained.guess(counts, mask, orientations=[13])[0]
    np.testing.assert_allclose(orient(torch.from_numpy(opinion), 13).numpy(), other, rtol=1e-4, atol=1e-3)
    # A batch of opinions holds each of them; mixed precision may round a batch otherwise than its parts.
    several = pretrained.guess(counts, mask, orientations=range(10))
    assert len(several) == 10
    alone = pretrained.guess(counts, mask, orientations=[9])[0]
    assert np.linalg.norm(several[9] - alone) < 0.05 * np.linalg.norm(alone)


def test_guess_ignores_what_was_not_measured(weights, batch):
    pretrained = load_pretrained(weights)
    counts = batch.counts[0].numpy().copy()
    mask = np.zeros(counts.shape, bool)
    mask[:, 4, 5] = True
    spoiled = counts.copy()
    spoiled[mask] = np.nan
    np.testing.assert_array_equal(pretrained.guess(counts, mask)[0], pretrained.guess(spoiled, mask)[0])


def test_guess_is_scaled_to_the_counts(weights, batch):
    guess = load_pretrained(weights).guess(batch.counts[0].numpy())[0]
    predicted = fourier_modulus(torch.from_numpy(guess))
    measured = batch.counts[0].sqrt()
    assert float((predicted * measured).sum() / predicted.square().sum()) == pytest.approx(1, rel=1e-3)


def test_guess_refuses_bad_input(weights):
    pretrained = load_pretrained(weights)
    with pytest.raises(ValueError, match="at least 32"):
        pretrained.guess(np.ones((31, 40, 40)))
    with pytest.raises(ValueError, match="mask must have"):
        pretrained.guess(np.ones((32, 32, 32)), np.zeros((32, 32, 33), bool))
    with pytest.raises(ValueError, match="0 to 47"):
        pretrained.guess(np.ones((32, 32, 32)), orientations=[48])


def test_foreign_weights_are_refused_in_words(weights, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_pretrained(tmp_path / "none.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("not a tensor in sight")
    with pytest.raises(ValueError, match="not a readable safetensors"):
        load_pretrained(text)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="cut short"):
        load_pretrained(cut)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(3)}, foreign, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="not a weights file of this software"):
        load_pretrained(foreign)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "99"}, "version '99'"),
        ({"architecture": json.dumps({"architecture": "refined", "depth": 3})}, "names no architecture"),
        ({"architecture": json.dumps({"width": 16, "refiner_width": 8})}, "do not fit"),
    ],
)
def test_weights_of_another_version_or_architecture_are_refused(weights, tmp_path, change, message):
    header = load_pretrained(weights).header | change
    path = tmp_path / "changed.safetensors"
    save_file(load_file(weights), path, metadata=header)
    with pytest.raises(ValueError, match=message):
        load_pretrained(path)


def test_an_undecided_mixture_of_twins_pays_and_the_right_object_does_not():
    truth = torch.zeros(1, 32, 32, 32, dtype=torch.complex64)
    truth[:, 10:22, 12:20, 12:20] = torch.exp(1j * torch.linspace(-2, 2, 12) ** 2)[:, None, None]
    truth[:, 10:16, 10:20, 12:20] = 1
    modulus = fourier_modulus(truth)
    mixture = truth + twin(truth)
    free, charged = (float(overlap_loss(mixture, truth, modulus, weight)) for weight in (0.0, 1.0))
    assert charged > free + 0.05
    assert float(overlap_loss(1j * truth, truth, modulus, 1.0)) < 1e-3
