"""Training losses: the paper's Eqn 1, and the loss that the default network is trained with.

The paper names three terms and cites another work for them without restating them, so L1, L2 and L3 below are
this project's definitions (docs/science.md section 3.8). What the intensity cannot know (global phase, twin,
origin, scale) never costs anything: the prediction is compared with the twin and the position that correlate
best.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from analysis.phasing.forward import amplitude_chi_squared, lag_transfer
from analysis.phasing.network.model import twin

_AXES = (-3, -2, -1)
_SMALL = 1e-12


def fourier_modulus(obj: torch.Tensor) -> torch.Tensor:
    """Modulus of the centred transform of (..., n, n, n) complex objects, float32, q = 0 at n // 2."""
    spectrum = torch.fft.fftn(torch.fft.ifftshift(obj, dim=_AXES), dim=_AXES)
    power = torch.view_as_real(spectrum).square().sum(-1)
    # The root's slope is infinite at zero: the offset keeps empty voxels from sending NaN backwards.
    return torch.fft.fftshift((power + 1e-12).sqrt(), dim=_AXES)


def fourier_loss(
    obj: torch.Tensor, modulus: torch.Tensor, measured: torch.Tensor | None = None
) -> torch.Tensor:
    """L3: chi-squared of the transform's modulus at the best scale, (...,) values between 0 and 1.

    sum (s sqrt(I_p) - sqrt(I_g))^2 / sum I_g over measured voxels, minimised over the scale s.

    Parameters
    ----------
    obj : (..., n, n, n) complex tensor
        Predicted object.
    modulus : (..., n, n, n) float tensor
        Square root of the measured intensity.
    measured : (..., n, n, n) bool or float tensor, optional
        1 where measured.
    """
    predicted = fourier_modulus(obj)
    weighted = predicted if measured is None else predicted * measured
    cross = (weighted * modulus).sum(_AXES, keepdim=True)
    scale = cross / ((weighted * predicted).sum(_AXES, keepdim=True) + _SMALL)
    # At the best scale the loss does not depend on it: no gradient need flow through.
    return amplitude_chi_squared(scale.detach() * predicted, modulus, measured, _AXES)


