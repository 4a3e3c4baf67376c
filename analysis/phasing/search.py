"""Search until right: cheap starts on the coarsest level, until two independent ones agree.

A low χ² is not a correct object, but wrong objects are wrong in their own ways: two independent starts that
end at one object (overlap above `AGREEMENT`) while no other explains the pattern better are the stop rule.
The budget is counted in starts, never in time, so that a seed always gives the same result.

Starts that go wrong mostly collapse: their support shrinks to a part of the crystal's and their χ² stays far
above the right object's, so whoever asks for more than agreement can tell (`reconstruction`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from analysis.phasing.pattern import COHERENT, Pattern, Triple, fit_coherence
from analysis.phasing.pixel_kernel import PixelKernel
from analysis.phasing.projections import box, extent_of
from analysis.phasing.registration import (
    AGAIN,
    AGREEMENT,
    LIKELY,
    NETWORK,
    RIVAL,
    Candidate,
    agreement,
    consensus,
    leaders,
)
from analysis.phasing.residual import noise_chi_squared
from analysis.phasing.schedules import (
    FILL,
    FLATTEN,
    NEAR_STRATEGIES,
    OPENED,
    QUICK_STRATEGIES,
    REST,
    STRATEGIES,
    TIGHTEN,
    Level,
    Recipe,
    crop,
    iterate,
)
from analysis.phasing.starts import SIGNS, Guesses, Start, curved_start, guessed_start, random_start

NO_WORSE = 1.3
"""A candidate that was flattened or tightened replaces what it came from up to this ratio of their χ²."""

STRANGE, TIMES_NOISE = 0.004, 5.0
"""χ² on the coarsest level, above that of noise alone and in units of it, from which the model of the
measurement lacks something. Wrong objects leave as much, but few starts agree on one of them."""

LEFT_BY_CUTTING, LEFT_BY_NOISE = 0.001, 1.5
"""χ² on the coarsest level that right objects leave at most: what rings outside the support since q was cut
there, and a multiple of what noise alone leaves. Of wrong ones on which starts agree most leave more."""

POLISHED = 4
"""How many candidates are polished at a time, and kept."""

ROUND = 8
"""So many more starts are made where the ones before leave a doubt."""

LONELY = 0.5
"""A χ² below this share of the next one's: the object is likely right, but alone."""

UNBLURRED, LEAST_SURE = 0.7, 0.2
"""A start takes so much of the blur that the best object was fitted with, and at most so many voxels: see
`pattern.COHERENCE_GUESSES`; wrong objects are fitted with too much."""

EXPONENTS, STRENGTHS = (2.0, 4.0), (1.0, 1.4)
"""From what the curved starts are drawn (`curved_start`): no one of them hits all kinds of phase."""

FILLED = 0.9
"""A support that reaches over more than this share of an axis has let go of the object."""

WRAPPED = 0.42
"""An autocorrelation that reaches further than this share of an axis may have wrapped: no size from it."""


