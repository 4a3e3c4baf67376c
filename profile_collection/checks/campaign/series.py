"""The series of a campaign: the small beamline, the faults of each, and what is kept of them on disk.

Which fault happens when is drawn from a seed, each kind as often as another. The beamline is as little as
honesty allows, so that many series fit into an hour. What is kept is written line by line, so that a campaign
can go on in pieces.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from analysis.experiment import paper
from profile_collection.session.settings import Settings
from profile_collection.twin import CrystalConfig, DetectorConfig, TwinConfig
from vo2_plans import EtaWindow

KINDS = {
    "pause": "a pause within an exposure",
    "abort": "an abort within an exposure",
    "ctrl_c": "Ctrl-C twice",
    "beam_lost": "the ring current is lost",
    "front_end": "the front end closes",
    "drift": "the sample drifts off its temperature",
    "weak_heater": "the heater does not reach its setpoint",
    "stuck_motor": "the rocking motor is stuck",
    "drop": "the detector drops a frame",
    "repeat": "the detector repeats a frame",
    "delay": "the detector delays a frame",
    "detector_down": "the detector gives no frame at all",
    "truncated": "a frame file is cut short",
    "kill_acquisition": "kill -9 of the acquisition",
    "kill_analysis": "kill -9 of the analysis",
    "kill_catalogue": "kill -9 of the catalogue's server",
}
"""Kind of fault to what it is."""

POINTS = 64
"""Points of a rocking scan of the campaign."""
PER_SERIES = 12
"""Faults in a series of two scans."""
FIRST, *WARM = paper().temperatures
"""The reference's temperature and those that follow it, K."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes
    ----------
    number : int
        From 0, over the whole campaign.
    kind : str
        One of `KINDS`.
    moment : int
        Exposure of its series, from 1, at which it happens; those taken again count too.
    amount : float
        From 0 to 1: how strong, how late or how long, as the kind has it.
    """

    number: int
    kind: str
    moment: int
    amount: float


@dataclass(frozen=True)
class SeriesTask:
    """One series of the campaign: two temperatures and the faults that happen meanwhile."""

    number: int
    temperatures: tuple[float, float]
    faults: tuple[Fault, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild a task from what `to_dict` gave."""
        first, second = values["temperatures"]
        faults = tuple(Fault(**fault) for fault in values["faults"])
        return cls(int(values["number"]), (float(first), float(second)), faults)


def draw(count: int, seed: int) -> list[SeriesTask]:
    """Return the series of a campaign with `count` faults; the first series of a longer one are the same.

    Raises
    ------
    ValueError
        There are fewer faults than kinds.
    """
    if count < len(KINDS):
        raise ValueError(f"a campaign needs at least one fault of each of {len(KINDS)} kinds, {count!r} came")
    rng = np.random.default_rng([seed, 50])
    kinds: list[str] = []
    while len(kinds) < count:
        kinds += [str(kind) for kind in rng.permutation(list(KINDS))]
    tasks: list[SeriesTask] = []
    rng = np.random.default_rng([seed, 51])
    for first in range(0, count, PER_SERIES):
        chosen = kinds[first : min(first + PER_SERIES, count)]
        moments = np.sort(rng.integers(1, 2 * POINTS, PER_SERIES))[: len(chosen)]
        amounts, warm = rng.random(PER_SERIES), float(rng.choice(WARM))
        faults = tuple(
            Fault(first + n, kind, int(moments[n]), float(amounts[n])) for n, kind in enumerate(chosen)
        )
        tasks.append(SeriesTask(len(tasks), (FIRST, warm), faults))
    return tasks


REGION = (96, 160, 96, 160)
"""Rows and columns read out: 64 × 64 about the centre of a chip."""
CROP = (48, 48, 48)
"""Voxels that are phased."""
ARM = {"delta": 25.1079, "gam": 0.3428}
"""Where the detector arm puts the Bragg peak on the region, degrees."""
STEP = 0.01

