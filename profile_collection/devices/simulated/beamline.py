"""The whole simulated beamline: every device with the twin as its hardware, and the heated sample stage."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from hklpy2.diffract import DiffractometerBase
from ophyd import Component as Cpt

from profile_collection.devices.beamline import Beamline, CrystalSize
from profile_collection.devices.diffractometer import (
    AXIS_NAMES,
    Lattice,
    make_diffractometer,
    orient,
    set_energy,
    simulated_mount,
)
from profile_collection.devices.heated_stage import DIODES, SoakingStage
from profile_collection.devices.merlin import DetectorGeometry, Merlin
from profile_collection.devices.signals import LimitedSignal, PolledSignal, VirtualClock
from profile_collection.devices.simulated.axes import SimulatedAxis
from profile_collection.devices.simulated.beam import Beam
from profile_collection.twin.frame_file import CIRCLES
from profile_collection.twin.geometry import MOTOR_LIMITS, MOTOR_SPEEDS


class HeatedStage(SoakingStage):
    """The stage whose hardware is the twin: four diodes, a ramping setpoint, and the sample's position.

    Parameters
    ----------
    twin : Twin
        Its `thermal` part is the stage's hardware: `setpoint`, `ramp_rate`, `diodes()`, `heater`.
    clock : VirtualClock
        Soaking takes time on this clock.
    limits : tuple of float
        Lowest and highest setpoint, K.

    Attributes
    ----------
    ramp_rate : signal
        Ramp of the setpoint, K/min; limited here, not only in the plan.
    """

    Ta = Cpt(PolledSignal, units="K", kind="normal")
    Tb = Cpt(PolledSignal, units="K", kind="normal")
    Tc = Cpt(PolledSignal, units="K", kind="normal")
    Td = Cpt(PolledSignal, units="K", kind="normal")
    Tsample = Cpt(PolledSignal, poll_period=0.5, units="K", kind="hinted")
    Theater = Cpt(PolledSignal, units="%", kind="normal")
    Tset = Cpt(PolledSignal, units="K", kind="normal")
    ramp_rate = Cpt(LimitedSignal, limits=(0.1, 20.0), value=5.0, units="K/min", kind="config")

    def __init__(
        self,
        *,
        twin: Any,
        clock: VirtualClock,
        limits: tuple[float, float] = (290.0, 420.0),
        name: str = "heated_stage",
        **kwargs: Any,
    ):
        super().__init__(clock=clock, limits=limits, name=name, **kwargs)
        self._thermal = twin.thermal
        self._connect()
        self.sx, self.sy, self.sz = (_sample_axis(axis, twin, clock) for axis in ("sx", "sy", "sz"))

    def _connect(self) -> None:
        for diode in (*DIODES, "Tsample"):
            getattr(self, diode).connect_source(lambda diode=diode: float(self._thermal.diodes()[diode]))
        self.Theater.connect_source(lambda: float(self._thermal.heater))
        self.Tset.connect_source(lambda: float(self._thermal.setpoint))
        self.ramp_rate.put(float(self._thermal.ramp_rate))
        self.ramp_rate.connect_target(self._set_ramp_rate)

    def _set_ramp_rate(self, rate: float) -> None:
        self._thermal.ramp_rate = rate

    def _ask(self, temperature: float) -> None:
        self._thermal.setpoint = temperature


def _sample_axis(axis: str, twin: Any, clock: VirtualClock) -> SimulatedAxis:
    """Return one of the sample's translations, in mm."""
    return SimulatedAxis(
        name=axis,
        clock=clock,
        limits=MOTOR_LIMITS[axis],
        speed=MOTOR_SPEEDS[axis],
        egu="mm",
        position=float(twin.axes[axis]),
        on_position=lambda position: twin.set_axis(axis, position),
    )


def make_simulated_diffractometer(
    twin: Any, clock: VirtualClock, *, name: str = "diffractometer"
) -> DiffractometerBase:
    """Return a diffractometer whose axes move in virtual time and carry the twin along."""
    axes = {
        axis: {
            "class": "profile_collection.devices.simulated.axes.SimulatedAxis",
            "clock": clock,
            "limits": MOTOR_LIMITS[axis],
            "speed": MOTOR_SPEEDS[axis],
            "egu": "degrees",
            "position": float(twin.axes[axis]),
        }
        for axis in AXIS_NAMES
    }
    diffractometer = make_diffractometer(axes, name=name)
    for axis in AXIS_NAMES:
        positioner: SimulatedAxis = getattr(diffractometer, axis)
        positioner.follow_with(partial(twin.set_axis, axis), partial(_angle, twin, axis))
    return diffractometer


def _angle(twin: Any, axis: str) -> float:
    """Return what the encoder of an axis says, degrees."""
    return float(twin.axes[axis])


def make_simulated(
    twin: Any,
    data_folder: Path,
    *,
    identity: Mapping[str, str] | None = None,
    experiment: Mapping[str, Any] | None = None,
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
    experiment : mapping, optional
        Description that goes into the start documents, as plain values; crystal and mount are the twin's own.
    """
    clock = twin.clock
    beam = Beam(twin=twin, clock=clock)
    thermal = twin.config.thermal
    stage = HeatedStage(twin=twin, clock=clock, limits=(thermal.minimum, thermal.maximum))
    diffractometer = make_simulated_diffractometer(twin, clock)
    energy = float(beam.en.position)
    crystal, eta = twin.config.crystal, twin.config.mount.angles[1]
    lattice = Lattice(**asdict(crystal.lattice))
    orient(
        diffractometer,
        lattice,
        simulated_mount(lattice, energy, eta=eta, first=crystal.reflection),
        energy=energy,
    )
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
        reflection=crystal.reflection,
        simulated=True,
        crystal_size_nm=_twin_crystal_size(twin),
        identity={**_SIMULATED_IDENTITY, **(identity or {})},
        experiment=dict(experiment or {}),
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
        gaps=tuple(detector.gaps),
    )


def _twin_crystal_size(twin: Any) -> CrystalSize:
    """Return the size of the twin's crystal, which at a real beamline is known from electron microscopy."""
    rocking, along_q, horizontal = twin.config.crystal.size
    return float(rocking), float(along_q), float(horizontal)
