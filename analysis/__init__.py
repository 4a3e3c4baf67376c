"""Arrays in, arrays out: from a diffraction pattern to strain and the order parameter.

Nothing here knows of Bluesky.  ``reconstruct`` is loaded on first use, so that importing
the unit cells does not import torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.phasing import Reconstruction, reconstruct

__all__ = ["Reconstruction", "reconstruct"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from analysis import phasing

        return getattr(phasing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
