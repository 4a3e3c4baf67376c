"""The crystal's complex density as a function of temperature.

Sign and meaning of the phase: a density displaced by u scatters as ρ exp(−i Q·u) exp(−i (q − Q)·r), so phi
= Q·u is minus the density's argument and a tensile region has a phi that grows along Q (science notes,
section 3).

Rutile carries the full transformation strain of (110)R: its phase ramps along Q with |Q_M1| − |Q_R|, a
period of 74 nm, which puts its scattering 0.43 % lower in |q|. Nothing is masked: whether rutile is missing
follows from the q-volume analysed.

M2 is a clamped variant: bulk M2 would scatter −1.8 % and +1.5 % away in d and vanish, not show as islands.
Here it is a phase offset and an eigenstrain of at most 5e-4, this project's choice.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from profile_collection.twin.crystal_config import CrystalConfig
from profile_collection.twin.fields import Field, correlated_field, level_set
from profile_collection.twin.geometry import D_M1, D_RUTILE
from profile_collection.twin.requirements import require
from profile_collection.twin.shape import faceted_crystal
from profile_collection.twin.story import Story, story

Q_M1 = 2 * np.pi / D_M1
"""|Q| of (011) of M1 at 320 K, Å⁻¹."""

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
    q_m1, q_rutile : float, Å⁻¹
        |Q| of M1 and of rutile at this temperature.
    """

    temperature: float
    axes: tuple[Field, Field, Field]
    support: Field
    rutile: Field
    m2: Field
    phase: Field
    density: float
    q_m1: float
    q_rutile: float

    @property
    def carrier(self) -> float:
        """|q| midway between the two lattices, Å⁻¹: the density on the grid is modulated about it."""
        return (self.q_m1 + self.q_rutile) / 2

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
        return self.monoclinic() + self._lattice(self.rutile, self.q_rutile)

    def strain(self) -> Field:
        """Strain of the monoclinic lattice along Q, (n0, n1, n2): ∂phi/∂x_Q / |Q| (1 Å⁻¹ = 10 nm⁻¹)."""
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
        d_ratio = 1 + self.config.expansion * (temperature - self.config.reference_temperature)
        return CrystalState(
            temperature=float(temperature),
            axes=self.axes,
            support=self.support,
            rutile=rutile,
            m2=m2 * (1 - rutile),
            phase=self._phase(part, m2),
            density=part.density,
            q_m1=Q_M1 / d_ratio,
            q_rutile=Q_M1 * D_M1 / D_RUTILE / d_ratio,
        )

    def _phase(self, part: Story, m2: Field) -> Field:
        """Phi = Q·u of the monoclinic lattice, rad."""
        pattern = part.ground * self._ground
        pattern = pattern + part.settled * self._settled + part.rearranged * self._rearranged
        eigenstrain = (10 * Q_M1 * self.config.m2_strain * self.axes[1])[None, :, None]
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
