"""Bluesky plans: alignment, rocking scan, temperature series (fixed or adaptive), dry run, time estimate.

Devices come as arguments (`protocols.BeamlineLike`); the plans know neither their make nor the analysis.
"""

from vo2_plans.adaptive_series import (
    AdaptiveSettings,
    OrderParameterReader,
    OrderReading,
    adaptive_call_of,
    adaptive_temperature_series,
    adaptive_text,
)
from vo2_plans.alignment import Alignment, locate_reflection, recentre
from vo2_plans.dry_run import DryRun, dry_run, duration_text, estimate_time
from vo2_plans.preflight import Preflight, preflight
from vo2_plans.protocols import BeamlineLike
from vo2_plans.rocking import rocking_scan
from vo2_plans.run_metadata import EtaWindow, SeriesPlace, new_series_uid
from vo2_plans.sampling import WindowNeed, window_needs
from vo2_plans.series import (
    SeriesProgress,
    Temperatures,
    call_of,
    series_name,
    setpoints,
    soak,
    temperature_series,
)
from vo2_plans.stop_rule import EarlyReader, EarlyReading, StopRule

__all__ = [
    "AdaptiveSettings",
    "Alignment",
    "BeamlineLike",
    "DryRun",
    "EarlyReader",
    "EarlyReading",
    "EtaWindow",
    "OrderParameterReader",
    "OrderReading",
    "Preflight",
    "SeriesPlace",
    "SeriesProgress",
    "StopRule",
    "Temperatures",
    "WindowNeed",
    "adaptive_call_of",
    "adaptive_temperature_series",
    "adaptive_text",
    "call_of",
    "dry_run",
    "duration_text",
    "estimate_time",
    "locate_reflection",
    "new_series_uid",
    "preflight",
    "recentre",
    "rocking_scan",
    "series_name",
    "setpoints",
    "soak",
    "temperature_series",
    "window_needs",
]
