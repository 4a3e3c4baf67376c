"""Signals whose value comes from a plain Python object instead of a process variable."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ophyd import Signal
from ophyd.utils import LimitError, ReadOnlyError


class PolledSignal(Signal):
    """A read-only signal that asks a function for its value each time it is read.

    Reading also informs subscribers (suspenders, live plots) of a changed value.

    Parameters
    ----------
    source_function : callable, optional
        Called without arguments, returns the present value. May be given later with `connect_source`.
    **kwargs
        As for `ophyd.Signal`.
    """

    def __init__(self, *, source_function: Callable[[], Any] | None = None, units: str = "", **kwargs: Any):
        super().__init__(**{"value": 0.0, **kwargs})
        self._source_function = source_function
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
