"""Starts whose phase is fitted to the pattern's second moments, against curvatures known beforehand."""

import numpy as np
import pytest
import torch

from analysis.phasing.projections import SPACE, box, frequencies, power, to_centre
from analysis.phasing.schedules import Level
from analysis.phasing.starts import SIGNS, _bent, curved_start, matched_curvature, second_moments

SHAPE = (48, 48, 48)
EXTENT = (0.5, 0.4, 0.45)
CURVATURE = np.array([[180.0, 60.0, -30.0], [60.0, -220.0, 40.0], [-30.0, 40.0, 200.0]])


def quadratic_crystal(share=1.0):
    """Return a box with a ``share`` of the phase ½ xᵀ A x, x in fields of view; (1, 48, 48, 48) complex64."""
    x = frequencies(SHAPE)
    phase = sum(0.5 * share * CURVATURE[i, j] * x[i] * x[j] for i in range(3) for j in range(3))
    return torch.polar(box(SHAPE, EXTENT).float(), phase)[None]


def level_of(x):
    amplitude = power(torch.fft.fftn(x, dim=SPACE)).sqrt()[0]
    return Level(amplitude, torch.zeros(SHAPE, dtype=torch.bool), SHAPE)


def test_the_curvature_explains_the_moments():
    rng = np.random.default_rng(1)
    half = rng.normal(size=(3, 3))
    moments, spread = half @ half.T, rng.uniform(0.01, 0.03, 3)
    for signs in SIGNS:
        found = matched_curvature(moments, spread, signs)
        np.testing.assert_allclose(found @ np.diag(spread) @ found, moments, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found, found.T, atol=1e-9)
    turned = matched_curvature(moments, spread, (-1, -1, -1))
    np.testing.assert_allclose(turned, -matched_curvature(moments, spread, (1, 1, 1)), rtol=1e-12)


def test_the_moments_of_a_pattern_are_the_spread_of_the_slopes():
    spread = np.diag([e**2 / 12 for e in EXTENT])
    expected = CURVATURE @ spread @ CURVATURE
    found = second_moments(level_of(quadratic_crystal()))
    # Less than the slopes spread: what is faint is left out.
    np.testing.assert_allclose(found, expected, atol=0.3 * np.abs(expected).max())
    assert np.all(np.diag(found) < np.diag(expected))


def test_a_quadratic_crystal_is_hit_by_one_of_the_starts():
    crystal = quadratic_crystal(1 / 3)
    level = level_of(crystal)
    overlaps = []
    for signs in SIGNS:
        x, support = curved_start(EXTENT, signs)(level, np.random.default_rng(3))
        assert torch.equal(x != 0, support)
        twin = torch.fft.ifftn(torch.fft.fftn(x, dim=SPACE).conj(), dim=SPACE)
        inner = max(abs(complex(torch.vdot(crystal.flatten(), y.flatten()))) for y in (x, twin))
        overlaps.append(inner / float(crystal.norm() * x.norm()))
    assert max(overlaps) > 0.9
    assert sorted(overlaps)[-2] < 0.7


def test_the_same_generator_gives_the_same_start():
    level = level_of(quadratic_crystal())
    one, two = (curved_start(EXTENT, SIGNS[1])(level, np.random.default_rng(5))[0] for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, curved_start(EXTENT, SIGNS[1])(level, np.random.default_rng(6))[0])


def test_an_empty_pattern_has_no_curvature():
    level = Level(torch.zeros(SHAPE), torch.zeros(SHAPE, dtype=torch.bool), SHAPE)
    assert second_moments(level) == pytest.approx(np.zeros((3, 3)))


@pytest.mark.parametrize("exponent", [1.5, 3.0, 4.0])
def test_slopes_further_out_or_in_are_as_spread_as_those_of_a_quadratic_phase(exponent):
    ball = sum(x**2 for x in frequencies(SHAPE)) < 0.25**2
    plain = 400 * sum(x**2 for x in frequencies(SHAPE)).float()
    bent = _bent(plain, ball, exponent)
    # In the central eighth the finite differences of a low power are inexact, and across the wrap-around all.
    inside = to_centre(ball).numpy()
    spread = [
        sum((np.gradient(to_centre(p).numpy(), axis=axis)[inside] ** 2).mean() for axis in range(3))
        for p in (plain, bent)
    ]
    assert spread[1] == pytest.approx(spread[0], rel=0.05)
    assert torch.allclose(_bent(plain, ball, 2.0), plain, rtol=1e-4)
