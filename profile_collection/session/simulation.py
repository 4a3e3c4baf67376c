"""What the simulated beamline looks like for the paper's series and for the quick one."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from profile_collection.session.settings import Settings
from profile_collection.twin import Clock, Twin, TwinConfig
from vo2_plans import EtaWindow

QUICK_REGION = (64, 192, 64, 192)
"""Rows and columns read out in the quick series: 128 × 128 about the centre of a chip."""

BEGIN = 1_795_359_600.0
"""When simulated time begins, epoch seconds: fixed, so that a seed means the same drift on any day."""


@dataclass(frozen=True)
class SeriesDefaults:
    """What is measured where nothing else is asked for.

    Parameters
    ----------
    temperatures
        K, in the order of the series.
    window
        Positions of eta and exposure.
    """

    temperatures: tuple[float, ...] = tuple(320.0 + 5.0 * n for n in range(10))
    window: EtaWindow = EtaWindow(16.7, 18.9, 0.01, 30.0)

    def changed_window(
        self,
        start: float | None = None,
        stop: float | None = None,
        step: float | None = None,
        exposure: float | None = None,
    ) -> EtaWindow | None:
        """Return the window with what is given instead (degrees, s); None where nothing is."""
        window = self.window.changed(start=start, stop=stop, step=step, exposure=exposure)
        return None if (start, stop, step, exposure) == (None,) * 4 else window


PAPER = SeriesDefaults()
QUICK = SeriesDefaults(temperatures=(320.0, 335.0, 350.0), window=EtaWindow(17.3, 18.3, 0.01, 30.0))


def series_defaults(settings: Settings) -> SeriesDefaults:
    """Return the defaults of a session: the paper's, or the quick ones."""
    return QUICK if settings.quick else PAPER


def twin_config(settings: Settings) -> TwinConfig:
    """Return the configuration of the simulated beamline."""
    config = TwinConfig()
    if not settings.quick:
        return config
    return dataclasses.replace(config, detector=dataclasses.replace(config.detector, roi=QUICK_REGION))


def make_twin(settings: Settings) -> Twin:
    """Return the simulated beamline of a session, or of the soft IOC in its place."""
    clock = Clock(1.0 if settings.realtime else math.inf, start=BEGIN)
    return Twin(twin_config(settings), clock, settings.seed)
