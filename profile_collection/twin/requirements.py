"""How the twin refuses what cannot be: in words."""

import numpy as np

Triple = tuple[float, float, float]


def require(condition: bool, requirement: str, got: object, advice: str) -> None:
    """Raise a ValueError saying what was required, what came and what to do, unless ``condition`` holds."""
    if not condition:
        raise ValueError(f"{requirement}; got {got!r}: {advice}")


def is_positive(*values: float) -> bool:
    """Say whether all values are finite and above zero."""
    return all(np.isfinite(v) and v > 0 for v in values)
