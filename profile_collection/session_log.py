"""Log of a session: everything into a file, what a person should read onto the screen too."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from callbacks.pool import LOG_FORMAT

SHOWN = ("vo2_plans", "profile_collection.devices", "bluesky_tiled_plugins")
"""Loggers whose warnings are meant for people."""


class _Shown(logging.Handler):
    """Passes warnings on to the view."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._warn = warn

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record's message without its traceback."""
        self._warn(record.getMessage())


class _LogFile(logging.FileHandler):
    """The log file; a full disk is said by what failed to write its data, not once more per log record."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        """Leave a record out that cannot be written."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


@contextlib.contextmanager
def session_log(path: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Log to `path`, readable by this user alone, while the session lives.

    Parameters
    ----------
    path
        File to append to.
    warn
        Shows a sentence.
    """
    os.close(os.open(path, os.O_CREAT | os.O_APPEND, 0o600))
    detail = _LogFile(path)
    detail.setFormatter(logging.Formatter(LOG_FORMAT))
    shown = _Shown(warn)
    root = logging.getLogger()
    root.addHandler(detail)
    for name in SHOWN:
        logging.getLogger(name).addHandler(shown)
    try:
        yield
    finally:
        root.removeHandler(detail)
        for name in SHOWN:
            logging.getLogger(name).removeHandler(shown)
        detail.close()
