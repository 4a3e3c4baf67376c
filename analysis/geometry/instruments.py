"""The instruments whose scans are analysed: circles, detector and geometry, found by name.

A new one is a class here and its entry in `INSTRUMENTS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.geometry.scan import CHIP, CHIP_GAP, ScanGeometry, aps_34idc_geometry, i16_geometry


@dataclass(frozen=True)
class Detector:
    """What an instrument's detector is built of.

    Attributes
    ----------
    name : str
    pixel_size : float, mm
    chip, gap : int, pixels
        Side of one chip, and what lies without a sensor between two.
    """

    name: str
    pixel_size: float
    chip: int
    gap: int


class Instrument(ABC):
    """An instrument.

    Attributes
    ----------
    name : str
        As start documents have it under `instrument`.
    axes : tuple of str
        Circles of the sample and of the detector arm, under the names that start documents and baselines use.
    detector : Detector
    """

    name: str
    axes: tuple[str, ...]
    detector: Detector

    @abstractmethod
    def geometry(self, start: Mapping[str, Any], angles: Mapping[str, float]) -> ScanGeometry:
        """Return the geometry of a rocking scan.

        Parameters
        ----------
        start : mapping
            Start document: ``energy`` keV, ``detector`` {distance_mm, pixel_size_mm, shape, …}, ``scan``
            {axis}.
        angles : mapping of str to float, degrees
            The circles as they stood, the scanned one at the middle of its range.

        Raises
        ------
        ValueError
            Something is missing that q follows from.
        """


class I16(Instrument):
    """Diamond I16: six circles, a QuadMerlin on the arm."""

    name = "Diamond I16"
    axes = ("mu", "eta", "chi", "phi", "delta", "gam")
    detector = Detector("QuadMerlin", 0.055, CHIP, CHIP_GAP)

    def geometry(self, start: Mapping[str, Any], angles: Mapping[str, float]) -> ScanGeometry:
        """Return `i16_geometry`."""
        return i16_geometry(start, angles)


class Aps34idc(Instrument):
    """APS 34-ID-C: the sample turns by th about the vertical, the arm by delta and gam; one Timepix chip."""

    name = "APS 34-ID-C"
    axes = ("th", "chi", "phi", "delta", "gam")
    detector = Detector("Timepix", 0.055, CHIP, 0)

    def geometry(self, start: Mapping[str, Any], angles: Mapping[str, float]) -> ScanGeometry:
        """Return `aps_34idc_geometry`; of the lattice nothing is expected, for it is rarely in the file."""
        missing = [name for name in ("delta", "gam") if name not in angles]
        if missing:
            raise ValueError(f"two angles are needed to know q; {missing!r} are not in {sorted(angles)!r}")
        detector = start["detector"]
        rows, columns = (int(number) for number in detector["shape"])
        return aps_34idc_geometry(
            delta=angles["delta"],
            gamma=angles["gam"],
            energy=start["energy"],
            distance=detector["distance_mm"],
            pixel_size=detector["pixel_size_mm"],
            shape=(rows, columns),
        )


INSTRUMENTS: Mapping[str, Instrument] = {one.name: one for one in (I16(), Aps34idc())}
"""By the name that start documents and experiments use."""


def instrument_named(name: str) -> Instrument:
    """Return an instrument by its name.

    Raises
    ------
    ValueError
        None is called so.
    """
    if name not in INSTRUMENTS:
        raise ValueError(
            f"the instrument must be one of {sorted(INSTRUMENTS)}; got {name!r}: correct the experiment, or "
            "add a class to analysis/geometry/instruments.py"
        )
    return INSTRUMENTS[name]
