"""All devices of the beamline together, as plans receive them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hklpy2.diffract import DiffractometerBase

from profile_collection.devices.beam import Beam
from profile_collection.devices.detector_geometry import DetectorGeometry
from profile_collection.devices.diffractometer import (
    make_simulated_diffractometer,
    orient,
    set_energy,
    ub_matrix,
)
from profile_collection.devices.epics_beam import EpicsBeam
from profile_collection.devices.heated_stage import DIODES, HeatedStage
from profile_collection.devices.merlin import Merlin
from profile_collection.devices.orientation import VO2_M1, Lattice, simulated_mount
from profile_collection.devices.soaking import SoakingStage
from profile_collection.frame_file import CIRCLES

CrystalSize = tuple[float, float, float]


@dataclass
class Beamline:
    """The devices, and what is known about the experiment before it begins.

    Attributes
    ----------
    diffractometer, heated_stage, merlin, beam : ophyd devices
        Simulated or over EPICS, with the same attributes.
    lattice : Lattice
        Direct lattice of the sample.
    simulated : bool
        Whether photons are real.
    crystal_size_nm : tuple of float, optional
        Extent along the rocking direction, along Q, and horizontally, nm.
    identity : dict
        `sample`, `proposal`, `operator`, `software_version` for the start documents.
    """

    diffractometer: DiffractometerBase
    heated_stage: SoakingStage
    merlin: Merlin
    beam: Beam | EpicsBeam
    lattice: Lattice
    simulated: bool
    crystal_size_nm: CrystalSize | None = None
    identity: dict[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[str, Any]:
        """Return what every start document says about crystal, energy and detector."""
        return {
            **self.identity,
            "simulated": self.simulated,
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
            "bad_pixel": [list(pixel) for pixel in geometry["bad_pixel"]] if geometry["bad_pixel"] else None,
            "saturation": self.merlin.saturation,
        }


def make_simulated(
    twin: Any,
    data_folder: Path,
    *,
    identity: Mapping[str, str] | None = None,
    lattice: Lattice = VO2_M1,
) -> Beamline:
    """Return the whole beamline with the twin as its hardware, UB computed and checked.

    Parameters
    ----------
    twin : Twin
        The simulated beamline; brings its own clock.
    data_folder : pathlib.Path
        Frames go to `<data_folder>/raw/frames`.
    identity : mapping, optional
        `sample`, `proposal`, `operator`, `software_version`; sensible values for a simulation otherwise.
    lattice : Lattice
        Direct lattice of the sample.
    """
    clock = twin.clock
    beam = Beam(twin=twin, clock=clock)
    thermal = twin.config.thermal
    stage = HeatedStage(twin=twin, clock=clock, limits=(thermal.minimum, thermal.maximum))
    diffractometer = make_simulated_diffractometer(twin, clock)
    energy = float(beam.en.position)
    orient(diffractometer, lattice, simulated_mount(lattice, energy), energy=energy)
    beam.follow_energy(partial(set_energy, diffractometer))
    merlin = Merlin(
        twin=twin,
        shutter=beam.shutter,
        geometry=_twin_detector(twin),
        data_folder=Path(data_folder),
        scalars=lambda: _frame_scalars(diffractometer, stage, beam),
        on_exposure=beam.note_exposure,
    )
    beam.shutter.close()
    return Beamline(
        diffractometer=diffractometer,
        heated_stage=stage,
        merlin=merlin,
        beam=beam,
        lattice=lattice,
        simulated=True,
        crystal_size_nm=_twin_crystal_size(twin),
        identity={**_SIMULATED_IDENTITY, **(identity or {})},
    )


_SIMULATED_IDENTITY = {
    "sample": "VO2 nanocrystal (simulated)",
    "proposal": "simulation",
    "operator": "simulation",
    "software_version": "unknown",
}


def _frame_scalars(diffractometer: DiffractometerBase, stage: HeatedStage, beam: Beam) -> dict[str, float]:
    """Return the numbers that the frame file keeps beside each frame."""
    temperatures = {
        name: float(getattr(stage, name).get()) for name in (*DIODES, "Tsample", "Theater", "Tset")
    }
    angles = {name: float(getattr(diffractometer, name).position) for name in CIRCLES}
    return {**temperatures, **angles, "transmission": float(beam.transmission.get())}


def _twin_detector(twin: Any) -> DetectorGeometry:
    """Return the geometry of the twin's detector."""
    detector = twin.config.detector
    return DetectorGeometry(
        distance_mm=float(detector.distance),
        pixel_size_mm=float(detector.pixel_size),
        shape=tuple(detector.shape),
        roi=tuple(detector.region),
    )


def _twin_crystal_size(twin: Any) -> CrystalSize:
    """Return the size of the twin's crystal, which at a real beamline is known from electron microscopy."""
    rocking, along_q, horizontal = twin.config.crystal.size
    return float(rocking), float(along_q), float(horizontal)
