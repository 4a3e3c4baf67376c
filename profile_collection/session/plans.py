"""The plans of ``vo2_plans`` with a session's devices and defaults filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import vo2_plans
from profile_collection.session.simulation import SeriesDefaults, series_defaults

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from profile_collection.devices.beamline import Beamline
    from profile_collection.session.session import Session


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
        temperatures: vo2_plans.Temperatures | None = None,
        eta_start: float | None = None,
        eta_stop: float | None = None,
        eta_step: float | None = None,
        exposure: float | None = None,
        locate: bool = True,
        pre_expose: bool = True,
        resume: str | int | None = None,
    ) -> MsgGenerator[Any]:
        """Measure a rocking curve at each temperature, or go on with the series `resume`."""
        if resume is not None:
            given = (temperatures, eta_start, eta_stop, eta_step, exposure)
            series, alone = vo2_plans.series_name(resume), all(value is None for value in given)
            progress = self._resumed(series, alone=alone)
            return (
                yield from vo2_plans.temperature_series(
                    self.beamline, progress=progress, **vo2_plans.call_of(progress.arguments)
                )
            )
        asked = self.defaults.temperatures if temperatures is None else temperatures
        window = self._window(eta_start, eta_stop, eta_step, exposure)
        return (
            yield from vo2_plans.temperature_series(
                self.beamline, asked, window, locate=locate, pre_expose=pre_expose
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
        return (yield from vo2_plans.rocking_scan(self.beamline, window))

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
    ) -> vo2_plans.EtaWindow:
        """Return the session's own window with what is given instead."""
        return self.defaults.window.changed(start=start, stop=stop, step=step, exposure=exposure)


def current_plans(session: Session) -> SessionPlans:
    """Return the plans of a session."""
    return SessionPlans(session.beamline, series_defaults(session.settings), lambda uid: session.resume(uid))
