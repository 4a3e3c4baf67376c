"""Building blocks of the networks: convolutions, token mixing, voxels traded for channels."""

from __future__ import annotations

import torch
from torch import nn


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
