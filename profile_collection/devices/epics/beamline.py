"""All devices over Channel Access, as plans receive them, and the heated stage among them.

The stage is two controllers: a LakeShore 336 that heats, a LakeShore 340 that reads the sample.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ophyd import Device, EpicsSignal
from ophyd import FormattedComponent as FCpt
from ophyd.signal import EpicsSignalBase

from profile_collection.devices.beamline import Beamline
from profile_collection.devices.diffractometer import (
    AXIS_NAMES,
    Lattice,
    make_diffractometer,
    orient,
    set_energy,
    simulated_mount,
)
from profile_collection.devices.epics.beam import EpicsBeam
from profile_collection.devices.epics.merlin import EpicsMerlin
from profile_collection.devices.epics.process_variables import ProcessVariables, TemperatureNames
from profile_collection.devices.epics.signals import (
    PATIENCE,
    EpicsAxis,
    EpicsNumber,
    EpicsReading,
    IocClock,
    WallClock,
    put_and_wait,
    wait_patiently,
)
from profile_collection.devices.heated_stage import SoakingStage
from profile_collection.devices.signals import VirtualClock


class EpicsHeatedStage(SoakingStage):
    """The stage with its limits, deadband (`tolerance`) and settle time; `stop` leaves the setpoint.

    Parameters
    ----------
    names : TemperatureNames
        Controllers, and the lowest and highest setpoint and ramp that are allowed here, whatever the
        controller's own limits are.
    axes : dict
        Motor records of sx, sy, sz.
    clock : VirtualClock
    """

    Ta = FCpt(EpicsReading, "{_names.controller}KRDG0", kind="normal")
    Tb = FCpt(EpicsReading, "{_names.controller}KRDG1", kind="normal")
    Tc = FCpt(EpicsReading, "{_names.controller}KRDG2", kind="normal")
    Td = FCpt(EpicsReading, "{_names.controller}KRDG3", kind="normal")
    Tsample = FCpt(EpicsReading, "{_names.thermometer}KRDG0", kind="hinted")
    Theater = FCpt(EpicsReading, "{_names.controller}HTR1", kind="normal")
    Tset = FCpt(EpicsReading, "{_names.controller}SETP1", kind="normal")
    ramp_rate = FCpt(
        EpicsNumber,
        "{_names.controller}RAMP1",
        write_pv="{_names.controller}RAMP_S1",
        limits=(0.1, 20.0),
        units="K/min",
        kind="config",
    )
    _demand = FCpt(EpicsSignal, "{_names.controller}SETP_S1", kind="omitted")
    _ramping = FCpt(EpicsReading, "{_names.controller}RAMPST1", kind="omitted")
    _ramping_demand = FCpt(EpicsSignal, "{_names.controller}RAMPST_S1", kind="omitted")
    _range = FCpt(EpicsReading, "{_names.controller}RANGE1", kind="omitted")
    _range_demand = FCpt(EpicsSignal, "{_names.controller}RANGE_S1", kind="omitted")
    sx = FCpt(EpicsAxis, "{_axes[sx]}", kind="omitted")
    sy = FCpt(EpicsAxis, "{_axes[sy]}", kind="omitted")
    sz = FCpt(EpicsAxis, "{_axes[sz]}", kind="omitted")

    def __init__(
        self,
        *,
        names: TemperatureNames,
        axes: dict[str, str],
        clock: VirtualClock,
        name: str = "heated_stage",
        **kwargs: Any,
    ):
        self._names, self._axes = names, axes
        super().__init__(clock=clock, limits=names.limits, name=name, **kwargs)
        self.ramp_rate.allow(names.ramp_limits)
        for axis in axes:
            getattr(self, axis).name = axis
            getattr(self, axis).user_readback.name = axis

    @property
    def setpoint(self) -> float:
        """Temperature that the controller is asked for, K; the readback follows the ramp on some."""
        return float(self._demand.get(use_monitor=False))

    def _ask(self, temperature: float) -> None:
        """Switch ramp and heater on before the setpoint changes: no ramp would be a shock."""
        if int(self._ramping.get()) != 1:
            put_and_wait(self._ramping_demand, 1)
        if int(self._range.get()) == 0:
            put_and_wait(self._range_demand, self._names.heater_range)
        put_and_wait(self._demand, temperature)


_AXIS_CLASS = "profile_collection.devices.epics.signals.EpicsAxis"


def make_epics(
    names: ProcessVariables,
    data_folder: Path,
    *,
    identity: Mapping[str, str],
    experiment: Mapping[str, Any],
) -> Beamline:
    """Return the whole beamline over Channel Access, connected, shutter closed, UB computed and checked.

    Parameters
    ----------
    names : ProcessVariables
    data_folder : pathlib.Path
        Frames go to `<data_folder>/raw/frames`; the detector's IOC must see the same path.
    identity : mapping
        `sample`, `proposal`, `operator`, `software_version`.
    experiment : mapping
        The description as plain values: lattice and reflection define UB, the reflection is expected at the
        middle of the window.

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
    energy, measured, window = beam.en.position, experiment["reflection"], experiment["window"]
    lattice, size = Lattice(**measured["lattice"]), experiment["sample"]["size_nm"]
    h, k, l = measured["hkl"]  # noqa: E741  the field's own names
    eta = round((window["start"] + window["stop"]) / 2, 6)
    orient(diffractometer, lattice, simulated_mount(lattice, energy, eta=eta, first=(h, k, l)), energy=energy)
    beam.follow_energy(partial(set_energy, diffractometer))
    return Beamline(
        diffractometer=diffractometer,
        heated_stage=stage,
        merlin=merlin,
        beam=beam,
        lattice=lattice,
        reflection=(h, k, l),
        simulated=names.simulation is not None,
        crystal_size_nm=tuple(size) if size else None,
        identity=dict(identity),
        experiment=dict(experiment),
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
            if not silent:  # the last one answered while it was looked for: a slow network, a busy machine
                continue
            raise ConnectionError(
                f"{device.name} needs process variables that do not answer, the first is {silent[0]}. Start "
                "their IOC ('vo2 ioc' for the simulated one) and check EPICS_CA_ADDR_LIST"
            ) from None
