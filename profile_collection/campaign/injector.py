"""Faults applied inside the acquisition process: to the simulated hardware, the RunEngine, the disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from profile_collection.campaign.kinds import Fault
from profile_collection.devices.fresh_frame import ATTEMPTS

if TYPE_CHECKING:
    from profile_collection.session import Session

NOTICED_WITHIN = 30.0
"""Seconds within which a fault that shall break an exposure off must have done so."""
OUTSIDE = ("ctrl_c", "kill_acquisition", "kill_analysis", "kill_catalogue")
"""Kinds that the conductor applies from outside, by signals."""

Emit = Callable[..., None]


class Injector:
    """Applies faults at their moments.

    Parameters
    ----------
    session : Session
        The acquisition.
    emit : callable
        Tells the conductor: ``emit(event, **values)``.

    Attributes
    ----------
    wish : str
        What is to be done at the next pause: "resume" or "abort".
    """

    def __init__(self, session: Session, emit: Emit) -> None:
        self._session, self._emit = session, emit
        if session.twin is None:
            raise ValueError("faults of the hardware need the simulated beamline in this process")
        self._twin = session.twin
        self._faults: list[Fault] = []
        self._count = 0
        self._expose = self._twin.expose
        self._frame_file: Path | None = None
        self._start: Mapping[str, Any] = {}
        self._baseline: set[str] = set()
        self._baselines = 0
        self.wish = "resume"
        self._twin.expose = self._watched  # type: ignore[method-assign]
        session.RE.subscribe(self._follow)

    def begin(self, faults: Sequence[Fault], count: int) -> None:
        """Take the faults of a series, of which `count` exposures were made by an earlier process."""
        self._faults, self._count = list(faults), count

    def mend(self) -> None:
        """Put all hardware right."""
        faults, thermal = self._twin.faults, self._twin.thermal
        faults.beam_lost, faults.front_end_open = False, True
        faults.stuck.clear()
        thermal.drift = 0.0
        if thermal.ceiling != float("inf"):
            thermal.ceiling = float("inf")

    def _watched(self, exposure_time: float, cancel: threading.Event | None = None) -> Any:
        self._count += 1
        self._emit("exposure", count=self._count)
        event = cancel or threading.Event()
        for fault in [f for f in self._faults if f.moment <= self._count and f.kind not in LATER]:
            self._faults.remove(fault)
            self._apply(fault, event)
        return self._expose(exposure_time, cancel)

    def _apply(self, fault: Fault, cancel: threading.Event) -> None:
        if fault.kind in OUTSIDE:
            workers = _worker_pids()
            self.wish = "abort" if fault.amount < 0.5 else "resume"
            self._emit("ready", fault=fault.number, workers=workers)
            return
        self._emit("applied", fault=fault.number)
        if fault.kind in ("pause", "abort"):
            self.wish = "abort" if fault.kind == "abort" else "resume"
            self._session.RE.request_pause()
            self._wait(fault, cancel)
        elif fault.kind in ("beam_lost", "front_end", "drift"):
            self._break(fault)
            self._wait(fault, cancel)
            threading.Timer(0.2 + fault.amount, self._undo, [fault.kind]).start()
        else:
            self._break(fault)

    def _break(self, fault: Fault) -> None:
        faults = self._twin.faults
        actions: dict[str, Callable[[], Any]] = {
            "beam_lost": lambda: setattr(faults, "beam_lost", True),
            "front_end": lambda: setattr(faults, "front_end_open", False),
            "drift": lambda: setattr(self._twin.thermal, "drift", 1 + 2 * fault.amount),
            "stuck_motor": lambda: faults.stuck.add("eta"),
            "drop": faults.drop_frames,
            "repeat": faults.repeat_frames,
            "delay": lambda: faults.delay_frames(10 * fault.amount),
            "detector_down": lambda: faults.drop_frames(ATTEMPTS),
        }
        actions[fault.kind]()

    def _undo(self, kind: str) -> None:
        if kind == "beam_lost":
            self._twin.faults.beam_lost = False
        elif kind == "front_end":
            self._twin.faults.front_end_open = True
        else:
            self._twin.thermal.drift = 0.0

    def _wait(self, fault: Fault, cancel: threading.Event) -> None:
        if not cancel.wait(NOTICED_WITHIN):
            self._emit("unnoticed", fault=fault.number)

    def _follow(self, name: str, doc: Mapping[str, Any]) -> None:
        """Follow the documents to the moments between exposures."""
        if name == "start":
            self._start, self._baselines, self._frame_file = doc, 0, None
        elif name == "descriptor" and doc.get("name") == "baseline":
            self._baseline.add(doc["uid"])
        elif name == "stream_resource":
            self._frame_file = Path(unquote(urlsplit(doc["uri"]).path))
        elif name == "event" and doc["descriptor"] in self._baseline:
            self._baselines += 1
            if self._baselines == 2 and self._start.get("purpose") == "rocking":
                self._between_scans()

    def _between_scans(self) -> None:
        """Apply what happens to a scan whose file is closed, and before the next soak."""
        for fault in [f for f in self._faults if f.kind in LATER]:
            if fault.kind == "weak_heater" and self._start["series_index"] == 0:
                self._twin.thermal.ceiling = self._twin.thermal.temperature() + 2.0
            elif fault.kind == "truncated" and self._frame_file is not None:
                size = self._frame_file.stat().st_size
                os.truncate(self._frame_file, int(size * (0.05 + 0.9 * fault.amount)))
            else:
                continue
            self._faults.remove(fault)
            self._emit("applied", fault=fault.number, run=self._start["uid"])


LATER = ("weak_heater", "truncated")


def _worker_pids() -> list[int]:
    import multiprocessing

    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]
