"""Runs the series of a campaign in a process of their own, strikes it from outside, and watches it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from profile_collection.catalogue import client
from profile_collection.checks.campaign.series import (
    Fault,
    Records,
    SeriesRecord,
    SeriesTask,
    campaign_settings,
)

SILENCE = 300.0
"""Seconds without a sign of life after which the acquisition hangs."""
STUCK_ANALYSIS = 900.0
"""Seconds after which a backlog that does not shrink hangs."""
MOST_RESTARTS = 25

OUTCOMES = {
    "pause": "resumed, the point taken again",
    "abort": "aborted, the series resumed",
    "beam_lost": "waited, went on by itself",
    "front_end": "waited, went on by itself",
    "drift": "waited, went on by itself",
    "weak_heater": "failed in words, the series resumed",
    "stuck_motor": "failed in words, the series resumed",
    "detector_down": "failed in words, the series resumed",
    "drop": "exposed again",
    "repeat": "exposed again",
    "delay": "waited for, or exposed again",
    "truncated": "reported by the analysis",
    "ctrl_c": "paused, then resumed or aborted and resumed",
    "kill_acquisition": "restarted, the series resumed",
    "kill_analysis": "worker replaced, the scan tried again",
    "kill_catalogue": "measurement went on, documents stored afterwards",
}
"""What must follow each kind of fault; the judge looks whether frames and results agree with it."""


class Acquisition:
    """The acquisition process and its events.

    Parameters
    ----------
    folder : Path
        Of the campaign.
    seed : int
    """

    def __init__(self, folder: Path, seed: int) -> None:
        reading, writing = os.pipe()
        with (folder / "acquisition.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "profile_collection.checks.campaign.acquisition"),
                    *(str(folder), str(writing), str(seed)),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writing,),
                start_new_session=True,
                text=True,
            )
        os.close(writing)
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(reading,), daemon=True).start()

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, encoding="utf-8") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # a line cut short by kill -9
                    self._events.put(json.loads(line))
        self._events.put(None)

    def tell(self, **command: Any) -> None:
        """Send a command; a process that is gone shows in its events."""
        assert self.process.stdin is not None  # noqa: S101  a pipe was asked for
        with contextlib.suppress(OSError):
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield events until the process ends; raise `TimeoutError` where it hangs."""
        left, since = -1, time.monotonic()
        while True:
            try:
                event = self._events.get(timeout=SILENCE)
            except queue.Empty:
                raise TimeoutError(f"no sign of life for {SILENCE:g} s") from None
            if event is None:
                return
            if event["event"] != "waiting" or event["left"] != left:
                left, since = event.get("left", -1), time.monotonic()
            elif time.monotonic() - since > STUCK_ANALYSIS:
                raise TimeoutError(f"{left} scans in analysis for {STUCK_ANALYSIS:g} s")
            yield event

    def kill(self) -> None:
        """Kill -9, and wait for the end."""
        self.process.kill()
        self.process.wait()

    def dump_and_kill(self) -> None:
        """Have a hanging process say where it hangs, in its log, then kill it."""
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(1.0)
        self.kill()


class Conductor:
    """Runs series after series.

    Parameters
    ----------
    folder : Path
        Of the campaign.
    seed : int
    say : callable
        Shows a line.
    """

    def __init__(self, folder: Path, seed: int, say: Callable[[str], None]) -> None:
        self._folder, self._seed, self._say = folder, seed, say
        self._records = Records(folder)
        self._acquisition: Acquisition | None = None
        self._timers: list[threading.Timer] = []
        self.hangs = 0

    def run(self, task: SeriesTask) -> SeriesRecord:
        """Measure one series with its faults; return what happened."""
        record = SeriesRecord(task.number, begun=time.time())
        left, hangs = list(task.faults), self.hangs
        while record.restarts <= MOST_RESTARTS:
            acquisition = self._running()
            again = SeriesTask(task.number, task.temperatures, tuple(left))
            acquisition.tell(
                command="series", task=again.to_dict(), count=record.exposures, series=record.series
            )
            if self._follow(acquisition, record, left, task):
                break
            self._acquisition = None
            record.restarts += 1
        for timer in self._timers:
            timer.join()
        self._timers.clear()
        record.seconds, record.hangs = time.time() - record.begun, self.hangs - hangs
        self._records.add(record)
        return record

    def _running(self) -> Acquisition:
        if self._acquisition is None:
            self._acquisition = Acquisition(self._folder, self._seed)
        return self._acquisition

    def _follow(
        self, acquisition: Acquisition, record: SeriesRecord, left: list[Fault], task: SeriesTask
    ) -> bool:
        """Take the events of a series; return whether it came to its end."""
        faults = {fault.number: fault for fault in task.faults}
        heard = time.monotonic()
        try:
            for event in acquisition.events():
                record.silence = max(record.silence, time.monotonic() - heard)
                heard = time.monotonic()
                kind = event.pop("event")
                if kind in ("applied", "ready"):
                    fault = faults[event["fault"]]
                    left[:] = [one for one in left if one.number != fault.number]
                    self._note(record, fault, event)
                    if kind == "ready":
                        self._strike(acquisition, fault, event["workers"])
                elif kind == "ready_for_more":
                    return True
                else:
                    self._records.take(record, kind, event)
        except TimeoutError as hang:
            self.hangs += 1
            self._say(f"series {record.number}: HANGS: {hang}; see acquisition.log")
            record.remarks.append(f"hang: {hang}")
            acquisition.dump_and_kill()
        acquisition.process.wait()
        return False

    def _note(self, record: SeriesRecord, fault: Fault, event: dict[str, Any]) -> None:
        record.faults.append(
            {"number": fault.number, "kind": fault.kind, "at": record.exposures, "time": time.time()}
        )
        if fault.kind == "truncated":
            record.truncated.append(event["run"])

    def _strike(self, acquisition: Acquisition, fault: Fault, workers: list[int]) -> None:
        """Apply a fault from outside, a random while later."""
        reach = 10.0 if fault.kind == "kill_analysis" else 0.5
        timer = threading.Timer(reach * fault.amount, self._signal, [acquisition, fault, workers])
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def _signal(self, acquisition: Acquisition, fault: Fault, workers: list[int]) -> None:
        with contextlib.suppress(ProcessLookupError):
            if fault.kind == "kill_acquisition":
                os.kill(acquisition.process.pid, signal.SIGKILL)
            elif fault.kind == "ctrl_c":
                for _ in range(2):
                    os.killpg(acquisition.process.pid, signal.SIGINT)
                    time.sleep(0.2)
            elif fault.kind == "kill_analysis":
                for pid in workers:
                    os.kill(pid, signal.SIGKILL)
            elif found := client.status(campaign_settings(self._folder, self._seed).data):
                os.kill(found.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let the analysis finish, in a process that is there for it; stop the server."""
        for _ in range(3):
            acquisition = self._running()
            acquisition.tell(command="close")
            try:
                if any(event["event"] == "closed" for event in acquisition.events()):
                    break
            except TimeoutError as hang:
                self.hangs += 1
                self._say(f"the end HANGS: {hang}; see acquisition.log")
                acquisition.dump_and_kill()
            self._acquisition = None
        self._records.note_hangs(self.hangs)
