"""The networks: from the central 32^3 counts of a pattern to a coarse complex object.

Their building blocks, and the 48 orientations of a cube in which a pattern may be shown to them.

A pattern and its object turn together: the transform of the reflected object is the reflected pattern. The
network is not blind to them, so it holds 48 opinions about one pattern.

`PaperNetwork` is the paper's (Fig 2a). `RefinedNetwork`, the default, adds the autocorrelation to its input,
holds objects that fill 0.75 of the field of view, and ends in an unrolled refiner that alternates a modulus
projection with a small learned correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import torch
from torch import nn

ORIENTATIONS = tuple((p, f) for f in product((False, True), repeat=3) for p in permutations(range(3)))
"""Permutation of the axes, then which of the new axes are reflected; number 0 is the identity."""


def orient(array: torch.Tensor, orientation: int) -> torch.Tensor:
    """Apply orientation 0 to 47 to the last three axes, (..., n, n, n), q = 0 or the centre at n // 2."""
    permutation, reflected = ORIENTATIONS[orientation]
    lead = array.ndim - 3
    array = array.permute(*range(lead), *(lead + axis for axis in permutation))
    return _reflect(array, reflected)


def orient_back(array: torch.Tensor, orientation: int) -> torch.Tensor:
    """Undo `orient`."""
    permutation, reflected = ORIENTATIONS[orientation]
    lead = array.ndim - 3
    array = _reflect(array, reflected)
    inverse = [permutation.index(axis) for axis in range(3)]
    return array.permute(*range(lead), *(lead + axis for axis in inverse))


def twin(array: torch.Tensor) -> torch.Tensor:
    """Conjugate inversion about index n // 2, (..., n, n, n) complex: same intensity, the other twin."""
    return _reflect(array, (True, True, True)).conj()


def _reflect(array: torch.Tensor, reflected: tuple[bool, ...]) -> torch.Tensor:
    """Index n // 2 + k becomes n // 2 - k; on an even axis index 0 stays, hence the roll."""
    axes = [array.ndim - 3 + axis for axis, flag in enumerate(reflected) if flag]
    if not axes:
        return array
    shifts = [1 - array.shape[axis] % 2 for axis in axes]
    return array.flip(axes).roll(shifts, axes)


class ConvNorm(nn.Sequential):
    """3 x 3 x 3 convolution, group normalisation, leaky ReLU; (b, c_in, n, n, n) to (b, c_out, n, n, n)."""

    def __init__(self, channels_in: int, channels_out: int, groups: int = 8):
        super().__init__(
            nn.Conv3d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.GroupNorm(min(groups, channels_out), channels_out),
            nn.LeakyReLU(0.1, inplace=True),
        )


class Residual(nn.Module):
    """Two convolutions around a shortcut; the second starts at zero, so that a deep net starts shallow."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (b, c, n, n, n) to the same shape."""
        return x + self.second(self.first(x))


class TokenMixing(nn.Module):
    """Mixes all voxels with all voxels, then channels: what links reciprocal space to real space.

    After MLP-Mixer, arXiv:2105.01601.
    """

    def __init__(self, channels: int, tokens: int, hidden: int = 256):
        super().__init__()
        self.token_norm = nn.LayerNorm(channels)
        self.tokens = nn.Sequential(nn.Linear(tokens, hidden), nn.GELU(), nn.Linear(hidden, tokens))
        self.channel_norm = nn.LayerNorm(channels)
        self.channels = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (b, c, n, n, n) to the same shape, with n**3 = tokens."""
        shape = x.shape
        tokens = x.flatten(2).transpose(1, 2)  # (b, n^3, c)
        tokens = tokens + self.tokens(self.token_norm(tokens).transpose(1, 2)).transpose(1, 2)
        tokens = tokens + self.channels(self.channel_norm(tokens))
        return tokens.transpose(1, 2).reshape(shape)


def fold(x: torch.Tensor) -> torch.Tensor:
    """Trade 2 x 2 x 2 voxels for channels: (b, c, n, n, n) to (b, 8 c, n/2, n/2, n/2)."""
    b, c, n, m, k = x.shape
    x = x.reshape(b, c, n // 2, 2, m // 2, 2, k // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(b, 8 * c, n // 2, m // 2, k // 2)


def unfold(x: torch.Tensor) -> torch.Tensor:
    """Undo `fold`: (b, 8 c, n, n, n) to (b, c, 2 n, 2 n, 2 n)."""
    b, c, n, m, k = x.shape
    x = x.reshape(b, c // 8, 2, 2, 2, n, m, k).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, c // 8, 2 * n, 2 * m, 2 * k)


def upsample(x: torch.Tensor) -> torch.Tensor:
    """Repeat every voxel twice along each axis: (b, c, n, n, n) to (b, c, 2 n, 2 n, 2 n)."""
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


def centre_crop(x: torch.Tensor, size: int) -> torch.Tensor:
    """Central cube of the last three axes, index n // 2 staying at size // 2."""
    start = x.shape[-1] // 2 - size // 2
    window = slice(start, start + size)
    return x[..., window, window, window]


