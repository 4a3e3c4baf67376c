"""The order parameter on the circle, for phase differences that pass ±π."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.order_parameter.estimator import OrderParameter


class CircularOrderParameter(OrderParameter):
    """Uncentred principal components of phase differences as points on the circle.

    A wrapped phase that grows past π comes back at −π, and a linear order parameter jumps with it. Here each
    voxel enters as (cos Δφ − 1, sin Δφ), where nothing jumps: −π and π are one point, the reference and
    missing voxels are the origin, and for small Δφ it is the linear order parameter. It counts chords
    2 sin(Δφ/2), no turns, so it falls again where most of the crystal is beyond about 1.4 π.

    Parameters and attributes are those of `OrderParameter`, with one difference: ``components_`` is
    (n_components, 2 n_features), first the weights of the cosines, then those of the sines. Scores are
    without unit.

    References
    ----------
    Altis et al. 2007, doi:10.1063/1.2746330 (principal components of angles by cosines and sines).
    """

    def _checked(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        return circle(super()._checked(X, reset=reset))


def circle(phases: NDArray[np.floating]) -> NDArray[Any]:
    """Return (cos Δφ − 1, sin Δφ) of phases (n, m) float, rad, side by side: (n, 2 m)."""
    # cos − 1 loses its digits for small phases, −2 sin² of the half does not.
    return np.hstack([-2 * np.sin(phases / 2) ** 2, np.sin(phases)])