@dataclass(frozen=True)
class Found:
    """What a search stands at: candidates, the best confirmed in front, and its agreement with another."""

    candidates: list[Candidate]
    agreement: float
    starts: int
    iterations: int


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
    guesses : Guesses or sequence of Tensor, (32, 32, 32) complex64, corner order
        Of the network; taken one after the other, each when its turn comes.
    """

    def __init__(
        self,
        pattern: Pattern,
        level: Level,
        reach: Sequence[float],
        rng: np.random.Generator,
        guesses: Guesses | Sequence[Tensor] = (),
    ) -> None:
        self.pattern, self.level, self.rng = pattern, level, rng
        self.guesses, self.tried = guesses, 0
        coarse = Level(pattern.counts.sqrt(), pattern.mask, level.shape)
        self._raw, self._measured = coarse.engine.amplitude, (~coarse.mask).float()
        self._background = crop(pattern.background, level.shape)
        self._noise = noise_chi_squared(self._raw.square(), self._measured)
        self._guesses = pattern.coherence_guesses()
        self._amplitudes: dict[Triple, Tensor] = {}
        self._reach = reach
        self.candidates: list[Candidate] = []
        self._polished: dict[int, Candidate] = {}
        self._rested: dict[int, Candidate] = {}

    def score(self, x: Tensor, support: Tensor) -> tuple[float, Triple]:
        """Return (χ² against the counts themselves, blur widths) of ``x`` (1, n0, n1, n2).

        What fills the box explains any counts, so its χ² says nothing: ∞.
        """
        extent = extent_of(support[0])
        if max(extent) > FILLED:
            return math.inf, COHERENT
        if not self.pattern.blurred:
            kernel = PixelKernel(self.level.shape, self.pattern.widths, device=x.device)
            return kernel.misfit(x[0], self._raw, self._measured, self._background), COHERENT
        sigma, chi = fit_coherence(
            x[0], self._raw, self._measured, self.pattern.widths, self._background, extent=extent
        )
        return chi, sigma

    def try_start(self, start: Start, coherence: Triple, origin: str, recipes: Sequence[Recipe]) -> Candidate:
        """Run one start to its end and keep what it found."""
        key = (round(coherence[0], 3), round(coherence[1], 3), round(coherence[2], 3))
        if key not in self._amplitudes:
            self._amplitudes[key] = self.pattern.amplitude(key)
        self.level.set_amplitude(self._amplitudes[key])
        x, support = start(self.level, self.rng)
        for recipe in recipes:
            x, support = iterate(self.level, x, support, recipe)
        chi, sigma = self.score(x, support)
        candidate = Candidate(x, support, chi, sigma, origin)
        self.candidates = sorted([*self.candidates, candidate], key=lambda c: c.score)
        return candidate

    def _coherence(self, number: int) -> Triple:
        """Return the blur that start ``number`` assumes: a guess, every third time near the best fit.

        In other turns than the kinds of starts take, so that each meets all.
        """
        if self.candidates and number % 3 == 2:
            a, b, c = (min(UNBLURRED * s, LEAST_SURE) for s in self.candidates[0].coherence)
            return a, b, c
        return self._guesses[(number // 2 + number // 8) % len(self._guesses)]

    def draw_extent(self) -> tuple[float, ...]:
        """Draw the edges of an initial box: the autocorrelation's where it did not wrap."""
        likely = [
            self.rng.uniform(0.9, 1.2) * r if r < WRAPPED else self.rng.uniform(0.42, 0.68)
            for r in self._reach
        ]
        return tuple(float(max(e, 3 / n)) for e, n in zip(likely, self.level.shape, strict=True))

    def _next(self, number: int) -> tuple[Start, str, Sequence[Recipe]]:
        """Return start ``number``, its origin, and what it goes through.

        Every second one is curved; a guess of the network and a random one take turns between. Every
        other random one is made in the support of one of the best candidates: another that ends there may be
        better, though it is no witness.
        """
        turn = number // 2
        if number % 2 == 0:
            exponent, strength = self.rng.uniform(*EXPONENTS), self.rng.uniform(*STRENGTHS)
            start = curved_start(self.draw_extent(), SIGNS[turn % len(SIGNS)], exponent, strength)
            choice = QUICK_STRATEGIES if turn < len(SIGNS) else NEAR_STRATEGIES
            return start, f"curved {number}", choice[turn // len(SIGNS) % len(choice)]
        kind = turn // 2
        if turn % 2 == 0 and kind < len(self.guesses):
            recipes = QUICK_STRATEGIES[kind % len(QUICK_STRATEGIES)]
            return guessed_start(self.guesses[kind]), f"{NETWORK} {kind}", recipes
        recipes = STRATEGIES[kind % len(STRATEGIES)]
        if turn % 4 == 3:
            best = 0 if self._lonely() else int(self.rng.integers(0, min(3, len(self.candidates))))
            parent = self.candidates[best]
            return random_start(parent.support), f"{parent.origin}, {AGAIN} {number}", recipes
        inside = box(self.level.shape, self.draw_extent())[None]
        return random_start(inside), f"random {number}", recipes

    def _lonely(self) -> bool:
        return len(self.candidates) > 1 and self.candidates[0].score < LONELY * self.candidates[1].score

    def polish(self, candidate: Candidate) -> Candidate:
        """Fill a candidate, hunt on from it, flatten and tighten it; keep what explains no worse.

        One that leaves too much has parts outside a support that is too tight: it is opened once more.
        """
        rested = self._carried_on(candidate, FILL)
        hunted = self._carried_on(rested, *QUICK_STRATEGIES[0])
        rested = hunted if hunted.score < rested.score else rested
        best = self._unless_worse(rested, FLATTEN)
        if self._leaves_too_much(best):
            opened = self._carried_on(best, OPENED, *FLATTEN)
            best = opened if opened.score < best.score else best
        return self._unless_worse(best, [TIGHTEN])

    def _unless_worse(self, candidate: Candidate, recipes: Sequence[Recipe]) -> Candidate:
        after = self._carried_on(candidate, *recipes)
        return after if after.score <= NO_WORSE * candidate.score else candidate

    def _carried_on(self, candidate: Candidate, *recipes: Recipe) -> Candidate:
        """Go through recipes, the blur now taken from the candidate's own prediction."""
        for recipe in recipes:
            x, support = candidate.x, candidate.support
            extent, sigma = extent_of(support[0]), candidate.coherence
            kernel = PixelKernel(self.level.shape, self.pattern.widths, sigma, extent=extent, device=x.device)
            freed = kernel.freed_amplitude(x[0], self._raw.square(), self._background)
            self.level.engine.set_amplitude(freed)
            x, support = iterate(self.level, x, support, recipe)
            chi, sigma = self.score(x, support)
            candidate = replace(candidate, x=x, support=support, score=chi, coherence=sigma)
        return candidate

    def run(self, limit: int, least: int = 0) -> Found:
        """Go on until two starts agree and ``least`` have been made in all, or ``limit`` of them.

        Where they are alike but not the same, `ROUND` more may bring one that is.
        """
        alike: int | None = None
        while self.tried < limit:
            self.try_next()
            likely = agreement(self.candidates[0], self.candidates[1:]) >= LIKELY
            if self.tried < least or not likely:
                continue
            found = self._polished_consensus()
            if found.agreement >= AGREEMENT:
                return found
            alike = self.tried if alike is None else alike
            if self.tried >= alike + ROUND:
                return found
        return self._polished_consensus()

    def try_next(self) -> None:
        """Make the next start."""
        number, self.tried = self.tried, self.tried + 1
        start, origin, recipes = self._next(number)
        self.try_start(start, self._coherence(number), origin, recipes)

    def rested(self) -> list[Candidate]:
        """Return all candidates, each iterated on to its rest."""
        fresh = [c for c in self.candidates if id(c) not in self._rested]
        self._rested |= {id(c): self._carried_on(c, REST) for c in fresh}
        return sorted((self._rested[id(c)] for c in self.candidates), key=lambda c: c.score)

    def _polished_consensus(self) -> Found:
        """Polish the best candidates that are not polished yet and measure the agreement of all that are."""
        near = [c for c in self.candidates if c.score <= RIVAL * self.candidates[0].score]
        near = leaders(near, POLISHED // 2)[: 2 * POLISHED]
        fresh = [c for c in near if id(c) not in self._polished][:POLISHED]
        self._polished |= {id(c): self.polish(c) for c in fresh}
        return self._found(*consensus(list(self._polished.values())))

    def strange(self, found: Found) -> bool:
        """Return whether what was found leaves more than the model of the measurement can account for."""
        return found.candidates[0].score > max(self._noise + STRANGE, TIMES_NOISE * self._noise)

    def doubtful(self, found: Found) -> bool:
        """Return whether what was found leaves more than a right object does on the coarsest level."""
        return self._leaves_too_much(found.candidates[0])

    def _leaves_too_much(self, candidate: Candidate) -> bool:
        return candidate.score > LEFT_BY_CUTTING + LEFT_BY_NOISE * self._noise

    def _found(self, ranked: list[Candidate], agreed: float) -> Found:
        return Found(leaders(ranked, 1)[: POLISHED + 1], agreed, self.tried, self.level.iterations)
