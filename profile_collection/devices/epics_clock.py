"""Time for the EPICS devices: the wall's at a beamline, the simulation's for a soft IOC."""

import math
import threading
import time

from ophyd import EpicsSignal

from profile_collection.devices.epics_signals import PATIENCE, EpicsReading, put_and_wait
from profile_collection.process_variables import SimulationNames

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
