"""A plan run with nobody at the keyboard: in an IPython with this package as profile, with an exit code."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profile_collection.session.settings import Settings

if TYPE_CHECKING:
    from profile_collection.session.session import Session

logger = logging.getLogger(__name__)

PROFILE = Path(__file__).resolve().parents[1]
OK, FAILED, INTERRUPTED = 0, 1, 130


class Outcome:
    """How an unattended plan ended; its exit code is `code`."""

    def __init__(self) -> None:
        self.code = OK


@contextlib.contextmanager
def unattended(session: Session, outcome: Outcome) -> Iterator[None]:
    """Abort on an interruption, since nobody will resume, and show an error in one red line.

    Parameters
    ----------
    session
        Whose RunEngine runs inside.
    outcome
        Takes the exit code.
    """
    from bluesky.utils import RunEngineInterrupted

    try:
        yield
    except (RunEngineInterrupted, KeyboardInterrupt):
        outcome.code = INTERRUPTED
        session.view.warn("interrupted: the scan is aborted, frames already taken are kept")
        if session.RE.state == "paused":
            session.RE.abort("interrupted with nobody at the keyboard")
    except Exception as error:
        outcome.code = FAILED
        logger.exception("the plan failed")
        for found in dict.fromkeys((first_error(error), error)):
            session.view.fail(f"{type(found).__name__}: {found}")


def first_error(error: BaseException) -> BaseException:
    """Return what went wrong first, where cleaning up after it failed too and `error` is from there.

    An error raised ``from`` another says itself what the other means.
    """
    seen = [error]
    while (inner := seen[-1].__context__) is not None and seen[-1].__cause__ is None and inner not in seen:
        seen.append(inner)
    return seen[-1]


def run_in_ipython(settings: Settings, code: str) -> int:
    """Run `code` in an IPython whose profile is this package, finish the analysis, and return the exit code.

    Parameters
    ----------
    settings
        Of the session that the profile opens.
    code
        For example ``RE(temperature_series())``.
    """
    from IPython.terminal.ipapp import TerminalIPythonApp

    os.environ.update(settings.environment())
    app: Any = TerminalIPythonApp.instance()
    app.initialize([f"--profile-dir={PROFILE}", "--no-banner", "--HistoryManager.enabled=False"])
    names: dict[str, Any] = app.shell.user_ns
    session, outcome = names.get("session"), Outcome()
    if session is None:
        return FAILED  # the startup file has said why
    names |= {"unattended": unattended, "outcome": outcome}
    result = app.shell.run_cell(f"with unattended(session, outcome):\n    {code}", store_history=False)
    if not result.success and outcome.code == OK:
        outcome.code = FAILED
    session.close()
    return outcome.code or _judge(session)


def _judge(session: Session) -> int:
    """Say where the results are; a scan that could not be analysed makes the exit code a failure's."""
    summaries = session.pipeline.summaries
    for uid in dict.fromkeys(summary.series_uid for summary in summaries):
        session.view.say(f"results: {session.settings.series_folder(uid)}")
    failures = sum(bool(summary.error) for summary in summaries)
    if failures:
        session.view.fail(f"{failures} of {len(summaries)} scans could not be analysed")
    return FAILED if failures else OK


def call(name: str, arguments: Mapping[str, Any]) -> str:
    """Return the code of a call with those arguments that were given.

    Examples
    --------
    >>> call("temperature_series", {"temperatures": [320.0], "exposure": None})
    'temperature_series(temperatures=[320.0])'
    """
    given = ", ".join(f"{key}={value!r}" for key, value in arguments.items() if value is not None)
    return f"{name}({given})"
