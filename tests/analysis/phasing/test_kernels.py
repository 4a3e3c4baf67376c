"""The pixel kernel against brute-force integration; its gradient against differences; the blur's fit."""

import numpy as np
import pytest
import torch

from analysis.phasing.forward import PixelKernel, deconvolved
from analysis.phasing.pattern import fit_coherence
from analysis.phasing.projections import power, to_corner
from analysis.phasing.refinement import descend

N = 16


def crystal(size=0.6, seed=0):
    """Return an object that fills ``size`` of the box, corner order, complex64."""
    rng = np.random.default_rng(seed)
    n = np.arange(N) - N // 2
    inside = np.abs(n) <= size * N / 2
    body = inside[:, None, None] & inside[:, None] & inside
    obj = body * np.exp(1j * rng.normal(size=body.shape)) * 10
    return to_corner(torch.from_numpy(obj.astype(np.complex64)))


def integrated(obj, axis, width):
    """Return the intensity integrated over the voxel's width along one axis, by exact transforms."""
    nodes, weights = np.polynomial.legendre.leggauss(9)
    n = np.fft.fftfreq(N) * N
    total = 0
    for node, weight in zip(nodes, weights, strict=True):
        ramp = np.exp(-2j * np.pi * n * node * width / 2 / N).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
        total = total + weight / 2 * np.abs(np.fft.fftn(obj.numpy() * ramp)) ** 2
    return total


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("width", [0.4, 1.0])
def test_prediction_is_the_integral_over_the_voxel(axis, width):
    obj = crystal()
    widths = tuple(width if a == axis else 0.0 for a in range(3))
    point, blurred = PixelKernel(obj.shape, widths).predict(obj)
    expected = integrated(obj, axis, width)
    np.testing.assert_allclose(blurred.numpy(), expected, atol=1e-4 * expected.max())
    np.testing.assert_allclose(point.numpy(), power(torch.fft.fftn(obj)).numpy(), rtol=1e-3, atol=1)
    assert float((blurred - point).abs().max()) > 1e-2 * expected.max()


def test_an_oversampled_object_needs_no_finer_grid():
    obj = crystal(0.35)
    whole = PixelKernel(obj.shape, (0, 1, 1), (0, 0.3, 0.3)).predict(obj)[1]
    plain = PixelKernel(obj.shape, (0, 1, 1), (0, 0.3, 0.3), extent=(0.4, 0.4, 0.4))
    assert plain.grown == plain.shape
    torch.testing.assert_close(plain.predict(obj)[1], whole, atol=1e-4 * float(whole.max()), rtol=1e-3)


def misfit(kernel, x, amplitude):
    return float((kernel.predict(x)[1].double().sqrt() - amplitude).square().sum())


def test_gradient_is_that_of_the_misfit():
    x, kernel = crystal(seed=1), PixelKernel((N, N, N), (0, 1, 1), (0.2, 0, 0))
    amplitude = kernel.predict(crystal(seed=2))[1].sqrt()
    direction = crystal(seed=3)
    step = kernel.gradient(x, amplitude, None)[0]
    # d/dt Σ(√I(x + t d) − A)² = 2 N³ Re⟨step, d⟩ for this scale of the transform.
    expected = 2 * N**3 * float((step.conj() * direction).real.sum())
    t = 1e-3
    found = (misfit(kernel, x + t * direction, amplitude) - misfit(kernel, x - t * direction, amplitude)) / (
        2 * t
    )
    assert found == pytest.approx(expected, rel=0.02)


def test_for_point_samples_the_step_is_the_modulus_projection():
    x, amplitude = crystal(seed=1), power(torch.fft.fftn(crystal(seed=2))).sqrt()
    step = PixelKernel((N, N, N), (0, 0, 0)).gradient(x, amplitude, None)[0]
    moduli = power(torch.fft.fftn(x - step)).sqrt()
    torch.testing.assert_close(moduli, amplitude, atol=1e-2, rtol=1e-3)


def test_descent_through_the_kernel_returns_to_the_truth():
    truth, kernel = crystal(0.5), PixelKernel((N, N, N), (0, 1, 1))
    amplitude = (kernel.predict(truth)[1] + 3.0).sqrt()
    start = truth * (1 + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)))
    found, history = descend(start, truth.abs() > 0, kernel, amplitude, torch.ones(truth.shape), 3.0, 60)
    assert history[-1] < 0.01 * history[0]
    assert float((found - truth).abs().square().sum() / truth.abs().square().sum()) < 1e-3


def test_the_filter_brings_the_amplitude_nearer_to_point_samples():
    obj = crystal(0.45)
    point, blurred = PixelKernel(obj.shape, (0, 1, 1), (0, 0.3, 0.3)).predict(obj)
    mask = torch.zeros(obj.shape, dtype=torch.bool)
    sharp = deconvolved(blurred.sqrt(), mask, (0, 1, 1), (0, 0.3, 0.3))
    error = (sharp - point.sqrt()).square().sum()
    assert float(error) < 0.3 * float((blurred.sqrt() - point.sqrt()).square().sum())


@pytest.mark.parametrize("sigma", [(0.0, 0.0, 0.0), (0.0, 0.3, 0.3), (0.45, 0.25, 0.25)])
def test_the_blur_is_found(sigma):
    obj = crystal(0.6)
    widths = (0.0, 1.0, 1.0)
    blurred = PixelKernel(obj.shape, widths, sigma).predict(obj)[1]
    found, chi = fit_coherence(obj, blurred.sqrt(), torch.ones(obj.shape), widths, sweeps=3)
    assert found == pytest.approx(sigma, abs=0.05)
    assert chi < 3e-4
