"""The last iterations: descent to the measured counts through the pixel kernel and the background.

Accelerated projected gradient with restart (Beck & Teboulle 2009, doi:10.1137/080716542;
O'Donoghue & Candès 2015, doi:10.1007/s10208-013-9150-3); for point samples and no background one
plain step is one of error reduction.
"""

from __future__ import annotations

from torch import Tensor

from analysis.phasing.kernels import PixelKernel


def descend(
    x: Tensor,
    support: Tensor,
    kernel: PixelKernel,
    amplitude: Tensor,
    measured: Tensor,
    background: Tensor | float,
    iterations: int,
) -> tuple[Tensor, list[float]]:
    """Return the object after ``iterations`` and χ² before each of them.

    Parameters
    ----------
    x : Tensor, (n0, n1, n2) complex64, corner order
    support : Tensor, (n0, n1, n2) bool
    kernel : PixelKernel
    amplitude, measured : Tensor, (n0, n1, n2) float32
        √counts, background included, and 1 where measured.
    background : Tensor or float, counts
    iterations : int
    """
    total = (amplitude.square() * measured).sum().clamp_min(1e-12)
    current = x * support
    ahead, momentum = current, 1.0
    history: list[float] = []
    for _ in range(iterations):
        step, predicted = kernel.gradient(ahead, amplitude, measured, background)
        chi = float(((predicted.sqrt() - amplitude) * measured).square().sum() / total)
        if history and chi > history[-1]:
            momentum, ahead = 1.0, current
        history.append(chi)
        fresh = (ahead - step) * support
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = fresh + (momentum - 1) / following * (fresh - current)
        current, momentum = fresh, following
    return current, history
