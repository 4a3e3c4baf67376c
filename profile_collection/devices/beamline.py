"""All devices of the beamline together, as plans receive them."""

from dataclasses import asdict, dataclass, field
from typing import Any

from hklpy2.diffract import DiffractometerBase

from profile_collection.devices.diffractometer import Lattice, ub_matrix
from profile_collection.devices.heated_stage import SoakingStage
from profile_collection.devices.merlin import Merlin

CrystalSize = tuple[float, float, float]
HKL = tuple[int, int, int]


@dataclass
class Beamline:
    """The devices, and what is known about the experiment before it begins.

    Attributes
    ----------
    diffractometer, heated_stage, merlin, beam : ophyd devices
        Simulated or over EPICS, with the same attributes.
    lattice : Lattice
        Direct lattice of the sample.
    reflection : tuple of int
        Miller indices of what is measured.
    simulated : bool
        Whether photons are real.
    crystal_size_nm : tuple of float, optional
        Extent along the rocking direction, along Q, and horizontally, nm.
    identity : dict
        `sample`, `proposal`, `operator`, `software_version` for the start documents.
    experiment : dict
        The description that the experiment is measured and analysed by, as plain values; empty where none
        was given.
    """

    diffractometer: DiffractometerBase
    heated_stage: SoakingStage
    merlin: Merlin
    beam: Any
    lattice: Lattice
    reflection: HKL
    simulated: bool
    crystal_size_nm: CrystalSize | None = None
    identity: dict[str, str] = field(default_factory=dict)
    experiment: dict[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, Any]:
        """Return what every start document says about crystal, energy and detector."""
        known = self.experiment
        return {
            **self.identity,
            **({"experiment": known, "instrument": known["instrument"]} if known else {}),
            "simulated": self.simulated,
            "reflection": list(self.reflection),
            "lattice": self.lattice.as_dict(),
            "UB": ub_matrix(self.diffractometer),
            "energy": float(self.beam.en.position),
            "detector": self._detector_metadata(),
            "crystal_size_nm": list(self.crystal_size_nm) if self.crystal_size_nm else None,
        }

    def _detector_metadata(self) -> dict[str, Any]:
        geometry = asdict(self.merlin.geometry)
        return {
            "name": self.merlin.name,
            "distance_mm": geometry["distance_mm"],
            "pixel_size_mm": geometry["pixel_size_mm"],
            "shape": list(geometry["shape"]),
            "roi": list(geometry["roi"]),
            "gaps": list(geometry["gaps"]),
            "bad_pixel": [list(pixel) for pixel in geometry["bad_pixel"]] if geometry["bad_pixel"] else None,
            "saturation": self.merlin.saturation,
        }
