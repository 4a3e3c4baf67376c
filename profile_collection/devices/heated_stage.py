"""The heated stage: go to a temperature, wait until it has settled, leave the heater alone when stopped.

The status of a temperature change shows the progress and ends when the temperature has settled.
"""

import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from math import inf
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.status import DeviceStatus

from profile_collection.devices.signals import LimitedSignal, VirtualClock, check_number


class SoakStatus(DeviceStatus):
    """Done when the stage has stayed within tolerance for its settle time; progress bars may watch it.

    Parameters
    ----------
    device : ophyd.Device
        The heated stage.
    initial, target : float
        Temperatures in K where the change begins and where it shall end.
    """

    def __init__(self, device: Any, *, initial: float, target: float):
        super().__init__(device)
        self.initial = initial
        self.target = target
        self._started = time.monotonic()
        self._watchers: list[Callable[..., None]] = []

    def watch(self, func: Callable[..., None]) -> None:
        """Call `func` with the progress (Bluesky's progress-bar arguments) whenever there is news."""
        self._watchers.append(func)

    def report(self, current: float, *, remaining: float) -> None:
        """Tell all watchers the present temperature (K) and the share of the way that remains (1 to 0)."""
        for func in self._watchers:
            func(
                name=self.device.name,
                current=round(current, 2),
                initial=round(self.initial, 2),
                target=self.target,
                unit="K",
                precision=2,
                fraction=remaining,
                time_elapsed=time.monotonic() - self._started,
                time_remaining=None,
            )


DIODES = ("Ta", "Tb", "Tc", "Td")
READINGS = (*DIODES, "Tsample", "Theater", "Tset")

_POLL_PERIOD = 1.0  # seconds between two looks at the temperature during a soak
_SAME_SETPOINT = 1e-3  # K; a controller may round what it is told


