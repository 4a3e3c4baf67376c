"""Search until right: many cheap starts on the coarsest level, until two independent ones agree.

A low χ² is not a correct object, but wrong objects are wrong in their own ways: two independent starts that
end at one object (overlap above `AGREEMENT`) while no other explains the pattern better are the stop rule.
The budget is counted in rounds, never in time, so that a seed always gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from analysis.phasing.ambiguities import overlap
from analysis.phasing.coherence import COHERENT, Triple, fit_coherence
from analysis.phasing.engine import to_centre
from analysis.phasing.kernels import PixelKernel, free_of_blur
from analysis.phasing.levels import Level, crop, resample
from analysis.phasing.recipes import POLISH, SEARCH, Recipe, iterate, support_of
from analysis.phasing.support import box, extent_of

AGREEMENT = 0.95
"""Overlap from which two starts count as the same object."""

RIVAL, RIVALS = 2.0, 8
"""A candidate within this factor of the lowest χ², and among so many best, has a say in the agreement."""

NEAR = 1.3
"""Candidates within this factor of the lowest χ² are equally good explanations."""

LIKELY = 0.9
"""Agreement from which the best candidates are polished before the rule is applied to them."""

POLISHED = 4
"""How many of the best candidates are polished."""

COHERENCE_GUESSES = (0.3, 0.15, 0.0)
"""Blur widths across the beam, voxels, that the starts of a detector frame try in turn."""

NETWORK = "network"
"""How the origin of a network's guess begins."""

WRAPPED = 0.42
"""An autocorrelation that reaches further than this share of an axis may have wrapped: no size from it."""


