"""The network's part in a search: a coarse object per orientation of the input, transfer learning last."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.phasing.engine import to_centre, to_corner
from analysis.phasing.network import Pretrained
from analysis.phasing.pattern import Pattern
from analysis.phasing.transfer import fine_tune

ORIENTATIONS = (0, 13, 26, 39, 7, 20, 33, 46)
"""Orientations of the input in which the network is asked, one after the other."""

TRANSFER_STEPS = 20
"""Steps of fine-tuning on the pattern, where the network as it is did not lead to the object."""


class Guesses:
    """Coarse guesses of one pattern, made when they are asked for.

    Parameters
    ----------
    pretrained : Pretrained
    pattern : Pattern
    seed : int
        Chooses the orientation in which the network is fine-tuned.
    transfer : bool
        Whether it is, at last.
    """

    def __init__(self, pretrained: Pretrained, pattern: Pattern, seed: int, *, transfer: bool = True) -> None:
        self.pretrained, self.seed, self.transfer = pretrained, seed, transfer
        self._counts = to_centre((pattern.counts - pattern.background).clamp_min(0)).cpu().numpy()
        self._mask = to_centre(pattern.mask).cpu().numpy()
        self._device = pattern.counts.device
        self.losses: NDArray[np.float64] = np.empty(0)

    def __len__(self) -> int:
        """Return how many there are: one per orientation, and the fine-tuned one."""
        return len(ORIENTATIONS) + self.transfer

    def __getitem__(self, number: int) -> Tensor:
        """Return guess ``number``, (32, 32, 32) complex64, corner order."""
        if number < len(ORIENTATIONS):
            threads = torch.get_num_threads()
            one = [ORIENTATIONS[number]]
            guess = self.pretrained.guess(self._counts, self._mask, orientations=one, threads=threads)[0]
        else:
            tuned, losses = fine_tune(
                self.pretrained, self._counts, self._mask, steps=TRANSFER_STEPS, seed=self.seed
            )
            guess, self.losses = tuned[-1], np.asarray(losses, np.float64)
        return to_corner(torch.from_numpy(np.ascontiguousarray(guess))).to(self._device)
