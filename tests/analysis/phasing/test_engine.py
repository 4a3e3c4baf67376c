"""The engine against the definition of the transform, of the projections and of the algorithms."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from analysis.phasing.forward import amplitude_chi_squared
from analysis.phasing.projections import (
    SPACE,
    Engine,
    about_origin,
    autocorrelation_extent,
    box,
    expand,
    extent_of,
    fixed_threads,
    power,
    to_centre,
    to_corner,
)
from analysis.phasing.schedules import (
    Level,
    Recipe,
    coarsest,
    crop,
    finer,
    flattened,
    iterate,
    pad,
    resample,
    wrap,
)

SHAPE = (12, 15, 16)


def random_object(seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def tensor(array):
    return to_corner(torch.from_numpy(array))


def misfit(engine, x):
    """Return χ² of the first of ``x`` (1, n0, n1, n2) against an engine's amplitude."""
    return float(amplitude_chi_squared(power(torch.fft.fftn(x[0])).sqrt(), engine.amplitude))


def test_transform_is_the_one_of_the_definition():
    obj = random_object()
    intensity = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj)))) ** 2
    engine = Engine(tensor(np.sqrt(intensity).astype(np.float32)))
    assert misfit(engine, tensor(obj)[None]) < 1e-10


def test_sign_moves_the_peak_where_a_ramp_says():
    n = np.arange(16) - 8
    obj = np.exp(2j * np.pi * 3 * n / 16)[:, None, None] * np.ones((1, 4, 4))
    field = torch.fft.fftn(tensor(obj.astype(np.complex64)))
    peak = to_centre(power(field)).numpy()
    assert np.unravel_index(peak.argmax(), peak.shape) == (8 + 3, 2, 2)


def test_corner_and_centre_undo_each_other_for_odd_sizes():
    array = torch.from_numpy(random_object())
    assert torch.equal(to_centre(to_corner(array)), array)


def test_modulus_projection_is_idempotent_and_has_the_measured_moduli():
    engine = Engine(tensor(np.abs(random_object(1)).astype(np.float32)))
    once = engine.project_modulus(tensor(random_object(2))[None]).clone()
    twice = engine.project_modulus(once.clone())
    torch.testing.assert_close(twice, once, atol=1e-5, rtol=1e-4)
    assert misfit(engine, once) < 1e-10


