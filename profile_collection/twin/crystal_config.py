"""What can be chosen about the simulated crystal; the defaults are those of the project's science notes."""

from dataclasses import dataclass

import numpy as np

from profile_collection.twin.requirements import Triple, is_positive, require


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
