"""The status of a temperature change: shows progress, ends when the temperature has settled."""

import time
from collections.abc import Callable
from typing import Any

from ophyd.status import DeviceStatus


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
