"""The public call: from checked counts to an object, its quality, and whether to believe it.

What comes in is looked at before anything is computed (`pattern.checked_pattern`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from analysis.phasing.calibration import Calibrated, calibrate, shared
from analysis.phasing.config import DEFAULT, PhasingConfig
from analysis.phasing.counting import no_trust, not_counted, not_poisson, refuse_multiples
from analysis.phasing.forward import chi_squared, noise_ratio
from analysis.phasing.network.pretrained import Pretrained, load_pretrained
from analysis.phasing.network.transfer import transfer
from analysis.phasing.null_model import refuse_nothing
from analysis.phasing.pattern import COHERENT, Pattern, Triple, checked_pattern, with_monitor
from analysis.phasing.projections import autocorrelation_extent, fixed_threads, to_centre, to_corner
from analysis.phasing.refinement import (
    choose,
    final_support,
    finish,
    fit_blur,
    kernel_of,
    left_over,
    predicted_counts,
)
from analysis.phasing.registration import NETWORK, Candidate, centre, confirmations, register
from analysis.phasing.schedules import Level, coarsest, resample
from analysis.phasing.search import Found, Search
from analysis.phasing.starts import Guesses
from analysis.phasing.trust import (
    StartEvidence,
    doubts,
    gathered,
    verdict,
)

THREADS = int(os.environ.get("VO2_PHASING_THREADS", "1"))
"""Threads of torch in a reconstruction: fixed, for sums in another order are other sums."""


@dataclass(frozen=True)
class Reconstruction:
    """A reconstructed object and what is known about it.

    Parameters
    ----------
    object : ndarray, (n0, n1, n2) complex64
        Centred; abs(fftshift(fftn(ifftshift(object))))² is the unblurred intensity in counts.
    support : ndarray, (n0, n1, n2) bool
    chi_squared : float
        Σ(√I_p − √I_m)²/ΣI_m over measured voxels, I_p with kernel, coherence and background.
    noise_ratio : float
        The same over what Poisson noise alone would leave (docs/science.md section 3.4).
    trusted : bool
    reasons : tuple of str
        Why not; empty if trusted.
    loss_history : ndarray, (steps + 1,) float64
        Fourier loss of the transfer learning where it was needed; else of the finish: the same measure.
    chi_squared_history : ndarray, float64
        χ² before each iteration of the finish.
    seconds : float
        Wall-clock time.
    seed : int
    weights_hash : str
        SHA-256 of the network's weights, empty if it was not asked.
    agreement : float
        Overlap of the result with an independent start.
    coherence : tuple of float
        Fitted Gaussian blur of the pattern per axis, standard deviation in voxels.
    origin : str
        Which start it came from.
    iterations : int
        Spent on the coarsest level.
    threads : int
        Of torch.
    calibrated : bool
        Whether the pattern could not be explained as that of a flat detector in a steady beam, and the next
        two were found with the object (`calibration`).
    flat_field : ndarray, (n1, n2) float32
        What each pixel of the detector counts of what it should: the one that was given, times what was found
        beside it where ``calibrated``; else ones.
    exposure : ndarray, (n0,) float32
        The same of each frame: the beam's intensity, relative to the mean.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    chi_squared: float
    noise_ratio: float
    trusted: bool
    reasons: tuple[str, ...]
    loss_history: NDArray[np.float64]
    chi_squared_history: NDArray[np.float64]
    seconds: float
    seed: int
    weights_hash: str
    agreement: float
    coherence: Triple
    origin: str
    iterations: int
    threads: int
    calibrated: bool
    flat_field: NDArray[np.float32]
    exposure: NDArray[np.float32]


