"""What a person wants changed while a series runs: skip a temperature, measure one again, stop after a scan.

A wish is made while the RunEngine is paused, and heeded by the plan once it goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real


class TemperatureSkippedError(Exception):
    """A person gave up the temperature that was being measured; the series goes on with the next."""

    def __init__(self) -> None:
        super().__init__("skipped by hand")


@dataclass
class Steering:
    """Wishes for the series that runs.

    Attributes
    ----------
    skip : bool
        The scan that is being measured ends at its next point.
    stop : bool
        The series ends after the scan that is being measured.
    again : list of float
        Temperatures (K) to be measured once more, next.
    temperatures : tuple of float
        Of the series that runs, K.
    """

    skip: bool = False
    stop: bool = False
    again: list[float] = field(default_factory=list)
    temperatures: tuple[float, ...] = ()

    def clear(self) -> None:
        """Forget all wishes."""
        self.skip, self.stop = False, False
        self.again.clear()

    def ask_again(self, temperature: float) -> None:
        """Have a temperature of the series (K) measured once more; raise `ValueError` where it has none."""
        place_of(temperature, self.temperatures)
        self.again.append(temperature)

    def heed_skip(self) -> None:
        """Raise `TemperatureSkippedError` once where the present temperature is to be skipped."""
        if self.skip:
            self.skip = False
            raise TemperatureSkippedError

    def order(self, temperatures: Sequence[float], left: Iterable[int]) -> Iterator[int]:
        """Yield the places of a series in the order in which they are measured, wishes heeded.

        Parameters
        ----------
        temperatures
            Of the series, K.
        left
            Places that are not measured yet.
        """
        self.temperatures, waiting = tuple(temperatures), deque(left)
        while waiting and not self.stop:
            yield waiting.popleft()
            for temperature in reversed(self.again):
                waiting.appendleft(place_of(temperature, temperatures))
            self.again.clear()


def place_of(temperature: float, temperatures: Sequence[float]) -> int:
    """Return the last place at which a series has a temperature, K.

    Raises
    ------
    ValueError
        It has none there.
    """
    if not isinstance(temperature, Real):
        raise ValueError(  # noqa: TRY004  what a person typed, not a mistake of the program
            f"a temperature in K was expected, as in retake(345), {temperature!r} came"
        )
    places = [index for index, value in enumerate(temperatures) if abs(value - temperature) < 1e-6]
    if not places:
        known = ", ".join(f"{value:g}" for value in temperatures)
        raise ValueError(f"a temperature of the series ({known} K) was expected, {temperature!r} came")
    return places[-1]


def all_but(place: int, complete: Mapping[int, str], size: int) -> dict[int, str]:
    """Return `complete` as it must be for `place` alone of a series of `size` to be measured."""
    return {index: complete.get(index, "") for index in range(size) if index != place}
