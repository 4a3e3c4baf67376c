"""The plans of ``vo2_plans`` with a session's devices and defaults filled in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import vo2_plans
from profile_collection.session.simulation import SeriesDefaults, series_defaults

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from profile_collection.devices.beamline import Beamline
    from profile_collection.session.session import Session


class Window(TypedDict):
    """A rocking curve: degrees, and seconds per point."""

    eta_start: float
    eta_stop: float
    eta_step: float
    exposure: float


@dataclass(frozen=True)
class SessionPlans:
    """Plans over the devices of a beamline; None for an argument means the session's default.

    Parameters
    ----------
    beamline
        The devices.
    defaults
        What is measured where nothing else is asked for.
    look_up
        Returns how far a stored series has come, by its uid; without it none can be resumed.
    """

    beamline: Beamline
    defaults: SeriesDefaults
    look_up: Callable[[str], vo2_plans.SeriesProgress] | None = None

    def temperature_series(
        self,
        temperatures: Sequence[float] | None = None,
        eta_start: float | None = None,
        eta_stop: float | None = None,
        eta_step: float | None = None,
        exposure: float | None = None,
        locate: bool = True,
        pre_expose: bool = True,
        resume: str | None = None,
    ) -> MsgGenerator[Any]:
        """Measure a rocking curve at each temperature, or go on with the series `resume`."""
        if resume is not None:
            given = (temperatures, eta_start, eta_stop, eta_step, exposure)
            progress = self._resumed(resume, alone=all(value is None for value in given))
            return (
                yield from vo2_plans.temperature_series(
                    self.beamline, progress=progress, **_arguments(progress)
                )
            )
        asked = self.defaults.temperatures if temperatures is None else temperatures
        window = self._window(eta_start, eta_stop, eta_step, exposure)
        return (
            yield from vo2_plans.temperature_series(
                self.beamline, temperatures=asked, locate=locate, pre_expose=pre_expose, **window
            )
        )

    def _resumed(self, series_uid: str, *, alone: bool) -> vo2_plans.SeriesProgress:
        if not alone:
            raise ValueError(
                "a resumed series keeps its own temperatures and rocking curve: resume was to be given "
                "alone, other arguments came too; leave them out"
            )
        if self.look_up is None:
            raise ValueError(
                f"these plans know no catalogue, and {series_uid!r} was to be resumed: open a session"
            )
        return self.look_up(series_uid)

    def rocking_scan(
        self,
        eta_start: float | None = None,
        eta_stop: float | None = None,
        eta_step: float | None = None,
        exposure: float | None = None,
    ) -> MsgGenerator[Any]:
        """Measure one rocking curve at the present temperature."""
        window = self._window(eta_start, eta_stop, eta_step, exposure)
        return (yield from vo2_plans.rocking_scan(self.beamline, **window))

    def locate_reflection(self, exposure: float = 1.0) -> MsgGenerator[Any]:
        """Find (011), centre it in eta and on one chip of the detector."""
        setpoint = float(self.beamline.heated_stage.setpoint)
        place = vo2_plans.SeriesPlace(vo2_plans.new_series_uid(), 0, 1, setpoint)
        return (yield from vo2_plans.locate_reflection(self.beamline, place, exposure=exposure))

    def soak(self, temperature: float) -> MsgGenerator[Any]:
        """Go to a temperature and wait until it has settled."""
        return (yield from vo2_plans.soak(self.beamline, temperature))

    def _window(
        self, start: float | None, stop: float | None, step: float | None, exposure: float | None
    ) -> Window:
        """Fill the rocking curve's window up with the defaults."""
        known = self.defaults
        return {
            "eta_start": known.eta_start if start is None else start,
            "eta_stop": known.eta_stop if stop is None else stop,
            "eta_step": known.eta_step if step is None else step,
            "exposure": known.exposure if exposure is None else exposure,
        }


def current_plans(session: Session) -> SessionPlans:
    """Return the plans of a session."""
    return SessionPlans(session.beamline, series_defaults(session.settings), lambda uid: session.resume(uid))


def _arguments(progress: vo2_plans.SeriesProgress) -> dict[str, Any]:
    """Return what `temperature_series` is called with to go on with a series."""
    stored = dict(progress.arguments)
    first, second, third = (int(index) for index in stored.pop("reflection"))
    return {**stored, "reflection": (first, second, third)}
