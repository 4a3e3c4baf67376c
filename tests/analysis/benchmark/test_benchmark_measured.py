"""A measured scan from several seeds: the crop about its peak, and when a seed passes."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.benchmark.comparisons import MeasuredRow, around_peak, measured_rows, measured_table
from profile_collection.cli.app import app

ROW = MeasuredRow(3, 0.0057, 1.8, 0.997, trusted=True, overlap=0.99, cpu_seconds=70.0)


@pytest.fixture(scope="module")
def counts():
    """Return a small crystal's counts in a larger measured region, the peak off its centre."""
    x, y, z = np.meshgrid(*(np.arange(n) - n // 2 for n in (32, 32, 32)), indexing="ij")
    crystal = ((abs(x) < 5) & (abs(y + x / 4) < 6) & (abs(z) < 4) & (x + y + z < 7)).astype(complex)
    intensity = abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(crystal)))) ** 2
    counts = np.zeros((40, 44, 36), dtype=np.int32)
    counts[6:38, 3:35, 2:34] = np.random.default_rng(0).poisson(intensity * 1e5 / intensity.max())
    return counts


def test_the_brightest_voxel_is_the_crops_centre(counts):
    crop = around_peak(counts, (32, 32, 32))
    assert crop.shape == (32, 32, 32)
    assert crop[16, 16, 16] == counts.max()
    with pytest.raises(ValueError, match=r"about the peak at \(22, 19, 18\).*smaller one with --crop"):
        around_peak(counts, (64, 32, 32))


def test_each_seed_is_held_against_those_before(counts):
    first, second = measured_rows(counts, (32, 32, 32), (0, 1))
    assert np.isnan(first.overlap)
    assert second.overlap > 0.98
    assert (first.seed, second.seed) == (0, 1)
    assert second.trusted


@pytest.mark.parametrize(
    ("change", "passed"),
    [
        ({}, True),
        ({"overlap": float("nan")}, True),
        ({"overlap": 0.979}, False),
        ({"chi_squared": 0.0151}, False),
        ({"trusted": False}, False),
    ],
)
def test_a_seed_passes_where_it_is_trusted_and_like_the_others(change, passed):
    assert replace(ROW, **change).passed is passed
    (shown,) = measured_table([replace(ROW, **change)], (64, 128, 128)).columns[-1].cells
    assert ("✓" in shown) is passed


def test_the_command_prints_a_table_and_fails_with_its_seeds(counts, tmp_path):
    np.savez(tmp_path / "scan.npz", counts=counts)
    command = ["benchmark", "measured", str(tmp_path / "scan.npz"), "--seeds", "1", "--crop"]
    done = CliRunner().invoke(app, [*command, "32,32,32"])
    assert "least overlap" in done.output
    assert done.exit_code == (1 if "✗" in done.output else 0)
    refused = CliRunner().invoke(app, [*command, "64,64,64"])
    assert refused.exit_code == 1
    assert "choose a smaller one" in " ".join(refused.output.split())
