"""The beam over Channel Access: shutter, ring current, monitor, attenuator, energy."""

from collections.abc import Callable
from typing import Any

from ophyd import Device, EpicsSignal
from ophyd import FormattedComponent as FCpt

from profile_collection.devices.epics.process_variables import BeamNames
from profile_collection.devices.epics.signals import (
    PATIENCE,
    EpicsAxis,
    EpicsNumber,
    EpicsReading,
    put_and_wait,
    wait_for_value,
)
from profile_collection.devices.signals import FastShutter, ShutterPosition

_DEMANDS: dict[ShutterPosition, str] = {"open": "Open", "closed": "Close"}
_STATES: dict[ShutterPosition, str] = {"open": "Open", "closed": "Closed"}

RECONNECTION = 5.0
"""Seconds given to the lost connection of a shutter to be closed: it is tried at every level of a plan that
fails, and an IOC that hears no heartbeat closes it without us."""


class EpicsShutter(FastShutter):
    """The shutter behind a demand (Open, Close, Reset) and a state (… Open … Closed …).

    Parameters
    ----------
    names : BeamNames
    """

    _demand = FCpt(EpicsSignal, "{_names.shutter_demand}", string=True, kind="omitted")
    _actual = FCpt(EpicsReading, "{_names.shutter_state}", string=True, kind="omitted")

    def __init__(self, prefix: str = "", *, names: BeamNames, name: str = "shutter", **kwargs: Any):
        self._names = names
        super().__init__(prefix, name=name, **kwargs)

    @property
    def position(self) -> ShutterPosition:
        """Whether the shutter is "open" or "closed"; anything but closed counts as open."""
        return "closed" if self._actual.get() == _STATES["closed"] else "open"

    def _drive(self, position: ShutterPosition) -> None:
        connect = RECONNECTION if position == "closed" else PATIENCE
        put_and_wait(self._demand, _DEMANDS[position], connect=connect)
        if not wait_for_value(self._actual, _STATES[position]):
            raise RuntimeError(
                f"{self.name} was told to be {position}, it says {self._actual.get()!r}. Check its interlock "
                "and search of the hutch."
            )


class EpicsBeam(Device):
    """Everything upstream of the sample, with the attributes of the simulated `Beam`.

    Parameters
    ----------
    names : BeamNames
    """

    rc = FCpt(EpicsReading, "{_names.ring_current}", kind="hinted")
    permit = FCpt(EpicsReading, "{_names.permit}", kind="omitted")
    ic1monitor = FCpt(EpicsReading, "{_names.monitor}", kind="hinted")
    transmission = FCpt(
        EpicsNumber,
        "{_names.transmission_readback}",
        write_pv="{_names.transmission}",
        limits=(1e-9, 1.0),
        kind="normal",
    )
    _steps = FCpt(EpicsReading, "{_names.transmission_steps}", kind="omitted")
    en = FCpt(EpicsAxis, "{_names.energy}", kind="normal")

    def __init__(self, *, names: BeamNames, name: str = "beam", **kwargs: Any):
        self._names = names
        self.shutter = EpicsShutter(names=names)
        super().__init__(name=name, **kwargs)
        for attribute in ("rc", "ic1monitor", "transmission", "en"):
            getattr(self, attribute).name = attribute
        self.en.user_readback.name = "en"

    @property
    def transmissions(self) -> tuple[float, ...]:
        """What the attenuator can be set to, the full beam first."""
        return tuple(sorted((float(step) for step in self._steps.get()), reverse=True))

    def follow_energy(self, follower: Callable[[float], Any]) -> None:
        """Tell `follower` each new energy in keV; the diffractometer's angles depend on it."""

        def changed(value: float, **_: Any) -> None:
            follower(float(value))

        self.en.user_readback.subscribe(changed, run=False)