WINDOW = EtaWindow(
    round(17.8 - STEP * (POINTS // 2), 4), round(17.8 + STEP * (POINTS - POINTS // 2 - 1), 4), STEP, 30.0
)
"""The rocking scan; the peak is followed, not searched for."""


def campaign_twin(settings: Settings) -> TwinConfig:
    """Return a crystal of half the usual size on a small region of the detector, whatever is set."""
    return TwinConfig(
        crystal=CrystalConfig(size=(700.0, 900.0, 900.0), pitch=(12.5, 12.5, 12.5)),
        detector=DetectorConfig(roi=REGION),
        threads=1,
    )


def campaign_settings(folder: Path, seed: int) -> Settings:
    """Return the settings of the acquisition process."""
    return Settings(data=folder / "data", results=folder / "results", seed=seed, transfer_epochs=0)


SERIES, POINTS_TAKEN, VERDICTS = "series.jsonl", "points.jsonl", "verdicts.jsonl"


@dataclass
class SeriesRecord:
    """What happened in one series.

    Attributes
    ----------
    number : int
        Of the series in the campaign.
    series : str or None
        Its uid.
    exposures, restarts, hangs : int
        Exposures made, processes started again, times without a sign of life.
    silence : float
        Longest time between two signs of life, s.
    faults : list of dict
        What was applied: number, kind, and the exposure it came at.
    truncated : list of str
        Runs whose frame file was cut short.
    runs : dict
        Run uid to how it ended, "" where it did not.
    remarks : list of str
        Errors in words, as the user reads them, and what else was noticed.
    ended : str
        "done", or "gave_up".
    """

    number: int
    begun: float = 0.0
    seconds: float = 0.0
    series: str | None = None
    exposures: int = 0
    restarts: int = 0
    hangs: int = 0
    silence: float = 0.0
    faults: list[dict[str, Any]] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    ended: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the judge found of one series: numbers of frames, results, and points the catalogue lacks."""

    number: int
    frames: int
    aligned: int
    destroyed: int
    complete: bool
    right: int
    wrong: int
    untrusted: int
    failed: int
    missing: int
    points_lost: int = 0
    overlaps: tuple[float, ...] = ()
    remarks: tuple[str, ...] = ()


class Records:
    """The files of a campaign in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, record: SeriesRecord, kind: str, event: dict[str, Any]) -> None:
        """Take one event of the acquisition."""
        if kind == "exposure":
            record.exposures = int(event["count"])
        elif kind == "start":
            record.series = event["series"] or record.series
            record.runs[event["run"]] = ""
        elif kind == "stop":
            record.runs[event["run"]] = event["status"]
        elif kind == "point":
            self._append(POINTS_TAKEN, {"number": record.number, **event})
        elif kind in ("error", "unnoticed", "interrupted"):
            record.remarks.append(f"{kind}: {event.get('text', event.get('fault', ''))}")
        elif kind in ("done", "gave_up"):
            record.ended = kind
        if event.get("shutter", "closed") != "closed":
            record.remarks.append(f"the shutter was {event['shutter']} when {kind}")

    def add(self, record: SeriesRecord) -> None:
        """Keep a series that came to its end."""
        self._append(SERIES, asdict(record))

    def judged(self, verdict: Verdict) -> None:
        """Keep a verdict."""
        self._append(VERDICTS, asdict(verdict))

    def series(self) -> list[SeriesRecord]:
        """Return the series so far."""
        return [SeriesRecord(**line) for line in self._lines(SERIES)]

    def verdicts(self) -> dict[int, Verdict]:
        """Return the verdicts so far, by the number of the series."""
        return {line["number"]: Verdict(**line) for line in self._lines(VERDICTS)}

    def points(self, number: int) -> dict[tuple[str, int], dict[str, Any]]:
        """Return the last point that was announced for each (run, frame) of one series."""
        found = [line for line in self._lines(POINTS_TAKEN) if line["number"] == number]
        return {(line["run"], int(line["frame"])): line for line in found}

    def note_hangs(self, count: int) -> None:
        """Keep the hangs of one piece of the campaign."""
        self._append("pieces.jsonl", {"hangs": count})

    def hangs(self) -> int:
        """Return the hangs of all pieces."""
        return sum(line["hangs"] for line in self._lines("pieces.jsonl"))

    def _append(self, name: str, values: dict[str, Any]) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        return (
            [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if path.exists()
            else []
        )