def reconstruct(
    intensity: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    seed: int = 0,
    pixel_kernel: Sequence[float] | None = None,
    background: ArrayLike | None = None,
    flat_field: ArrayLike | None = None,
    dark: ArrayLike | None = None,
    monitor: ArrayLike | None = None,
    method: str = "search",
    not_counts: Sequence[str] | None = None,
    config: PhasingConfig = DEFAULT,
) -> Reconstruction:
    """Reconstruct the complex object behind a diffraction pattern.

    Parameters
    ----------
    intensity : array_like, (n0, n1, n2), counts
        q = 0 at index n // 2; sizes from 32 to 256, not necessarily equal.
    mask : array_like, same shape, bool, optional
        True where a voxel was NOT measured.
    seed : int
        The same seed on the same machine gives the same result.
    pixel_kernel : three float, optional
        Widths of the measured voxel in units of its pitch, per axis; 0 is a point sample.
    background : array_like, broadcastable to the shape, counts, optional
        Expected background, less the dark image.
    flat_field : array_like, (n1, n2), optional
        What each pixel of the detector counts of the same light; only the ratio to the mean matters. It is
        part of the model: give the counts as they were read. A pixel of 0 was not measured.
    dark : array_like, (n1, n2), counts, optional
        What each pixel counts without light in the exposure of a frame; part of the model, too.
    monitor : array_like, (n0,), optional
        What the monitor counted in each frame; part of the model, too: give the counts as they were read.
    method : {"search", "network"}
        "network" is the paper's: the network, transfer learning on the pattern, its object; no search, and no
        iterative engine (`from_network`).
    not_counts : sequence of str, optional
        What was found to speak against counts before these were normalised (`PreparedScan.not_counts`). By
        default they are looked at as they come: then fractions, and what is smoother, are not trusted.
    config : PhasingConfig
        The tuned numbers.

    Raises
    ------
    ValueError
        These are no counts of a Bragg pattern; in words.
    """
    if method not in ("search", "network"):
        raise ValueError(f"the method must be 'search' or 'network'; got {method!r}")
    began = time.perf_counter()
    flat_field = with_monitor(flat_field, monitor, np.shape(intensity))
    pattern = checked_pattern(intensity, mask, pixel_kernel, background, flat_field, dark)
    counts, hidden, given = (
        to_centre(a).cpu().numpy() for a in (pattern.counts, pattern.mask, pattern.as_counted)
    )
    refuse_nothing(counts, hidden, config.null_model)
    refuse_multiples(given, hidden, config.trust)
    found = not_counted(given, hidden, config.trust) if not_counts is None else tuple(not_counts)
    pattern = replace(pattern, not_counts=found)
    pretrained = load_pretrained()
    if method == "network":
        return from_network(pretrained, pattern, seed, began, config)
    guesses = Guesses(pretrained, pattern, seed, config=config.start)
    return from_guesses(pattern, guesses, seed, pretrained.hash, began, config)


def from_guesses(
    pattern: Pattern,
    guesses: Guesses | Sequence[Tensor],
    seed: int,
    weights_hash: str = "",
    began: float | None = None,
    config: PhasingConfig = DEFAULT,
) -> Reconstruction:
    """Reconstruct with other ``guesses`` than the shipped network's; an empty sequence: no network.

    ``began`` is the `time.perf_counter` from which the seconds count, now by default.
    """
    began = time.perf_counter() if began is None else began
    counts, mask = (to_centre(a).cpu().numpy() for a in (pattern.as_counted, pattern.mask))
    if pattern.not_counts or no_trust(counts, mask, config.trust):
        config = replace(config, search=config.search.without_trust())
    with fixed_threads(THREADS):
        found, best = _search_until_right(pattern, guesses, seed, config)
        losses = guesses.losses if isinstance(guesses, Guesses) else np.empty(0)
        losses = losses if len(losses) else np.asarray(best.history)
        return _assemble(pattern, found, best, losses, weights_hash, seed, began, config)


WITNESS = 13
"""Orientations of the input (of 48) between the network's answer and its witness: other axes, reflected."""