class SoakingStage(Device):
    """Heats the sample; `set` ramps to a temperature and is done when it has settled there.

    On a pause or a suspension Bluesky calls `stop` on everything that was ever moved. A sample that cools in
    the middle of a scan is lost, so `stop` only ends the waiting: setpoint and ramp stay as they are.

    Subclasses have the signals Ta, Tb, Tc, Td, Tsample, Theater, Tset, ramp_rate and the axes sx, sy, sz.

    Parameters
    ----------
    clock : VirtualClock
        Soaking takes time on this clock.
    limits : tuple of float
        Lowest and highest setpoint, K; refused in the device, not only in the plan.

    Attributes
    ----------
    tolerance, settle_time, timeout : signals
        The sample's temperature must come this close to the setpoint (K) and stay there this long (s); a soak
        that takes longer than `timeout` (s) fails.
    """

    tolerance = Cpt(LimitedSignal, limits=(0.01, 10.0), value=0.3, units="K", kind="config")
    settle_time = Cpt(LimitedSignal, limits=(0.0, 36000.0), value=60.0, units="s", kind="config")
    timeout = Cpt(LimitedSignal, limits=(1.0, 86400.0), value=3600.0, units="s", kind="config")

    Tsample: Any
    Theater: Any
    Tset: Any
    ramp_rate: Any

    def __init__(
        self,
        prefix: str = "",
        *,
        clock: VirtualClock,
        limits: tuple[float, float],
        name: str = "heated_stage",
        **kwargs: Any,
    ):
        super().__init__(prefix, name=name, **kwargs)
        self.limits = (float(limits[0]), float(limits[1]))
        self._clock = clock
        self._settled_at: float | None = None
        self._soak: tuple[SoakStatus, threading.Event] | None = None
        self._soak_lock = threading.Lock()
        for reading in READINGS:
            getattr(self, reading).name = reading

    @abstractmethod
    def _ask(self, temperature: float) -> None:
        """Tell the controller where to go, K."""

    @property
    def position(self) -> float:
        """Temperature of the sample, K."""
        return float(self.Tsample.get())

    @property
    def setpoint(self) -> float:
        """Temperature that the controller is asked for, K."""
        return float(self.Tset.get())

    @property
    def held(self) -> float | None:
        """Temperature at which the sample has settled, K; None on a ramp."""
        return self._settled_at

    def check_value(self, temperature: float) -> None:
        """Raise `LimitError`, in words, for a temperature outside the stage's range."""
        check_number(f"temperature of {self.name}", temperature, self.limits, "K")

    def set(self, temperature: float) -> SoakStatus:
        """Ramp to `temperature` (K); done at once where the stage has settled there already."""
        self.check_value(temperature)
        self._end_soak(success=True)
        current = self.position
        status = SoakStatus(self, initial=current, target=float(temperature))
        if self._is_settled_at(temperature, current):
            status.set_finished()
            return status
        self._settled_at = None
        self._ask(float(temperature))
        cancelled = threading.Event()
        self._soak = (status, cancelled)
        threading.Thread(
            target=self._watch, args=(status, cancelled), name=f"{self.name}-soak", daemon=True
        ).start()
        return status

    def stop(self, *, success: bool = False) -> None:
        """End the waiting; setpoint, ramp and heater stay as they are."""
        self._end_soak(success=success)

    def _end_soak(self, *, success: bool) -> None:
        soak, self._soak = self._soak, None
        if soak is None or not self._claim(soak[1]):
            return
        if not success:
            soak[0].set_exception(RuntimeError(f"Waiting for {soak[0].target:g} K was stopped."))
        else:
            soak[0].set_finished()

    def _is_settled_at(self, temperature: float, current: float) -> bool:
        near = abs(current - temperature) <= self.tolerance.get()
        asked_for = abs(self.setpoint - temperature) <= _SAME_SETPOINT
        return near and asked_for and self._settled_at == temperature

    def _watch(self, status: SoakStatus, cancelled: threading.Event) -> None:
        try:
            self._wait_until_settled(status, cancelled)
        except Exception as error:  # noqa: BLE001 - a controller that died belongs into the status
            words = (
                f"{self.name} does not answer while it goes to {status.target:g} K: {error}. Check its IOC."
            )
            self._finish(status, cancelled, RuntimeError(words))

    def _wait_until_settled(self, status: SoakStatus, cancelled: threading.Event) -> None:
        target, deadline = status.target, self._clock.now() + self.timeout.get()
        tolerance, settle_time = self.tolerance.get(), self.settle_time.get()
        way = abs(target - status.initial) or tolerance
        inside_since = inf
        while not cancelled.is_set():
            now, current = self._clock.now(), self.position
            deviation = abs(current - target)
            inside_since = min(inside_since, now) if deviation <= tolerance else inf
            status.report(current, remaining=min(1.0, deviation / way))
            if now - inside_since >= settle_time:
                return self._finish(status, cancelled, None)
            if now >= deadline:
                return self._finish(status, cancelled, TimeoutError(self._describe_timeout(target, current)))
            self._clock.sleep(_POLL_PERIOD, cancelled)
        return None

    def _finish(self, status: SoakStatus, cancelled: threading.Event, error: Exception | None) -> None:
        if not self._claim(cancelled):
            return
        if error is None:
            self._settled_at = status.target
            status.set_finished()
        else:
            status.set_exception(error)

    def _claim(self, ended: threading.Event) -> bool:
        """Return True to the one caller, worker or `stop`, that may end this soak's status."""
        with self._soak_lock:
            if ended.is_set():
                return False
            ended.set()
            return True

    def _describe_timeout(self, target: float, current: float) -> str:
        return (
            f"{self.name} did not settle at {target:g} ± {self.tolerance.get():g} K within "
            f"{self.timeout.get():g} s: it is at {current:.2f} K, heater {self.Theater.get():.0f} %. "
            f"The setpoint is kept. Check heater, ramp rate ({self.ramp_rate.get():g} K/min) and cooling, "
            "then start again."
        )
