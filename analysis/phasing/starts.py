"""What a search starts from: noise in a box, the network's guess, or a curved phase that fits the pattern.

A strong smooth phase sends each part of the crystal to the q of its local slope (stationary phase), so the
pattern is a distorted picture of the crystal itself. The plainest such map is linear, its phase quadratic:
the second moments of pattern and body fix it but for a sign along each of three axes. Random starts
hardly ever lead to such a crystal; they lead to its focus, a small bright object of nearly the same moduli.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.phasing.config import DEFAULT, StartConfig
from analysis.phasing.network.pretrained import Pretrained
from analysis.phasing.network.transfer import fine_tune
from analysis.phasing.pattern import Pattern
from analysis.phasing.projections import box, frequencies, to_centre, to_corner
from analysis.phasing.schedules import Level, resample, support_of

ORIENTATIONS = (0, 13, 26, 39, 7, 20, 33, 46)
"""Orientations of the input in which the network is asked, one after the other."""


class Guesses:
    """Coarse guesses of one pattern, made when they are asked for.

    Parameters
    ----------
    pretrained : Pretrained
    pattern : Pattern
    seed : int
        Chooses the orientation in which the network is fine-tuned.
    transfer : bool
        Whether it is, at last.
    """

    def __init__(
        self,
        pretrained: Pretrained,
        pattern: Pattern,
        seed: int,
        *,
        transfer: bool = True,
        config: StartConfig = DEFAULT.start,
    ) -> None:
        self._steps = config.transfer_steps
        self.pretrained, self.seed, self.transfer = pretrained, seed, transfer
        self._counts = to_centre((pattern.counts - pattern.background).clamp_min(0)).cpu().numpy()
        self._mask = to_centre(pattern.mask).cpu().numpy()
        self._device = pattern.counts.device
        self.losses: NDArray[np.float64] = np.empty(0)

    def __len__(self) -> int:
        """Return how many there are: one per orientation, and the fine-tuned one."""
        return len(ORIENTATIONS) + self.transfer

    def __getitem__(self, number: int) -> Tensor:
        """Return guess ``number``, (32, 32, 32) complex64, corner order."""
        if number < len(ORIENTATIONS):
            threads = torch.get_num_threads()
            one = [ORIENTATIONS[number]]
            guess = self.pretrained.guess(self._counts, self._mask, orientations=one, threads=threads)[0]
        else:
            tuned, losses = fine_tune(
                self.pretrained, self._counts, self._mask, steps=self._steps, seed=self.seed
            )
            guess, self.losses = tuned[-1], np.asarray(losses, np.float64)
        return to_corner(torch.from_numpy(np.ascontiguousarray(guess))).to(self._device)


Start = Callable[[Level, np.random.Generator], tuple[Tensor, Tensor]]
"""Makes an object and a support on a level, both (1, n0, n1, n2), corner order."""

SIGNS = ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1))
"""Of the three curvatures; turning all of them around gives the twin."""


def random_start(support: Tensor) -> Start:
    """Return a start of random amplitude and phase in ``support`` (1, n0, n1, n2) bool."""

    def make(level: Level, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw amplitude and phase of each voxel."""
        amplitude, phase = rng.random(level.shape), rng.random(level.shape)
        noise = torch.from_numpy((amplitude * np.exp(2j * np.pi * phase)).astype(np.complex64))
        return noise.to(support.device)[None] * support, support

    return make


def guessed_start(guess: Tensor) -> Start:
    """Return a start from a network's ``guess`` (32, 32, 32) complex64, corner order."""

    def make(level: Level, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Bring the guess to the level's voxels, and cut it to its own support."""
        x = resample(guess[None].to(torch.complex64), level.shape)
        support = support_of(level, x)
        return x * support, support

    return make


def curved_start(
    extent: Sequence[float],
    signs: Sequence[int],
    exponent: float = 2.0,
    strength: float = 1.0,
    config: StartConfig = DEFAULT.start,
) -> Start:
    """Return a start of even amplitude in a box, its phase curved so that the pattern has its second moments.

    Parameters
    ----------
    extent : three float
        Edges of the box as fractions of the axes.
    signs : three int
        Of the curvatures, 1 or -1.
    exponent : float
        2 is a quadratic phase Q; of another, abs(Q)^(exponent/2) with the sign of Q, the slopes lie further
        out (more than 2) or further in, as spread as before.
    strength : float
        What the phase is multiplied with: the moments leave out what is faint.
    """

    def make(level: Level, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Put the phase of the measured second moments on an even box, with a little smooth noise."""
        support = box(level.shape, extent, level.engine.device)[None]
        curvature = matched_curvature(
            second_moments(level, config.least_share), [config.spread * e**2 for e in extent], signs
        )
        x = frequencies(level.shape, level.engine.device)
        phase = torch.zeros(level.shape, device=level.engine.device)
        for i in range(3):
            for j in range(3):
                phase = phase + 0.5 * float(curvature[i, j]) * x[i] * x[j]
        phase = _bent(phase, support[0], exponent) * strength
        noise = torch.from_numpy(rng.standard_normal(level.shape).astype(np.float32)).to(phase.device)
        rough = level.smoother(noise, config.smoothness)
        phase = phase + rough * (config.roughness / float(rough.std()))
        return torch.polar(support.to(torch.float32), phase[None]), support

    return make


def _bent(phase: Tensor, support: Tensor, exponent: float) -> Tensor:
    """Return the quadratic ``phase`` (n0, n1, n2) with another ``exponent``, its slopes as spread as before.

    In a ball of radius 1 the mean square slope of c·r^p is 3c²p²/(2p + 1), and the mean of r² is 3/5.
    """
    surface = phase[support].abs().mean().clamp_min(1e-12) * 5 / 3
    scale = (2 / exponent) * ((2 * exponent + 1) / 5) ** 0.5
    return surface * scale * phase.sign() * (phase.abs() / surface) ** (exponent / 2)


def second_moments(level: Level, least_share: float = DEFAULT.start.least_share) -> NDArray[np.float64]:
    """Return the covariance (3, 3) of q in a level's intensity, (rad per field of view)².

    Of intensity above ``least_share`` of the brightest.
    """
    intensity = level.engine.amplitude.square() * (~level.mask)
    weight = (intensity * (intensity > least_share * intensity.max())).double()
    total = float(weight.sum().clamp_min(1e-30))
    q = [f.double() * n for f, n in zip(frequencies(level.shape, weight.device), level.shape, strict=True)]
    mean = [float((weight * a).sum()) / total for a in q]
    moments = [
        [float((weight * q[i] * q[j]).sum()) / total - mean[i] * mean[j] for j in range(3)] for i in range(3)
    ]
    return (2 * np.pi) ** 2 * np.array(moments)


def matched_curvature(
    moments: NDArray[np.float64], spread: Sequence[float], signs: Sequence[int]
) -> NDArray[np.float64]:
    """Return the symmetric A (3, 3) with A S A = ``moments`` (3, 3), where S = diag(``spread``).

    The phase ½ xᵀ A x has the slope A x, whose covariance over a body of covariance S is A S A. In the
    coordinates S^−½ x that is a square, whose roots differ in the ``signs`` of their eigenvalues.
    """
    root = np.sqrt(np.asarray(spread, float))
    values, vectors = np.linalg.eigh(root[:, None] * moments * root)
    square_root = (vectors * np.sqrt(np.maximum(values, 0)) * np.asarray(signs)) @ vectors.T
    return square_root / root[:, None] / root
