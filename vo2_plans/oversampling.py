"""How finely a rocking scan samples the diffraction of a crystal of known size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi, radians, sqrt
from typing import Any

from vo2_plans.run_metadata import HKL
from vo2_plans.scan_window import EtaWindow

_HC = 12.398419843320026  # keV Å (CODATA 2018, exact)
DIRECTIONS = ("along the rocking direction", "along Q", "horizontally")


@dataclass(frozen=True)
class Sampling:
    """Fields of view in nm along the rocking direction, along Q, and horizontally: 2π/Δq."""

    fields_of_view: tuple[float, float, float]

    def oversampling(self, size: Sequence[float]) -> tuple[float, float, float]:
        """Return field of view over crystal size (nm), per direction."""
        rocking, along_q, horizontal = (f / s for f, s in zip(self.fields_of_view, size, strict=True))
        return rocking, along_q, horizontal


def sampling_of(metadata: Mapping[str, Any], window: EtaWindow, reflection: HKL) -> Sampling:
    """Return the sampling that a scan will have.

    Δq per step is abs(Q)·Δη, per pixel (2π/λ)·pitch/distance (science notes, section 1).

    Parameters
    ----------
    metadata : mapping
        `UB` (Å⁻¹, 2π included), `energy` (keV) and `detector` as in the start document.
    window : EtaWindow
    reflection : tuple of int
    """
    q = sqrt(sum(sum(row[i] * reflection[i] for i in range(3)) ** 2 for row in metadata["UB"]))
    wave_number = 2 * pi * float(metadata["energy"]) / _HC
    detector = metadata["detector"]
    per_pixel = wave_number * float(detector["pixel_size_mm"]) / float(detector["distance_mm"])
    per_step = q * radians(window.step)
    rocking, pixel = (2 * pi / step / 10 for step in (per_step, per_pixel))
    return Sampling((rocking, pixel, pixel))
