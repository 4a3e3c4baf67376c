"""From the phase errors of shorter exposures to the shortest one that reaches a stated phase error."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log, sqrt
from numbers import Real

from analysis.exposure.trial import ExposureTable

ASSUMED = (
    "counts are Poisson's, and beam, crystal, background, mask and the peak's place stay as in this scan",
    "the error is that of counting and of what the search makes of it; what the model of the measurement "
    "lacks is the same in every copy, and is not seen",
    "of this crystal at this temperature: where its signal is fainter, it takes longer",
)
"""What a proposal rests on, in words."""


@dataclass(frozen=True)
class ExposureLimits:
    """Between which exposures one is proposed.

    Attributes
    ----------
    shortest, longest : float, s
        Per point.
    """

    shortest: float
    longest: float

    def __post_init__(self) -> None:
        """Refuse what are no limits."""
        numbers = (self.shortest, self.longest)
        usable = all(isinstance(one, Real) and not isinstance(one, bool) and isfinite(one) for one in numbers)
        if not usable or not 0 < self.shortest <= self.longest:
            raise ValueError(
                "the limits of an exposure are two numbers of seconds above 0, the shortest first; got "
                f"{self.shortest!r} and {self.longest!r}"
            )


@dataclass(frozen=True)
class ExposureProposal:
    """An exposure that would reach a stated phase error.

    Attributes
    ----------
    seconds : float
        Per point.
    goal, expected : float, rad
        The phase error that was asked for, and that of this exposure with the spread of the copies.
    reached : bool
        Whether the second is at most the first.
    reason : str
        How it was found.
    assumed : tuple of str
    """

    seconds: float
    goal: float
    expected: float
    reached: bool
    reason: str
    assumed: tuple[str, ...] = ASSUMED

    @property
    def sentence(self) -> str:
        """The proposal in words."""
        verdict = "reaches" if self.reached else "does NOT reach"
        return (
            f"{self.seconds:.3g} s per point {verdict} a phase error of {self.goal:g} rad "
            f"(expected {self.expected:.3f} rad): {self.reason}"
        )


def propose(table: ExposureTable, goal: float, limits: ExposureLimits) -> ExposureProposal:
    """Return the shortest exposure, within limits, whose phase error is at most ``goal``.

    Held against the goal is the copies' RMS error plus their spread (`ExposureRow.upper`). Between two
    exposures that were tried its logarithm is interpolated over that of the exposure, from the longest one
    down to the first that does not reach the goal: a shorter one that happens to do so does not count. Below
    the shortest one tried nothing is proposed. Above all counts the error is taken to fall as 1/√t.

    Parameters
    ----------
    table : ExposureTable
    goal : float, rad
    limits : ExposureLimits

    Raises
    ------
    ValueError
        The goal is no phase error, or nothing can be proposed, in words.
    """
    if isinstance(goal, bool) or not isinstance(goal, Real) or not 0 < goal < 2:
        raise ValueError(f"a phase error is a number of rad above 0 and below 2; got {goal!r}")
    if not table.trusted:
        raise ValueError("no exposure is proposed: the full result is not trusted, nothing can be compared")
    curve = _curve(table)
    if not isfinite(curve[0][1]):
        row = table.rows[0]
        raise ValueError(
            f"no exposure is proposed: at {row.fraction:.3g} of the exposure {row.trusted} of {row.copies} "
            "copies are trusted, nothing shorter can be believed, and how counting limits the full result is "
            "not known: keep the exposure"
        )
    fraction, reason = _shortest(curve, goal)
    asked = fraction * table.seconds
    seconds = min(max(asked, limits.shortest), limits.longest)
    if seconds != asked:
        which = "shortest" if seconds > asked else "longest"
        reason += f"; {asked:.3g} s would do, {seconds:.3g} s is the {which} allowed"
    expected = _expected(curve, seconds / table.seconds)
    return ExposureProposal(seconds, float(goal), expected, expected <= goal * (1 + 1e-9), reason)


Curve = list[tuple[float, float]]


def _curve(table: ExposureTable) -> Curve:
    """Return (fraction, error with spread), from all counts on down; ∞ where copies are not trusted."""
    rows = [(row.fraction, row.upper) for row in table.rows]
    return [(1.0, rows[0][1] * sqrt(rows[0][0])), *rows]


def _shortest(curve: Curve, goal: float) -> tuple[float, str]:
    """Return the fraction of the exposure that reaches the goal, and how it was found."""
    first = curve[0][1]
    if first > goal:
        return (first / goal) ** 2, (
            f"all counts leave {first:.3f} rad; with more, which were not tried, it should fall as 1/√t"
        )
    for (longer, low), (shorter, high) in zip(curve, curve[1:], strict=False):
        if high <= goal:
            continue
        if not isfinite(high):
            return longer, f"at {shorter:.3g} of the exposure not all copies are trusted"
        share = log(goal / low) / log(high / low)
        return exp(log(longer) + share * (log(shorter) - log(longer))), (
            f"interpolated between {longer:.3g} of the exposure ({low:.3f} rad) and {shorter:.3g} "
            f"({high:.3f} rad)"
        )
    fraction, error = curve[-1]
    return fraction, f"the shortest one tried, {fraction:.3g} of the exposure, has {error:.3f} rad"


def _expected(curve: Curve, fraction: float) -> float:
    """Return the error with spread at a fraction of the exposure, rad; beyond what was tried by 1/√f."""
    if fraction >= 1:
        return curve[0][1] / sqrt(fraction)
    for (longer, low), (shorter, high) in zip(curve, curve[1:], strict=False):
        if fraction < shorter:
            continue
        if not isfinite(high) or fraction == longer:
            return low * sqrt(longer / fraction)
        share = log(fraction / longer) / log(shorter / longer)
        return low * (high / low) ** share
    last, error = curve[-1]
    return error * sqrt(last / fraction)
