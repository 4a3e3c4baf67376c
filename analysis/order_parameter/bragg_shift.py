"""What the ramp of the gauge carries: how far each temperature's Bragg peak lies from the reference's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.order_parameter.gauge import Gauge

if TYPE_CHECKING:
    from analysis.results import ScanResult

Floats = NDArray[np.float64]


def bragg_shift(results: Sequence["ScanResult"], gauge: Gauge) -> Floats:
    """Return by how much abs(q) of each Bragg peak exceeds the reference's, (n,) float64, Å⁻¹.

    A linear phase k·r that an object has beyond the reference's is a shift of its peak by k; the middle of
    its crop, ``q_vector``, moves as well. Taken from the phase of the voxels that both have, it is
    independent of the centre of mass of the intensity.

    Parameters
    ----------
    results : sequence of ScanResult
        As given to `fix_gauge`.
    gauge : Gauge
    """
    waves = 0.1 * gauge.ramp @ np.linalg.inv(gauge.basis)
    middles = np.stack([result.q_vector for result in results])
    lengths = np.linalg.norm(middles + waves, axis=1)
    return np.asarray(lengths - np.linalg.norm(middles[gauge.reference]))


def ramp_spacing(shift: Floats, reference: float) -> Floats:
    """Return the plane spacing that a `bragg_shift` stands for, (n,) float64, Å: d = 2π / (2π/d_0 + shift).

    Parameters
    ----------
    shift : ndarray, (n,) float64, Å⁻¹
    reference : float, Å
        Spacing d_0 of the reference, from its centre of mass.
    """
    return np.asarray(2 * np.pi / (2 * np.pi / reference + shift))
