"""v(λ) against simulation and its limits; χ² and the noise ratio on data whose answer is known."""

import numpy as np
import pytest

from analysis.phasing.forward import chi_squared, noise_ratio, root_variance


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.1, 4.0, 30.0, 2e3])
def test_root_variance_is_that_of_simulated_counts(rate):
    counts = np.random.default_rng(int(rate * 100)).poisson(rate, 400_000)
    errors = (np.sqrt(counts) - np.sqrt(rate)) ** 2
    spread = errors.std() / np.sqrt(errors.size)
    assert root_variance(rate) == pytest.approx(errors.mean(), abs=5 * spread + 1e-5)


def test_root_variance_has_the_known_limits():
    assert root_variance(0.0) == 0
    assert root_variance(1e-8) == pytest.approx(2e-8, rel=1e-3)
    assert root_variance(1e7) == pytest.approx(0.25, rel=1e-4)
    rates = np.geomspace(1e-3, 1e3, 4000)
    values = root_variance(rates)
    assert values.max() == pytest.approx(0.455, abs=0.002)
    assert rates[values.argmax()] == pytest.approx(1.1, abs=0.15)


def test_root_variance_is_continuous_where_the_table_ends():
    for edge in (1e-6, 1e3):
        assert root_variance(edge * 0.999) == pytest.approx(root_variance(edge * 1.001), rel=5e-3)


def test_noise_ratio_of_the_true_mean_is_one():
    rng = np.random.default_rng(1)
    mean = np.exp(rng.normal(0, 3, (40, 40, 40)))
    assert noise_ratio(mean, rng.poisson(mean)) == pytest.approx(1, abs=0.03)


def test_noise_ratio_knows_that_counts_were_scaled():
    rng = np.random.default_rng(2)
    mean, factor = np.exp(rng.normal(0, 2, (40, 40, 40))), np.linspace(0.5, 3, 40)[:, None, None]
    counts = rng.poisson(mean) * factor
    assert noise_ratio(mean * factor, counts, factor=factor) == pytest.approx(1, abs=0.03)
    assert noise_ratio(mean * factor, counts) > 1.2


def test_chi_squared_leaves_out_what_was_not_measured():
    measured = np.full((4, 4, 4), 4.0)
    predicted = measured.copy()
    predicted[0, 0, 0] = 9.0
    assert chi_squared(predicted, measured) == pytest.approx(1 / 256)
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = True
    assert chi_squared(predicted, measured, mask) == 0
