"""The alert: a command that a person named, run on failure, beam loss and finish: nobody need watch."""

from __future__ import annotations

import logging
import shlex
import subprocess
import threading
from collections.abc import Callable

from callbacks.jobs import ScanJob, ScanSummary

logger = logging.getLogger(__name__)

TIME_LIMIT = 30.0
"""Seconds after which the command is ended."""
LONGEST = 500
"""Characters of a reason: text messages and pagers take no more."""


def alert_words(command: str) -> list[str]:
    """Return the words of an alert command, as a shell would split them.

    Raises
    ------
    ValueError
        A quotation mark is not closed.
    """
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ValueError(
            f"alert_command is a program with its arguments, {command!r} came ({error}); close the quotation"
        ) from error


class Alert:
    """Runs the command, the reason as its last argument, without a shell and without waiting for it.

    As a listener of the analysis it tells of scans that could not be analysed and of the series' end.

    Parameters
    ----------
    command
        Program and arguments; empty alerts nobody.
    warn
        Shows that the command failed.
    time_limit
        Seconds after which it is ended.
    """

    def __init__(self, command: str, warn: Callable[[str], None], *, time_limit: float = TIME_LIMIT) -> None:
        self._words = alert_words(command)
        self._warn = warn
        self._time_limit = time_limit
        self._running: list[threading.Thread] = []

    def __call__(self, reason: str) -> None:
        """Tell the reason; returns at once, and nothing that goes wrong reaches the caller."""
        logger.warning("alert: %s", reason)
        if not self._words:
            return
        thread = threading.Thread(target=self._run, args=(reason[:LONGEST],), name="alert", daemon=True)
        self._running = [*(one for one in self._running if one.is_alive()), thread]
        thread.start()

    def _run(self, reason: str) -> None:
        try:
            done = subprocess.run(
                [*self._words, reason],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._time_limit,
                check=False,
            )
            said = done.stderr.decode("utf-8", "replace").strip()[-300:]
            problem = f"it ended with {done.returncode} {said}".strip() if done.returncode else ""
        except subprocess.TimeoutExpired:
            problem = f"it took more than {self._time_limit:g} s and was ended"
        except (OSError, ValueError) as error:
            problem = str(error)
        if problem:
            logger.error("the alert %r failed: %s", reason, problem)
            self._warn(f"the alert command {self._words[0]!r} failed: {problem}; nobody was told: {reason}")

    def scan_queued(self, job: ScanJob) -> None:
        """Nobody is told of a scan that was measured."""

    def scan_analysed(self, summary: ScanSummary) -> None:
        """Tell of a scan that could not be analysed, and of the end of the series."""
        kelvin = f"{summary.temperature_setpoint:g} K"
        if summary.error:
            self(f"{summary.series_uid}: {kelvin} could not be analysed: {summary.error}")
        if summary.complete:
            trusted = sum(point.trusted for point in summary.order)
            count = f"{len(summary.order)} temperatures analysed, {trusted} of them trusted"
            self(f"{summary.series_uid}: finished, {count}")

    def other_result(self, summary: ScanSummary) -> None:
        """Nobody is told of a result that is not final."""

    def warn(self, message: str) -> None:
        """Remarks are no alert."""

    def close(self) -> None:
        """Wait for the commands that run; none takes longer than the time limit."""
        for thread in self._running:
            thread.join(self._time_limit + 1.0)
