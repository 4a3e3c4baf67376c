"""Process variables as signals: read afresh each time, written within limits and with confirmation."""

import contextlib
import threading
import time
from typing import Any

from ophyd import EpicsSignal, EpicsSignalRO
from ophyd.signal import EpicsSignalBase

from profile_collection.devices.signals import check_number

PATIENCE = 15.0
"""Seconds within which an IOC must answer."""

LONGEST_TEXT = 4096
"""Characters that are asked for where a text is read; an IOC gives what it has."""


def wait_patiently() -> None:
    """Give IOCs on a busy machine time to answer; takes effect for signals made later."""
    with contextlib.suppress(RuntimeError):  # some signals are there already: theirs stays as it is
        EpicsSignalBase.set_defaults(
            timeout=PATIENCE, connection_timeout=PATIENCE, write_timeout=None, auto_monitor=False
        )


class EpicsReading(EpicsSignalRO):
    """A read-only value that is asked for each time, so that it belongs to the moment.

    A monitor's value may be older than the confirmation of a write that changed it.
    """

    def get(self, *, use_monitor: bool | None = None, **kwargs: Any) -> Any:
        """Return the value that the IOC has now."""
        return super().get(use_monitor=bool(use_monitor), **kwargs)


class EpicsNumber(EpicsSignal):
    """A number one may write within limits; the write ends when the IOC confirms it.

    Parameters
    ----------
    limits : tuple of float
        Lowest and highest value allowed.
    units : str
        For messages.
    """

    def __init__(self, read_pv: str, *, limits: tuple[float, float], units: str = "", **kwargs: Any):
        super().__init__(read_pv, **{"put_complete": True, **kwargs})
        self._allowed = (float(limits[0]), float(limits[1]))
        self._units = units

    def allow(self, limits: tuple[float, float]) -> None:
        """Take other limits from now on."""
        self._allowed = (float(limits[0]), float(limits[1]))

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value allowed."""
        return self._allowed

    def get(self, *, use_monitor: bool | None = None, **kwargs: Any) -> Any:
        """Return the value that the IOC has now."""
        return super().get(use_monitor=bool(use_monitor), **kwargs)

    def check_value(self, value: float) -> None:
        """Raise `LimitError`, in words, if the value may not be set."""
        check_number(self.name, value, self._allowed, self._units)


class IocSilentError(ConnectionError):
    """An IOC is not there."""


def put_and_wait(
    signal: EpicsSignal, value: Any, *, timeout: float = PATIENCE, connect: float = PATIENCE
) -> None:
    """Write a value and return when the IOC has confirmed it.

    Parameters
    ----------
    signal : ophyd.EpicsSignal
    value : object
    timeout : float
        Seconds within which it must be confirmed.
    connect : float
        Seconds given to a connection that is lost to come back.

    Raises
    ------
    IocSilentError
        The IOC is not there.
    TimeoutError
        The IOC did not confirm.
    """
    with contextlib.suppress(TimeoutError):
        signal.wait_for_connection(timeout=connect)
    if not signal.connected:  # raised out here: its context is then what went wrong before
        raise IocSilentError(
            f"{signal.setpoint_pvname} has not answered for {connect:g} s: its IOC has ended or cannot be "
            "reached. Start it again, then go on with the series: vo2 series --resume -1"
        )
    done = threading.Event()
    signal.put(value, use_complete=True, callback=lambda **_: done.set())
    if not done.wait(timeout):
        raise TimeoutError(f"{signal.setpoint_pvname} did not confirm {value!r} within {timeout:g} s")


def fresh_text(signal: EpicsSignalBase) -> str:
    """Return the whole text that the IOC has now.

    Unless told otherwise pyepics asks for as many characters as the last value had, one where it was empty.
    """
    return str(signal.get(use_monitor=False, as_string=True, count=LONGEST_TEXT))


def wait_for_value(signal: EpicsSignalBase, value: Any, *, timeout: float = PATIENCE) -> bool:
    """Return whether a signal takes a value within a time."""
    until = time.monotonic() + timeout
    while signal.get(use_monitor=False) != value:
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
