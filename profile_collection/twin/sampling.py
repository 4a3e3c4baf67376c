"""How finely a rocking scan samples this crystal."""

from dataclasses import asdict, dataclass

import numpy as np

from analysis.unit_cells import wavelength
from profile_collection.twin.config import TwinConfig
from profile_collection.twin.crystal import Q_M1
from profile_collection.twin.shape import faceted_crystal


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
    rocking = 2 * np.pi / (Q_M1 * np.radians(step)) / 10
    plane = wavelength(config.beam.energy) * detector.distance / detector.pixel_size / 10
    values = np.array([rocking, plane, plane]) / faceted_crystal(config.crystal).extent()
    return Oversampling(*(float(v) for v in values))