def from_network(
    pretrained: Pretrained,
    pattern: Pattern,
    seed: int,
    began: float | None = None,
    config: PhasingConfig = DEFAULT,
) -> Reconstruction:
    """Reconstruct as the paper does: the network, fine-tuned on the pattern, and its object as it is.

    Its witness is a second transfer learning, of the input in another orientation. Both begin with the same
    weights and may err alike, so the closer agreement of `TrustConfig` is asked of them, whatever the data.
    The object knows nothing of what lies beyond the central voxels of q; the noise ratio of all says so.
    """
    began = time.perf_counter() if began is None else began
    close = config.trust.close_agreement
    config = replace(config, trust=replace(config.trust, agreement=close, many_agreement=close))
    with fixed_threads(THREADS):
        learned = [
            transfer(
                pretrained,
                pattern,
                coherence=pattern.coherence_guesses()[0],
                seed=one,
                config=config.transfer,
            )
            for one in (seed, seed + WITNESS)
        ]
        best, witness = (_on_all_voxels(pattern, one.object, config) for one in learned)
        alike = register(witness.x[0], best.x[0]).overlap
        return _assemble(
            pattern,
            Found([best], alike, len(learned), 0),
            Calibrated.uncalibrated(best, [best.score]),
            learned[0].loss_history,
            pretrained.hash,
            seed,
            began,
            config,
        )


def _on_all_voxels(pattern: Pattern, coarse: NDArray[np.complex64], config: PhasingConfig) -> Candidate:
    """Bring the network's object (32, 32, 32), centred, to the pattern's voxels, its blur fitted."""
    corner = to_corner(torch.from_numpy(coarse))[None].to(pattern.counts.device)
    x = resample(corner, pattern.shape)
    support = final_support(pattern, x, config.refinement)
    sigma = fit_blur(pattern, x[0], support[0]) if pattern.blurred else COHERENT
    kernel = kernel_of(pattern, pattern.shape, support, sigma)
    chi = kernel.misfit(x[0], pattern.counts.sqrt(), (~pattern.mask).float(), pattern.background)
    return Candidate(x, support, chi, sigma, f"{NETWORK}, transfer learning")


def from_truth(
    intensity: ArrayLike,
    truth: NDArray[Any],
    mask: ArrayLike | None = None,
    *,
    pixel_kernel: Sequence[float] | None = None,
    background: ArrayLike | None = None,
    flat_field: ArrayLike | None = None,
    dark: ArrayLike | None = None,
) -> Reconstruction:
    """Start from the ``truth`` (n0, n1, n2) complex and nothing else: the ceiling of what data can give.

    For tests and benchmarks.  The other arguments are those of `reconstruct`.
    """
    began = time.perf_counter()
    pattern = checked_pattern(intensity, mask, pixel_kernel, background, flat_field, dark)
    with fixed_threads(THREADS):
        x = to_corner(torch.from_numpy(np.asarray(truth, np.complex64)))[None].to(pattern.counts.device)
        support = final_support(pattern, x)
        sigma = fit_blur(pattern, x[0], support[0]) if pattern.blurred else COHERENT
        start = Candidate(x, support, 0.0, sigma, "truth")
        best, history = finish(pattern, start)
        found = Found([best], 1.0, 0, 0)
        return _assemble(
            pattern, found, Calibrated.uncalibrated(best, history), np.empty(0), "", 0, began, DEFAULT
        )


