"""Where phasing and training compute: on the accelerator where there is one, chosen once."""

from __future__ import annotations

import os

import torch


def choose_device(rank: int = 0) -> torch.device:
    """Return accelerator ``rank`` where there is one, else the CPU."""
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


DEVICE = torch.device(os.environ.get("VO2_PHASING_DEVICE") or choose_device())
"""Of every reconstruction; VO2_PHASING_DEVICE names another, as torch does ("cpu", "cuda:1")."""
