"""Everything that can be known to go wrong is found before anything moves: limits, disk, oversampling."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from numbers import Real
from pathlib import Path

from vo2_plans.protocols import BeamlineLike
from vo2_plans.run_metadata import EtaWindow
from vo2_plans.sampling import DIRECTIONS, check_sampling, window_needs

COMPRESSION = 3.0
"""Assumed ratio by which Bitshuffle-LZ4 shrinks frames of mostly empty 32-bit counters; a cautious figure."""

RESERVE_BYTES = 200_000_000
"""Disk space to be left over for catalogue, results and other programs."""

SECONDS_PER_POINT = 0.2
"""Assumed time for motion, read-out and documents at each point."""


@dataclass(frozen=True)
class Preflight:
    """What a series will take.

    Attributes
    ----------
    points : int
        Frames of all rocking scans.
    disk_bytes : int
        Estimated size of the frame files.
    seconds : float
        Estimated duration of the rocking scans and temperature ramps.
    oversampling : tuple of float, optional
        Along the rocking direction, along Q, and horizontally, where the crystal's size is known.
    warnings : list of str
        What one should know and may accept.
    windows : list of str
        Which range of eta the analysed crops need.
    """

    points: int
    disk_bytes: int
    seconds: float
    oversampling: tuple[float, float, float] | None = None
    warnings: list[str] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return all of it as lines to be printed."""
        lines = [
            f"{self.points} frames, about {self.disk_bytes / 1e6:.0f} MB on disk (if they compress "
            f"{COMPRESSION:g} times), about {self.seconds / 3600:.2f} h of scans, ramps and settling"
        ]
        if self.oversampling is not None:
            parts = zip(self.oversampling, DIRECTIONS, strict=True)
            lines.append("oversampled " + ", ".join(f"{ratio:.2f} times {name}" for ratio, name in parts))
        return "\n".join([*lines, *self.windows, *(f"warning: {warning}" for warning in self.warnings)])


def preflight(
    beamline: BeamlineLike,
    temperatures: Sequence[float],
    window: EtaWindow,
    *,
    align_exposure: float = 1.0,
    undersampled: bool = False,
) -> Preflight:
    """Check a series; raise `ValueError` that lists, in words, all that is wrong.

    Parameters
    ----------
    beamline : BeamlineLike
    temperatures : sequence of float
        Setpoints, K.
    window : EtaWindow
    align_exposure : float
        Seconds per point of the alignment scans.
    undersampled : bool
        Whether a crystal that is too coarsely sampled to be phased is measured all the same.
    """
    problems = _temperature_problems(beamline, temperatures) + _window_problems(beamline, window)
    if not (isinstance(align_exposure, Real) and isfinite(align_exposure) and align_exposure > 0):
        problems.append(
            f"the alignment exposure must be a positive number of seconds, got {align_exposure!r}"
        )
    _raise_if(problems)
    points = len(temperatures) * window.num
    disk_bytes = int(points * _frame_bytes(beamline) / COMPRESSION)
    _raise_if(_disk_problems(beamline.merlin.data_folder, disk_bytes))
    metadata = beamline.metadata()
    sampled = check_sampling(metadata, window, beamline.crystal_size_nm)
    _raise_if([] if undersampled else sampled.refusals)
    needs = window_needs(metadata, window)
    return Preflight(
        points,
        disk_bytes,
        _duration(beamline, temperatures, window),
        sampled.oversampling,
        [*sampled.warnings, *(one.warning for one in needs[:1] if one.warning)],
        [one.text for one in needs],
    )


def check_window(beamline: BeamlineLike, window: EtaWindow) -> None:
    """Raise `ValueError`, in words, if this window cannot be measured."""
    _raise_if(_window_problems(beamline, window))


def _raise_if(problems: list[str]) -> None:
    if problems:
        raise ValueError("Nothing was moved: " + "; ".join(problems) + ".")


def _temperature_problems(beamline: BeamlineLike, temperatures: Sequence[float]) -> list[str]:
    low, high = beamline.heated_stage.limits
    if len(temperatures) == 0:
        return ["temperatures must name at least one setpoint in K, got none"]
    return [
        f"temperatures must be finite numbers from {low:g} to {high:g} K (the range of "
        f"{beamline.heated_stage.name}), got {temperature!r}"
        for temperature in temperatures
        if not (isinstance(temperature, Real) and isfinite(temperature) and low <= temperature <= high)
    ]


def _window_problems(beamline: BeamlineLike, window: EtaWindow) -> list[str]:
    problems = window.problems()
    if problems:
        return problems
    longest = beamline.merlin.acquire_time.limits[1]
    if window.exposure > longest:
        problems.append(f"the exposure must be at most {longest:g} s, got {window.exposure!r}")
    low, high = beamline.diffractometer.eta.limits
    return problems + [
        f"eta must stay within its limits {low:g}° to {high:g}°, got {position:g}°"
        for position in (window.start, window.stop)
        if not low <= position <= high
    ]


def _frame_bytes(beamline: BeamlineLike) -> int:
    first_row, last_row, first_column, last_column = beamline.metadata()["detector"]["roi"]
    return int((last_row - first_row) * (last_column - first_column) * 4)


def _disk_problems(folder: Path, needed: int) -> list[str]:
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free >= needed + RESERVE_BYTES:
        return []
    return [
        f"{existing} must have {(needed + RESERVE_BYTES) / 1e6:.0f} MB free (frames compressed "
        f"{COMPRESSION:g} times, {RESERVE_BYTES / 1e6:.0f} MB in reserve), it has {free / 1e6:.0f} MB: free "
        "some space or choose another data folder"
    ]


def _duration(beamline: BeamlineLike, temperatures: Sequence[float], window: EtaWindow) -> float:
    stage = beamline.heated_stage
    reached = [stage.setpoint, *temperatures]
    ramps = sum(abs(b - a) for a, b in zip(reached, reached[1:], strict=False)) / stage.ramp_rate.get() * 60
    return float(ramps + len(temperatures) * scan_seconds(beamline, window))


def scan_seconds(beamline: BeamlineLike, window: EtaWindow) -> float:
    """Return the estimated time that one temperature takes once it is reached, s: settling, and the scan."""
    settling = float(beamline.heated_stage.settle_time.get())
    return window.num * (window.exposure + SECONDS_PER_POINT) + settling
