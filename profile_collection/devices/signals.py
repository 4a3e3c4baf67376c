"""What both forms of the devices share: signals of plain Python objects, the clock, the fast shutter."""

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.status import DeviceStatus
from ophyd.utils import LimitError, ReadOnlyError


class VirtualClock(Protocol):
    """Time as the simulation counts it."""

    pace: float

    def now(self) -> float:
        """Return virtual epoch seconds."""
        ...

    def sleep(self, duration: float, cancel: threading.Event | None = None) -> bool:
        """Let `duration` virtual seconds pass; return False if `cancel` was set before they had passed."""
        ...


class PolledSignal(Signal):
    """A read-only signal that asks a function for its value each time it is read.

    Reading also informs subscribers (suspenders, live plots) of a changed value. While there are any, the
    value is asked for periodically, too: a suspension waits for a signal that nobody reads meanwhile.

    Parameters
    ----------
    source_function : callable, optional
        Called without arguments, returns the present value. May be given later with `connect_source`.
    poll_period : float, optional
        Real seconds between two looks while there are subscribers; without it nobody looks.
    **kwargs
        As for `ophyd.Signal`.
    """

    def __init__(
        self,
        *,
        source_function: Callable[[], Any] | None = None,
        poll_period: float | None = None,
        units: str = "",
        **kwargs: Any,
    ):
        super().__init__(**{"value": 0.0, **kwargs})
        self._source_function = source_function
        self._poll_period = poll_period
        self._subscribers: set[int] = set()
        self._idle = threading.Event()
        self._units = units

    def connect_source(self, source_function: Callable[[], Any]) -> None:
        """Take the value from this function from now on."""
        self._source_function = source_function

    def get(self, **kwargs: Any) -> Any:
        """Return the present value."""
        if self._source_function is not None:
            value = self._source_function()
            if value != self._readback:
                super().put(value, force=True)
        return super().get(**kwargs)

    def read(self) -> dict[str, Any]:
        """Return the present value as a Bluesky reading."""
        self.get()
        return super().read()

    def describe(self) -> dict[str, Any]:
        """Describe the signal, with its unit."""
        self.get()
        description = super().describe()
        if self._units:
            description[self.name]["units"] = self._units
        return description

    def subscribe(self, callback: Callable[..., Any], event_type: str | None = None, run: bool = True) -> int:
        """Call `callback` with each new value; see `ophyd.Signal`."""
        number = int(super().subscribe(callback, event_type=event_type, run=run))
        if self._poll_period is not None and event_type in (None, self.SUB_VALUE):
            self._subscribers.add(number)
            if len(self._subscribers) == 1:
                self._idle = threading.Event()
                threading.Thread(
                    target=self._poll, args=(self._idle,), name=f"{self.name}-poll", daemon=True
                ).start()
        return number

    def unsubscribe(self, number: int) -> None:
        """Stop calling the subscriber of this number."""
        super().unsubscribe(number)
        self._subscribers.discard(number)
        if not self._subscribers:
            self._idle.set()

    def _poll(self, idle: threading.Event) -> None:
        """Announce the value again and again, changed or not: who missed it once must not wait for ever."""
        while not idle.wait(self._poll_period):
            if self._source_function is not None:
                super().put(self._source_function(), force=True)

    def put(self, value: Any, **kwargs: Any) -> None:
        """Refuse: the value belongs to the beamline."""
        raise ReadOnlyError(f"{self.name} can only be read, {value!r} was to be written to it.")

    def update(self, value: Any) -> None:
        """Publish a value that was measured elsewhere (for signals without a source function)."""
        super().put(value, force=True)


