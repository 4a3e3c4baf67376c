"""The beam that arrives: energy, shutter, attenuator, ring current and intensity monitor."""

from collections.abc import Callable
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from profile_collection.devices.signals import (
    FastShutter,
    LimitedSignal,
    PolledSignal,
    ShutterPosition,
    VirtualClock,
)
from profile_collection.devices.simulated.axes import SimulatedAxis


class Shutter(FastShutter):
    """The shutter of the simulated beamline.

    Parameters
    ----------
    twin : Twin
        `twin.shutter_open` is the hardware.
    """

    def __init__(self, *, twin: Any, name: str = "shutter", **kwargs: Any):
        self._twin = twin
        super().__init__(name=name, **kwargs)

    @property
    def position(self) -> ShutterPosition:
        """Whether the shutter is "open" or "closed"."""
        return "open" if self._twin.shutter_open else "closed"

    def _drive(self, position: ShutterPosition) -> None:
        self._twin.shutter_open = position == "open"


class Beam(Device):
    """Everything upstream of the sample.

    Parameters
    ----------
    twin : Twin
        `energy`, `shutter_open`, `transmission`, `ring_current()` and `faults` are the hardware.
    clock : VirtualClock
        The monochromator moves on this clock.
    """

    rc = Cpt(PolledSignal, poll_period=0.5, units="mA", kind="hinted")
    permit = Cpt(PolledSignal, poll_period=0.5, value=1, kind="omitted")
    ic1monitor = Cpt(PolledSignal, units="counts", kind="hinted")
    transmission = Cpt(LimitedSignal, limits=(1e-9, 1.0), value=1.0, kind="normal")

    def __init__(self, *, twin: Any, clock: VirtualClock, name: str = "beam", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self._twin = twin
        for attribute in ("rc", "ic1monitor", "transmission"):
            getattr(self, attribute).name = attribute
        self.rc.connect_source(lambda: float(twin.ring_current()))
        self.permit.connect_source(lambda: int(twin.faults.front_end_open))
        self.transmission.put(float(twin.transmission))
        self.transmission.connect_target(self._set_transmission)
        self._energy_followers: list[Callable[[float], Any]] = []
        self.shutter = Shutter(twin=twin)
        self.en = SimulatedAxis(
            name="en",
            clock=clock,
            limits=(5.0, 14.0),
            speed=0.05,
            egu="keV",
            position=float(twin.energy),
            on_position=self._set_energy,
        )

    def _set_energy(self, energy: float) -> None:
        self._twin.energy = energy
        for follower in self._energy_followers:
            follower(energy)

    @property
    def transmissions(self) -> tuple[float, ...]:
        """What the attenuator can be set to, the full beam first."""
        return tuple(sorted(self._twin.config.beam.transmissions, reverse=True))

    def follow_energy(self, follower: Callable[[float], Any]) -> None:
        """Tell `follower` each new energy in keV; the diffractometer's angles depend on it."""
        self._energy_followers.append(follower)

    def _set_transmission(self, transmission: float) -> None:
        self._twin.transmission = transmission

    def note_exposure(self, exposure: Any) -> None:
        """Publish the monitor counts that belong to the exposure just finished."""
        self.ic1monitor.update(float(exposure.monitor))