def _search_until_right(
    pattern: Pattern,
    guesses: Guesses | Sequence[Tensor],
    seed: int,
    config: PhasingConfig = DEFAULT,
) -> tuple[Found, Calibrated]:
    """Search, and go on where independent starts agree on an object that leaves more than noise, or loosely.

    That is a wrong object on which starts agree, as long as the model of the measurement is exact; where it
    is not (measured data), an object that stays first for another round, and is found again and again, is
    taken, and calibrated where it still leaves too much of a pattern of point samples.
    """
    reach, rules, limits = autocorrelation_extent(pattern.amplitude()), config.search, config.trust

    def started(shape: tuple[int, int, int]) -> Search:
        level = Level(pattern.amplitude(), pattern.mask, shape)
        return Search(pattern, level, reach, np.random.default_rng(seed), guesses, config)

    usual, holding = (
        coarsest(pattern.shape, reach, signal, config.level)
        for signal in (None, pattern.counts - pattern.background)
    )
    search = started(holding)
    # What no object explains reaches far out, too: it asks for no finer level.
    many = search if holding == usual else started(usual)
    before: Candidate | None = None
    least, averaged = 0, -1
    while True:
        found = search.run(rules.budget, least)
        if rules.mean_of and search.unexplained(found) and many.tried != averaged:
            if common := _averaged(pattern, many, config):
                return common
            averaged = many.tried
        leader = found.candidates[0]
        best, history, alike = choose(pattern, found, config)
        left = left_over(pattern, best)
        again = before is not None and register(leader.x[0], before.x[0]).overlap >= rules.likely
        response = not pattern.blurred and left > rules.explained and search.doubtful(found)
        confirmed = confirmations(found.candidates, rules)
        evidence = StartEvidence(alike, confirmed, left, pattern.blurred, calibrated=response)
        accepted = alike >= limits.agreement and not doubts(evidence, limits)
        clear = alike >= limits.close_agreement and left <= rules.explained and not search.doubtful(found)
        settled = accepted and (clear or (again and confirmed >= rules.confirmed))
        if settled or found.starts >= rules.budget:
            found = replace(found, agreement=alike)
            if response:
                return found, calibrate(pattern, best, config.calibration)
            return found, Calibrated.uncalibrated(best, history)
        before, least = leader, found.starts + rules.round


def _averaged(pattern: Pattern, search: Search, config: PhasingConfig) -> tuple[Found, Calibrated] | None:
    """Return what many starts have in common, where the model of the measurement lacks a part."""
    while search.tried < config.search.mean_of:
        search.try_next()
    common = shared(pattern, search.converged(), config)
    if common is None:
        return None
    return Found(common.members, common.agreement, search.tried, search.level.iterations), common.best


def _assemble(
    pattern: Pattern,
    found: Found,
    outcome: Calibrated,
    losses: NDArray[np.float64],
    weights_hash: str,
    seed: int,
    began: float,
    config: PhasingConfig,
) -> Reconstruction:
    best, factor = outcome.candidate, outcome.response.factor
    calibrated = bool((factor != 1).any())
    explained = pattern.responding(factor * predicted_counts(pattern.corrected(factor), best))
    predicted, counts, mask = (
        to_centre(a).cpu().numpy() for a in (explained, pattern.as_counted, pattern.mask)
    )
    obj, support = centre(*(to_centre(a[0]).cpu().numpy() for a in (best.x, best.support)))
    starts = StartEvidence(
        agreement=found.agreement,
        confirmations=confirmations(found.candidates, config.search),
        noise_ratio=noise_ratio(predicted, counts, mask),
        pixel_kernel=pattern.blurred,
        calibrated=calibrated,
    )
    not_counts = (*pattern.not_counts, *not_poisson(counts, mask, config.trust))
    evidence = gathered(starts, obj, support, counts, mask, not_counts, config.trust)
    trusted, reasons = verdict(evidence, config.trust)
    return Reconstruction(
        object=obj.astype(np.complex64),
        support=support,
        chi_squared=chi_squared(predicted, counts, mask),
        noise_ratio=starts.noise_ratio,
        trusted=trusted,
        reasons=reasons,
        loss_history=losses,
        chi_squared_history=np.asarray(outcome.history),
        seconds=time.perf_counter() - began,
        seed=seed,
        weights_hash=weights_hash,
        agreement=found.agreement,
        coherence=best.coherence,
        origin=best.origin,
        iterations=found.iterations,
        threads=THREADS,
        calibrated=calibrated,
        flat_field=torch.fft.fftshift(_flat_field(pattern, outcome)).cpu().numpy(),
        exposure=torch.fft.fftshift(outcome.response.exposure).cpu().numpy(),
    )


def _flat_field(pattern: Pattern, outcome: Calibrated) -> Tensor:
    """Return the flat field that was given, times what was found beside it; (n1, n2), corner order."""
    return outcome.response.flat_field * (1.0 if pattern.gain is None else pattern.gain.mean(dim=0))
