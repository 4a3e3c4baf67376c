"""The 48 axis permutations and reflections of a cube, about index n // 2.

A pattern and its object turn together: the transform of the reflected object is the reflected pattern. The
network is not blind to them, so it holds 48 opinions about one pattern.
"""

from __future__ import annotations

from itertools import permutations, product

import torch

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
