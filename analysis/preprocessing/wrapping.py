"""Whether the autocorrelation fits its box."""

import numpy as np
from numpy.typing import NDArray

WRAPS = 0.005
"""Level at the edge from which an autocorrelation is said to wrap.

Simulated crystals of strong phase oversampled 1.67 times reach 0.008 to 0.026, those oversampled 1.9 times
0.018, 2.1 times at most 0.003.
"""


def autocorrelation_wrap(intensity: NDArray[np.floating]) -> tuple[float, float, float]:
    """Return how much of a pattern's autocorrelation reaches the edge of its box, along each axis.

    The transform of an intensity is the autocorrelation of the object, twice as wide as it. Oversampled below
    2 along an axis, it runs over the edge and folds back: the value says THAT it wraps, never how wide the
    crystal is.

    Parameters
    ----------
    intensity : ndarray, (n0, n1, n2) float, counts
        Background-subtracted, without holes, q = 0 at index n//2.

    Returns
    -------
    tuple of float
        Root mean square of abs(autocorrelation) on the outermost plane of each axis, less that of counting
        noise, over the autocorrelation's centre; compare with `WRAPS`.
    """
    window = _taper(intensity.shape)
    tapered = intensity * window
    autocorrelation = np.abs(np.fft.fftn(tapered))
    # A transform of independent counts has the variance Σ counts at every place.
    noise = float((np.abs(intensity) * window**2).sum())
    total = max(float(tapered.sum()), 1e-30)
    levels = []
    for axis, size in enumerate(intensity.shape):
        plane = np.take(autocorrelation, size // 2, axis=axis)
        levels.append(float(np.sqrt(max(np.mean(plane**2) - noise, 0.0)) / total))
    return levels[0], levels[1], levels[2]


def _taper(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a Hann window over the box: a hard edge of the crop would itself ring out to the edge."""
    first, second, third = (np.hanning(size + 1)[:size] for size in shape)
    return np.asarray(first[:, None, None] * second[:, None] * third)
