"""The twin: axes, shutter, heater and detector around the simulated crystal, and the faults they can have.

Faults of detector, motors, heater and source are switched on and off. They change what the hardware does,
never what the software says about it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter as Tally
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profile_collection.twin.config import TwinConfig, require
from profile_collection.twin.crystal import CrystalState, crystal, oversampling
from profile_collection.twin.diffraction import Diffraction, LookAhead, photons_per_intensity
from profile_collection.twin.geometry import Pose
from profile_collection.twin.instruments import Clock, Counter, HeatedStage, Source
from profile_collection.twin.truth import TruthRecord

PATIENCE = 5.0
"""Seconds after an exposure's end within which the detector's frame must arrive."""


class FrameLostError(TimeoutError):
    """No frame came from the detector."""


class Faults:
    """The faults that are present; none at first.

    Attributes
    ----------
    beam_lost : bool
        The stored current is gone.
    front_end_open : bool
        The permit of the front end: closed, no beam arrives.
    stuck : set of str
        Axes that do not move, whatever they are told.
    """

    def __init__(self) -> None:
        self.beam_lost = False
        self.front_end_open = True
        self.stuck: set[str] = set()
        self._frames: deque[tuple[str, float]] = deque()
        self._late: Exposure | None = None
        self._last: Exposure | None = None
        self._lock = threading.Lock()

    @property
    def beam(self) -> float:
        """Share of the photons that arrive: 1, or 0."""
        return float(self.front_end_open and not self.beam_lost)

    def drop_frames(self, count: int = 1) -> None:
        """Have the detector lose the next `count` frames."""
        self._plan("drop", count, 0.0)

    def repeat_frames(self, count: int = 1) -> None:
        """Have the detector hand over its last frame in place of each of the next `count`."""
        self._plan("repeat", count, 0.0)

    def delay_frames(self, seconds: float, count: int = 1) -> None:
        """Have the next `count` frames arrive `seconds` late.

        One that is later than `PATIENCE` is given up, and is handed over in place of the one after it.
        """
        require(seconds >= 0, "a delay must not be negative, in s", seconds, "for example 2")
        self._plan("delay", count, seconds)

    def _plan(self, kind: str, count: int, seconds: float) -> None:
        require(count >= 1, "the number of frames must be at least 1", count, "for example 1")
        with self._lock:
            self._frames.extend([(kind, seconds)] * count)

    def deliver(self, taken: Exposure, clock: Clock, cancel: threading.Event | None = None) -> Exposure:
        """Return what the detector hands over for the exposure just `taken`.

        Raises
        ------
        FrameLostError
            Nothing came within `PATIENCE` seconds.
        """
        with self._lock:
            kind, seconds = self._frames.popleft() if self._frames else ("", 0.0)
            late, self._late = self._late, None
            if kind == "delay" and seconds > PATIENCE:
                self._late = taken
            last = self._last
        if kind == "drop" or (kind == "delay" and seconds > PATIENCE):
            clock.sleep(PATIENCE, cancel)
            raise FrameLostError(f"no frame came within {PATIENCE:g} s of the exposure's end")
        clock.sleep(seconds, cancel)
        handed = last if kind == "repeat" and last is not None else late or taken
        self._last = taken
        return replace(handed)


ANGLES = ("mu", "eta", "chi", "phi", "delta", "gam")
STAGES = ("sx", "sy", "sz")

STATE_TOLERANCE = 0.05
"""The crystal is computed anew when its temperature has moved by more than this, K."""


@dataclass(frozen=True)
class Exposure:
    """One reading of the detector.

    Attributes
    ----------
    frame : ndarray, uint32, (rows, columns), counts
    monitor : float
        Counts of the monitor, in front of the attenuator and behind the shutter.
    ring_current : float, mA
    timestamp : float
        Virtual epoch seconds at the beginning.
    number : int
        The detector's own count of exposures at this one, from 1.
    """

    frame: NDArray[np.uint32]
    monitor: float
    ring_current: float
    timestamp: float
    number: int = 0


class Twin:
    """The simulated beamline.

    Parameters
    ----------
    config : TwinConfig
    clock : Clock
    seed : int
        Seed of noise, drift and detector defects; the crystal has its own.

    Attributes
    ----------
    faults : Faults
        What is broken at the moment.
    exposures : int
        Exposures that the detector has begun.
    """

    def __init__(self, config: TwinConfig | None = None, clock: Clock | None = None, seed: int = 0) -> None:
        self.config = config or TwinConfig()
        self.clock = clock or Clock()
        self.seed = seed
        self.faults = Faults()
        self.exposures = 0
        self.thermal = HeatedStage(self.config.thermal, self.clock, seed)
        self.shutter_open = False
        self._counter = Counter(self.config.detector, seed)
        self._source = Source(self.config.beam, seed)
        angles = dict(zip(("mu", "eta", "chi", "phi"), self.config.mount.angles, strict=True))
        self._axes = angles | {"delta": 2 * self.config.mount.theta, "gam": 0.0} | dict.fromkeys(STAGES, 0.0)
        self._energy = self.config.beam.energy
        self._transmission = 1.0
        self._depth = self.config.detector.counter_depth
        self._visits: Tally[str] = Tally()
        self._state: CrystalState | None = None
        self._frames: tuple[tuple[Pose, float], LookAhead] | None = None
        self._lock = threading.RLock()

    @property
    def axes(self) -> dict[str, float]:
        """Positions of mu, eta, chi, phi, delta, gam (degrees) and sx, sy, sz (mm), a copy."""
        return dict(self._axes)

    def set_axis(self, name: str, value: float) -> None:
        """Put axis ``name`` at ``value`` (degrees or mm)."""
        require(
            name in self._axes, f"the axis must be one of {', '.join(self._axes)}", name, "check its name"
        )
        require(
            bool(np.isfinite(value)), f"the position of {name} must be finite", value, "give degrees or mm"
        )
        if name not in self.faults.stuck:
            self._axes[name] = float(value)

    @property
    def energy(self) -> float:
        """Photon energy, keV."""
        return self._energy

    @energy.setter
    def energy(self, value: float) -> None:
        require(
            bool(np.isfinite(value)) and 5 <= value <= 15,
            "energy must lie between 5 and 15 keV",
            value,
            "used was 9.0",
        )
        self._energy = float(value)

    @property
    def transmission(self) -> float:
        """Transmission of the attenuator, 0 to 1."""
        return self._transmission

    @transmission.setter
    def transmission(self, value: float) -> None:
        require(0 <= value <= 1, "transmission must lie in [0, 1]", value, "1 means no attenuator")
        self._transmission = float(value)

    @property
    def counter_depth(self) -> int:
        """Bits of the detector's counter, 12 or 24."""
        return self._depth

    @counter_depth.setter
    def counter_depth(self, value: int) -> None:
        require(value in (12, 24), "counter_depth must be 12 or 24 bit", value, "choose one of them")
        self._depth = int(value)

    def ring_current(self) -> float:
        """Return the stored current now, mA."""
        return 0.0 if self.faults.beam_lost else self._source.ring_current(self.clock.now())

    @property
    def pose(self) -> Pose:
        """Everything but eta that decides which q a pixel sees."""
        a = self._axes
        return Pose(a["mu"], a["chi"], a["phi"], a["delta"], a["gam"], self._energy)

    def state(self) -> CrystalState:
        """Return the crystal as it is now; it is computed anew only when the temperature has moved."""
        with self._lock:
            temperature = self.thermal.temperature()
            if self._state is None or abs(temperature - self._state.temperature) > STATE_TOLERANCE:
                self._state = crystal(self.config.crystal).state(temperature)
            return self._state

    def expose(self, exposure_time: float, cancel: threading.Event | None = None) -> Exposure:
        """Count for ``exposure_time`` s of the clock's time, which passes here, and return the reading.

        With the shutter closed only the detector's own hot pixels count. ``cancel`` ends the waiting early;
        the reading is then that of the whole exposure all the same. Raises `faults.FrameLostError` where the
        detector hands over no frame.
        """
        require(
            bool(np.isfinite(exposure_time)) and exposure_time > 0,
            "the exposure time must be a positive number of seconds",
            exposure_time,
            "for example 30",
        )
        with self._lock:
            self.exposures += 1
            number, begin = self.exposures, self.clock.now()
            rng = np.random.default_rng([self.seed, 40, self._visit(exposure_time)])
            flux = self._source.flux(begin + exposure_time / 2) * self.faults.beam
            monitor = self._source.monitor(flux, exposure_time, rng) if self.shutter_open else 0.0
            expected = self._expected(flux, exposure_time)
            frame = self._counter.read(expected, exposure_time, self._depth, rng)
        self.clock.sleep(exposure_time, cancel)
        current = 0.0 if self.faults.beam_lost else self._source.ring_current(begin)
        taken = Exposure(frame, monitor, current, begin, number)
        return self.faults.deliver(taken, self.clock, cancel)

    def noiseless(self) -> NDArray[np.float32]:
        """Return the expected photons of a reference exposure at nominal flux, float32, (rows, columns).

        At the axes' positions, without background, defects and gaps; blurred and integrated over the pixels.
        """
        with self._lock:
            scale = photons_per_intensity(self.config) * self._footprint()
            return self._look_ahead().frame(self._axes["eta"]) * np.float32(scale)

    def describe(self) -> dict[str, Any]:
        """Return what describes the simulation, for the run's metadata; the analysis never reads it."""
        sampled = oversampling(self.config)
        return {
            "simulated": True,
            "seed": self.seed,
            "config": self.config.to_dict(),
            "oversampling": [sampled.rocking, sampled.along_q, sampled.horizontal],
            "warning": sampled.warning,
        }

    def write_truth(self, path: Path, run_uid: str, etas: NDArray[np.float64]) -> None:
        """Write what it takes to compute this scan's truth later (see ``truth.truth_objects``)."""
        TruthRecord(run_uid, self.seed, self.state().temperature, self.pose, etas, self.config).write(
            Path(path)
        )

    def _expected(self, flux: float, exposure_time: float) -> NDArray[np.float64]:
        """Return the expected photons of an exposure, float64, (rows, columns)."""
        r0, r1, c0, c1 = self.config.detector.region
        share = flux * self._transmission * exposure_time / self.config.beam.reference_exposure
        if not self.shutter_open or share == 0:
            return np.zeros((r1 - r0, c1 - c0))
        return share * (self.noiseless().astype(float) + self.config.detector.background)

    def _footprint(self) -> float:
        stages = np.array([self._axes[n] for n in STAGES])
        return self._source.footprint(stages - np.asarray(self.config.mount.position))

    def _look_ahead(self) -> LookAhead:
        state, pose = self.state(), self.pose
        key = (pose, state.temperature)
        if self._frames is None or self._frames[0] != key:
            self._frames = (key, LookAhead(Diffraction(self.config, state, pose)))
        return self._frames[1]

    def _visit(self, exposure_time: float) -> int:
        """Return the key of this exposure's noise.

        It depends on where the axes stand and on how often an exposure was taken there, not on what was done
        elsewhere in between: a scan that was interrupted has the noise of one that was not.
        """
        where = [f"{n}={round(v, 4)}" for n, v in self._axes.items()]
        place = ";".join([*where, f"T={self.thermal.setpoint}", f"t={exposure_time}", f"E={self._energy}"])
        self._visits[place] += 1
        digest = hashlib.blake2b(f"{place};{self._visits[place]}".encode(), digest_size=8).digest()
        return int.from_bytes(digest)