def test_unmeasured_voxels_float():
    mask = np.random.default_rng(3).random(SHAPE) < 0.2
    engine = Engine(tensor(np.abs(random_object(1)).astype(np.float32)), tensor(mask))
    x = tensor(random_object(2))[None]
    before = torch.fft.fftn(x[0])
    after = torch.fft.fftn(engine.project_modulus(x.clone())[0])
    hidden = tensor(mask)
    torch.testing.assert_close(after[hidden], before[hidden], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(after[~hidden], before[~hidden], rtol=1e-2)


@pytest.mark.parametrize(
    ("method", "beta", "outside"),
    [
        ("hio", 0.7, lambda x, y: x - 0.7 * y),
        ("raar", 0.8, lambda x, y: 0.8 * x + (1 - 2 * 0.8) * y),
    ],
)
def test_relaxed_algorithms_are_their_formulas(method, beta, outside):
    engine = Engine(tensor(np.abs(random_object(1)).astype(np.float32)))
    x = tensor(random_object(2))[None]
    support = box(SHAPE, (0.5, 0.5, 0.5))[None]
    y = engine.project_modulus(x.clone()).clone()
    expected = torch.where(support, y, outside(x, y))
    torch.testing.assert_close(getattr(engine, method)(x, support, 1, beta), expected, atol=1e-5, rtol=1e-4)


def test_error_reduction_never_raises_chi_squared():
    engine = Engine(tensor(np.abs(random_object(1)).astype(np.float32)))
    x, support, values = tensor(random_object(2))[None], box(SHAPE, (0.5, 0.6, 0.5))[None], []
    for _ in range(8):
        x = engine.er(x, support, 1)
        values.append(misfit(engine, x))
    assert all(b <= a + 1e-7 for a, b in zip(values, values[1:], strict=False))


def test_a_batch_is_its_members():
    amplitude = tensor(np.abs(random_object(1)).astype(np.float32))
    members = [tensor(random_object(s)) for s in (2, 3)]
    support = box(SHAPE, (0.5, 0.6, 0.5))
    together = Engine(amplitude, batch=2).raar(torch.stack(members), support, 5)
    for member, result in zip(members, together, strict=True):
        alone = Engine(amplitude).raar(member[None], support, 5)[0]
        torch.testing.assert_close(result, alone, atol=1e-4, rtol=1e-3)


def test_a_wrong_batch_is_refused():
    with pytest.raises(ValueError, match="2 objects together; got 1"):
        Engine(tensor(np.ones(SHAPE, np.float32)), batch=2).er(
            tensor(random_object()), box(SHAPE, (1, 1, 1)), 1
        )


def test_expand_doubles_every_number():
    assert torch.equal(expand(torch.tensor([True, False])), torch.tensor([[1.0, 1.0], [0.0, 0.0]]))


def test_crop_and_pad_undo_each_other_and_resampling_keeps_common_moduli():
    x = torch.from_numpy(random_object())
    assert torch.equal(crop(pad(x, (20, 20, 17)), SHAPE), x)
    fine = resample(x, (20, 20, 17))
    torch.testing.assert_close(crop(torch.fft.fftn(fine), SHAPE), torch.fft.fftn(x), atol=1e-3, rtol=1e-3)


def test_levels_double_and_keep_thin_crystals_resolved():
    assert coarsest((64, 128, 128), (0.2, 0.5, 0.1)) == (56, 32, 104)
    assert finer((64, 32, 32), (64, 100, 128)) == (64, 64, 64)
    assert finer((64, 64, 64), (64, 100, 128)) == (64, 100, 128)


def test_support_of_a_smoothed_box_and_its_extent():
    inside = box((32, 32, 40), (0.5, 0.3, 0.4))[None]
    level = Level(torch.ones(32, 32, 40), torch.zeros(32, 32, 40, dtype=torch.bool), (32, 32, 40))
    found = wrap(level, inside.to(torch.complex64), inside, 0.5, 0.5, 0.0)
    assert torch.equal(found, inside)
    assert extent_of(inside[0].roll(15, 0)) == pytest.approx((0.53, 0.28, 0.425), abs=0.03)


def test_autocorrelation_tells_the_extent_unless_it_wraps():
    for edge, expected in ((0.25, 0.25), (0.7, 0.5)):
        obj = box((64, 64, 64), (edge,) * 3).to(torch.complex64)
        reach = autocorrelation_extent(power(torch.fft.fftn(obj)).sqrt(), 1e-3)
        assert reach == pytest.approx((expected,) * 3, abs=0.03)


def test_an_easy_crystal_is_solved_from_a_random_start():
    rng = np.random.default_rng(5)
    obj = torch.zeros(32, 32, 32, dtype=torch.complex64)
    i, j, k = np.indices((10, 12, 9))
    body = torch.from_numpy((i + j + k < 22) & (i - k < 7))
    phase = torch.from_numpy(np.sin(i / 3) + np.cos(j / 4) * k / 9)
    obj[:10, :12, :9] = body * torch.exp(1j * phase)
    level = Level(power(torch.fft.fftn(obj)).sqrt(), torch.zeros(obj.shape, dtype=torch.bool), obj.shape)
    support = box(obj.shape, (0.36, 0.40, 0.33))[None]
    best = 1.0
    with fixed_threads(1):
        for _ in range(4):
            noise = torch.from_numpy(rng.normal(size=(1, 32, 32, 32, 2)).astype(np.float32))
            x = iterate(level, torch.view_as_complex(noise) * support, support, Recipe(iterations=400))[0]
            best = min(best, misfit(level.engine, x))
    assert best < 1e-3


def test_what_drifted_across_the_edge_comes_back_about_the_origin():
    inside = box((32, 32, 40), (0.5, 0.3, 0.4))[None]
    x = inside * torch.view_as_complex(torch.randn(1, 32, 32, 40, 2, generator=torch.manual_seed(1)))
    moved = (3, 17, -9)
    here, support = about_origin(x.roll(moved, SPACE), inside.roll(moved, SPACE))
    assert torch.equal(support, inside)
    assert torch.equal(here, x)
    nothing = torch.zeros_like(inside)
    assert torch.equal(about_origin(x, nothing)[0], x)


def test_amplitudes_are_flattened_inside_the_support_and_phases_kept():
    x = torch.full((1, 4, 4, 4), 1 + 1j, dtype=torch.complex64)
    x[0, 1, 1, 1], x[0, 0, 0, 0], x[0, 3, 3, 3] = 20j, 30, 1e-3j
    support = torch.ones(x.shape, dtype=torch.bool)
    support[0, 0, 0, 0] = False
    rms = float(x[support].abs().square().mean().sqrt())
    flat = flattened(x, support, 0.0, 0.05)
    assert complex(flat[0, 1, 1, 1]) == pytest.approx(1j * rms, rel=1e-4)
    assert complex(flat[0, 2, 2, 2]) == pytest.approx((1 + 1j) / 2**0.5 * rms, rel=1e-4)
    assert complex(flat[0, 0, 0, 0]) == 30  # outside
    assert complex(flat[0, 3, 3, 3]) == pytest.approx(1e-3j)  # too faint
    half = flattened(x, support, 0.5, 0.05)
    assert complex(half[0, 1, 1, 1]) == pytest.approx(1j * (20 * rms) ** 0.5, rel=1e-4)
    torch.testing.assert_close(flattened(x, support, 1.0, 0.05), x)


def test_threads_are_fixed_of_torch_and_of_blas_and_given_back():
    def counts():
        return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}

    before, torch_before = counts(), torch.get_num_threads()
    with fixed_threads(1):
        assert torch.get_num_threads() == 1
        assert {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"} == {1}
    assert (counts(), torch.get_num_threads()) == (before, torch_before)
