"""What the crystal does with temperature (science notes, section 2): smooth curves through ten points."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

TEMPERATURES = np.arange(320.0, 366.0, 5.0)

# Columns: 320 325 330 335 340 345 350 355 360 365 K.
_CURVES = {
    # Share of the 320 K pattern (tensile rim, compressive core) that is left; it relaxes through the
    # critical region, then oscillates with the coexistence of M1, M2 and R.
    "ground": (1.20, 1.22, 1.16, 0.62, 0.44, 0.74, 0.40, 0.76, 0.34, 0.62),
    # Amount of the new organised pattern that the crystal settles into by 360 K.
    "settled": (0.00, 0.04, 0.14, 0.66, 0.90, 0.66, 0.98, 0.70, 1.10, 0.82),
    # Amount of a third pattern: grain to grain stress at coexistence, and the rearrangement at 365 K.
    "rearranged": (0.00, 0.00, 0.05, 0.10, 0.10, 0.25, 0.10, -0.10, 0.10, 0.50),
    # Uniform phase: tensile to slightly compressive at 335 K.
    "offset": (0.00, 0.40, 0.20, -0.60, -0.50, -0.40, -0.30, -0.30, -0.20, -0.20),
    # M2: spreads from the rim at 325 K, islands at 345 and 350 K.
    "m2": (0.00, 0.42, 0.54, 0.46, 0.34, 0.24, 0.15, 0.05, 0.02, 0.00),
    # How far M2 follows the rim (1) rather than islands anywhere (0).
    "m2_at_rim": (1.50, 1.50, 1.20, 0.40, 0.15, 0.00, 0.00, 0.00, 0.00, 0.00),
    # Rutile, as a share of its maximum: onset at 330–335 K, at the surface and in grains.
    "rutile": (0.00, 0.00, 0.02, 0.08, 0.22, 0.45, 0.72, 1.00, 1.00, 1.00),
    # Rotation of the rutile pattern towards another one: the rearrangement after 355 K.
    "migration": (0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.05, 0.30, 0.90),
    # Density, up slightly in the critical region.
    "density": (1.00, 1.00, 1.03, 1.03, 1.02, 1.01, 1.00, 1.00, 1.00, 1.00),
}


@dataclass(frozen=True)
class Story:
    """The transition's coefficients at one temperature (see the module's table)."""

    ground: float
    settled: float
    rearranged: float
    offset: float
    m2: float
    m2_at_rim: float
    rutile: float
    migration: float
    density: float


_INTERPOLATORS = {name: PchipInterpolator(TEMPERATURES, values) for name, values in _CURVES.items()}


def story(temperature: float) -> Story:
    """Return the coefficients at ``temperature`` K; outside 320–365 K those of the nearest end."""
    inside = float(np.clip(temperature, TEMPERATURES[0], TEMPERATURES[-1]))
    return Story(**{name: float(curve(inside)) for name, curve in _INTERPOLATORS.items()})
