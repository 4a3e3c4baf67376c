"""What passes between collector, queue, worker and views: a scan to analyse, its crop, what came of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.experiment import Experiment

from analysis.file_names import file_name

logger = logging.getLogger(__name__)

Crop = tuple[int, int, int]

SMALLEST = 16

LEAST_POINTS = 8
"""A scan that lacks points is analysed from so many on, if they are half of those asked for."""

Stage = Literal["final", "preview", "early", "transfer"]

PRIORITY: tuple[Stage, ...] = ("final", "preview", "early", "transfer")
"""Stages of a result in the order in which jobs are begun (`callbacks.queue`).

A final result is that of the whole scan, and the only one that counts. A preview is the network's guess, an
early result that of the first frames of a scan that still runs; transfer is work behind a result.
"""

FINAL: Stage = "final"


CAPTION: dict[Stage, str] = {
    "preview": "a guess of the network, not a result",
    "early": "from the first frames of the scan, until the final result replaces it",
}
"""What is said of a result that is not final, wherever it is shown."""


def stage_of(start: Mapping[str, Any]) -> str:
    """Return the stage of a derived run by its start document; one of before there were stages is final."""
    return str(start.get("stage", FINAL))


def enough_points(points: int, wanted: int | None) -> bool:
    """Return whether a scan of which only some points came can still be analysed."""
    return points >= max(LEAST_POINTS, (wanted or 0) / 2)


def parse_crop(text: str, experiment: Experiment | None = None) -> Crop:
    """Return the voxels (rocking, row, column) that `text` names: 'm1', '20nm', or three sizes.

    Parameters
    ----------
    text
        The named ones are an experiment's crop that leaves the second lattice's peak outside, and the one
        that holds it.
    experiment
        The paper's by default.

    Raises
    ------
    ValueError
        It is neither a name nor three whole numbers of at least 16.
    """
    from analysis.experiment import paper

    word = text.strip().lower()
    named = (experiment or paper()).crops
    if word in named:
        return named[word]
    words = word.split(",")
    if len(words) != 3 or not all(one.strip().isdigit() and int(one) >= SMALLEST for one in words):
        raise ValueError(
            f"a crop is three whole numbers of at least {SMALLEST}, as '64,64,64', or one of "
            f"{sorted(named)}; {text!r} came"
        )
    first, second, third = (int(one) for one in words)
    return first, second, third


@dataclass(frozen=True)
class ScanJob:
    """One rocking scan to analyse: uids, paths and small arrays, never frames.

    Parameters
    ----------
    start
        Start document of the run.
    frame_file, dataset
        Where the frames are.
    frame_index
        (points,) int64, frame of each point in the file.
    eta, monitor, temperature
        (points,) float64; degrees, monitor counts, K.
    positions
        Angles (degrees) of the circles that stood still, from the baseline.
    folder
        Results folder of the series.
    extra_frames
        Frames in the file that belong to no point (taken again after a pause).
    seed
        Of the phasing.
    replayed
        True where stored documents were sent through again.
    crop
        Voxels about the peak that are phased; None leaves it to the start document and its experiment.
    incomplete
        True for a scan that was broken off.
    notes
        What a person should know of the points: which were not measured, and why.
    stage
        Of its result.
    preview
        True where the network's guess is to be shown before the result.
    epochs
        Of transfer learning behind the result; 0 for none.
    """

    start: Mapping[str, Any]
    frame_file: Path
    dataset: str
    frame_index: NDArray[np.int64]
    eta: NDArray[np.float64]
    monitor: NDArray[np.float64]
    temperature: NDArray[np.float64]
    positions: Mapping[str, float]
    folder: Path
    extra_frames: int = 0
    seed: int = 0
    replayed: bool = False
    crop: tuple[int, int, int] | None = None
    incomplete: bool = False
    notes: tuple[str, ...] = ()
    stage: Stage = FINAL
    preview: bool = False
    epochs: int = 0

    @property
    def run_uid(self) -> str:
        """Uid of the measured run."""
        return str(self.start["uid"])

    @property
    def series_uid(self) -> str:
        """Uid of the series it belongs to."""
        return str(self.start["series_uid"])

    def previews(self, final: ScanJob) -> bool:
        """Return whether this job is the preview of the scan that ``final`` analyses."""
        return self.stage == "preview" and self.run_uid == final.run_uid

    @property
    def stem(self) -> str:
        """Name of the scan's files without a suffix: ``<T>K_<branch>_<attempt>_<uid8>``."""
        temperature = f"{float(self.start['temperature_setpoint']):g}K"
        return file_name(f"{temperature}_{self.start['branch']}_{self.start['attempt']}_{self.run_uid[:8]}")


@dataclass(frozen=True)
class OrderPoint:
    """One scan's order parameter as the series stands; ``series_index`` is its place in the series.

    ``provisional`` is true while the whole series is; ``reason`` says why the scan is not trusted.
    """

    run_uid: str
    temperature: float
    value: float
    error: float
    provisional: bool
    reason: str = ""
    series_index: int = 0
    branch: str = "heating"
    trusted: bool = True


