"""The log of a session: a file of its own that takes everything, rotated; people see the warnings too."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from callbacks.pool import LOG_FORMAT

logger = logging.getLogger(__name__)

SHOWN = ("vo2_plans", "profile_collection.devices", "bluesky_tiled_plugins")
"""Loggers whose warnings are meant for people."""
LARGEST, KEPT = 5_000_000, 10
"""Bytes of one file, and how many earlier ones are kept: ``session.log.1`` is the one before this."""


class _Shown(logging.Handler):
    """Passes warnings on to the view."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._warn = warn

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record's message without its traceback."""
        self._warn(record.getMessage())


class _LogFile(RotatingFileHandler):
    """The log file, readable by this user alone.

    A full disk is said by what failed to write its data, not once more per log record.
    """

    def _open(self) -> Any:
        return open(  # noqa: PTH123, SIM115  a handler keeps it; pathlib's takes no opener
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            opener=lambda path, flags: os.open(path, flags, 0o600),
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        """Leave a record out that cannot be written."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


@contextlib.contextmanager
def session_log(path: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Log to `path` while the session lives; what an earlier session left there becomes ``<path>.1``.

    An error that ends the session is logged with its traceback.

    Parameters
    ----------
    path
        File to begin.
    warn
        Shows a sentence.
    """
    detail = _LogFile(path, maxBytes=LARGEST, backupCount=KEPT, encoding="utf-8")
    detail.setFormatter(logging.Formatter(LOG_FORMAT))
    with contextlib.suppress(OSError):
        if path.stat().st_size:
            detail.doRollover()
    shown = _Shown(warn)
    root = logging.getLogger()
    root.addHandler(detail)
    for name in SHOWN:
        logging.getLogger(name).addHandler(shown)
    try:
        yield
    except Exception:
        logger.exception("the session ends for this")
        raise
    finally:
        root.removeHandler(detail)
        for name in SHOWN:
            logging.getLogger(name).removeHandler(shown)
        detail.close()
