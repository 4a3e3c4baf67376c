"""What a plan would do, and how long it would take, without moving anything: by Bluesky's own simulator."""

from collections import defaultdict
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from typing import Any

from bluesky.simulators import RunEngineSimulator
from bluesky.utils import Msg

SECONDS_PER_MESSAGE = 0.002
"""Assumed time that the RunEngine itself takes for a message."""


@dataclass
class RunLine:
    """One run of the plan.

    Attributes
    ----------
    md : dict
        Its start document.
    begins, seconds : float
        When it begins, counted from the plan's start, and how long it takes.
    points : int
        Events in the primary stream.
    """

    md: dict[str, Any]
    begins: float
    seconds: float = 0.0
    points: int = 0

    def text(self) -> str:
        """Return the run as a line."""
        scan, temperature = self.md.get("scan", {}), self.md.get("temperature_setpoint", float("nan"))
        name = f"{temperature:5.1f} K  {self.md.get('branch', ''):8s}{self.md.get('plan_name', 'run'):18s}"
        window = f"eta {scan['start']:.3f}° to {scan['stop']:.3f}° in {scan['step']:g}°" if scan else ""
        points = f"{scan['least']}–{self.points}" if "least" in scan else f"{self.points:4d}"
        exposure = f"{points} × {scan['exposure']:g} s" if scan else f"{self.points:4d} points"
        return f"{name}{window:36s}{exposure:14s}{duration_text(self.seconds):>9s}"


@dataclass
class DryRun:
    """The result of a dry run.

    Attributes
    ----------
    runs : list of RunLine
    seconds : float
        Duration of everything.
    moving_seconds, heating_seconds, exposing_seconds : float
        Its parts.
    messages : int
        Number of messages in the plan.
    value : object
        What the plan returned.
    """

    runs: list[RunLine] = field(default_factory=list)
    seconds: float = 0.0
    moving_seconds: float = 0.0
    heating_seconds: float = 0.0
    exposing_seconds: float = 0.0
    messages: int = 0
    value: Any = None

    def text(self) -> str:
        """Return a report to be printed."""
        parts = (
            ("exposures", self.exposing_seconds),
            ("heating and settling", self.heating_seconds),
            ("motions", self.moving_seconds),
        )
        lines = [run.text() for run in self.runs]
        lines += [f"{name:68s}{'':14s}{duration_text(seconds):>9s}" for name, seconds in parts]
        lines.append(f"{'the whole plan':68s}{'':14s}{duration_text(self.seconds):>9s}")
        return "\n".join(lines)


def dry_run(plan: Generator[Msg, Any, Any]) -> DryRun:
    """Consume a plan without a RunEngine; no device is moved, set, triggered or read.

    Targets are checked against the devices' limits. Positions, temperature and exposure time are kept in mind
    to tell how long motions, soaks and exposures take. A reading comes back only for what the plan has set.
    """
    return _Rehearsal().play(plan)


def estimate_time(plan: Generator[Msg, Any, Any]) -> float:
    """Return the estimated duration of a plan in seconds."""
    return dry_run(plan).seconds


class _Rehearsal:
    """Answers a plan's messages as a RunEngine would, as far as times and values set depend on them."""

    def __init__(self) -> None:
        self.result = DryRun()
        self._values: dict[Any, Any] = {}
        self._groups: dict[Hashable, float] = defaultdict(float)
        self._stream = "primary"
        self._simulator = RunEngineSimulator()
        handlers: dict[str, Callable[[Msg], Any]] = {
            "open_run": self._open_run,
            "close_run": self._close_run,
            "set": self._set,
            "trigger": self._trigger,
            "wait": self._wait,
            "read": self._read,
            "save": self._save,
            "create": self._create,
            "sleep": self._sleep,
        }
        for command, handler in handlers.items():
            self._simulator.add_handler(command, handler)

    def play(self, plan: Generator[Msg, Any, Any]) -> DryRun:
        """Return what the plan does."""
        messages = self._simulator.simulate_plan(plan)
        self.result.value, self.result.messages = self._simulator.return_value, len(messages)
        self._add_overhead([message.command for message in messages])
        return self.result

    def _add_overhead(self, commands: list[str]) -> None:
        """Add the time that the messages themselves take, up to each run's beginning and within it."""
        begins = [number for number, command in enumerate(commands, start=1) if command == "open_run"]
        ends = [number for number, command in enumerate(commands, start=1) if command == "close_run"]
        for run, begin in zip(self.result.runs, begins, strict=True):
            run.begins += begin * SECONDS_PER_MESSAGE
        for run, begin, end in zip(self.result.runs, begins, ends, strict=False):
            run.seconds += (end - begin) * SECONDS_PER_MESSAGE
        self.result.seconds += len(commands) * SECONDS_PER_MESSAGE

    def _open_run(self, message: Msg) -> str:
        self.result.runs.append(RunLine(dict(message.kwargs), begins=self.result.seconds))
        return f"dry-run-{len(self.result.runs)}"

    def _close_run(self, message: Msg) -> None:
        run = self.result.runs[-1]
        run.seconds = self.result.seconds - run.begins

    def _set(self, message: Msg) -> None:
        device, target = message.obj, message.args[0]
        if hasattr(device, "check_value"):
            device.check_value(target)
        self._begin(message, self._time_to_reach(device, target))
        self._values[device] = target

    def _time_to_reach(self, device: Any, target: Any) -> float:
        present = self._values.get(device, getattr(device, "position", None))
        if hasattr(device, "ramp_rate"):
            if device in self._values and target == present:
                return 0.0
            ramp = self._value_of(device.ramp_rate) / 60
            seconds = abs(target - present) / ramp + self._value_of(device.settle_time)
            self.result.heating_seconds += seconds
            return float(seconds)
        if isinstance(present, int | float) and getattr(device, "speed", None):
            seconds = abs(target - present) / device.speed
            self.result.moving_seconds += seconds
            return float(seconds)
        return 0.0

    def _value_of(self, signal: Any) -> Any:
        return self._values.get(signal, signal.get())

    def _trigger(self, message: Msg) -> None:
        if hasattr(message.obj, "acquire_time"):
            seconds = float(self._value_of(message.obj.acquire_time))
            self.result.exposing_seconds += seconds
            self._begin(message, seconds)

    def _begin(self, message: Msg, seconds: float) -> None:
        group = message.kwargs.get("group")
        self._groups[group] = max(self._groups[group], seconds)

    def _wait(self, message: Msg) -> None:
        group = message.kwargs.get("group", message.args[0] if message.args else None)
        self.result.seconds += self._groups.pop(group, 0.0)

    def _read(self, message: Msg) -> dict[str, Any] | None:
        if message.obj not in self._values:
            return None
        return {message.obj.name: {"value": self._values[message.obj], "timestamp": self.result.seconds}}

    def _create(self, message: Msg) -> None:
        self._stream = message.kwargs.get("name", message.args[0] if message.args else "primary")

    def _save(self, message: Msg) -> None:
        if self.result.runs and self._stream == "primary":
            self.result.runs[-1].points += 1

    def _sleep(self, message: Msg) -> None:
        self.result.seconds += float(message.args[0])


def duration_text(seconds: float) -> str:
    """Return a duration as people read it: 45 s, 12.5 min, 18.42 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.2f} h"
