"""All devices over Channel Access, as plans receive them."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from ophyd import Device
from ophyd.signal import EpicsSignalBase

from profile_collection.devices.axes import VirtualClock
from profile_collection.devices.beamline import Beamline
from profile_collection.devices.diffractometer import AXIS_NAMES, make_diffractometer, orient, set_energy
from profile_collection.devices.epics_beam import EpicsBeam
from profile_collection.devices.epics_clock import IocClock, WallClock
from profile_collection.devices.epics_heated_stage import EpicsHeatedStage
from profile_collection.devices.epics_merlin import EpicsMerlin
from profile_collection.devices.epics_signals import PATIENCE, wait_patiently
from profile_collection.devices.orientation import VO2_M1, Lattice, simulated_mount
from profile_collection.process_variables import ProcessVariables

_AXIS_CLASS = "profile_collection.devices.epics_axis.EpicsAxis"


def make_epics(
    names: ProcessVariables,
    data_folder: Path,
    *,
    identity: Mapping[str, str],
    lattice: Lattice = VO2_M1,
) -> Beamline:
    """Return the whole beamline over Channel Access, connected, shutter closed, UB computed and checked.

    Parameters
    ----------
    names : ProcessVariables
    data_folder : pathlib.Path
        Frames go to `<data_folder>/raw/frames`; the detector's IOC must see the same path.
    identity : mapping
        `sample`, `proposal`, `operator`, `software_version`.
    lattice : Lattice
        Direct lattice of the sample.

    Raises
    ------
    ConnectionError
        A process variable does not answer.
    """
    wait_patiently()
    beam = EpicsBeam(names=names.beam)
    _connect([beam, beam.shutter])
    beam.shutter.close()  # a session before this one may have died with it open
    clock: VirtualClock = IocClock(names.simulation) if names.simulation is not None else WallClock()
    stage = EpicsHeatedStage(names=names.temperature, axes=names.sample_stage, clock=clock)
    axes = {axis: {"class": _AXIS_CLASS, "prefix": name} for axis, name in names.circles.items()}
    diffractometer = make_diffractometer(axes)
    merlin = EpicsMerlin(names=names.detector, shutter=beam.shutter, data_folder=Path(data_folder))
    circles = [getattr(diffractometer, axis) for axis in AXIS_NAMES]
    _connect([stage, *circles, merlin])
    merlin.connect()
    energy = beam.en.position
    orient(diffractometer, lattice, simulated_mount(lattice, energy, eta=names.mount_eta), energy=energy)
    beam.follow_energy(partial(set_energy, diffractometer))
    return Beamline(
        diffractometer=diffractometer,
        heated_stage=stage,
        merlin=merlin,
        beam=beam,
        lattice=lattice,
        simulated=names.simulation is not None,
        crystal_size_nm=names.crystal_size_nm,
        identity=dict(identity),
    )


def _connect(devices: Iterable[Device]) -> None:
    """Wait for all signals; name those that do not answer."""
    for device in devices:
        try:
            device.wait_for_connection(timeout=PATIENCE)
        except TimeoutError:
            silent = [
                item.item.pvname
                for item in device.walk_signals()
                if isinstance(item.item, EpicsSignalBase) and not item.item.connected
            ]
            raise ConnectionError(
                f"{device.name} needs process variables that do not answer, the first is "
                f"{(silent or ['unknown'])[0]}. Start their IOC ('vo2 ioc' for the simulated one) and check "
                "EPICS_CA_ADDR_LIST"
            ) from None
