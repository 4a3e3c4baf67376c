"""The source: stored current, slow drift of the flux, monitor, footprint on the sample."""

import numpy as np
from numpy.typing import NDArray

from profile_collection.twin.config import BeamConfig
from profile_collection.twin.requirements import Triple

_PERIODS = np.array([5400.0, 2100.0, 900.0])
_SHARES = np.array([0.5, 0.3, 0.2])


class Source:
    """Storage ring and beamline optics, drifting slowly.

    Parameters
    ----------
    config : BeamConfig
    seed : int
    """

    def __init__(self, config: BeamConfig, seed: int) -> None:
        self.config = config
        rng = np.random.default_rng([seed, 20])
        self._phases = rng.uniform(0, 2 * np.pi, 3)
        self._top_up_phase = float(rng.uniform(0, config.top_up))

    def ring_current(self, now: float) -> float:
        """Return the stored current, mA: it decays and is topped up."""
        since = (now + self._top_up_phase) % self.config.top_up
        return float(self.config.ring_current * np.exp(-since / (3600 * self.config.lifetime)))

    def flux(self, now: float) -> float:
        """Flux relative to the nominal one: ring current times optics drift."""
        drift = float(_SHARES @ np.sin(2 * np.pi * now / _PERIODS + self._phases))
        return self.ring_current(now) / self.config.ring_current * (1 + self.config.drift * drift)

    def monitor(self, flux: float, exposure: float, rng: np.random.Generator) -> float:
        """Monitor counts of an exposure of ``exposure`` s at relative ``flux``, with counting noise."""
        return float(rng.poisson(self.config.monitor_rate * flux * exposure))

    def footprint(self, offset: Triple | NDArray[np.float64]) -> float:
        """Return the share of flux that a crystal ``offset`` mm off the beam sees (laboratory x, y, z)."""
        distance = np.asarray(offset, dtype=float) / np.asarray(self.config.footprint)
        return float(np.exp(-0.5 * distance @ distance))
