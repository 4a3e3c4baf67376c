"""The search: starts on the coarsest level, until two independent ones agree.

A low χ² does not make an object right, but wrong objects differ from one another. So a search ends when two
independent starts end at one object (overlap above `SearchConfig.same`) while no other explains the pattern
better. The budget is counted in starts, never in time, so that a seed always gives the same result.

A start that ends at a wrong object mostly has a support that covers only a part of the crystal and a χ² far
above the right object's; `reconstruction` asks for that beside the agreement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from analysis.phasing.config import DEFAULT, PhasingConfig
from analysis.phasing.forward import PixelKernel, noise_chi_squared
from analysis.phasing.pattern import COHERENT, Pattern, Triple, fit_coherence
from analysis.phasing.projections import box, extent_of
from analysis.phasing.registration import AGAIN, NETWORK, Candidate, agreement, consensus, leaders
from analysis.phasing.schedules import (
    CONVERGE,
    FILL,
    FLATTEN,
    LOOSEN_LONG,
    NEAR_STRATEGIES,
    QUICK_STRATEGIES,
    STRATEGIES,
    TIGHTEN,
    Level,
    Recipe,
    crop,
    iterate,
)
from analysis.phasing.starts import SIGNS, Guesses, Start, curved_start, guessed_start, random_start


@dataclass(frozen=True)
class Found:
    """Result of a search so far: candidates, the best confirmed first, and its agreement with another."""

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
        Of the network; each is computed when its turn comes.
    config : PhasingConfig
    """

    def __init__(
        self,
        pattern: Pattern,
        level: Level,
        reach: Sequence[float],
        rng: np.random.Generator,
        guesses: Guesses | Sequence[Tensor] = (),
        config: PhasingConfig = DEFAULT,
    ) -> None:
        self.rules, self._drawn = config.search, config.start
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
        self._refined: dict[int, Candidate] = {}
        self._converged: dict[int, Candidate] = {}

    def score(self, x: Tensor, support: Tensor) -> tuple[float, Triple]:
        """Return (χ² against the counts themselves, blur widths) of ``x`` (1, n0, n1, n2).

        What fills the box explains any counts, so its χ² says nothing: ∞.
        """
        extent = extent_of(support[0])
        if max(extent) > self.rules.filled:
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

        Its period differs from that of the kinds of starts, so that every kind is tried with every blur.
        """
        if self.candidates and number % 3 == 2:
            a, b, c = (
                min(self._drawn.blur_share * s, self._drawn.largest_blur)
                for s in self.candidates[0].coherence
            )
            return a, b, c
        return self._guesses[(number // 2 + number // 8) % len(self._guesses)]

    def draw_extent(self) -> tuple[float, ...]:
        """Draw the edges of an initial box: the autocorrelation's where it did not wrap."""
        drawn = self._drawn
        likely = [
            self.rng.uniform(*drawn.around_extent) * r
            if r < drawn.wrapped
            else self.rng.uniform(*drawn.extent)
            for r in self._reach
        ]
        least = drawn.thinnest
        return tuple(float(max(e, least / n)) for e, n in zip(likely, self.level.shape, strict=True))

    def _next(self, number: int) -> tuple[Start, str, Sequence[Recipe]]:
        """Return start ``number``, its origin, and the recipes to iterate.

        Every second start has a curved phase; between them guesses of the network and random starts
        alternate. Every other random start is made in the support of one of the best candidates: it may end
        at a better object, but does not count as independent of that candidate.
        """
        turn = number // 2
        if number % 2 == 0:
            drawn = self._drawn
            exponent, strength = self.rng.uniform(*drawn.exponents), self.rng.uniform(*drawn.strengths)
            start = curved_start(self.draw_extent(), SIGNS[turn % len(SIGNS)], exponent, strength, drawn)
            choice = QUICK_STRATEGIES if turn < len(SIGNS) else NEAR_STRATEGIES
            return start, f"curved {number}", choice[turn // len(SIGNS) % len(choice)]
        kind = turn // 2
        if turn % 2 == 0 and kind < len(self.guesses):
            recipes = QUICK_STRATEGIES[kind % len(QUICK_STRATEGIES)]
            return guessed_start(self.guesses[kind]), f"{NETWORK} {kind}", recipes
        recipes = STRATEGIES[kind % len(STRATEGIES)]
        if turn % 4 == 3:
            best = 0 if self._leads_clearly() else int(self.rng.integers(0, min(3, len(self.candidates))))
            parent = self.candidates[best]
            return random_start(parent.support), f"{parent.origin}, {AGAIN} {number}", recipes
        inside = box(self.level.shape, self.draw_extent())[None]
        return random_start(inside), f"random {number}", recipes

    def _leads_clearly(self) -> bool:
        """Return whether the lowest χ² is far below the next one."""
        if len(self.candidates) < 2:
            return False
        return self.candidates[0].score < self.rules.clear_lead * self.candidates[1].score

    def refine(self, candidate: Candidate) -> Candidate:
        """Iterate a candidate further with a looser support, HIO, a flatter amplitude and a tighter support.

        After each the object is kept that has the lower χ², or one that is hardly higher (`no_worse`).
        Where χ² stays too large, parts of the crystal lie outside the support: it is loosened once more.
        """
        best = self._iterated(candidate, FILL)
        after_hio = self._iterated(best, *QUICK_STRATEGIES[0])
        best = after_hio if after_hio.score < best.score else best
        best = self._unless_worse(best, FLATTEN)
        if self._leaves_too_much(best):
            loosened = self._iterated(best, LOOSEN_LONG, *FLATTEN)
            best = loosened if loosened.score < best.score else best
        return self._unless_worse(best, [TIGHTEN])

    def _unless_worse(self, candidate: Candidate, recipes: Sequence[Recipe]) -> Candidate:
        after = self._iterated(candidate, *recipes)
        return after if after.score <= self.rules.no_worse * candidate.score else candidate

    def _iterated(self, candidate: Candidate, *recipes: Recipe) -> Candidate:
        """Iterate recipes, the blur deconvolved as the candidate's own prediction says."""
        for recipe in recipes:
            x, support = candidate.x, candidate.support
            extent, sigma = extent_of(support[0]), candidate.coherence
            kernel = PixelKernel(self.level.shape, self.pattern.widths, sigma, extent=extent, device=x.device)
            sharp = kernel.point_amplitude(x[0], self._raw.square(), self._background)
            self.level.engine.set_amplitude(sharp)
            x, support = iterate(self.level, x, support, recipe)
            chi, sigma = self.score(x, support)
            candidate = replace(candidate, x=x, support=support, score=chi, coherence=sigma)
        return candidate

    def run(self, limit: int, least: int = 0) -> Found:
        """Go on until two starts agree and ``least`` have been made in all, or ``limit`` of them.

        Two that are alike but not the same (overlap between `likely` and `same`) get one more round of
        starts, which may bring one that is the same.
        """
        alike: int | None = None
        while self.tried < limit:
            self.try_next()
            alike_now = agreement(self.candidates[0], self.candidates[1:], self.rules)
            if self.tried < least or alike_now < self.rules.likely:
                continue
            found = self._refined_consensus()
            if found.agreement >= self.rules.same:
                return found
            alike = self.tried if alike is None else alike
            if self.tried >= alike + self.rules.round:
                return found
        return self._refined_consensus()

    def try_next(self) -> None:
        """Make the next start."""
        number, self.tried = self.tried, self.tried + 1
        start, origin, recipes = self._next(number)
        self.try_start(start, self._coherence(number), origin, recipes)

    def converged(self) -> list[Candidate]:
        """Return all candidates, each iterated until it does not change any more."""
        fresh = [c for c in self.candidates if id(c) not in self._converged]
        self._converged |= {id(c): self._iterated(c, CONVERGE) for c in fresh}
        return sorted((self._converged[id(c)] for c in self.candidates), key=lambda c: c.score)

    def _refined_consensus(self) -> Found:
        """Refine the best candidates that are not refined yet and measure the agreement of all that are."""
        most = self.rules.refined
        near = [c for c in self.candidates if c.score <= self.rules.rival * self.candidates[0].score]
        near = leaders(near, most // 2)[: 2 * most]
        fresh = [c for c in near if id(c) not in self._refined][:most]
        self._refined |= {id(c): self.refine(c) for c in fresh}
        ranked, agreed = consensus(list(self._refined.values()), self.rules)
        return Found(leaders(ranked, 1)[: most + 1], agreed, self.tried, self.level.iterations)

    def unexplained(self, found: Found) -> bool:
        """Return whether χ² is larger than the model of the measurement can account for.

        Wrong objects have as large a χ², but few starts agree on one of them.
        """
        rules, noise = self.rules, self._noise
        return found.candidates[0].score > max(noise + rules.unexplained, rules.times_noise * noise)

    def doubtful(self, found: Found) -> bool:
        """Return whether χ² is larger than right objects have it on the coarsest level."""
        return self._leaves_too_much(found.candidates[0])

    def _leaves_too_much(self, candidate: Candidate) -> bool:
        return candidate.score > self.rules.cutting + self.rules.noise * self._noise