@dataclass(frozen=True)
class Pattern:
    """What the search needs to know of a measurement; arrays in corner order.

    Parameters
    ----------
    counts : Tensor, (n0, n1, n2) float32
        As measured, background included; 0 where not measured.
    mask : Tensor, (n0, n1, n2) bool
        True where not measured.
    background : Tensor, (n0, n1, n2) float32, counts
    widths : three float
        Voxel widths in units of the pitch.
    """

    counts: Tensor
    mask: Tensor
    background: Tensor
    widths: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels per axis."""
        a, b, c = self.counts.shape
        return a, b, c

    @property
    def blurred(self) -> bool:
        """Whether the voxels have a width."""
        return max(self.widths) > 0

    def coherence_guesses(self) -> list[Triple]:
        """Return the blurs to try first: none, or across the beam, where pixels have a width."""
        if not self.blurred:
            return [COHERENT]
        a, b, c = (float(w > 0) for w in self.widths)
        return [(a * s, b * s, c * s) for s in COHERENCE_GUESSES]

    def amplitude(self, sigma: Triple = COHERENT) -> Tensor:
        """Return the point-sample amplitude, √counts, less background and freed of voxel width and blur."""
        signal = (self.counts - self.background).clamp_min(0).sqrt()
        return free_of_blur(signal, self.mask, self.widths, sigma)


@dataclass(frozen=True)
class Candidate:
    """One object that a start ended at; ``x`` and ``support`` are (1, n0, n1, n2), corner order."""

    x: Tensor
    support: Tensor
    score: float
    coherence: Triple
    origin: str


Start = Callable[[Level, np.random.Generator], tuple[Tensor, Tensor]]
"""Makes an object and a support on a level."""


@dataclass
class Found:
    """What a search ended with: candidates by rising χ², and whether the best was found again."""

    candidates: list[Candidate]
    agreement: float
    rounds: int
    iterations: int


def random_start(extent: tuple[float, ...]) -> Start:
    """Return a start of random amplitude and phase in a box of ``extent`` (fractions of the axes)."""

    def make(level: Level, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        return _noise(level, rng, box(level.shape, extent)[None])

    return make


def _noise(level: Level, rng: np.random.Generator, support: Tensor) -> tuple[Tensor, Tensor]:
    amplitude, phase = rng.random(level.shape), rng.random(level.shape)
    noise = torch.from_numpy((amplitude * np.exp(2j * np.pi * phase)).astype(np.complex64))
    return noise[None] * support, support


def guessed_start(guess: Tensor) -> Start:
    """Return a start from a network's ``guess`` (32, 32, 32) complex64, corner order."""

    def make(level: Level, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        x = resample(guess[None].to(torch.complex64), level.shape)
        support = support_of(level, x)
        return x * support, support

    return make


class Search:
    """Starts, their ranking, and the rule that ends them.

    Parameters
    ----------
    pattern : Pattern
    level : Level
        The coarsest.
    reach : three float
        How far the autocorrelation reaches (`autocorrelation_extent`).
    rng : Generator
    recipe : Recipe
    """

    def __init__(
        self,
        pattern: Pattern,
        level: Level,
        reach: Sequence[float],
        rng: np.random.Generator,
        recipe: Recipe = SEARCH,
    ) -> None:
        self.pattern, self.level, self.rng, self.recipe = pattern, level, rng, recipe
        coarse = Level(pattern.counts.sqrt(), pattern.mask, level.shape)
        self._raw, self._measured = coarse.engine.amplitude, (~coarse.mask).float()
        self._background = crop(pattern.background, level.shape)
        self._guesses = pattern.coherence_guesses()
        self._amplitudes: dict[Triple, Tensor] = {}
        self._reach = reach
        self.candidates: list[Candidate] = []
        self._polished: dict[int, Candidate] = {}

    def score(self, x: Tensor) -> tuple[float, Triple]:
        """Return (χ² against the counts themselves, blur widths) of ``x`` (1, n0, n1, n2)."""
        sigma, chi = fit_coherence(x[0], self._raw, self._measured, self.pattern.widths, self._background)
        return chi, sigma

    def try_start(self, start: Start, coherence: Triple, origin: str, recipe: Recipe) -> Candidate:
        """Run one start to its end and keep what it found."""
        key = (round(coherence[0], 3), round(coherence[1], 3), round(coherence[2], 3))
        if key not in self._amplitudes:
            self._amplitudes[key] = self.pattern.amplitude(key)
        self.level.set_amplitude(self._amplitudes[key])
        x, support = iterate(self.level, *start(self.level, self.rng), recipe)
        chi, sigma = self.score(x)
        candidate = Candidate(x, support, chi, sigma, origin)
        self.candidates = sorted([*self.candidates, candidate], key=lambda c: c.score)
        return candidate

    def _coherence(self, number: int) -> Triple:
        """Return the blur width that start ``number`` assumes: a guess, every second time the best fit."""
        if self.candidates and number % 2:
            return self.candidates[0].coherence
        return self._guesses[number % len(self._guesses)]

    def draw_extent(self) -> tuple[float, ...]:
        """Draw the edges of an initial box: the autocorrelation's where it did not wrap."""
        likely = [
            self.rng.uniform(0.9, 1.2) * r if r < WRAPPED else self.rng.uniform(0.42, 0.68)
            for r in self._reach
        ]
        return tuple(float(max(e, 3 / n)) for e, n in zip(likely, self.level.shape, strict=True))

    def _next(self, number: int) -> Start:
        """Return start ``number``: every second one takes the size of one of the best candidates."""
        if number % 2 and len(self.candidates) > 3:
            chosen = self.candidates[int(self.rng.integers(0, 3))]
            extent = extent_of(chosen.support[0])
            return random_start(tuple(e * self.rng.uniform(0.95, 1.08) for e in extent))
        return random_start(self.draw_extent())

    def polish(self, candidate: Candidate, recipes: Sequence[Recipe] = POLISH) -> Candidate:
        """Iterate a candidate on, the blur now taken from its own prediction."""
        x, support, coherence, chi = candidate.x, candidate.support, candidate.coherence, candidate.score
        for recipe in recipes:
            kernel = PixelKernel(
                self.level.shape, self.pattern.widths, coherence, extent=extent_of(support[0])
            )
            self.level.engine.set_amplitude(
                kernel.freed_amplitude(x[0], self._raw.square(), self._background)
            )
            x, support = iterate(self.level, x, support, recipe)
            chi, coherence = self.score(x)
        return Candidate(x, support, chi, coherence, candidate.origin)

    def run(self, guesses: list[Tensor], rounds: int, starts: int) -> Found:
        """Try the network's ``guesses``, then ``starts`` random starts a round, until two agree."""
        short = replace(self.recipe, iterations=self.recipe.iterations * 2 // 3)
        for number, guess in enumerate(guesses):
            self.try_start(guessed_start(guess), self._coherence(number), f"{NETWORK} {number}", short)
        found = Found(self.candidates, 0.0, 0, 0)
        for done in range(rounds + 1):
            if agreement(self.candidates) >= LIKELY or done == rounds:
                found = self._compare(done)
            if found.agreement >= AGREEMENT or done == rounds:
                break
            for number in range(starts * done, starts * (done + 1)):
                self.try_start(self._next(number), self._coherence(number), f"random {number}", self.recipe)
        return found

    def _compare(self, done: int) -> Found:
        """Polish the best candidates that are not polished yet and measure the agreement of all that are."""
        fresh = [c for c in self.candidates[: 2 * POLISHED] if id(c) not in self._polished][:POLISHED]
        self._polished |= {id(c): self.polish(c) for c in fresh}
        ranked, agreed = consensus(list(self._polished.values()))
        return Found(ranked[:POLISHED], agreed, done, self.level.iterations)


def consensus(candidates: Sequence[Candidate]) -> tuple[list[Candidate], float]:
    """Return the candidates, the one that others confirm best in front, and its agreement with them.

    Only those within `NEAR` of the lowest χ² can stand in front: a lower χ² by less may be a looser support.
    """
    ranked = sorted(candidates, key=lambda c: c.score)
    near = [c for c in ranked if c.score <= NEAR * ranked[0].score]
    agreed = [agreement([c, *(d for d in ranked if d is not c)]) for c in near]
    best = max(range(len(near)), key=agreed.__getitem__)
    return [near[best], *(c for c in ranked if c is not near[best])], agreed[best]


def agreement(candidates: Sequence[Candidate]) -> float:
    """Return the best overlap of the first of ``candidates`` with its rivals, 0 without any."""
    if not candidates:
        return 0.0
    best, *others = candidates
    # Guesses of one network are not independent of each other.
    told = best.origin.startswith(NETWORK)
    rivals = [
        c
        for c in others[:RIVALS]
        if c.score <= RIVAL * best.score and not (told and c.origin.startswith(NETWORK))
    ]
    image = to_centre(best.x)[0].numpy()
    return max((overlap(to_centre(c.x)[0].numpy(), image) for c in rivals), default=0.0)
