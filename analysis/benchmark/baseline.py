"""What a user has without this package: HIO, error reduction and shrink wrap from random starts.

Written plainly. Several random starts within a budget of CPU seconds; the lowest χ² wins.

References
----------
Fienup 1982, doi:10.1364/AO.21.002758; Marchesini et al. 2003, doi:10.1103/PhysRevB.68.140101.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fft import fftn, ifftn

from analysis.phasing.forward import amplitude_chi_squared

CYCLES, HIO, ER = 12, 40, 10
"""Cycles of a start, and the iterations in each; after each, the support is wrapped."""

BETA = 0.9
"""Feedback of HIO."""

SIGMA = (3.0, 1.0)
"""Smoothing of the shrink wrap in the first and in the last cycle, voxels."""

THRESHOLD = 0.1
"""Of the shrink wrap, as a share of the largest smoothed amplitude."""


@dataclass(frozen=True)
class BaselineResult:
    """The best start: ``object`` (n0, n1, n2) complex64, its χ², how many starts there were, CPU seconds."""

    object: NDArray[np.complex64]
    chi_squared: float
    starts: int
    cpu_seconds: float


def plain_phasing(
    counts: NDArray[Any],
    mask: NDArray[np.bool_],
    background: float,
    *,
    cpu_seconds: float,
    seed: int = 0,
) -> BaselineResult:
    """Phase a pattern by as many random starts as fit into ``cpu_seconds``, at least one.

    Parameters
    ----------
    counts : ndarray, (n0, n1, n2)
        q = 0 at index n//2.
    mask : ndarray, same shape, bool
        True where NOT measured; there the modulus floats.
    background : float
        Counts per voxel, subtracted.
    cpu_seconds : float
    seed : int
    """
    began = time.process_time()
    rng = np.random.default_rng(seed)
    signal = np.sqrt(np.maximum(np.asarray(counts, np.float32) - np.float32(background), 0))
    modulus = torch.from_numpy(np.fft.ifftshift(np.where(mask, 0, signal))).contiguous()
    free = torch.from_numpy(np.fft.ifftshift(mask)).contiguous()
    box = autocorrelation_box(modulus)
    best, lowest, starts = None, np.inf, 0
    while starts == 0 or (time.process_time() - began) * (starts + 1) / starts <= cpu_seconds:
        x = one_start(modulus, free, box, rng)
        chi = float(amplitude_chi_squared(fftn(x).abs(), modulus, ~free))
        starts += 1
        if best is None or chi < lowest:
            best, lowest = x, chi
    obj = np.fft.fftshift(best.numpy()) if best is not None else np.empty(0)
    return BaselineResult(obj.astype(np.complex64), lowest, starts, time.process_time() - began)


def one_start(modulus: Tensor, free: Tensor, support: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the object (n0, n1, n2) complex64, origin at index 0, that one random start ends at."""
    shape = tuple(modulus.shape)
    noise = rng.random(shape) * np.exp(2j * np.pi * rng.random(shape))
    x = torch.from_numpy(noise.astype(np.complex64)) * support
    for cycle in range(CYCLES):
        for step in range(HIO + ER):
            y = with_modulus(x, modulus, free)
            x = torch.where(support, y, x - BETA * y) if step < HIO else y * support
        sigma = SIGMA[0] + (SIGMA[1] - SIGMA[0]) * cycle / (CYCLES - 1)
        support = shrink_wrap(x, sigma)
    return x * support


def with_modulus(x: Tensor, modulus: Tensor, free: Tensor) -> Tensor:
    """Return ``x`` with the measured modulus, its own where nothing was measured."""
    field = fftn(x)
    factor = modulus * torch.view_as_real(field).square().sum(-1).add_(1e-20).rsqrt_()
    return ifftn(field.mul_(factor.masked_fill_(free, 1.0)))


def shrink_wrap(x: Tensor, sigma: float) -> Tensor:
    """Return where the amplitude, smoothed by a Gaussian of ``sigma`` voxels, exceeds the threshold; bool."""
    field = fftn(x.abs())
    for axis, n in enumerate(x.shape):
        view = [1, 1, 1]
        view[axis] = n
        field = field * torch.exp(-2 * (torch.pi * sigma * torch.fft.fftfreq(n)) ** 2).reshape(view)
    smooth = ifftn(field).real
    return smooth > THRESHOLD * smooth.max()


def autocorrelation_box(modulus: Tensor) -> Tensor:
    """Return a box of half the autocorrelation's width above 1 %, about index 0, bool."""
    correlation = ifftn(modulus.square()).abs()
    above = correlation > 0.01 * correlation.max()
    box = torch.ones(modulus.shape, dtype=torch.bool)
    for axis, n in enumerate(modulus.shape):
        others = [a for a in range(3) if a != axis]
        distance = torch.fft.fftfreq(n).abs()
        reach = distance[above.any(dim=others[1]).any(dim=others[0])].max()
        view = [1, 1, 1]
        view[axis] = n
        box &= (distance <= reach / 2).reshape(view)
    return box
