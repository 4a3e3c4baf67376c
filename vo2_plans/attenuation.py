"""How much of the beam a scan may take: decided by short exposures at the peak, from full attenuation up."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite, sqrt
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from vo2_plans.protocols import BeamlineLike, Readings, value_of
from vo2_plans.rocking import measure
from vo2_plans.run_metadata import EtaWindow, SeriesPlace, start_metadata

_log = logging.getLogger(__name__)

HEADROOM = 0.5
"""Share of the counter's range that the brightest pixel may reach: the peak may lie beside the place."""

ENOUGH_COUNTS = 100.0
"""Counts from which on a pre-exposure says what the peak is; with fewer another one is taken."""

_EXPOSURES = 3


@dataclass(frozen=True)
class Attenuation:
    """What was decided, and from what.

    Attributes
    ----------
    transmission : float
        For the scan.
    predicted_peak : float
        Counts of the scan's brightest pixel, an upper estimate.
    pre_exposure : float
        Seconds of the last exposure that decided it.
    pre_transmission, pre_counts : float
        Its transmission, and the counts of its brightest pixel.
    """

    transmission: float
    predicted_peak: float
    pre_exposure: float
    pre_transmission: float
    pre_counts: float

    def as_metadata(self) -> dict[str, float]:
        """Return what the start document says under `attenuation`."""
        return asdict(self)


def attenuate(
    beamline: BeamlineLike,
    place: SeriesPlace,
    *,
    eta: float,
    exposure: float,
    pre_exposure: float = 1.0,
    md: Mapping[str, Any] | None = None,
) -> MsgGenerator[Attenuation | None]:
    """Set the attenuator so that the scan's brightest pixel stays well below saturation.

    Expose at the peak with the strongest absorber, then, where that counts too little to tell, with as much
    beam as is safe by then. Without readings, as in a dry run, the attenuator goes back to where it was and
    None is returned.

    Parameters
    ----------
    beamline : BeamlineLike
    place : SeriesPlace
    eta : float
        Where the peak is, degrees.
    exposure : float
        Seconds per point of the scan.
    pre_exposure : float
        Seconds of the exposure at the peak.
    md : mapping, optional
        Goes into the start documents.
    """
    beam = beamline.beam
    before, steps = float(beam.transmission.get()), sorted(beam.transmissions)
    limit = HEADROOM * float(beamline.metadata()["detector"]["saturation"])
    pre, found = steps[0], None
    for _ in range(_EXPOSURES):
        counts = yield from _peak_counts(beamline, place, eta, pre, pre_exposure, md)
        if not isfinite(counts):
            break
        rate = upper_estimate(counts) / (pre_exposure * pre)  # counts per second in the full beam
        chosen = brightest_step(steps, limit / (rate * exposure))
        found = Attenuation(chosen, rate * exposure * chosen, pre_exposure, pre, counts)
        following = brightest_step(steps, limit / (rate * pre_exposure))
        if counts >= ENOUGH_COUNTS or chosen == steps[-1] or following <= pre:
            break
        pre = following
    yield from bps.mv(beam.transmission, before if found is None else found.transmission)
    if found is not None and found.predicted_peak > 2 * limit:
        _log.warning(
            "At %g K the peak saturates the detector even with the strongest absorber: shorten the exposure.",
            place.temperature,
        )
    return found


def upper_estimate(counts: float) -> float:
    """Return what the mean may be that gave these counts: three standard deviations more, and never 0."""
    return counts + 3 * sqrt(counts) + 3


def brightest_step(steps: list[float], allowed: float) -> float:
    """Return the largest of the attenuator's transmissions that is allowed, the smallest if none is."""
    return max((step for step in steps if step <= allowed), default=min(steps))


def _peak_counts(
    beamline: BeamlineLike,
    place: SeriesPlace,
    eta: float,
    transmission: float,
    exposure: float,
    md: Mapping[str, Any] | None,
) -> MsgGenerator[float]:
    """Expose once at the peak; return the counts of its brightest pixel, NaN where nothing was read."""
    window = EtaWindow(eta, eta, 1.0, exposure)  # a single position
    counts = [float("nan")]

    def on_point(_eta: float, readings: Readings) -> None:
        counts[0] = value_of(readings, f"{beamline.merlin.name}_peak_max")

    document = start_metadata(
        beamline,
        place,
        plan_name="pre_exposure",
        purpose="align",
        window=window,
        md=md,
    )
    yield from bps.checkpoint()
    yield from bps.mv(beamline.beam.transmission, transmission)
    yield from measure(
        beamline,
        window.positions(),
        exposure=exposure,
        temperature=place.temperature,
        md=document,
        on_point=on_point,
    )
    return counts[0]
