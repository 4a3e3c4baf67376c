"""The heated stage over Channel Access: a LakeShore 336 that heats, a LakeShore 340 that reads the sample."""

from typing import Any

from ophyd import EpicsSignal
from ophyd import FormattedComponent as FCpt

from profile_collection.devices.axes import VirtualClock
from profile_collection.devices.epics_axis import EpicsAxis
from profile_collection.devices.epics_signals import EpicsNumber, EpicsReading, put_and_wait
from profile_collection.devices.soaking import SoakingStage
from profile_collection.process_variables import TemperatureNames


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
