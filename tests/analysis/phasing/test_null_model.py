"""Counts that hold no crystal are refused before anything is computed, and every crystal passes."""

import numpy as np
import pytest

from analysis import reconstruct
from analysis.phasing.null_model import refuse_nothing

AXIS = np.arange(48) - 24
RADIUS2 = AXIS[:, None, None] ** 2 + AXIS[:, None] ** 2 + AXIS**2


def drawn(mean, seed=0):
    return np.random.default_rng(seed).poisson(np.broadcast_to(mean, RADIUS2.shape)).astype(float)


def blob(width, peak=1e4, background=0.0):
    return peak * np.exp(-RADIUS2 / (2 * width**2)) + background


IN_PLANE = np.sqrt(RADIUS2[24])
RING = 300 * np.exp(-((IN_PLANE - 12) ** 2) / 8)
SHELL = 300 * np.exp(-((np.sqrt(RADIUS2) - 12) ** 2) / 8)
BEAM = 1 + 0.3 * np.sin(AXIS / 5)[:, None, None]


def with_hot_pixel(counts):
    counts[:, 10, 30] = 5000
    return counts


@pytest.mark.parametrize(
    "counts",
    [
        drawn(0.05),
        drawn(5.0),
        drawn(50.0),
        drawn(blob(2)),
        drawn(blob(6)),
        drawn(blob(6, background=0.3)),
        blob(2),
        with_hot_pixel(drawn(0.5)),
    ],
    ids=["faint", "flat 5", "flat 50", "blob 2", "blob 6", "blob on flat", "blob without noise", "hot pixel"],
)
def test_what_a_constant_and_a_blob_explain_is_no_bragg_pattern(counts):
    with pytest.raises(ValueError, match="there is no crystal to be seen"):
        reconstruct(counts)


@pytest.mark.parametrize(
    ("mean", "words"),
    [
        (RING, "one image in all frames"),
        (RING * BEAM + 0.5, "one image in all frames"),
        (0.003 * RING + 0.02, "explain"),
        (SHELL, "a shell about a dark middle"),
        (SHELL + 0.5, "a shell about a dark middle"),
    ],
    ids=["ring", "ring in an unsteady beam", "faint ring", "shell", "shell on flat"],
)
def test_rings_are_no_bragg_pattern(mean, words):
    with pytest.raises(ValueError, match=words):
        reconstruct(drawn(mean))


def test_a_ring_with_gaps_is_no_bragg_pattern():
    mask = np.zeros(RADIUS2.shape, bool)
    mask[:, 20:23], mask[5], mask[7, :30] = True, True, True
    with pytest.raises(ValueError, match="one image in all frames"):
        reconstruct(drawn(RING), mask)


def test_a_few_bright_voxels_are_no_bragg_pattern():
    counts = np.zeros(RADIUS2.shape)
    counts[30, 24, 24], counts[40, 30, 20], counts[10, 20, 30] = 5e4, 3e4, 1e4
    with pytest.raises(ValueError, match="4 brightest pixels of the detector: are they hot"):
        reconstruct(counts)


@pytest.mark.parametrize("peak", [300, 1e5])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_crystal_passes_at_few_photons_and_with_its_peak_hidden(make_crystal, peak, hidden):
    field = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(make_crystal((48, 48, 48), seed=4))))
    mean = np.abs(field) ** 2
    counts = drawn(mean * peak / mean.max())
    mask = np.zeros(counts.shape, bool)
    mask[:, 23:26, 23:26] = hidden
    refuse_nothing(counts, mask)
    if peak > 1e4:  # scaled counts are the verdict's business, as long as there is something in them
        refuse_nothing(counts / 30, mask)