class LimitedSignal(Signal):
    """A number one may write, within limits; each accepted value is handed on.

    Parameters
    ----------
    limits : tuple of float
        Lowest and highest value allowed, in the signal's unit.
    on_put : callable, optional
        Receives each accepted value, e.g. to pass it to the simulation.
    units : str
        Unit, for documents and messages.
    """

    def __init__(
        self,
        *,
        limits: tuple[float, float],
        on_put: Callable[[float], None] | None = None,
        units: str = "",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._limits = (float(limits[0]), float(limits[1]))
        self._on_put = on_put
        self._units = units

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value allowed."""
        return self._limits

    def connect_target(self, on_put: Callable[[float], None]) -> None:
        """Hand each accepted value to this function from now on."""
        self._on_put = on_put

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Raise `LimitError`, in words, if the value may not be set."""
        check_number(self.name, value, self._limits, self._units)

    def put(self, value: float, **kwargs: Any) -> None:
        """Set the value after checking it."""
        self.check_value(value)
        if self._on_put is not None:
            self._on_put(value)
        super().put(value, **{**kwargs, "force": True})

    def describe(self) -> dict[str, Any]:
        """Describe the signal, with its unit and limits."""
        description = super().describe()
        if self._units:
            description[self.name]["units"] = self._units
        return description


def check_number(name: str, value: float, limits: tuple[float, float], units: str) -> None:
    """Raise `LimitError` unless `value` is a finite number within `limits` (same unit)."""
    low, high = limits
    try:
        fits = bool(np.isfinite(value)) and low <= value <= high
    except TypeError:
        fits = False
    if not fits:
        raise LimitError(
            f"{name} must be a number from {low:g} to {high:g} {units}".rstrip()
            + f", got {value!r}. Give a value within the limits."
        )


class ChoiceSignal(Signal):
    """A number one may write if it is among the choices.

    Parameters
    ----------
    choices : tuple of int
        Values allowed.
    """

    def __init__(self, *, choices: tuple[int, ...], **kwargs: Any):
        super().__init__(**kwargs)
        self._choices = choices
        self._on_put: Callable[[int], None] | None = None

    def connect_target(self, on_put: Callable[[int], None]) -> None:
        """Hand each accepted value to this function from now on."""
        self._on_put = on_put

    def check_value(self, value: int, **kwargs: Any) -> None:
        """Raise `ValueError`, in words, for a value that is not among the choices."""
        if value not in self._choices:
            raise ValueError(f"{self.name} must be one of {self._choices}, got {value!r}.")

    def put(self, value: int, **kwargs: Any) -> None:
        """Set the value after checking it."""
        self.check_value(value)
        if self._on_put is not None:
            self._on_put(value)
        super().put(value, **{**kwargs, "force": True})


ShutterPosition = Literal["open", "closed"]


class FastShutter(Device):
    """The fast shutter. It is open during exposures only: pause, resume and stop close it."""

    state = Cpt(PolledSignal, poll_period=0.5, value="closed", kind="normal")

    def __init__(self, prefix: str = "", *, name: str = "shutter", **kwargs: Any):
        super().__init__(prefix, name=name, **kwargs)
        self.state.name = name
        self.state.connect_source(lambda: self.position)

    @property
    @abstractmethod
    def position(self) -> ShutterPosition:
        """Whether the shutter is "open" or "closed"."""

    @abstractmethod
    def _drive(self, position: ShutterPosition) -> None:
        """Have the hardware do it; return when it has."""

    def set(self, position: ShutterPosition) -> DeviceStatus:
        """Open or close the shutter."""
        if position not in ("open", "closed"):
            raise ValueError(f'{self.name} must be set to "open" or "closed", got {position!r}.')
        self._move(position)
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def _move(self, position: ShutterPosition) -> None:
        self._drive(position)
        self.state.get()

    def open(self) -> None:
        """Let the beam through."""
        self._move("open")

    def close(self) -> None:
        """Block the beam."""
        self._move("closed")

    def pause(self) -> None:
        """Close: nobody is watching the sample during a pause."""
        self.close()

    def resume(self) -> None:
        """Stay closed: the detector opens for its next exposure."""
        self.close()

    def stop(self, *, success: bool = False) -> None:
        """Close."""
        self.close()
