"""A plan run with nobody at the keyboard, with an exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profile_collection.session.settings import Settings

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from profile_collection.session.session import Session

logger = logging.getLogger(__name__)

OK, FAILED, INTERRUPTED = 0, 1, 130


class Outcome:
    """How an unattended plan ended; its exit code is `code`."""

    def __init__(self) -> None:
        self.code = OK


@contextlib.contextmanager
def unattended(session: Session, outcome: Outcome) -> Iterator[None]:
    """Abort on an interruption, since nobody will resume, and show an error in one red line.

    An interruption is Ctrl-C, SIGTERM, or the end of the terminal.

    Parameters
    ----------
    session
        Whose RunEngine runs inside.
    outcome
        Takes the exit code.
    """
    from bluesky.utils import RunEngineInterrupted

    try:
        with _ended_from_outside(session):
            yield
    except (RunEngineInterrupted, KeyboardInterrupt):
        outcome.code = INTERRUPTED
        session.view.warn("interrupted: the scan is aborted, frames already taken are kept")
        if session.RE.state == "paused":
            session.RE.abort("interrupted with nobody at the keyboard")
        session.alert("interrupted from outside: the scan is aborted")
    except Exception as error:
        outcome.code = FAILED
        logger.exception("the plan failed")
        first = first_error(error)
        session.failed(said(first))
        if error is not first:
            session.view.fail(said(error))


@contextlib.contextmanager
def _ended_from_outside(session: Session) -> Iterator[None]:
    """Take SIGTERM, and SIGHUP unless it is ignored (nohup), as an interruption: the shutter closes."""

    def end(number: int, frame: object) -> None:
        if number == signal.SIGHUP:  # nobody reads any more, and a terminal that is gone takes no output
            with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
                for output in (1, 2):
                    os.dup2(nowhere.fileno(), output)
        if session.RE.state == "running":
            threading.Thread(target=session.RE.request_pause, daemon=True).start()
        elif session.RE.state == "idle":
            raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    if threading.current_thread() is not threading.main_thread():
        before = {}  # Python hands signals to the main thread only
    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def said(error: BaseException) -> str:
    """Return what an error says: a refusal is a sentence, of others the kind says half of it."""
    return str(error) if isinstance(error, ValueError) and str(error) else f"{type(error).__name__}: {error}"


def first_error(error: BaseException) -> BaseException:
    """Return what went wrong first, where cleaning up after it failed too and `error` is from there.

    An error raised ``from`` another says itself what the other means.
    """
    seen = [error]
    while (inner := seen[-1].__context__) is not None and seen[-1].__cause__ is None and inner not in seen:
        seen.append(inner)
    return seen[-1]


def run_unattended(settings: Settings, plan: Callable[[Session], MsgGenerator[Any]]) -> int:
    """Open a session, run a plan in it, finish the analysis, and return the exit code.

    Parameters
    ----------
    settings
        Of the session.
    plan
        Makes the plan, for example ``Session.temperature_series``.

    Raises
    ------
    StartupError
        The session could not be opened.
    """
    from profile_collection.session.startup_checks import prepare_client

    prepare_client(settings)  # before anything loads Channel Access
    from profile_collection.session.session import open_session

    session, outcome = open_session(settings), Outcome()
    with unattended(session, outcome):
        session.RE(plan(session))
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
