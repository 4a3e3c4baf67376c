"""What stands around the crystal: virtual clock, source, photon counter, heated stage.

The clock lets simulated durations pass as fast as the machine allows, or at a chosen pace. The source has a
stored current, a slow drift of the flux, a monitor, and a footprint on the sample. The photon counter makes
of the expected photons what a real one does: defects, gaps, counter depth, Poisson noise. The stage is an
analytic temperature over virtual time, and the diodes that measure it.
"""

import math
import threading
import time

import numpy as np
from numpy.typing import NDArray

from profile_collection.twin.config import BeamConfig, DetectorConfig, ThermalConfig, Triple, require


class Clock:
    """A clock whose seconds are the beamline's.

    Parameters
    ----------
    pace : float
        Virtual seconds per real second. ``inf`` (default): sleeping costs no real time and time stands
        still between sleeps. 1: real time.
    start : float or None
        Virtual epoch seconds at the beginning; None takes the real time.
    """

    def __init__(self, pace: float = math.inf, start: float | None = None) -> None:
        if not pace > 0:
            raise ValueError(f"pace must be above 0 virtual seconds per second; got {pace!r}: use inf or 1.0")
        self.pace = float(pace)
        self._start = time.time() if start is None else float(start)
        self._slept = 0.0
        self._origin = time.monotonic()
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return virtual epoch seconds."""
        if math.isinf(self.pace):
            return self._start + self._slept
        return self._start + (time.monotonic() - self._origin) * self.pace

    def sleep(self, duration: float, cancel: threading.Event | None = None) -> bool:
        """Let ``duration`` virtual seconds pass; return False if ``cancel`` was set before they had passed.

        A KeyboardInterrupt gets through at once.
        """
        if not (math.isfinite(duration) and duration >= 0):
            raise ValueError(
                f"duration must be finite and not negative, in s; got {duration!r}: give seconds"
            )
        if cancel is not None and cancel.is_set():
            return False
        if math.isinf(self.pace):
            with self._lock:
                self._slept += duration
            return True
        return not (cancel or threading.Event()).wait(duration / self.pace)


_FLUX_PERIODS = np.array([5400.0, 2100.0, 900.0])
_FLUX_SHARES = np.array([0.5, 0.3, 0.2])


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
        drift = float(_FLUX_SHARES @ np.sin(2 * np.pi * now / _FLUX_PERIODS + self._phases))
        return self.ring_current(now) / self.config.ring_current * (1 + self.config.drift * drift)

    def monitor(self, flux: float, exposure: float, rng: np.random.Generator) -> float:
        """Monitor counts of an exposure of ``exposure`` s at relative ``flux``, with counting noise."""
        return float(rng.poisson(self.config.monitor_rate * flux * exposure))

    def footprint(self, offset: Triple | NDArray[np.float64]) -> float:
        """Return the share of flux that a crystal ``offset`` mm off the beam sees (laboratory x, y, z)."""
        distance = np.asarray(offset, dtype=float) / np.asarray(self.config.footprint)
        return float(np.exp(-0.5 * distance @ distance))


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
            np.moveaxis(alive, axis, 0)[list(config.gaps)] = False
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


DIODES = ("Ta", "Tb", "Tc", "Td")

_WANDER_PERIODS = np.array([1300.0, 470.0, 170.0])
_WANDER_SHARES = np.array([0.5, 0.3, 0.2])


class HeatedStage:
    """Controller, sample and diodes.

    A change of setpoint ramps the temperature linearly; at the end it overshoots by rate · s · exp(−s /
    settling), s the time since the ramp's end, and settles. A slow wander of at most ``fluctuation`` K
    always remains.

    Parameters
    ----------
    config : ThermalConfig
    clock : Clock
    seed : int

    Attributes
    ----------
    drift : float, K
        A fault: the sample is this much off what the controller regulates.
    """

    def __init__(self, config: ThermalConfig, clock: Clock, seed: int) -> None:
        self.config = config
        self._clock = clock
        rng = np.random.default_rng([seed, 30])
        self._phases = rng.uniform(0, 2 * np.pi, 3)
        self._offsets = dict(zip(DIODES, rng.normal(scale=config.diode_offset, size=4), strict=True))
        self._seed = seed
        self._began, self._from = clock.now(), config.start
        self._setpoint, self._rate = config.start, config.ramp_rate / 60
        self._ceiling = np.inf
        self.drift = 0.0

    @property
    def setpoint(self) -> float:
        """Where the controller is going, K."""
        return self._setpoint

    @setpoint.setter
    def setpoint(self, value: float) -> None:
        """Begin a ramp from the present temperature to ``value``, K; ValueError outside the stage's range."""
        low, high = self.config.minimum, self.config.maximum
        require(
            bool(np.isfinite(value)) and low <= value <= high,
            f"the heated stage's setpoint must lie between {low} and {high} K",
            value,
            "choose a temperature in its range",
        )
        self._restart()
        self._setpoint = float(value)

    @property
    def ramp_rate(self) -> float:
        """Speed of a ramp, K per minute."""
        return self._rate * 60

    @ramp_rate.setter
    def ramp_rate(self, value: float) -> None:
        """Go on from the present temperature at ``value`` K per minute; ValueError unless it is positive."""
        require(
            bool(np.isfinite(value)) and value > 0,
            "ramp_rate must be a positive number of K/min",
            value,
            "for example 5",
        )
        self._restart()
        self._rate = float(value) / 60

    @property
    def ceiling(self) -> float:
        """A fault: the heater gives no more than this temperature, K; infinite where it is sound."""
        return float(self._ceiling)

    @ceiling.setter
    def ceiling(self, value: float) -> None:
        """Go on from the present temperature to no more than ``value``, K."""
        self._restart()
        self._ceiling = value

    def temperature(self, now: float | None = None) -> float:
        """Return the sample's true temperature, K, at virtual time ``now`` (default: the clock's)."""
        when = self._clock.now() if now is None else now
        wander = float(_WANDER_SHARES @ np.sin(2 * np.pi * when / _WANDER_PERIODS + self._phases))
        return self._controlled(when) + self.config.fluctuation * wander + self.drift

    def diodes(self, now: float | None = None) -> dict[str, float]:
        """Return the diodes' readings Ta to Td and Tsample, their estimate of the sample, K.

        Their noise depends on the millisecond alone, not on how often somebody has looked before.
        """
        when = self._clock.now() if now is None else now
        true = self.temperature(when)
        rng = np.random.default_rng([self._seed, 31, round(when * 1000)])
        noise = rng.normal(scale=self.config.diode_noise, size=5)
        readings = {n: true + self._offsets[n] + float(e) for n, e in zip(DIODES, noise[:4], strict=True)}
        return readings | {"Tsample": true + float(noise[4]) / 2}

    @property
    def heater(self) -> float:
        """Heater output, %: losses grow with the temperature above the surroundings, a ramp adds to it."""
        span = self.config.maximum - self.config.minimum
        now = self._clock.now()
        trend = self._controlled(now + 1) - self._controlled(now)
        return float(np.clip(80 * (self._controlled(now) - self.config.minimum) / span + 150 * trend, 0, 100))

    def _controlled(self, when: float) -> float:
        return min(self._regulated(when), self.ceiling)

    def _regulated(self, when: float) -> float:
        span = self._setpoint - self._from
        rate = np.copysign(self._rate, span)
        duration, since = span / rate, when - self._began
        if since < duration:
            return float(self._from + rate * max(since, 0.0))
        after, tau = since - duration, self.config.settling
        speed = rate * (1 - np.exp(-duration / tau))
        return float(self._setpoint + speed * after * np.exp(-after / tau))

    def _restart(self) -> None:
        now = self._clock.now()
        self._from, self._began = self._controlled(now), now