def centre_pad(x: torch.Tensor, size: int) -> torch.Tensor:
    """Zeros around the last three axes, index n // 2 moving to size // 2."""
    before = size // 2 - x.shape[-1] // 2
    return nn.functional.pad(x, (before, size - x.shape[-1] - before) * 3)


SIZE = 32
_AXES = (-3, -2, -1)


@dataclass(frozen=True)
class NetworkConfig:
    """Architecture.

    Parameters
    ----------
    architecture : str
        "refined" (the default network) or "paper".
    width : int
        Channels at the finest level.
    refiner_width : int
        Channels of the refiner ("refined" only).
    refinements : int
        Number of unrolled refinements, which share their weights ("refined" only).
    """

    architecture: str = "refined"
    width: int = 32
    refiner_width: int = 48
    refinements: int = 1


def build_network(config: NetworkConfig) -> nn.Module:
    """Network of a configuration, with fresh weights."""
    kinds = {"refined": RefinedNetwork, "paper": PaperNetwork}
    if config.architecture not in kinds:
        raise ValueError(f"the architecture must be one of {sorted(kinds)}; got {config.architecture!r}")
    return kinds[config.architecture](config)


class PaperNetwork(nn.Module):
    """The paper's encoder with two decoders, amplitude and phase.

    Max pooling halves the array and a convolution doubles the depth at every step of the encoder; leaky ReLU
    and batch normalisation everywhere but in the last layer, a ReLU; the output box is half the input's. The
    last ReLU of the phase branch is shifted by -pi, so that the phase covers the circle.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        w = config.width
        self.encoder = nn.Sequential(
            *(_paper_block(i, o) for i, o in ((1, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w)))
        )
        self.amplitude, self.phase = _paper_decoder(w), _paper_decoder(w)

    def forward(self, counts: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """Map counts and mask (b, 32, 32, 32) to one object, the same shape complex64, zero outside 16^3."""
        modulus = counts.clamp_min(0).sqrt() * ~mask
        modulus = modulus / (modulus.amax(_AXES, keepdim=True) + 1e-6)
        features = self.encoder(modulus[:, None])  # (b, 8 w, 2, 2, 2)
        amplitude, phase = self.amplitude(features)[:, 0].float(), self.phase(features)[:, 0].float()
        return [centre_pad(torch.polar(amplitude, phase - torch.pi), SIZE)]


def _paper_block(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels_in, channels_out, 3, padding=1),
        nn.LeakyReLU(0.01),
        nn.BatchNorm3d(channels_out),
        nn.Conv3d(channels_out, channels_out, 3, padding=1),
        nn.LeakyReLU(0.01),
        nn.BatchNorm3d(channels_out),
        nn.MaxPool3d(2),
    )


def _paper_decoder(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for c_in, c_out in ((8 * width, 4 * width), (4 * width, 2 * width), (2 * width, width)):
        layers += [
            nn.Upsample(scale_factor=2),
            nn.Conv3d(c_in, c_out, 3, padding=1),
            nn.LeakyReLU(0.01),
            nn.BatchNorm3d(c_out),
        ]
    last = nn.Conv3d(width, 1, 3, padding=1)
    nn.init.constant_(_bias(last), 0.5)  # a ReLU that starts dead would stay dead
    return nn.Sequential(*layers, last, nn.ReLU())


class RefinedNetwork(nn.Module):
    """Encoder with global token mixing, decoder to amplitude and (cos, sin), unrolled refiner."""

    BOX = 24

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        w, r = config.width, config.refiner_width
        self.stem = nn.Conv3d(5 * 8, w, 1)
        self.fine = nn.Sequential(ConvNorm(w, w), ConvNorm(w, w))
        self.middle = nn.Sequential(ConvNorm(w, 2 * w), TokenMixing(2 * w, 8**3), ConvNorm(2 * w, 2 * w))
        self.deep = nn.Sequential(
            ConvNorm(2 * w, 4 * w), TokenMixing(4 * w, 4**3), TokenMixing(4 * w, 4**3), ConvNorm(4 * w, 2 * w)
        )
        self.join = nn.Sequential(ConvNorm(4 * w, 2 * w), TokenMixing(2 * w, 8**3))
        self.decode = nn.Sequential(ConvNorm(2 * w, r), Residual(r))
        self.amplitude = nn.Conv3d(r, 8, 1)
        self.direction = nn.Conv3d(r, 16, 1)
        self.refiner = Refiner(r)

    def forward(self, counts: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """Map counts and mask (b, 32, 32, 32) to the guess and each refinement, the same shape complex64."""
        modulus = counts.clamp_min(0).sqrt() * ~mask
        modulus = modulus / (modulus.square().mean(_AXES, keepdim=True).sqrt() + 1e-6)
        fine = self.fine(self.stem(fold(input_channels(counts, modulus, mask))))  # (b, w, 16^3)
        middle = self.middle(nn.functional.max_pool3d(fine, 2))  # (b, 2 w, 8^3)
        deep = upsample(self.deep(nn.functional.max_pool3d(middle, 2)))  # (b, 2 w, 8^3)
        joined = self.join(torch.cat([middle, deep], dim=1))  # (b, 2 w, 8^3)
        hidden = self.decode(upsample(centre_crop(joined, 6)))  # (b, r, 12^3)
        amplitude = unfold(torch.sigmoid(self.amplitude(hidden).float()) * 1.3)[:, 0]  # (b, 24^3)
        direction = unfold(self.direction(hidden).float())
        direction = direction / (direction.square().sum(1, keepdim=True) + 1e-4).sqrt()
        guess = torch.complex(amplitude * direction[:, 0], amplitude * direction[:, 1])
        guesses = [guess]
        spectrum_modulus = torch.fft.ifftshift(modulus, dim=_AXES)
        measured = torch.fft.ifftshift(~mask, dim=_AXES)
        for _ in range(self.config.refinements):
            projected, guess = project(guess, spectrum_modulus, measured)
            guess, hidden = self.refiner(guess, projected, hidden)
            guesses.append(guess)
        return [centre_pad(g, SIZE) for g in guesses]


class Refiner(nn.Module):
    """A small U-Net that corrects a guess, seeing its modulus projection; it hands on a hidden state."""

    def __init__(self, width: int):
        super().__init__()
        self.enter = nn.Conv3d(6 * 8 + width, width, 1)
        self.fine = ConvNorm(width, width)
        self.coarse = nn.Sequential(
            ConvNorm(width, 2 * width), TokenMixing(2 * width, 6**3, hidden=128), ConvNorm(2 * width, width)
        )
        self.leave = Residual(width)
        self.head = nn.Conv3d(width, 4 * 8, 1)
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(_bias(self.head))

    def forward(
        self, guess: torch.Tensor, projected: torch.Tensor, hidden: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map objects (b, 24, 24, 24) complex64 and state (b, r, 12, 12, 12) to the next ones."""
        parts = [guess.real, guess.imag, projected.real, projected.imag, _modulus(guess), _modulus(projected)]
        x = self.enter(torch.cat([fold(torch.stack(parts, dim=1)).to(hidden.dtype), hidden], dim=1))
        x = self.fine(x)
        x = x + upsample(self.coarse(nn.functional.max_pool3d(x, 2)))
        hidden = self.leave(x)
        gate, mix, real, imag = unfold(self.head(hidden).float()).unbind(1)  # each (b, 24^3)
        kept = projected + mix * (projected - guess)
        return 2 * torch.sigmoid(gate) * kept + torch.complex(real, imag), hidden