class CountsLoss:
    """L3 of transfer learning: chi-squared of the counts that an object predicts as they are measured.

    sum (sqrt(I_p) - sqrt(I_m))^2 / sum I_m over measured voxels, I_p = f s^2 K(abs(F p)^2) + b: K integrates
    over the voxel and blurs by the coherence (`pixel_kernel`), b is the background, f how pixel and frame
    respond, and the scale s is the best one. A right object leaves noise; without K it leaves more.

    Parameters
    ----------
    counts : (n0, n1, n2) float tensor
        Centre of a pattern, q = 0 at n // 2.
    measured : (n0, n1, n2) bool tensor
        True where measured.
    background : (n0, n1, n2) float tensor, counts
    widths, sigma : three float
        Of the voxel, in units of its pitch, and of the blur, in voxels.
    factor : (n0, n1, n2) float tensor, optional
        What is counted of what should be; 1 by default.
    """

    FAINTEST = 1e-6
    """Added to predicted counts: the root's slope is infinite at zero."""

    def __init__(
        self,
        counts: torch.Tensor,
        measured: torch.Tensor,
        background: torch.Tensor,
        widths: Sequence[float],
        sigma: Sequence[float],
        factor: torch.Tensor | None = None,
    ) -> None:
        self.root, self.measured = counts.clamp_min(0).sqrt(), measured.float()
        self.background = background
        self.factor = torch.ones_like(counts) if factor is None else factor
        self._shape = counts.shape
        # An autocorrelation is twice as wide as its object (`pixel_kernel`).
        self._every = [2 if w > 0 or s > 0 else 1 for w, s in zip(widths, sigma, strict=True)]
        self._grown = [n * every for n, every in zip(self._shape, self._every, strict=True)]
        self._transfer = lag_transfer(self._shape, self._grown, widths, sigma, counts.device)

    def predict(self, obj: torch.Tensor) -> torch.Tensor:
        """Return the counts (..., n0, n1, n2) without background of (..., n0, n1, n2) complex objects."""
        before = [grown // 2 - n // 2 for grown, n in zip(self._grown, self._shape, strict=True)]
        pad = [
            width
            for b, grown, n in zip(before, self._grown, self._shape, strict=True)
            for width in (grown - n - b, b)
        ]
        padded = torch.nn.functional.pad(obj, pad[::-1])
        field = torch.fft.fftn(torch.fft.ifftshift(padded, dim=_AXES), dim=_AXES)
        power = torch.view_as_real(field).square().sum(-1)
        blurred = torch.fft.irfftn(
            torch.fft.rfftn(power, dim=_AXES) * self._transfer, s=self._grown, dim=_AXES
        )
        a, b, c = self._every
        return self.factor * torch.fft.fftshift(blurred[..., ::a, ::b, ::c].clamp_min(0), dim=_AXES)

    def scale(self, predicted: torch.Tensor) -> torch.Tensor:
        """Return the best s^2, (..., 1, 1, 1), for counts as `predict` returns them: by Newton, convex."""
        predicted = predicted.detach()
        seen = predicted * self.measured
        signal = (self.root.square() - self.background).clamp_min(0) * self.measured
        best = signal.sum(_AXES, keepdim=True) / (seen.sum(_AXES, keepdim=True) + _SMALL)
        for _ in range(6):
            root = (best * predicted + self.background + self.FAINTEST).sqrt()
            slope = ((1 - self.root / root) * seen).sum(_AXES, keepdim=True)
            curvature = (0.5 * self.root / root**3 * seen * predicted).sum(_AXES, keepdim=True)
            best = torch.maximum(best - slope / (curvature + 1e-30), 0.1 * best)
        return best

    def __call__(self, obj: torch.Tensor) -> torch.Tensor:
        """Return L3, (...,), of (..., n0, n1, n2) complex objects."""
        predicted = self.predict(obj)
        # At the best scale the loss does not depend on it: no gradient need flow through.
        counts = self.scale(predicted) * predicted + self.background
        return amplitude_chi_squared((counts + self.FAINTEST).sqrt(), self.root, self.measured, _AXES)


def register(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Move the truth, or its twin, to the whole-voxel position and global phase nearest to the prediction.

    For a step of training: a batch at once, by whole voxels. Finished objects are registered by
    `analysis.phasing.registration.register`, which knows parts of a voxel.

    Parameters
    ----------
    predicted, truth : (b, n, n, n) complex tensor

    Returns
    -------
    (b, n, n, n) complex tensor
        No gradient flows through it.
    """
    with torch.no_grad():
        spectrum = torch.fft.fftn(predicted.detach(), dim=_AXES)
        candidates = torch.stack([truth, twin(truth)], dim=1)
        correlation = torch.fft.ifftn(
            spectrum[:, None] * torch.fft.fftn(candidates, dim=_AXES).conj(), dim=_AXES
        )
        best = correlation.abs().flatten(1).argmax(dim=1)
        return torch.stack(
            [_moved(c, x, int(i)) for c, x, i in zip(correlation, candidates, best, strict=True)]
        )


def _moved(correlation: torch.Tensor, candidates: torch.Tensor, index: int) -> torch.Tensor:
    size = correlation.shape[-1]
    which, rest = divmod(index, size**3)
    shift = (rest // size**2, rest // size % size, rest % size)
    peak = correlation[(which, *shift)]
    return candidates[which].roll(shift, (0, 1, 2)) * torch.exp(1j * peak.angle())


def amplitude_loss(predicted: torch.Tensor, registered: torch.Tensor) -> torch.Tensor:
    """L1: sum abs(s A_p - A_g) / sum A_g at the least-squares scale s, per example; inputs (b, n, n, n)."""
    a_p, a_g = predicted.abs(), registered.abs()
    scale = (a_p * a_g).sum(_AXES, keepdim=True) / (a_p.square().sum(_AXES, keepdim=True) + _SMALL)
    return (scale.detach() * a_p - a_g).abs().sum(_AXES) / (a_g.sum(_AXES) + _SMALL)


def phase_loss(predicted: torch.Tensor, registered: torch.Tensor) -> torch.Tensor:
    """L2: (1 - cos(phi_p - phi_g)) / 2 averaged with weight A_g, per example: blind to wraps, 0 to 1."""
    unit = predicted / (predicted.abs() + 1e-6)
    agreement = (unit * registered.conj()).real.sum(_AXES)
    return (1 - agreement / (registered.abs().sum(_AXES) + _SMALL)) / 2


def eqn1(
    predicted: torch.Tensor,
    truth: torch.Tensor,
    modulus: torch.Tensor,
    alphas: tuple[int, int, int] = (1, 1, 1),
) -> torch.Tensor:
    """Evaluate the paper's Eqn 1, (a1 L1 + a2 L2 + a3 L3) / (a1 + a2 + a3), averaged over the batch.

    Parameters
    ----------
    predicted, truth : (b, n, n, n) complex tensor
    modulus : (b, n, n, n) float tensor
        Square root of the ground truth's intensity.
    alphas : tuple of int
        Integer weights of amplitude, phase and Fourier loss.
    """
    a1, a2, a3 = alphas
    if any(a < 0 or a != int(a) for a in alphas) or sum(alphas) == 0:
        raise ValueError(f"Eqn 1 needs three integers >= 0, not all zero, as weights; got {alphas!r}")
    registered = register(predicted, truth)
    total = a1 * amplitude_loss(predicted, registered) + a2 * phase_loss(predicted, registered)
    return ((total + a3 * fourier_loss(predicted, modulus)) / (a1 + a2 + a3)).mean()


def overlap(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return abs(<p, g>) / (norm p norm g), (b,), for the better of truth and twin, moving neither."""
    return _overlaps(predicted, truth).amax(0)


def _overlaps(predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    norms = predicted.abs().square().sum(_AXES) * truth.abs().square().sum(_AXES)
    both = torch.stack([(predicted * truth.conj()).sum(_AXES), (predicted * twin(truth).conj()).sum(_AXES)])
    return (torch.view_as_real(both).square().sum(-1) / (norms + _SMALL) + _SMALL).sqrt()


def overlap_loss(
    predicted: torch.Tensor, truth: torch.Tensor, modulus: torch.Tensor, twin_weight: float = 0.0
) -> torch.Tensor:
    """Add (1 - overlap) + 0.5 L1 + 0.5 L3, per example: the default network's loss.

    Only twin and global phase are free: the truth is centred on its mass, and so must the prediction be.

    A mixture of both twins has an overlap of 0.7 with each, where training gets stuck. So `twin_weight` times
    the overlap with the worse twin, as far as it exceeds that of the two twins with each other, is added: an
    undecided guess pays, a right one does not.
    """
    overlaps = _overlaps(predicted, truth)
    use_twin = (overlaps[1] > overlaps[0])[:, None, None, None]
    nearest = torch.where(use_twin, twin(truth), truth)
    loss = 1 - overlaps.amax(0) + 0.5 * amplitude_loss(predicted, nearest)
    if twin_weight:
        loss = loss + twin_weight * (overlaps.amin(0) - _overlaps(truth, truth)[1]).clamp_min(0)
    return loss + 0.5 * fourier_loss(predicted, modulus)
