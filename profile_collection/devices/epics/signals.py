"""Process variables as signals, motor records as axes, and the clock the EPICS devices wait by.

A signal is read afresh each time, and written within limits and with confirmation. An axis has the names and
the errors of the simulated one. The clock is the wall's at a beamline, the simulation's for a soft IOC.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ophyd import Component as Cpt
from ophyd import EpicsMotor, EpicsSignal, EpicsSignalRO
from ophyd.device import required_for_connection
from ophyd.signal import EpicsSignalBase
from ophyd.status import MoveStatus
from ophyd.utils.errors import InvalidState

from profile_collection.devices.epics.process_variables import SimulationNames
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


DEADBAND = 1e-4
"""How far from its target an axis may stand when it has arrived, in its unit."""


class EpicsAxis(EpicsMotor):
    """A motor; only its readback is recorded, under the axis' own name.

    A motion ends when the record confirms the write of its target, not when DMOV is seen to rise: a monitor
    that belongs to a motion broken off before would end the next one's status.
    """

    user_readback = Cpt(EpicsReading, ".RBV", kind="hinted", auto_monitor=True)
    user_setpoint = Cpt(EpicsSignal, ".VAL", limits=True, auto_monitor=True, kind="omitted")

    def __init__(self, prefix: str = "", *, name: str, **kwargs: Any):
        self._claim_lock = threading.Lock()
        self._motion: MoveStatus | None = None
        super().__init__(prefix, name=name, **kwargs)

    @required_for_connection
    @user_readback.sub_value
    def _pos_changed(self, timestamp: Any = None, value: Any = None, **_: Any) -> None:
        """Tell subscribers, the diffractometer's pseudo axes among them, where the axis is."""
        self._set_position(value)

    @property
    def position(self) -> float:
        """Where the axis stands now."""
        return float(self.user_readback.get())

    @property
    def speed(self) -> float:
        """Units per second."""
        return float(self.velocity.get())

    def check_value(self, pos: float) -> None:
        """Raise `LimitError`, in words, for a position that cannot be reached."""
        low, high = self.limits
        if low == high == 0:  # the motor record's way to say that there are none
            low, high = -math.inf, math.inf
        check_number(self.name, pos, (low, high), self.egu)

    def move(
        self,
        position: float,
        wait: bool = False,
        timeout: float | None = None,
        moved_cb: Callable[..., None] | None = None,
    ) -> MoveStatus:
        """Start moving to `position` and return a status, unless told to wait."""
        self.check_value(position)
        self._end(self._motion, "a new target came")
        if timeout is None:  # a record whose IOC has died never confirms
            timeout = 2 * abs(float(position) - self.position) / self.speed + 2 * PATIENCE
        status = self._motion = MoveStatus(
            self, float(position), timeout=timeout, settle_time=self._settle_time
        )
        if moved_cb is not None:
            status.add_callback(partial(moved_cb, obj=self))
        self.user_setpoint.put(
            float(position), use_complete=True, callback=lambda **_: self._confirmed(status)
        )
        if wait:
            status.wait()
        return status

    def _confirmed(self, status: MoveStatus) -> None:
        """End a motion that the record says is over, well or not, by where the axis stands."""
        if status.done:
            return
        try:
            stands = self.position
        except Exception as error:  # noqa: BLE001 - an IOC that died belongs into the status, not this thread
            self._end(status, f"its record does not answer ({error})")
            return
        if abs(stands - status.target) <= DEADBAND:
            self._end(status, "")
        else:
            self._end(
                status,
                f"it stands at {stands:g}. Free the motor and check its driver and limit switches, then "
                "measure again",
            )

    def stop(self, *, success: bool = False) -> None:
        """Stop where the axis is; the status of a running motion ends with `success`."""
        motion = self._motion
        if motion is None or motion.done:
            return
        self.motor_stop.put(1, wait=False)
        self._end(motion, "" if success else "it was stopped")

    def _end(self, status: MoveStatus | None, problem: str) -> None:
        """End a motion's status once, whoever comes first.

        A status that was told of its end is not `done` before its own thread has heard of it.
        """
        if status is None:
            return
        with self._claim_lock, suppress(InvalidState):
            if problem:
                status.set_exception(
                    RuntimeError(
                        f"{self.name} did not arrive at {status.target:g} ± {DEADBAND:g}: {problem}."
                    )
                )
            else:
                status.set_finished()


_LONGEST_NAP = 0.5  # real seconds after which a waiting client looks whether it was cancelled


class WallClock:
    """Real time."""

    pace = 1.0

    def now(self) -> float:
        """Return epoch seconds."""
        return time.time()

    def sleep(self, duration: float, cancel: threading.Event | None = None) -> bool:
        """Wait; return False if `cancel` was set before the time had passed."""
        return not (cancel or threading.Event()).wait(duration)


class IocClock:
    """The simulated time of a soft IOC, which passes when somebody waits in it.

    Parameters
    ----------
    names : SimulationNames
    """

    def __init__(self, names: SimulationNames):
        self._now = EpicsReading(names.now, name="simulation_now")
        self._sleep = EpicsSignal(names.sleep, name="simulation_sleep", put_complete=True)
        pace = EpicsReading(names.pace, name="simulation_pace")
        for signal in (self._now, self._sleep, pace):
            signal.wait_for_connection(timeout=PATIENCE)
        self.pace = float(pace.get())

    def now(self) -> float:
        """Return simulated epoch seconds."""
        return float(self._now.get())

    def sleep(self, duration: float, cancel: threading.Event | None = None) -> bool:
        """Let simulated time pass in the IOC; return False if `cancel` was set before it had passed."""
        left = duration
        while left > 0:
            if cancel is not None and cancel.is_set():
                return False
            nap = min(left, 3600.0 if math.isinf(self.pace) else self.pace * _LONGEST_NAP)
            put_and_wait(self._sleep, nap)
            left -= nap
        return True
