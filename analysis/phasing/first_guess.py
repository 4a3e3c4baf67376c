"""The network's guess of a pattern as a picture to look at: no search, no verdict, and never a result."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.phasing.forward import chi_squared, noise_ratio
from analysis.phasing.network.pretrained import load_pretrained
from analysis.phasing.pattern import checked_pattern
from analysis.phasing.projections import fixed_threads, to_centre, to_corner
from analysis.phasing.reconstruction import THREADS
from analysis.phasing.refinement import final_support, predicted_counts
from analysis.phasing.registration import NETWORK, Candidate, centre
from analysis.phasing.schedules import resample
from analysis.phasing.two_lattices import Measured


@dataclass(frozen=True)
class FirstGuess:
    """The network's guess of an object, and how badly it explains the counts.

    Attributes
    ----------
    object : ndarray, (n0, n1, n2) complex64
        As `analysis.phasing.Reconstruction.object`, but no finer than the 32 voxels of q that the network
        sees.
    support : ndarray, (n0, n1, n2) bool
    chi_squared, noise_ratio : float
        As those of a reconstruction, with pixel kernel and background.
    seconds : float
    weights_hash : str
        SHA-256 of the network's weights.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    chi_squared: float
    noise_ratio: float
    seconds: float
    weights_hash: str


def first_guess(measured: Measured) -> FirstGuess:
    """Return the pretrained network's guess of a prepared scan.

    It is fed with counts corrected for background, pixel kernel and, where pixels have a width, the narrowest
    blur that a search begins with: on the default series the mean overlap with the final object is 0.57 so,
    and 0.55 with the counts as they are (`tests/benchmarks/stages.py`).
    """
    began = time.perf_counter()
    pretrained = load_pretrained()
    pattern = checked_pattern(
        measured.intensity,
        measured.mask,
        measured.pixel_kernel,
        measured.background,
        measured.given_flat_field,
        measured.dark,
    )
    with fixed_threads(THREADS):
        corrected = to_centre(pattern.amplitude(pattern.coherence_guesses()[0])).square().cpu().numpy()
        hidden = to_centre(pattern.mask).cpu().numpy()
        guess = torch.from_numpy(pretrained.guess(corrected, hidden, threads=THREADS)[0])
        x = resample(to_corner(guess)[None].to(pattern.counts.device), pattern.shape)
        candidate = Candidate(x, final_support(pattern, x), 0.0, pattern.coherence_guesses()[0], NETWORK)
        predicted = to_centre(pattern.responding(predicted_counts(pattern, candidate))).cpu().numpy()
    counts = to_centre(pattern.as_counted).cpu().numpy()
    obj, support = centre(*(to_centre(a[0]).cpu().numpy() for a in (x, candidate.support)))
    return FirstGuess(
        object=obj.astype(np.complex64),
        support=support,
        chi_squared=chi_squared(predicted, counts, hidden),
        noise_ratio=noise_ratio(predicted, counts, hidden),
        seconds=time.perf_counter() - began,
        weights_hash=pretrained.hash,
    )
