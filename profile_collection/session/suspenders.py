"""What makes a scan wait by itself: lost beam, a closed front end, a sample that drifts off its temperature.

A suspension breaks the exposure off, closes the shutter, leaves the heater alone, and takes the point again
once the condition has passed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any

from bluesky.suspenders import SuspendBoolLow, SuspenderBase, SuspendFloor

if TYPE_CHECKING:
    from bluesky import RunEngine

    from profile_collection.devices.beamline import Beamline

LEAST_CURRENT, CURRENT_AGAIN = 150.0, 200.0
"""mA of ring current below which a scan waits, and from which it goes on."""

LARGEST_DRIFT, DRIFT_AGAIN = 0.5, 0.25
"""K off the setpoint at which a scan waits, and at which it goes on; the plan soaks again from there."""

BEAM_SETTLES = 30.0
"""Seconds that the optics are given to warm up once the beam is back."""

_TRIES = 20


Told = Callable[[str, bool, bool], None]
"""Is called with the reason of a suspension, whether it begins (or ends), and whether beam is missing."""


class _Insistent(SuspenderBase):
    """A suspender that insists: Bluesky's gives up where the RunEngine's loop is busy for 0.1 s.

    Attributes
    ----------
    told
        Told when the condition begins and ends while a plan runs; None tells nobody.
    no_beam
        Whether it waits for beam.
    """

    told: Told | None = None
    no_beam = False

    def __call__(self, value: Any, **kwargs: Any) -> None:
        """Take a new value of the signal."""
        before = self.tripped
        self._insist(value, **kwargs)
        if self.told is not None and self.tripped != before and self.RE and self.RE.state != "idle":
            self.told(self._tripped_message, self.tripped, self.no_beam)

    def _insist(self, value: Any, **kwargs: Any) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                super().__call__(value, **kwargs)
            except RuntimeError:
                if attempt == _TRIES:
                    raise
            else:
                return


class SuspendWithoutBeam(_Insistent, SuspendFloor):
    """Waits while the ring current is too low."""

    no_beam = True


class SuspendClosed(_Insistent, SuspendBoolLow):
    """Waits while the front end's permit is missing."""

    no_beam = True


class SuspendDrift(_Insistent):
    """Waits while a sample that had settled is off its setpoint; a ramp is no drift.

    Parameters
    ----------
    stage : HeatedStage
        `Tsample` is watched, `held` says at which temperature it has settled.
    **kwargs
        As for `bluesky.suspenders.SuspenderBase`.
    """

    def __init__(self, stage: Any, **kwargs: Any) -> None:
        super().__init__(stage.Tsample, **kwargs)
        self._stage = stage

    def _deviation(self, value: float) -> float:
        held = self._stage.held
        return abs(float(value) - held) if held is not None and isfinite(float(value)) else 0.0

    def _should_suspend(self, value: float) -> bool:
        return self._deviation(value) > LARGEST_DRIFT

    def _should_resume(self, value: float) -> bool:
        return self._deviation(value) <= DRIFT_AGAIN


def install_suspenders(
    engine: RunEngine, beamline: Beamline, *, settle: float = 0.0, told: Told | None = None
) -> None:
    """Have the RunEngine wait by itself where measuring makes no sense.

    Parameters
    ----------
    engine : RunEngine
    beamline : Beamline
    settle : float
        Seconds to wait once a condition has passed: the optics warm up again.
    told : callable, optional
        Is called with the reason of a suspension, whether it begins, and whether beam is missing.
    """
    beam, stage = beamline.beam, beamline.heated_stage
    suspenders = (
        SuspendWithoutBeam(
            beam.rc,
            LEAST_CURRENT,
            resume_thresh=CURRENT_AGAIN,
            sleep=settle,
            tripped_message=f"ring current below {LEAST_CURRENT:g} mA; goes on from {CURRENT_AGAIN:g} mA",
        ),
        SuspendClosed(
            beam.permit, sleep=settle, tripped_message="the front end is closed; goes on when it opens"
        ),
        SuspendDrift(
            stage,
            tripped_message=f"the sample is more than {LARGEST_DRIFT:g} K off its setpoint; goes on within "
            f"{DRIFT_AGAIN:g} K",
        ),
    )
    for suspender in suspenders:
        suspender.told = told
        engine.install_suspender(suspender)