def input_channels(counts: torch.Tensor, modulus: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return (b, 5, 32, 32, 32): absolute and relative modulus, compressed autocorrelation, the mask."""
    auto = torch.fft.ifftn(torch.fft.ifftshift(modulus.square(), dim=_AXES), dim=_AXES)
    auto = torch.fft.fftshift(auto, dim=_AXES)
    auto = auto / (_modulus(auto) + 1e-6).sqrt()
    absolute = torch.log1p(counts.clamp_min(0).sqrt()) / 7 * ~mask
    channels = [absolute, (modulus + 1e-12).sqrt(), auto.real, auto.imag, mask.to(modulus.dtype)]
    return torch.stack(channels, dim=1)


def project(
    guess: torch.Tensor, modulus: torch.Tensor, measured: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace the modulus of a guess by the measured one.

    Parameters
    ----------
    guess : (b, 24, 24, 24) complex64 tensor
    modulus : (b, 32, 32, 32) float32 tensor
        Measured modulus, q = 0 at index 0.
    measured : (b, 32, 32, 32) bool tensor
        Where it was measured, q = 0 at index 0; elsewhere the guess keeps its own.

    Returns
    -------
    projected, guess : (b, 24, 24, 24) complex64 tensor
        Both in units in which the measured object has the norm of the guess.
    """
    spectrum = torch.fft.fftn(torch.fft.ifftshift(centre_pad(guess, SIZE), dim=_AXES), dim=_AXES)
    own = _modulus(spectrum)
    cross = (own * modulus * measured).sum(_AXES, keepdim=True)
    scale = cross / (modulus.square().sum(_AXES, keepdim=True) + 1e-12)
    replaced = torch.where(measured, spectrum * (scale * modulus / own), spectrum)
    projected = torch.fft.fftshift(torch.fft.ifftn(replaced, dim=_AXES), dim=_AXES)
    return centre_crop(projected, guess.shape[-1]), guess


def _bias(layer: nn.Conv3d) -> torch.Tensor:
    """Bias of a convolution that was built with one."""
    if layer.bias is None:
        raise ValueError(f"a convolution with a bias is required; got {layer!r}")
    return layer.bias


def _modulus(x: torch.Tensor) -> torch.Tensor:
    """Modulus with a finite slope at zero."""
    return (torch.view_as_real(x).square().sum(-1) + 1e-12).sqrt()
