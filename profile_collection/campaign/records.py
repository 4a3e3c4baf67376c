"""What a campaign keeps on disk, line by line, so that it can go on in pieces."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
        with (self.folder / name).open("a") as file:
            file.write(json.dumps(values) + "\n")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
