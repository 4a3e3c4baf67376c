"""Phase differences that pass ±π: an order parameter on the circle, and phases followed through a series."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.order_parameter.estimator import OrderParameter

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class CircularOrderParameter(OrderParameter):
    """Uncentred principal components of phase differences as points on the circle.

    A wrapped phase that grows past π comes back at −π, and a linear order parameter jumps with it. Here each
    voxel enters as (cos Δφ − 1, sin Δφ), where nothing jumps: −π and π are one point, the reference and
    missing voxels are the origin, and for small Δφ it is the linear order parameter. It looks at one
    temperature at a time and so knows chords, no turns: its score saturates once the strongest voxels are
    beyond about 1.1 π. Where neighbouring temperatures are close, `follow_phases` knows the turns.

    Parameters and attributes are those of `OrderParameter`, with one difference: ``components_`` is
    (n_components, 2 n_features), first the weights of the cosines, then those of the sines. Scores are
    without unit.

    References
    ----------
    Altis et al. 2007, doi:10.1063/1.2746330 (principal components of angles by cosines and sines).
    """

    def _checked(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        return circle(super()._checked(X, reset=reset))


def follow_phases(differences: Floats, valid: Flags, path: Floats, reference: int, anchors: Flags) -> Floats:
    """Return phase differences with the turns that they made since the reference.

    Outward from the reference, each voxel takes the turn that is nearest to where it last was: exact while
    no voxel moves by more than π between neighbours. A voxel that is missing keeps its last turn until it
    comes back.

    Parameters
    ----------
    differences : ndarray, (n, m) float64, rad
        Wrapped, against the reference.
    valid : ndarray, (n, m) bool
        Where they are defined; the result is 0 elsewhere.
    path : ndarray, (n,) float64
        Places of the rows along the way that the sample went.
    reference : int
        Row that the differences are against.
    anchors : ndarray, (n,) bool
        Rows that others may be followed from: the trusted ones.
    """
    followed = np.zeros_like(differences)
    order = np.argsort(np.abs(path - path[reference]), kind="stable")
    for side in (1, -1):
        last = np.zeros(differences.shape[1])
        for row in order[side * (path[order] - path[reference]) >= 0]:
            turns = np.round((differences[row] - last) / (2 * np.pi))
            followed[row] = np.where(valid[row], differences[row] - 2 * np.pi * turns, 0)
            if anchors[row]:
                last = np.where(valid[row], followed[row], last)
    followed[reference] = 0
    return followed


def circle(phases: NDArray[np.floating]) -> NDArray[Any]:
    """Return (cos Δφ − 1, sin Δφ) of phases (n, m) float, rad, side by side: (n, 2 m)."""
    # cos − 1 loses its digits for small phases, −2 sin² of the half does not.
    return np.hstack([-2 * np.sin(phases / 2) ** 2, np.sin(phases)])
