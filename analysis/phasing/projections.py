"""Projections between the counts and the crystal: the FFT pair, error reduction, HIO and RAAR, and supports.

Everything works on batches of complex objects; a support says where the crystal may be.

Everything inside runs in *corner order* (origin of object and of reciprocal space at index 0), so that an
iteration holds no shift; `to_corner` and `to_centre` translate at the door.  The transform is the
one of docs/science.md section 3.1: intensity = abs(fftshift(fftn(ifftshift(object))))².

References
----------
Fienup 1982, doi:10.1364/AO.21.002758 (ER, HIO); Luke 2005, doi:10.1088/0266-5611/21/1/004 (RAAR).

Initial boxes from the autocorrelation or of given extents, and where a support lies on its periodic box.  All
arrays in corner order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

SPACE = (-3, -2, -1)
"""The three axes of a crystal; a leading axis counts the batch."""

_TINY = 1e-20


def choose_device(rank: int = 0) -> torch.device:
    """Return accelerator ``rank`` where there is one, else the CPU."""
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


DEVICE = torch.device(os.environ.get("VO2_PHASING_DEVICE") or choose_device())
"""Of every reconstruction; VO2_PHASING_DEVICE names another, as torch does ("cpu", "cuda:1")."""


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """Give torch and BLAS ``count`` threads inside a with block: sums in another order are other sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def to_corner(array: Tensor) -> Tensor:
    """Move the origin of ``array`` (…, n0, n1, n2) from index n//2 to index 0."""
    return torch.fft.ifftshift(array, dim=SPACE).contiguous()


def to_centre(array: Tensor) -> Tensor:
    """Move the origin of ``array`` (…, n0, n1, n2) from index 0 to index n//2."""
    return torch.fft.fftshift(array, dim=SPACE).contiguous()


def power(field: Tensor, out: Tensor | None = None) -> Tensor:
    """Return abs(field)², float32, of the shape of ``field`` (…, n0, n1, n2) complex64.

    Written over the real view: torch's complex ``abs`` costs four times as much on a CPU.
    """
    parts = torch.view_as_real(field)
    out = torch.mul(parts[..., 0], parts[..., 0], out=out)
    return out.addcmul_(parts[..., 1], parts[..., 1])


def expand(mask: Tensor) -> Tensor:
    """Return ``mask`` (…) as float32 (…, 2), one number for each real and imaginary part.

    Full-size factors multiply three times faster than broadcast ones.
    """
    return mask.to(torch.float32).unsqueeze(-1).expand(*mask.shape, 2).contiguous()


class Engine:
    """Projections of one measured pattern, with their scratch memory.

    Parameters
    ----------
    amplitude : Tensor, (n0, n1, n2) float32, √counts, corner order
        Square root of the measured intensity.
    mask : Tensor, (n0, n1, n2) bool, corner order, optional
        True where a voxel was not measured; there the amplitude floats.
    batch : int
        How many objects are iterated together.
    """

    def __init__(self, amplitude: Tensor, mask: Tensor | None = None, batch: int = 1) -> None:
        self.shape = tuple(amplitude.shape)
        self.batch = batch
        self.device = amplitude.device
        size = (batch, *self.shape)
        self._field = torch.empty(size, dtype=torch.complex64, device=self.device)
        self._image = torch.empty_like(self._field)
        self._scale = torch.empty(size, dtype=torch.float32, device=self.device)
        self._floating: Tensor | None = None
        if mask is not None and bool(mask.any()):
            self._floating = mask.reshape(-1).nonzero().squeeze(1)
        self.set_amplitude(amplitude)

    def set_amplitude(self, amplitude: Tensor) -> None:
        """Use another ``amplitude`` (n0, n1, n2) float32 in corner order, e.g. with a blur deconvolved."""
        self.amplitude = amplitude.contiguous()

    def _as_batch(self, x: Tensor) -> Tensor:
        x = x.to(self.device, torch.complex64).reshape(-1, *self.shape)
        if x.shape[0] != self.batch:
            raise ValueError(f"the engine iterates {self.batch} objects together; got {x.shape[0]!r}")
        return x

    def _modulus_factor(self) -> None:
        """Fill ``_scale`` with amplitude/abs(field), 1 where the amplitude floats."""
        power(self._field, out=self._scale)
        self._scale.add_(_TINY).rsqrt_().mul_(self.amplitude)
        if self._floating is not None:
            self._scale.view(self.batch, -1).index_fill_(1, self._floating, 1.0)

    def project_modulus(self, x: Tensor) -> Tensor:
        """Return the nearest objects to ``x`` (batch, n0, n1, n2) complex64 that have the measured moduli.

        The result lives in the engine's own memory and is overwritten by the next call.
        """
        torch.fft.fftn(x, dim=SPACE, out=self._field)
        self._modulus_factor()
        self._field.mul_(self._scale)
        torch.fft.ifftn(self._field, dim=SPACE, out=self._image)
        return self._image

    def _iterate(self, x: Tensor, inside: Tensor, outside: Tensor | None, iterations: int) -> Tensor:
        """Set x ← inside·y + outside·x with y = P_M x, ``iterations`` times, in place."""
        parts, image = torch.view_as_real(x), torch.view_as_real(self._image)
        for _ in range(iterations):
            self.project_modulus(x)
            if outside is None:
                torch.mul(image, inside, out=parts)
            else:
                parts.mul_(outside).addcmul_(image, inside)
        return x

    def er(self, x: Tensor, support: Tensor, iterations: int) -> Tensor:
        """Error reduction: x ← P_S P_M x. ``x`` complex64, ``support`` bool, both (batch, n0, n1, n2)."""
        x = self._as_batch(x).clone()
        return self._iterate(x, self._support(support), None, iterations)

    def hio(self, x: Tensor, support: Tensor, iterations: int, beta: float = 0.9) -> Tensor:
        """Hybrid input-output: P_M x inside the support, x − β P_M x outside."""
        return self._relaxed(x, support, iterations, 1.0, -beta)

    def raar(self, x: Tensor, support: Tensor, iterations: int, beta: float = 0.9) -> Tensor:
        """Relaxed averaged alternating reflections: P_M x inside, β x + (1 − 2β) P_M x outside."""
        return self._relaxed(x, support, iterations, beta, 1 - 2 * beta)

    def _relaxed(self, x: Tensor, support: Tensor, iterations: int, a: float, b: float) -> Tensor:
        x = self._as_batch(x).clone()
        s = self._support(support)
        return self._iterate(x, s + b * (1 - s), a * (1 - s), iterations)

    def _support(self, support: Tensor) -> Tensor:
        return expand(support.to(self.device).reshape(-1, *self.shape).expand(self.batch, *self.shape))