@dataclass(frozen=True)
class SoFar:
    """How far an early result has come.

    Parameters
    ----------
    points, wanted
        Points that it was made of, and that the whole scan is to have.
    overlap
        With the early result before it, 0 to 1; NaN where there is none.
    covered
        True where the frames that the crop needs were all measured.
    """

    points: int
    wanted: int
    overlap: float = float("nan")
    covered: bool = False


@dataclass(frozen=True)
class Learning:
    """What the transfer learning behind a result came to.

    Parameters
    ----------
    epochs
        Of it.
    loss, search_loss
        L3 of its object, and of the search's: not the χ² of the result (docs/science.md section 3.9).
    overlap
        Of these two objects.
    """

    epochs: int
    loss: float
    search_loss: float
    overlap: float


@dataclass(frozen=True)
class ScanSummary:
    """What the views need to know of an analysed scan.

    Parameters
    ----------
    run_uid, series_uid, temperature_setpoint, branch, attempt
        Which scan.
    temperature
        Mean over the scan, K.
    chi_squared, noise_ratio, strain_sigma
        Of the reconstruction (docs/science.md sections 3.3, 3.4 and 3.11).
    order
        Order parameter of every temperature analysed so far.
    trusted, reasons
        The blind check's verdict.
    notes
        What is to be known of the data, no fault of the result.
    seconds
        The analysis took this long.
    result_file
        The scan's HDF5 file, None where the analysis failed.
    derived_uid
        Uid of the published run, None where publishing failed.
    error
        Why the analysis failed, in words; empty where it did not.
    warnings
        What else a person should read.
    analysis
        1 for the first analysis of the scan; later ones stand beside it.
    complete
        True where every scan of the series has been analysed.
    unsettled
        Why the order parameter of the whole series is provisional.
    stage
        Of the result.
    so_far
        Of an early result, else None.
    learning
        Of work behind a result, else None.
    """

    run_uid: str
    series_uid: str
    temperature_setpoint: float
    branch: str
    attempt: int
    temperature: float = float("nan")
    chi_squared: float = float("nan")
    noise_ratio: float = float("nan")
    strain_sigma: float = float("nan")
    order: tuple[OrderPoint, ...] = ()
    trusted: bool = False
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    result_file: Path | None = None
    derived_uid: str | None = None
    error: str = ""
    warnings: tuple[str, ...] = field(default=())
    complete: bool = False
    unsettled: tuple[str, ...] = ()
    analysis: int = 1
    stage: Stage = FINAL
    so_far: SoFar | None = None
    learning: Learning | None = None

    @property
    def settled(self) -> bool:
        """Whether more frames would change nothing: all of the crop is there, trusted, and compared."""
        so_far = self.so_far
        return so_far is not None and self.trusted and so_far.covered and math.isfinite(so_far.overlap)


def failed(job: ScanJob, error: str) -> ScanSummary:
    """Return the summary of a scan whose analysis failed for the reason `error`."""
    return ScanSummary(
        run_uid=job.run_uid,
        series_uid=job.series_uid,
        temperature_setpoint=float(job.start["temperature_setpoint"]),
        branch=str(job.start["branch"]),
        attempt=int(job.start["attempt"]),
        temperature=float(job.temperature.mean()),
        error=error,
        stage=job.stage,
    )


class Listener(Protocol):
    """Whoever shows or records what the analysis is doing; called from any thread."""

    def scan_queued(self, job: ScanJob) -> None:
        """Take note of a scan that was handed to the analysis for its final result."""

    def scan_analysed(self, summary: ScanSummary) -> None:
        """Take note of a scan's final result, or that there is none (`ScanSummary.error`)."""

    def other_result(self, summary: ScanSummary) -> None:
        """Take note of a result that is not the final one (`ScanSummary.stage`); nothing counts on it."""

    def warn(self, message: str) -> None:
        """Show something that a person should read."""


class Listeners:
    """Hands what the analysis tells to several listeners; one that fails keeps it from no other.

    Parameters
    ----------
    *listeners
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def scan_queued(self, job: ScanJob) -> None:
        """Take note of a scan that was handed to the analysis."""
        self._tell("scan_queued", job)

    def scan_analysed(self, summary: ScanSummary) -> None:
        """Take note of a scan that was analysed, or failed to be."""
        self._tell("scan_analysed", summary)

    def other_result(self, summary: ScanSummary) -> None:
        """Take note of a result that is not the final one."""
        self._tell("other_result", summary)

    def warn(self, message: str) -> None:
        """Show something that a person should read."""
        self._tell("warn", message)

    def _tell(self, what: str, given: Any) -> None:
        for listener in self._listeners:
            try:
                getattr(listener, what)(given)
            except Exception:
                logger.exception("a listener of the analysis failed")
