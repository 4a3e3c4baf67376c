"""What a person sees: progress while measuring, a line per finished scan, a table at the end; and where.

The same information comes as bars in a terminal and as plain lines in a log.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from callbacks.jobs import ScanJob, ScanSummary
from callbacks.scan_end import decided_end

LOG_WIDTH = 120


def make_console() -> Console:
    """Return the console of this process's standard output; a character it does not know becomes a '?'."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # replaced by a test or a notebook, or closed
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console()
    return console if console.is_terminal else Console(width=LOG_WIDTH)


WAIT_EVERY = 30.0
"""Seconds between two lines that say how many scans are still in analysis."""
LOG_EVERY = 0.25
"""Share of a scan after which a log gets a line."""


class LiveView:
    """Shows documents of the measurement and messages of the analysis.

    Subscribe it to the RunEngine, hand it to the queue as listener, set it as the RunEngine's ``state_hook``.

    Parameters
    ----------
    console
        Where to write.

    Attributes
    ----------
    log
        File that says more about an error; it is named with each.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.log: Path | None = None
        self._start: dict[str, Any] | None = None
        self._primary: set[str] = set()
        self._points = 0
        self._waiting = 0
        self._begun = 0.0
        self._series_begun: tuple[str, float, int] = ("", 0.0, 0)
        self._logged = 0.0
        self._last_wait = time.monotonic()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._summaries: dict[str, dict[str, ScanSummary]] = {}

    # -- documents -----------------------------------------------------------------------------------------

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document of a rocking scan."""
        if name == "start":
            self._begin(doc)
        elif name == "descriptor" and self._start and doc["run_start"] == self._start["uid"]:
            if doc.get("name", "primary") == "primary":
                self._primary.add(doc["uid"])
        elif name == "event" and doc["descriptor"] in self._primary:
            self._points = int(doc["seq_num"])
            self._advance()
        elif name == "stop" and self._start and doc["run_start"] == self._start["uid"]:
            self._end(doc)

    def state_changed(self, new: str, old: str) -> None:
        """Take the bars away while the RunEngine is paused: the prompt needs the screen."""
        if new == "running" and self._start is not None:
            self._show_bars()
        elif new != "running":
            self._hide_bars()

    def _begin(self, doc: Mapping[str, Any]) -> None:
        if doc.get("purpose") != "rocking":
            if doc.get("purpose") == "align":
                self._line(f"aligning at {_kelvin(doc)}")
            if doc.get("purpose") == "decision":
                word = "next" if doc["decision"]["action"] == "measure" else "the series ends after"
                self._line(f"{word} {_kelvin(doc)}: {escape(doc['decision']['reason'])}")
            if doc.get("purpose") == "guard":
                self._line(f"the scan at {_kelvin(doc)}: {escape(doc['decision']['reason'])}")
            return
        self._start = dict(doc)
        self._points, self._logged, self._begun = 0, 0.0, time.monotonic()
        if self._series_begun[0] != doc.get("series_uid"):
            self._series_begun = (doc.get("series_uid", ""), self._begun, int(doc.get("series_index", 0)))
        least = f"{doc['scan']['least']} to " if "least" in doc.get("scan", {}) else ""
        self._line(f"scan {self._position()}  {_kelvin(doc)}  {least}{self._size()} points")
        self._show_bars()

    def _advance(self) -> None:
        share = self._points / self._size()
        if self._progress is not None:
            self._update_bars()
        elif share - self._logged >= LOG_EVERY and share < 1:
            self._logged = share
            left = f"{_duration(self._scan_left())} left, series {_duration(self._series_left())} left"
            self._line(f"  point {self._points}/{self._size()}  {left}{self._backlog()}")

    def _end(self, doc: Mapping[str, Any]) -> None:
        self._hide_bars()
        seconds = time.monotonic() - self._begun
        word = "measured" if doc.get("exit_status") == "success" else f"[yellow]{doc.get('exit_status')}[/]"
        left = f"series {_duration(self._series_left())} left" if self._scans_left() else "the last"
        if decided := decided_end(self._start or {}, doc):
            self._line(f"  {escape(decided)}")
        self._line(f"  {word} {self._points} points in {_duration(seconds)}, {left}{self._backlog()}")
        self._start = None
        self._primary.clear()

    # -- messages of the analysis ------------------------------------------------------------------------

    def scan_queued(self, job: ScanJob) -> None:
        """Count one more in the backlog."""
        self._waiting += 1

    def scan_analysed(self, summary: ScanSummary) -> None:
        """Print the line of a scan, and the table when the series is complete."""
        self._waiting -= 1
        known = self._summaries.setdefault(summary.series_uid, {})
        known[summary.run_uid] = summary
        self._line(scan_line(summary))
        if summary.error:
            self._name_log()
        for warning in summary.warnings:
            self.warn(warning)
        if summary.complete:
            self._console().print(series_table(list(known.values())))

    def other_result(self, summary: ScanSummary) -> None:
        """Print the line of a preview, of an early result, or of work behind a result."""
        self._line(other_line(summary))

    def waiting(self, left: int) -> None:
        """Say from time to time how many scans are still in analysis."""
        now = time.monotonic()
        if now - self._last_wait > WAIT_EVERY:
            self._last_wait = now
            self.say(f"  {left} in analysis …")

    def warn(self, message: str) -> None:
        """Show a remark, in yellow."""
        self._line(f"[yellow]{escape(message)}[/]")

    def fail(self, message: str) -> None:
        """Show a failure, in red, and where the details are."""
        self._line(f"[bold red]{escape(message)}[/]")
        self._name_log()

    def say(self, message: str) -> None:
        """Show a plain sentence."""
        self._line(escape(message))

    # -- bars --------------------------------------------------------------------------------------------

    def _show_bars(self) -> None:
        if not self.console.is_terminal or self._progress is not None:
            return
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}")
        self._progress = Progress(*columns, console=self.console, transient=True, refresh_per_second=4)
        self._tasks = {name: self._progress.add_task("", total=1.0, left="") for name in ("series", "scan")}
        self._update_bars()
        self._progress.start()

    def _update_bars(self) -> None:
        if self._progress is None or self._start is None:
            return
        scan = f"{_kelvin(self._start)}  point {self._points}/{self._size()}"
        share = self._points / self._size()
        series = (int(self._start.get("series_index", 0)) + share) / self._scans()
        for name, text, done, left in (
            ("series", f"series  {self._position()}", series, self._series_left()),
            ("scan", scan, share, self._scan_left()),
        ):
            note = f"{_duration(left)} left" + (self._backlog() if name == "series" else "")
            self._progress.update(self._tasks[name], description=text, completed=done, left=note)

    def _hide_bars(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    # -- numbers -----------------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        self._console().print(text, highlight=False, soft_wrap=True)

    def _name_log(self) -> None:
        if self.log is not None:
            self._line(f"    [dim]details: {escape(str(self.log))}[/]")

    def _console(self) -> Console:
        return self._progress.console if self._progress is not None else self.console

    def _size(self) -> int:
        return max(int((self._start or {}).get("scan", {}).get("num", 0)) or self._points, 1)

    def _scans(self) -> int:
        return max(int((self._start or {}).get("series_size", 1)), 1)

    def _scans_left(self) -> int:
        return self._scans() - int((self._start or {}).get("series_index", 0)) - 1

    def _position(self) -> str:
        return f"{int((self._start or {}).get('series_index', 0)) + 1}/{self._scans()}"

    def _backlog(self) -> str:
        return f", {self._waiting} in analysis" if self._waiting else ""

    def _scan_left(self) -> float:
        return _remaining(time.monotonic() - self._begun, self._points, self._size())

    def _series_left(self) -> float:
        """Seconds to the series' end at its pace so far, moves and soaking included."""
        _, begun, first = self._series_begun
        done = int((self._start or {}).get("series_index", 0)) - first + self._points / self._size()
        return _remaining(time.monotonic() - begun, done, self._scans() - first)


def scan_line(summary: ScanSummary) -> str:
    """Return the line of a finished scan, and below it what is to be said against it, in rich markup."""
    name = f"{summary.temperature_setpoint:g} K {summary.branch}"
    if summary.attempt > 1:
        name += f" (attempt {summary.attempt})"
    if summary.error:
        return f"[bold red]✗ {escape(name)}  analysis failed: {escape(summary.error)}[/]"
    verdict = "[green]trusted[/]" if summary.trusted else "[yellow]untrusted[/]"
    own = next((point for point in summary.order if point.run_uid == summary.run_uid), None)
    if own is not None and own.provisional:
        verdict += " [yellow]provisional[/]"
    numbers = (
        f"T {summary.temperature:.2f} K",
        f"χ² {_number(summary.chi_squared, '.4f')}",
        f"noise ratio {_number(summary.noise_ratio, '.2f')}",
        f"strain σ {_number(summary.strain_sigma, '.2e')}",
        f"O {_number(own.value if own else math.nan, '.2f')}",
        f"{summary.seconds:.1f} s",
    )
    line = f"[bold]✓ {escape(name)}[/]  {'  '.join(numbers)}  {verdict}"
    of_series = own.reason.split("; ") if own is not None and not own.trusted else []
    reasons = dict.fromkeys([*summary.reasons, *of_series])
    remarks = [
        *(reason for reason in reasons if reason),
        *(f"provisional: {why}" for why in summary.unsettled),
        *(f"note: {note}" for note in summary.notes),
    ]
    return "".join([line, *(f"\n    [dim]{escape(remark)}[/]" for remark in remarks)])


def other_line(summary: ScanSummary) -> str:
    """Return the line of a result that is not final, in rich markup; hollow, for nothing counts on it."""
    name = f"{summary.stage} {summary.temperature_setpoint:g} K {summary.branch}"
    if summary.error:
        return f"[dim]○ {escape(name)}  none: {escape(summary.error)}[/]"
    words = [f"χ² {_number(summary.chi_squared, '.4f')}", f"{summary.seconds:.1f} s"]
    if (learned := summary.learning) is not None:
        words = [
            f"{learned.epochs} epochs",
            f"L3 {learned.loss:.4f} (the search's object {learned.search_loss:.4f})",
            f"overlap with it {learned.overlap:.3f}",
            words[-1],
        ]
    if summary.so_far is not None:
        verdict = "trusted so far" if summary.trusted else "not trusted yet"
        words = [f"{summary.so_far.points} of {summary.so_far.wanted} points", verdict, *words]
        if math.isfinite(summary.so_far.overlap):
            words.append(f"overlap {summary.so_far.overlap:.3f} with the one before")
    return f"[dim]○ {escape(name)}[/]  {'  '.join(words)}"


def series_table(summaries: Sequence[ScanSummary]) -> Table:
    """Return the table of a series: the last word of the analysis on each temperature."""
    table = Table(title="order parameter", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("T (K)", "branch", "χ²", "noise", "strain σ", "O (rad)", "±", "s", ""):
        table.add_column(heading, justify="left" if heading in ("branch", "") else "right", no_wrap=True)
    latest = max(summaries, key=lambda summary: len(summary.order), default=None)
    order = {point.run_uid: point for point in (latest.order if latest else ())}
    for one in sorted(
        summaries, key=lambda summary: (summary.branch != "heating", summary.temperature_setpoint)
    ):
        point = order.get(one.run_uid)
        verdict = "failed" if one.error else ("trusted" if one.trusted else "untrusted")
        if point is not None and point.provisional:
            verdict += ", provisional"
        table.add_row(
            f"{one.temperature_setpoint:g}",
            one.branch,
            _number(one.chi_squared, ".4f"),
            _number(one.noise_ratio, ".2f"),
            _number(one.strain_sigma, ".2e"),
            _number(point.value if point else math.nan, ".2f"),
            _number(point.error if point else math.nan, ".2f"),
            f"{one.seconds:.1f}",
            verdict,
        )
    return table


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "—"


def _remaining(elapsed: float, done: float, total: float) -> float:
    return elapsed * (total - done) / done if done > 0 else math.nan


def _kelvin(doc: Mapping[str, Any]) -> str:
    return f"{float(doc.get('temperature_setpoint', math.nan)):g} K {doc.get('branch', '')}".rstrip()


def _duration(seconds: float) -> str:
    """Return a duration as a person says it."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