def frequencies(shape: Sequence[int], device: torch.device | None = None) -> list[Tensor]:
    """Return the three signed index axes divided by n (cycles per voxel), each broadcastable to ``shape``."""
    axes = []
    for axis, n in enumerate(shape):
        view = [1, 1, 1]
        view[axis] = n
        axes.append(torch.fft.fftfreq(n, device=device).reshape(view))
    return axes


class Smoother:
    """Periodic Gaussian smoothing of real fields (…, n0, n1, n2) float32; keeps its frequency axes."""

    def __init__(self, shape: Sequence[int], device: torch.device | None = None) -> None:
        f0, f1, f2 = frequencies(shape, device)
        self.shape = tuple(shape)
        self._squared = f0**2 + f1**2 + f2[..., : shape[2] // 2 + 1] ** 2

    def __call__(self, field: Tensor, sigma: float) -> Tensor:
        """Return ``field`` smoothed by a Gaussian of standard deviation ``sigma`` voxels."""
        if sigma <= 0:
            return field
        transfer = torch.exp(-2 * (torch.pi * sigma) ** 2 * self._squared)
        return torch.fft.irfftn(torch.fft.rfftn(field, dim=SPACE) * transfer, s=self.shape, dim=SPACE)


def box(shape: Sequence[int], extent: Sequence[float], device: torch.device | None = None) -> Tensor:
    """Return a box about the origin, (n0, n1, n2) bool; ``extent`` is its edge as a fraction of each axis."""
    inside = torch.ones(tuple(shape), dtype=torch.bool, device=device)
    for f, e in zip(frequencies(shape, device), extent, strict=True):
        inside &= f.abs() <= e / 2
    return inside


def autocorrelation(amplitude: Tensor) -> Tensor:
    """Return abs(IFFT(I)), (n0, n1, n2) float32, normalised to 1 at zero lag."""
    correlation = power(torch.fft.fftn(amplitude**2, dim=SPACE)).sqrt_()
    return correlation / correlation.flatten()[0]


def autocorrelation_extent(amplitude: Tensor, level: float = 0.01) -> list[float]:
    """Return half the width of the autocorrelation above ``level`` along each axis, fractions of the box.

    An object's autocorrelation is twice as wide as the object; below 2 × oversampling it wraps and fills the
    axis (fraction 0.5): then the true extent is at least that and unknown.
    """
    above = autocorrelation(amplitude) > level
    extents = []
    for axis, f in enumerate(frequencies(above.shape, above.device)):
        others = tuple(a for a in range(3) if a != axis)
        reach = f.flatten().abs()[above.any(dim=others[1]).any(dim=others[0])].max()
        extents.append(float(reach))
    return extents


def extent_of(support: Tensor) -> tuple[float, float, float]:
    """Return the edges of a periodic support (n0, n1, n2) bool, as fractions of the axes."""
    a, b, c = (length / n for (_, length), n in zip(_stretches(support), support.shape, strict=True))
    return a, b, c


def about_origin(x: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``x`` and ``support``, both (1, n0, n1, n2), moved by whole voxels to lie about the origin.

    A support that follows its object may carry it across the edge of the box; on a finer q grid, whose box is
    wider, its two halves would no longer meet.
    """
    shift = [-(first + length // 2) if length else 0 for first, length in _stretches(support[0])]
    if not any(shift):
        return x, support
    return torch.roll(x, shift, dims=SPACE), torch.roll(support, shift, dims=SPACE)


def _stretches(support: Tensor) -> list[tuple[int, int]]:
    """Return (first index, length) of what a periodic support occupies along each axis, in voxels."""
    found = []
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        line = support.any(dim=others[1]).any(dim=others[0])
        filled = line.nonzero().squeeze(1)
        if filled.numel() == 0:
            found.append((0, 0))
            continue
        # On a ring, what is occupied is the ring less its longest empty stretch.
        gaps = torch.diff(torch.cat([filled, filled[:1] + line.numel()])) - 1
        widest = int(gaps.argmax())
        first = int(filled[(widest + 1) % filled.numel()])
        found.append((first, line.numel() - int(gaps[widest])))
    return found
