"""The crystal's complex density as a function of temperature, and how finely a rocking scan samples it.

What the crystal does with temperature (docs/science.md section 2.1) are smooth curves through ten points.

Sign and meaning of the phase: a density displaced by u scatters as ρ exp(−i Q·u) exp(−i (q − Q)·r), so phi =
Q·u is minus the density's argument and a tensile region has a phi that grows along Q
(docs/science.md section 3.1).

Rutile carries the full transformation strain of (110)R: its phase ramps along Q with abs(Q_M1) − abs(Q_R),
a period of 74 nm, which puts its scattering 0.43 % lower in abs(q). Nothing is masked: whether rutile
is missing follows from the q-volume analysed.

M2 is a clamped variant: bulk M2 would scatter −1.8 % and +1.5 % away in d and vanish, not show as islands.
Here it is a phase offset and an eigenstrain of at most 5e-4, this project's choice.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from analysis.unit_cells import wavelength
from profile_collection.twin.config import CrystalConfig, TwinConfig, require
from profile_collection.twin.shape import Field, correlated_field, faceted_crystal, level_set

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


RUTILE_WALL, M2_WALL = 18.0, 45.0
"""Half-widths of the domain walls, nm."""

ComplexField = NDArray[np.complex64]


@dataclass(frozen=True)
class CrystalState:
    """The crystal at one temperature, on its grid.

    Attributes
    ----------
    temperature : float, K
    axes : three ndarrays, float32, nm
        Node positions along rocking direction, Q and horizontal.
    support, rutile, m2, phase : ndarray, float32, (n0, n1, n2)
        Occupancy, rutile and M2 fractions (0 to 1), and phi = Q·u of the monoclinic lattice, rad.
    density : float
        Common factor of the density.
    q_m1, q_rutile : float, Å⁻¹; q_rutile None where rutile has no reflection near
        abs(Q) of M1 and of rutile at this temperature.
    """

    temperature: float
    axes: tuple[Field, Field, Field]
    support: Field
    rutile: Field
    m2: Field
    phase: Field
    density: float
    q_m1: float
    q_rutile: float | None

    @property
    def carrier(self) -> float:
        """abs(q) midway between the two lattices, Å⁻¹: the density on the grid is modulated about it."""
        return (self.q_m1 + (self.q_rutile or self.q_m1)) / 2

    @property
    def rutile_fraction(self) -> float:
        """Rutile share of the crystal's volume."""
        return float((self.rutile * self.support).sum() / self.support.sum())

    @property
    def m2_fraction(self) -> float:
        """M2 share of the crystal's volume."""
        return float((self.m2 * self.support).sum() / self.support.sum())

    def monoclinic(self) -> ComplexField:
        """Return (1 − R) ρ, complex64, (n0, n1, n2), about the carrier."""
        return self._lattice(1 - self.rutile, self.q_m1)

    def full(self) -> ComplexField:
        """Return the whole density, complex64, (n0, n1, n2), about the carrier."""
        if self.q_rutile is None:
            return self.monoclinic()
        return self.monoclinic() + self._lattice(self.rutile, self.q_rutile)

    def strain(self) -> Field:
        """Strain of the monoclinic lattice along Q, (n0, n1, n2): ∂phi/∂x_Q / abs(Q) (1 Å⁻¹ = 10 nm⁻¹)."""
        step = float(self.axes[1][1] - self.axes[1][0])
        return np.asarray(np.gradient(self.phase, step, axis=1) / (10 * self.q_m1), dtype=np.float32)

    def _lattice(self, share: Field, q: float) -> ComplexField:
        ramp = (10 * (q - self.carrier) * self.axes[1])[None, :, None].astype(np.float32)
        amplitude, argument = np.float32(self.density) * self.support * share, ramp - self.phase
        result = np.empty(amplitude.shape, dtype=np.complex64)
        result.real, result.imag = amplitude * np.cos(argument), amplitude * np.sin(argument)
        return result


