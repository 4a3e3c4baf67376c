"""Everything about the simulated beamline that can be chosen; what cannot be is refused in words.

The choices are frozen dataclasses. Their defaults are those of the experiment and of the simulated crystal
fixed in docs/science.md sections 1.4 and 2; they are written into the run's metadata of the twin
and never read by the analysis.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Self

import numpy as np

from analysis.unit_cells import VO2_M1, VO2_RUTILE, UnitCell, bragg_angle

Triple = tuple[float, float, float]


def require(condition: bool, requirement: str, got: object, advice: str) -> None:
    """Raise a ValueError saying what was required, what came and what to do, unless ``condition`` holds."""
    if not condition:
        raise ValueError(f"{requirement}; got {got!r}: {advice}")


def is_positive(*values: float) -> bool:
    """Say whether all values are finite and above zero."""
    return all(np.isfinite(v) and v > 0 for v in values)


@dataclass(frozen=True)
class CrystalConfig:
    """The simulated nanocrystal: size, shape, orientation and how it transforms.

    Attributes
    ----------
    seed : int
        Seed of facets and fields; another seed is another crystal with the same story.
    size : tuple of float
        Extent along the rocking direction, along Q and horizontally, nm, before ``orientation`` turns the
        body.
    orientation : tuple of float
        Rotation vector of the body about these three axes, degrees; Q stays where it is.
    truncation : float
        0 is the bare monoclinic prism, 1 the most strongly truncated one.
    pitch : tuple of float
        Spacing of the density's grid along the three axes, nm.
    displacement : float
        Factor on the whole phase pattern; 1 gives about 2π to 2.5π peak to peak, 1 rad in standard deviation.
    correlation_length : float
        Correlation length of the displacement field, nm.
    domain_length : float
        Correlation length of the rutile and M2 domains, nm.
    m2_phase : float
        Phase offset of the clamped M2 variant, rad. Bulk M2 would scatter −1.8 % and +1.5 % away in d and
        vanish from the image; the M2 islands that are seen are therefore modelled as a clamped variant
        (this project's choice).
    m2_strain : float
        Eigenstrain of the clamped M2 variant along Q, at most 5e-4.
    rutile_fraction, m2_fraction : float or None
        A constant fraction in place of the temperature's own.
    rutile_maximum : float
        Rutile fraction that the transition rises to.
    expansion : float
        Thermal expansion of d, 1/K.
    reference_temperature : float
        Where the lattice is as given, K.
    lattice, reflection : UnitCell and tuple of int
        Of M1; what is measured of it.
    counterpart_d : float or None, Å
        Spacing of the reflection of rutile beside the measured one. Without it (None) rutile scatters where
        no detector stands: it is missing, whatever crop is taken.
    """

    seed: int = 3
    size: Triple = (1100.0, 1600.0, 1800.0)
    orientation: Triple = (0.0, 0.0, 0.0)
    truncation: float = 0.7
    pitch: Triple = (10.0, 10.0, 10.0)
    displacement: float = 1.0
    correlation_length: float = 420.0
    domain_length: float = 170.0
    m2_phase: float = 1.0
    m2_strain: float = 1.2e-4
    rutile_fraction: float | None = None
    m2_fraction: float | None = None
    rutile_maximum: float = 0.45
    expansion: float = 1.5e-5
    reference_temperature: float = 320.0
    lattice: UnitCell = VO2_M1
    reflection: tuple[int, int, int] = (0, 1, 1)
    counterpart_d: float | None = VO2_RUTILE.d_spacing((1, 1, 0))

    def __post_init__(self) -> None:
        require(
            len(self.size) == 3 and is_positive(*self.size) and max(self.size) <= 5000,
            "crystal size must be three lengths in nm (rocking, along Q, horizontal), each in (0, 5000]",
            self.size,
            "for example (1100, 1600, 1800)",
        )
        require(
            len(self.pitch) == 3 and is_positive(*self.pitch) and max(self.pitch) <= 12.5,
            "grid pitch must be three lengths in nm, each in (0, 12.5], or ghosts of the peak appear",
            self.pitch,
            "for example (10, 10, 10)",
        )
        require(
            len(self.orientation) == 3 and bool(np.all(np.isfinite(self.orientation))),
            "orientation must be a rotation vector of three finite angles in degrees",
            self.orientation,
            "for example (0, 0, 0)",
        )
        require(
            0 <= self.truncation <= 1, "truncation must lie in [0, 1]", self.truncation, "for example 0.5"
        )
        require(
            0 <= self.m2_strain <= 5e-4,
            "the clamped M2 variant's eigenstrain must lie in [0, 5e-4]",
            self.m2_strain,
            "a larger one would leave the Bragg condition",
        )
        for name in ("rutile_fraction", "m2_fraction", "rutile_maximum"):
            value = getattr(self, name)
            require(
                value is None or 0 <= value <= 1,
                f"{name} must lie in [0, 1]",
                value,
                "give a fraction of the volume",
            )
        require(
            is_positive(self.correlation_length, self.domain_length)
            and min(self.correlation_length, self.domain_length) >= 100,
            "correlation lengths must be at least 100 nm, or the phase outruns the voxels of the M1 band",
            (self.correlation_length, self.domain_length),
            "for example 420 and 170",
        )

    @property
    def d(self) -> float:
        """Spacing of the measured reflection's planes at the reference temperature, Å."""
        return self.lattice.d_spacing(self.reflection)


@dataclass(frozen=True)
class MountConfig:
    """How the crystal sits on the diffractometer.

    Attributes
    ----------
    angles : tuple of float
        mu, eta, chi, phi at which the reflection diffracts at the reference temperature, degrees. The 17.8°
        in eta against θ = 12.40° of the paper's is the mount.
    error : tuple of float
        Small additional rotation vector about laboratory x, y, z, degrees, that an alignment has to find.
    position : tuple of float
        sx, sy, sz at which the crystal stands in the beam, mm.
    energy, theta : float, keV and degrees
        Photon energy at which it was mounted, and the reflection's Bragg angle there: the crystal's own frame
        is fixed by them.
    """

    angles: tuple[float, float, float, float] = (0.0, 17.8, 90.0, 0.0)
    error: Triple = (0.0, 0.0, 0.0)
    position: Triple = (0.0, 0.0, 0.0)
    energy: float = 9.0
    theta: float = bragg_angle(VO2_M1.d_spacing((0, 1, 1)), 9.0)


@dataclass(frozen=True)
class DetectorConfig:
    """The QuadMerlin photon counter: 2 × 2 chips of 256 pixels with a cross gap.

    Attributes
    ----------
    shape, gap : pixels; pixel_size, distance : mm
    roi : tuple of int or None
        (row0, row1, column0, column1), the region read out; pixel numbers stay those of the whole detector.
    counter_depth : int
        Bits of the counter, 12 or 24.
    background : float
        Air scatter, counts per pixel in 30 s.
    hot_pixels, dead_pixels : int
        How many of each the whole detector has.
    blur : float
        Transverse coherence as the standard deviation of a Gaussian blur of the intensity, pixels.
    quadrature : int
        Gauss–Legendre nodes per pixel side near the peak.
    quadrature_reach : int
        Pixels from the peak within which a pixel's area is integrated; single samples elsewhere.
    """

    shape: tuple[int, int] = (515, 515)
    gap: int = 3
    pixel_size: float = 0.055
    distance: float = 1310.0
    roi: tuple[int, int, int, int] | None = None
    counter_depth: int = 24
    background: float = 0.02
    hot_pixels: int = 24
    dead_pixels: int = 24
    blur: float = 0.3
    quadrature: int = 2
    quadrature_reach: int = 96

    def __post_init__(self) -> None:
        require(
            self.counter_depth in (12, 24),
            "counter_depth must be 12 or 24 bit",
            self.counter_depth,
            "choose one of them",
        )
        require(
            is_positive(self.pixel_size, self.distance),
            "pixel size and distance must be positive numbers of mm",
            (self.pixel_size, self.distance),
            "for example 0.055 and 1310",
        )
        require(
            self.gap == 0 or self.shape[0] == self.shape[1],
            "a detector of 2 × 2 chips must be square",
            self.shape,
            "use gap 0 for another one",
        )
        r0, r1, c0, c1 = self.region
        require(
            0 <= r0 < r1 <= self.shape[0] and 0 <= c0 < c1 <= self.shape[1],
            f"roi must be (row0, row1, column0, column1) inside the detector's {self.shape}",
            self.roi,
            "for example (64, 192, 64, 192)",
        )
        require(
            self.quadrature in (1, 2, 3),
            "quadrature must be 1, 2 or 3 nodes per side",
            self.quadrature,
            "2 is the default",
        )
        require(
            self.blur >= 0 and self.background >= 0 and min(self.hot_pixels, self.dead_pixels) >= 0,
            "blur, background and numbers of defects must not be negative",
            (self.blur, self.background, self.hot_pixels, self.dead_pixels),
            "use 0 to switch one off",
        )

    @property
    def gaps(self) -> tuple[int, ...]:
        """Rows and columns (the same numbers, the detector is square) between the chips."""
        first = self.shape[0] // 2 - self.gap // 2
        return tuple(range(first, first + self.gap))

    @property
    def region(self) -> tuple[int, int, int, int]:
        """The region read out, (row0, row1, column0, column1)."""
        return self.roi if self.roi is not None else (0, self.shape[0], 0, self.shape[1])


@dataclass(frozen=True)
class BeamConfig:
    """Source, monochromator and monitor.

    Attributes
    ----------
    energy : float
        Photon energy, keV.
    peak_photons : float
        Expected photons of the brightest pixel at 320 K in ``reference_exposure`` seconds at full
        transmission.
    ring_current, lifetime, top_up : mA, h, s
        Stored current, its decay, and the interval between top-ups.
    drift : float
        Largest relative drift of the flux (and so of the monitor).
    monitor_rate : float
        Monitor counts per second at nominal flux.
    footprint : tuple of float
        Standard deviations of the beam's footprint at the sample along laboratory x, y, z, mm.
    transmissions : tuple of float
        What the attenuator can be set to, the full beam first.
    """

    energy: float = 9.0
    peak_photons: float = 1e6
    reference_exposure: float = 30.0
    ring_current: float = 300.0
    lifetime: float = 20.0
    top_up: float = 600.0
    drift: float = 0.02
    monitor_rate: float = 2e5
    footprint: Triple = (0.02, 0.5, 0.04)
    transmissions: tuple[float, ...] = (
        1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4,
    )  # fmt: skip

    def __post_init__(self) -> None:
        require(
            5 <= self.energy <= 15,
            "energy must lie between 5 and 15 keV",
            self.energy,
            "the experiment used 9.0",
        )
        require(
            is_positive(
                self.peak_photons, self.reference_exposure, self.ring_current, self.lifetime, self.top_up
            ),
            "peak_photons, reference_exposure, ring_current, lifetime and top_up must be positive",
            (self.peak_photons, self.reference_exposure, self.ring_current, self.lifetime, self.top_up),
            "see the defaults",
        )
        require(0 <= self.drift < 0.5, "drift must lie in [0, 0.5)", self.drift, "0.02 means two per cent")


@dataclass(frozen=True)
class ThermalConfig:
    """The heated stage's controller and its diodes.

    Attributes
    ----------
    start, minimum, maximum : float
        Temperature at the beginning and the range of setpoints, K.
    ramp_rate : float
        K per minute.
    settling : float
        Time constant of the controller's overshoot, s; the overshoot is rate · settling / e.
    fluctuation : float
        Largest slow wander of the settled temperature, K.
    diode_noise, diode_offset : float
        Standard deviations of a diode's noise and of its residual calibration error, K.
    """

    start: float = 300.0
    minimum: float = 295.0
    maximum: float = 400.0
    ramp_rate: float = 5.0
    settling: float = 15.0
    fluctuation: float = 0.012
    diode_noise: float = 0.01
    diode_offset: float = 0.05

    def __post_init__(self) -> None:
        require(
            self.minimum <= self.start <= self.maximum,
            f"the starting temperature must lie between {self.minimum} and {self.maximum} K",
            self.start,
            "choose another start",
        )
        require(
            is_positive(self.ramp_rate, self.settling),
            "ramp rate (K/min) and settling time (s) must be positive",
            (self.ramp_rate, self.settling),
            "for example 5 and 15",
        )


@dataclass(frozen=True)
class TwinConfig:
    """The whole simulated beamline; vary it with ``dataclasses.replace``.

    What its defaults repeat of the paper's experiment a session takes from the experiment's description
    (`profile_collection.session.simulation.twin_config`); a test holds the two equal.

    Attributes
    ----------
    threads : int or None
        Threads of the non-uniform FFT; None takes the number of cores.
    tolerance : float
        Relative precision asked of the non-uniform FFT. At 1e-4 the amplitude is wrong by less than 1e-6 of
        the peak's.

    Examples
    --------
    >>> TwinConfig(crystal=CrystalConfig(seed=7, size=(700, 900, 1000))).crystal.size
    (700, 900, 1000)
    """

    crystal: CrystalConfig = field(default_factory=CrystalConfig)
    mount: MountConfig = field(default_factory=MountConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    beam: BeamConfig = field(default_factory=BeamConfig)
    thermal: ThermalConfig = field(default_factory=ThermalConfig)
    threads: int | None = None
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        require(
            self.threads is None or self.threads >= 1,
            "threads must be None or at least 1",
            self.threads,
            "None takes the number of cores",
        )
        require(
            1e-6 <= self.tolerance <= 1e-2,
            "tolerance must lie in [1e-6, 1e-2]",
            self.tolerance,
            "1e-4 is the default",
        )

    @property
    def thread_count(self) -> int:
        """Threads to use, never more than OMP_NUM_THREADS allows where that is set."""
        allowed = os.environ.get("OMP_NUM_THREADS", "")
        limit = int(allowed) if allowed.isdigit() and int(allowed) > 0 else os.cpu_count() or 1
        return min(self.threads or limit, limit)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a configuration from what ``to_dict`` (or its JSON) gave."""
        given = [f.name for f in fields(cls) if f.name in values]
        return cls(**{name: _revive(getattr(cls(), name), values[name]) for name in given})


def _revive(default: Any, value: Any) -> Any:
    """Return ``value`` with lists as tuples and mappings as the dataclass of ``default``."""
    if is_dataclass(default) and not isinstance(default, type):
        return type(default)(**{k: _revive(getattr(default, k), v) for k, v in value.items()})
    return tuple(value) if isinstance(value, list) else value
