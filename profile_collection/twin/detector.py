"""What the photon counter makes of the expected photons: defects, gaps, counter depth, Poisson noise."""

import numpy as np
from numpy.typing import NDArray

from profile_collection.twin.config import DetectorConfig

Frame = NDArray[np.uint32]


class Counter:
    """The detector's permanent properties, drawn once from a seed, and its reading of one exposure.

    Parameters
    ----------
    config : DetectorConfig
    seed : int
    """

    def __init__(self, config: DetectorConfig, seed: int) -> None:
        self.config = config
        rng = np.random.default_rng([seed, 10])
        r0, r1, c0, c1 = config.region
        count = config.hot_pixels + config.dead_pixels
        where = rng.choice(config.shape[0] * config.shape[1], count, replace=False)
        rates = np.zeros(config.shape)
        # Counts per second, from a noisy pixel to a screaming one.
        rates.flat[where[: config.hot_pixels]] = 10 ** rng.uniform(-1, 3, config.hot_pixels)
        alive = np.ones(config.shape, dtype=bool)
        alive.flat[where[config.hot_pixels :]] = False
        for axis in (0, 1):
            middle = config.shape[axis] // 2
            np.moveaxis(alive, axis, 0)[middle - config.gap // 2 : middle - config.gap // 2 + config.gap] = (
                False
            )
        self.hot_rate = np.ascontiguousarray(rates[r0:r1, c0:c1])
        self.alive = np.ascontiguousarray(alive[r0:r1, c0:c1])

    @staticmethod
    def saturation(depth: int) -> int:
        """Largest count of a counter of ``depth`` bits."""
        return int(2**depth - 1)

    def read(
        self, expected: NDArray[np.float64], exposure: float, depth: int, rng: np.random.Generator
    ) -> Frame:
        """Return counts, uint32, (rows, columns), for the ``expected`` photons of ``exposure`` seconds."""
        counts = rng.poisson(expected + self.hot_rate * exposure)
        counts *= self.alive
        return np.minimum(counts, self.saturation(depth)).astype(np.uint32)
