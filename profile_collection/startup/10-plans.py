"""The plans of this session, typed and bound to its devices, as IPython and the queue server list them."""

from bluesky.utils import MsgGenerator

import vo2_plans
from profile_collection.session.simulation import changed_window
from profile_collection.session.startup_checks import (
    ETA_STEP,
    EXPOSURE,
    HOURS,
    KELVIN_STEP,
    PATIENCE,
    in_range,
    limits_of,
)

# 00-session.py defined session, beamline and its devices.
_kelvin = limits_of(heated_stage)
_eta = limits_of(diffractometer.eta)
_exposure = limits_of(merlin.acquire_time, EXPOSURE)


@in_range(temperatures=_kelvin, eta_start=_eta, eta_stop=_eta, eta_step=ETA_STEP, exposure=_exposure)
def temperature_series(
    temperatures: float | list[float] | None = None,
    eta_start: float | None = None,
    eta_stop: float | None = None,
    eta_step: float | None = None,
    exposure: float | None = None,
    locate: bool = True,
    pre_expose: bool = True,
    guard: str = "",
    until: str | None = None,
    rest: bool = False,
    undersampled: bool = False,
    resume: str | int | None = None,
) -> MsgGenerator:
    """Measure a rocking curve at each temperature, through the phase transition.

    Parameters
    ----------
    temperatures
        K, in the order of measurement; the session's own by default.
    eta_start
        First eta of the rocking curve, degrees.
    eta_stop
        Last eta of the rocking curve, degrees.
    eta_step
        Step of eta, degrees.
    exposure
        Seconds per point.
    locate
        Search for the reflection first.
    pre_expose
        Choose the attenuator at each temperature by a short exposure at the peak.
    guard
        'flag' says what is wrong with a scan once it is measured, 'mend' also measures it once more.
    until
        'trusted' ends a scan when its early results are trusted, agree, and cover the crop.
    rest
        Measure the rest of the range nevertheless, for a second lattice's peak.
    undersampled
        Measure a crystal that is too coarsely sampled to be phased all the same.
    resume
        Uid of a series that was interrupted, -1 for the last; it goes on with its own arguments.

    Examples
    --------
    >>> RE(temperature_series([320, 335, 350], exposure=10))
    >>> RE(temperature_series(until="trusted"))
    >>> RE(temperature_series(resume=-1))
    """
    window = changed_window(session.experiment, eta_start, eta_stop, eta_step, exposure)
    return (
        yield from session.temperature_series(
            temperatures,
            window,
            locate=locate,
            pre_expose=pre_expose,
            guard=guard,
            until=until,
            rest=rest,
            undersampled=undersampled,
            resume=resume,
        )
    )


@in_range(
    start=_kelvin,
    stop=_kelvin,
    min_step=KELVIN_STEP,
    max_step=KELVIN_STEP,
    hours=HOURS,
    patience=PATIENCE,
    eta_start=_eta,
    eta_stop=_eta,
    eta_step=ETA_STEP,
    exposure=_exposure,
)
def adaptive_temperature_series(
    start: float,
    stop: float,
    min_step: float = 1.0,
    max_step: float = 7.5,
    hours: float = 18.9,
    branches: str = "heating",
    patience: float = 600.0,
    eta_start: float | None = None,
    eta_stop: float | None = None,
    eta_step: float | None = None,
    exposure: float | None = None,
    locate: bool = True,
    pre_expose: bool = True,
    until: str | None = None,
    rest: bool = False,
    undersampled: bool = False,
) -> MsgGenerator:
    """Measure a series that chooses its temperatures from the order parameter published so far.

    It is gone on with by temperature_series(resume=-1).

    Parameters
    ----------
    start
        Coldest temperature, K.
    stop
        Hottest temperature, K.
    min_step
        Smallest step, K.
    max_step
        Largest step, K.
    hours
        Beam time; it makes the largest number of scans.
    branches
        'heating', 'heating,cooling', or 'heating,heating' (a coarse pass, back to the start, a second pass).
    patience
        Seconds that a choice waits for a result it depends on.
    eta_start
        First eta of the rocking curve, degrees.
    eta_stop
        Last eta of the rocking curve, degrees.
    eta_step
        Step of eta, degrees.
    exposure
        Seconds per point.
    locate
        Search for the reflection first.
    pre_expose
        Choose the attenuator at each temperature by a short exposure at the peak.
    until
        'trusted' ends a scan when its early results are trusted, agree, and cover the crop.
    rest
        Measure the rest of the range nevertheless, for a second lattice's peak.
    undersampled
        Measure a crystal that is too coarsely sampled to be phased all the same.
    """
    asked = vo2_plans.AdaptiveSettings(start, stop, min_step, max_step, hours, branches, patience)
    window = changed_window(session.experiment, eta_start, eta_stop, eta_step, exposure)
    return (
        yield from session.adaptive_temperature_series(
            asked,
            window,
            locate=locate,
            pre_expose=pre_expose,
            until=until,
            rest=rest,
            undersampled=undersampled,
        )
    )


@in_range(eta_start=_eta, eta_stop=_eta, eta_step=ETA_STEP, exposure=_exposure)
def rocking_scan(
    eta_start: float | None = None,
    eta_stop: float | None = None,
    eta_step: float | None = None,
    exposure: float | None = None,
    until: str | None = None,
    rest: bool = False,
) -> MsgGenerator:
    """Measure one rocking curve at the present temperature.

    Parameters
    ----------
    eta_start
        First eta, degrees; the session's own by default.
    eta_stop
        Last eta, degrees.
    eta_step
        Step of eta, degrees.
    exposure
        Seconds per point.
    until
        'trusted' ends a scan when its early results are trusted, agree, and cover the crop.
    rest
        Measure the rest of the range nevertheless, for a second lattice's peak.

    Examples
    --------
    >>> RE(rocking_scan(eta_start=17.3, eta_stop=18.3))
    """
    window = changed_window(session.experiment, eta_start, eta_stop, eta_step, exposure)
    return (yield from session.rocking_scan(window, until=until, rest=rest))


@in_range(exposure=_exposure)
def locate_reflection(exposure: float = 1.0) -> MsgGenerator:
    """Find the reflection, centre it in eta and on one chip of the detector.

    Parameters
    ----------
    exposure
        Seconds per point.

    Examples
    --------
    >>> RE(locate_reflection())
    """
    return (yield from vo2_plans.locate_reflection(beamline, exposure=exposure))


@in_range(temperature=_kelvin)
def soak(temperature: float) -> MsgGenerator:
    """Go to a temperature and wait until it has settled.

    Parameters
    ----------
    temperature
        K.

    Examples
    --------
    >>> RE(soak(300))
    """
    return (yield from vo2_plans.soak(beamline, temperature))
