"""The simulated heated sample stage: four diodes, a ramping setpoint, and the sample's position."""

from typing import Any

from ophyd import Component as Cpt

from profile_collection.devices.axes import SimulatedAxis, VirtualClock
from profile_collection.devices.signals import LimitedSignal, PolledSignal
from profile_collection.devices.soaking import DIODES, SoakingStage
from profile_collection.motor_ranges import LIMITS, SPEEDS

__all__ = ["DIODES", "HeatedStage"]


class HeatedStage(SoakingStage):
    """The stage whose hardware is the twin.

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
        limits=LIMITS[axis],
        speed=SPEEDS[axis],
        egu="mm",
        position=float(twin.axes[axis]),
        on_position=lambda position: twin.set_axis(axis, position),
    )
