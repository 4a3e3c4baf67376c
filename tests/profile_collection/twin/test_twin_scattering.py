"""The scattering against sums and transforms that know nothing of the non-uniform FFT."""

from dataclasses import replace

import numpy as np
import pytest

from profile_collection.twin import CrystalConfig, DetectorConfig, TwinConfig
from profile_collection.twin.crystal import crystal
from profile_collection.twin.diffraction import Diffraction, Scatterer
from profile_collection.twin.geometry import Pose

SMALL = CrystalConfig(size=(300.0, 360.0, 420.0))
POSE = Pose(0.0, 90.0, 0.0, 24.807, 0.0, 9.0)


def brute_force(scatterer, q):
    """Sum over every node in double precision, times the tent's transform."""
    phases = (q - scatterer.carrier) * 10 * scatterer.pitch
    factors = [
        np.exp(-1j * np.outer(phases[:, i], np.arange(n) - n // 2))
        for i, n in enumerate(scatterer.density.shape)
    ]
    total = np.einsum("pi,pj,pk,ijk->p", *factors, scatterer.density.astype(complex), optimize=True)
    return total * np.prod(np.sinc(phases / (2 * np.pi)) ** 2, axis=1) * np.prod(scatterer.pitch)


def test_one_frame_against_a_brute_force_sum():
    config = TwinConfig(crystal=SMALL, detector=DetectorConfig(quadrature=1, blur=0), threads=1)
    state = crystal(SMALL).state(350.0)
    frame = Diffraction(config, state, POSE)
    peak = np.abs(state.full()).sum() * 1e3
    q = frame.samples.q_lab.T @ POSE.lab_to_crystal(config.mount, 17.83).T
    # Every 23rd pixel of the whole frame, and all near the peak.
    rows, columns = np.divmod(np.arange(515 * 515), 515)
    chosen = (np.arange(515 * 515) % 23 == 0) | ((abs(rows - 257) < 12) & (abs(columns - 257) < 12))
    expected = brute_force(frame.scatterer, q[chosen])
    amplitude = frame.scatterer.amplitude(q)[chosen]
    assert np.abs(amplitude - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.abs(amplitude - expected).max() < 1e-5 * peak
    intensity = frame.intensity(np.array([17.83]))[0].ravel()[chosen]
    assert np.abs(np.sqrt(intensity) - np.abs(expected)).max() < 1e-4 * np.abs(expected).max()


def test_a_plane_of_q_against_a_slice_of_the_direct_fft():
    state = crystal(SMALL).state(355.0)
    scatterer = Scatterer.of(state, state.full())
    shape = scatterer.density.shape
    transform = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(scatterer.density)))
    middle = shape[0] // 2 + 2
    index = np.stack(np.meshgrid([2], *(np.arange(n) - n // 2 for n in shape[1:]), indexing="ij"), axis=-1)
    phases = 2 * np.pi * index / np.array(shape)
    amplitude = scatterer.amplitude(scatterer.carrier + phases / (10 * scatterer.pitch))[0]
    tent = np.prod(np.sinc(phases[0] / (2 * np.pi)) ** 2, axis=-1) * np.prod(scatterer.pitch)
    reference = transform[middle] * tent
    assert np.abs(amplitude - reference).max() < 1e-4 * np.abs(transform).max() * tent.max()


@pytest.mark.parametrize("pitch", [(10.0, 10.0, 10.0), (12.5, 12.5, 12.5), (8.0, 10.0, 12.5)])
@pytest.mark.parametrize("temperature", [320.0, 355.0])
def test_no_ghost_of_the_peak_above_a_thousandth(pitch, temperature):
    config = CrystalConfig(size=(500.0, 700.0, 800.0), pitch=pitch)
    state = crystal(config).state(temperature)
    scatterer = Scatterer.of(state, state.full())
    offsets = np.arange(-60, 61, 2) * 1.9e-4
    around = np.stack(np.meshgrid([-1e-3, 0, 1e-3], offsets, offsets, indexing="ij"), axis=-1)

    def brightest(q):
        return (np.abs(scatterer.amplitude(scatterer.carrier + q)) ** 2).max()

    peak = brightest(around)
    for axis in range(3):
        for sign in (1, -1):
            ghost = np.zeros(3)
            ghost[axis] = sign * 2 * np.pi / pitch[axis] / 10
            assert brightest(around + ghost) < 1e-3 * peak


def test_the_amplitude_does_not_depend_on_the_pitch():
    coarse, fine = (
        crystal(replace(SMALL, displacement=0.3, pitch=(p, p, p))).state(320.0) for p in (10.0, 6.0)
    )
    q = np.array([0.0, coarse.q_m1, 0.0]) + np.random.default_rng(1).uniform(-4e-3, 4e-3, (200, 3))
    amplitudes = [np.abs(Scatterer.of(s, s.full()).amplitude(q)) for s in (coarse, fine)]
    assert np.abs(amplitudes[0] - amplitudes[1]).max() < 0.05 * amplitudes[1].max()