class Crystal:
    """A faceted crystal whose state is a smooth function of temperature.

    Parameters
    ----------
    config : CrystalConfig
    """

    def __init__(self, config: CrystalConfig) -> None:
        self.config = config
        self.facets = faceted_crystal(config)
        self.axes = _grid(self.facets.extent(), config.pitch)
        self.support = self.facets.support(self.axes, edge=1.5 * max(config.pitch))
        self._inside = self.support > 0.5
        depth = self.facets.depth(self.axes, rounding=0.05 * min(config.size))
        self._depth = depth / depth.max()
        self._draw_fields()

    def _draw_fields(self) -> None:
        rngs = np.random.default_rng([self.config.seed, 2]).spawn(6)
        long, short = self.config.correlation_length, self.config.domain_length
        self._ripple, self._settled, self._rearranged = (
            self._pattern(correlated_field(rng, self.axes, long)) for rng in rngs[:3]
        )
        self._grains, self._new_grains, self._islands = (
            correlated_field(rng, self.axes, short) for rng in rngs[3:]
        )
        rim = np.cos(np.pi * self._depth**0.8)
        self._ground = self._pattern(self._pattern(rim) + 0.8 * self._ripple)

    def _pattern(self, field: Field) -> Field:
        """Bring a field to a standard deviation of 1 rad inside the crystal, without mean and mean slope.

        A mean slope would only move the Bragg peak; what moves it is left to the thermal expansion.
        """
        x, y, z = np.meshgrid(*self.axes, indexing="ij", sparse=True)
        some = np.flatnonzero(self._inside)[::11]
        positions = np.stack([np.broadcast_to(a, field.shape).ravel()[some] for a in (x, y, z)], axis=1)
        terms = np.c_[np.ones(len(some)), positions]
        constant, *slopes = (float(v) for v in np.linalg.lstsq(terms, field.ravel()[some], rcond=None)[0])
        flat = field - np.float32(constant)
        for slope, position in zip(slopes, (x, y, z), strict=True):
            flat -= np.float32(slope) * position
        return flat / np.float32(flat.ravel()[some].std())

    def state(self, temperature: float) -> CrystalState:
        """Return the crystal at ``temperature`` K."""
        require(
            bool(np.isfinite(temperature)) and 0 < temperature < 1000,
            "temperature must lie between 0 and 1000 K",
            temperature,
            "give kelvin, for example 320",
        )
        part = story(temperature)
        rutile, m2 = self._rutile(part), self._m2(part)
        q, other = 2 * np.pi / self.config.d, self.config.counterpart_d
        d_ratio = 1 + self.config.expansion * (temperature - self.config.reference_temperature)
        return CrystalState(
            temperature=float(temperature),
            axes=self.axes,
            support=self.support,
            rutile=rutile,
            m2=m2 * (1 - rutile),
            phase=self._phase(part, m2),
            density=part.density,
            q_m1=q / d_ratio,
            q_rutile=q * self.config.d / other / d_ratio if other else None,
        )

    def _phase(self, part: Story, m2: Field) -> Field:
        """Phi = Q·u of the monoclinic lattice, rad."""
        pattern = part.ground * self._ground
        pattern = pattern + part.settled * self._settled + part.rearranged * self._rearranged
        eigenstrain = (10 * (2 * np.pi / self.config.d) * self.config.m2_strain * self.axes[1])[None, :, None]
        pattern = pattern + part.offset + m2 * (self.config.m2_phase + eigenstrain)
        return np.asarray(self.config.displacement * pattern, dtype=np.float32)

    def _rutile(self, part: Story) -> Field:
        """Rutile starts where a surface layer and a grain field coincide."""
        forced = self.config.rutile_fraction
        fraction = part.rutile * self.config.rutile_maximum if forced is None else forced
        grains = np.cos(part.migration) * self._grains + np.sin(part.migration) * self._new_grains
        nuclei = grains + 0.9 * (1 - self._depth) ** 2
        return level_set(
            nuclei, self._inside, fraction, RUTILE_WALL, self.config.pitch, self.config.domain_length
        )

    def _m2(self, part: Story) -> Field:
        """M2 grows in from the rim and survives as islands."""
        fraction = part.m2 if self.config.m2_fraction is None else self.config.m2_fraction
        nuclei = 0.6 * self._islands - 1.5 * part.m2_at_rim * self._depth
        return level_set(
            nuclei, self._inside, fraction, M2_WALL, self.config.pitch, self.config.domain_length
        )


@lru_cache(maxsize=2)
def crystal(config: CrystalConfig) -> Crystal:
    """Return the crystal of ``config``, built once (seconds) and shared."""
    return Crystal(config)


def _grid(extent: NDArray[np.float64], pitch: tuple[float, float, float]) -> tuple[Field, Field, Field]:
    """Node positions, nm, with the origin on node n // 2 and three empty nodes at either end."""
    counts = [2 * (int(np.ceil(e / 2 / p)) + 3) for e, p in zip(extent, pitch, strict=True)]
    first, second, third = (
        ((np.arange(n) - n // 2) * p).astype(np.float32) for n, p in zip(counts, pitch, strict=True)
    )
    return first, second, third


@dataclass(frozen=True)
class Oversampling:
    """Field of view divided by the crystal's extent along the rocking direction, Q and horizontally."""

    rocking: float
    along_q: float
    horizontal: float

    @property
    def warning(self) -> str | None:
        """What is wrong with it, in words; None if all three are at least 2."""
        low = [f"{name.replace('_', ' ')} {value:.2f}" for name, value in asdict(self).items() if value < 2]
        if not low:
            return None
        return (
            f"oversampled less than 2 times: {', '.join(low)}. The autocorrelation wraps there, so it "
            "cannot give the crystal's size, and the data must never be binned; a smaller crystal, another "
            "orientation or a finer step would help"
        )


def oversampling(config: TwinConfig, step: float = 0.01) -> Oversampling:
    """Return the oversampling of ``config``'s crystal in a rocking scan of ``step`` degrees.

    The field of view is 2π / (abs(Q) · step) along the rocking direction (1837 nm at 0.01°) and λD / pixel
    size on the detector (3281 nm). The paper's crystal, 1.1 × 1.6 × 1.8 µm, has 1.67, 2.05 and 1.82.
    """
    detector = config.detector
    rocking = 2 * np.pi / (2 * np.pi / config.crystal.d * np.radians(step)) / 10
    plane = wavelength(config.beam.energy) * detector.distance / detector.pixel_size / 10
    values = np.array([rocking, plane, plane]) / faceted_crystal(config.crystal).extent()
    return Oversampling(*(float(v) for v in values))
