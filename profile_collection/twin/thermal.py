"""The heated stage: an analytic temperature over virtual time, and the diodes that measure it."""

import numpy as np

from profile_collection.twin.clock import Clock
from profile_collection.twin.config import ThermalConfig
from profile_collection.twin.requirements import require

DIODES = ("Ta", "Tb", "Tc", "Td")

_PERIODS = np.array([1300.0, 470.0, 170.0])
_SHARES = np.array([0.5, 0.3, 0.2])


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
        wander = float(_SHARES @ np.sin(2 * np.pi * when / _PERIODS + self._phases))
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
