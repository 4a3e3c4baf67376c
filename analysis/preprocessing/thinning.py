"""Raw counts of a shorter exposure, out of those of a longer one: binomial thinning."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def thinned(counts: NDArray[Any], fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return counts of which each was kept with the probability ``fraction``.

    If n is Poisson of mean λ, and each of its n events is kept independently with the probability f, what is
    kept is Poisson of mean f·λ (Kingman 1993, Poisson Processes, section 5.1): counts of f times the
    exposure, exactly. That holds of raw counts alone, before any factor.

    Parameters
    ----------
    counts : ndarray, whole numbers of 0 or more, any shape
        Raw counts.
    fraction : float
        Of the exposure, above 0 and at most 1.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of the same shape, int64

    Raises
    ------
    ValueError
        These are no raw counts, or no such fraction.
    """
    if isinstance(fraction, bool) or not 0 < fraction <= 1:
        raise ValueError(f"a share of the exposure must lie above 0 and be at most 1; got {fraction!r}")
    array = np.asarray(counts)
    if array.dtype.kind not in "uif":
        raise ValueError(f"raw counts are whole numbers; got an array of {array.dtype!r}")
    wrong = ~(np.isfinite(array) & (array >= 0))
    if not wrong.any():
        wrong = array != np.floor(array)
    if wrong.any():
        raise ValueError(
            "counts of a shorter exposure can only be drawn from raw counts, whole numbers of 0 or more; got "
            f"{array[wrong].flat[0]:g} and {int(wrong.sum()) - 1} more like it: give the frames as the "
            "detector wrote them, and dark, flat field and monitor beside them instead of applying them"
        )
    return rng.binomial(array.astype(np.int64), fraction)


@dataclass(frozen=True)
class Thinning:
    """What makes a longer exposure a shorter one: its share, and the random numbers that choose counts.

    Attributes
    ----------
    fraction : float
        Of the exposure, above 0 and at most 1.
    rng : numpy.random.Generator
    """

    fraction: float
    rng: np.random.Generator

    def __call__(self, counts: NDArray[Any]) -> NDArray[np.int64]:
        """Return thinned raw counts of the same shape."""
        return thinned(counts, self.fraction, self.rng)
