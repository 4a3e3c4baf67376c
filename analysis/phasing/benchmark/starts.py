"""What the network is worth to `reconstruct`: the same crystals without it, with it, and fine-tuned."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.phasing.benchmark.cases import Case
from analysis.phasing.benchmark.judging import overlap_with_truth
from analysis.phasing.guesses import Guesses
from analysis.phasing.network import load_pretrained
from analysis.phasing.pattern import Pattern
from analysis.phasing.reconstruction import Reconstruction, from_guesses
from analysis.phasing.validation import checked_pattern

POLICIES = ("no network", "network, not fine-tuned", "network, fine-tuned at last")
"""Where the starts of a search come from; the last is what `reconstruct` does."""


@dataclass(frozen=True)
class Outcome:
    """One crystal under one policy.

    Parameters
    ----------
    policy : str
    seed, kind : int, str
        Of the case.
    overlap : float
        With the truth.
    trusted : bool
    iterations : int
        On the coarsest level.
    cpu_seconds : float
    """

    policy: str
    seed: int
    kind: str
    overlap: float
    trusted: bool
    iterations: int
    cpu_seconds: float


def compare(cases: Sequence[Case]) -> Iterator[Outcome]:
    """Phase each of ``cases`` under each of the `POLICIES`, same seed, one after the other."""
    for case in cases:
        made = case.pattern()
        pattern = checked_pattern(made.counts, **made.arguments())
        for policy in POLICIES:
            began = time.process_time()
            found = _phased(pattern, policy, case.seed)
            used = time.process_time() - began
            reached = overlap_with_truth(found, made)
            yield Outcome(policy, case.seed, case.kind.name, reached, found.trusted, found.iterations, used)


def _phased(pattern: Pattern, policy: str, seed: int) -> Reconstruction:
    if policy == POLICIES[0]:
        return from_guesses(pattern, (), seed)
    pretrained = load_pretrained()
    guesses = Guesses(pretrained, pattern, seed, transfer=policy == POLICIES[2])
    return from_guesses(pattern, guesses, seed, pretrained.hash)
