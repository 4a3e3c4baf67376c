"""What a person has at the prompt: the usual names and magics, and errors as sentences."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from callbacks.catalogue import UnknownRunError, last_series, rocking_starts, server_said
from callbacks.series import last_first
from profile_collection.session.screens import AXES, banner, status_screen, where_all
from profile_collection.session.series_view import SeriesView, series_list

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from profile_collection.session.session import Session

logger = logging.getLogger(__name__)

OURS = ("analysis", "callbacks", "profile_collection", "vo2_plans")
"""Packages whose errors are sentences for a person: at the prompt they stand without a traceback."""
PAUSED = (
    "paused: RE.resume() goes on and takes the interrupted point again, RE.abort() ends the scan and keeps "
    "its frames, status() shows the beamline. A series can be changed before it goes on: skip_temperature(), "
    "retake(345), stop_after_this_scan()"
)
"""What is said instead of a traceback where a plan was paused by hand."""
STARTUP = Path(__file__).resolve().parents[1] / "startup"


def prompt_names(session: Session) -> dict[str, Any]:
    """Return the names for an interactive session, having shown its banner; none where nobody types.

    The queue server's worker runs the same startup files, and must offer the plans of this beamline alone.
    """
    shell = interactive_shell()
    if shell is None:
        return {}
    import bluesky.plan_stubs as bps
    import bluesky.plans as bp
    import bluesky.preprocessors as bpp

    _register_magics(shell, session)
    _open_windows(shell)
    _log_errors(shell, session)
    _explain_plans(shell)
    session.RE.subscribe(BestEffortForOthers())
    session.view.console.print(banner(session))
    return {
        **{"bp": bp, "bps": bps, "bpp": bpp},
        **{name: getattr(bp, name) for name in ("count", "scan", "rel_scan", "list_scan", "grid_scan")},
        **{name: getattr(bps, name) for name in ("mv", "mvr", "sleep")},
        **{name: getattr(session.beamline.diffractometer, name) for name in AXES},
        **commands(session),
    }


def start() -> None:
    """Run the startup files in this notebook, or in any IPython that was not begun with the profile.

    Raises
    ------
    RuntimeError
        There is no IPython, or its session is open already.

    Examples
    --------
    In the first cell of a notebook::

        from profile_collection.session.prompt import start
        start()
    """
    shell = interactive_shell()
    if shell is None:
        raise RuntimeError("start() fills a notebook or an IPython, and none runs here: use open_session()")
    if "session" in shell.user_ns:
        raise RuntimeError("a session is open here already: session.close() ends it, then restart the kernel")
    for path in sorted(STARTUP.glob("*.py")):
        shell.safe_execfile(str(path), shell.user_ns, raise_exceptions=True)


def interactive_shell() -> Any | None:
    """Return the IPython at whose prompt somebody types, or None."""
    from IPython.core.getipython import get_ipython

    worker = sys.modules.get("bluesky_queueserver")
    if worker is not None and worker.is_re_worker_active():
        return None
    return get_ipython()


def commands(session: Session) -> dict[str, Any]:
    """Return the functions of the prompt; ``name?`` explains each."""

    def status() -> None:
        """Show the beamline and the analysis on one screen.

        Examples
        --------
        >>> status()
        """
        session.view.console.print(status_screen(session))

    def list_series() -> None:
        """Show all stored series, the last one at the end.

        Examples
        --------
        >>> list_series()
        """
        session.view.console.print(series_list(rocking_starts(session.catalogue)))

    def series(which: str | int = -1) -> SeriesView:
        """Return a stored series: its table, and its figure in Jupyter.

        Parameters
        ----------
        which
            Uid, or -1 for the last, -2 for the one before.

        Examples
        --------
        >>> series(-1)
        """
        uid = _before_last(session, which) if isinstance(which, int) and which < -1 else str(which)
        uid = last_series(session.catalogue) if uid == "-1" else uid
        return SeriesView.read(uid, session.settings.series_folder(uid))

    return {
        "status": status,
        "list_series": list_series,
        "series": series,
        **steering_commands(session),
    }


def _before_last(session: Session, which: int) -> str:
    """Return the uid of the series that is number -`which` from the end."""
    scans = rocking_starts(session.catalogue)
    known = last_first((str(start["series_uid"]), float(start["time"])) for start in scans)
    if -which > len(known):
        raise ValueError(f"{len(known)} series are stored, {which!r} came: list_series() shows them")
    return known[-which - 1]


def steering_commands(session: Session) -> dict[str, Any]:
    """Return the functions that change a series which is paused; ``RE.resume()`` then goes on."""

    def skip_temperature() -> None:
        """Give up the temperature that is being measured: its scan ends at the next point.

        Examples
        --------
        Press Ctrl-C twice, then:

        >>> skip_temperature()
        >>> RE.resume()
        """
        _require_paused(session, "skip_temperature()")
        session.steering.skip = True
        session.shift_log.note("**decision**: this temperature is skipped")
        session.view.say("this temperature ends at its next point; go on with RE.resume()")

    def stop_after_this_scan() -> None:
        """End the series after the scan that is being measured; it can be resumed later.

        Examples
        --------
        Press Ctrl-C twice, then:

        >>> stop_after_this_scan()
        >>> RE.resume()
        """
        _require_paused(session, "stop_after_this_scan()")
        session.steering.stop = True
        session.shift_log.note("**decision**: the series ends after this scan")
        session.view.say("the series ends after this scan; go on with RE.resume()")

    def retake(temperature: float) -> MsgGenerator[Any] | None:
        """Measure a temperature once more, as its next attempt.

        While a series is paused it comes next after the present scan: ``retake(345)``, then ``RE.resume()``.
        Afterwards it is added to the last series: ``RE(retake(345))``.

        Parameters
        ----------
        temperature
            One of the series', K.

        Examples
        --------
        >>> RE(retake(345))
        """
        if session.RE.state == "idle":
            return session.retake(temperature)
        session.steering.ask_again(temperature)
        session.shift_log.note(f"**decision**: {temperature:g} K is measured again after this scan")
        session.view.say(f"{temperature:g} K is measured again after this scan; go on with RE.resume()")
        return None

    return {
        "skip_temperature": skip_temperature,
        "retake": retake,
        "stop_after_this_scan": stop_after_this_scan,
    }


def _require_paused(session: Session, call: str) -> None:
    """Refuse a wish for a series where none is paused, in words."""
    if session.RE.state == "idle":
        raise ValueError(
            f"{call} changes a series that is paused, and none runs: press Ctrl-C twice while it measures"
        )


def _register_magics(shell: Any, session: Session) -> None:
    """Give the shell ``%mov``, ``%movr``, ``%ct`` and ``%wa``, on this session's RunEngine."""
    from bluesky.magics import BlueskyMagics

    BlueskyMagics.RE = session.RE
    shell.register_magics(BlueskyMagics)
    labelled = shell.find_line_magic("wa")

    def wa(line: str) -> None:
        """Show where all axes and the sample's temperature are; ``%wa detectors`` lists those."""
        if line.strip():
            labelled(line)
        else:
            session.view.console.print(where_all(session))

    shell.register_magic_function(wa, "line", "wa")
    beamline = session.beamline
    for name in AXES:
        getattr(beamline.diffractometer, name)._ophyd_labels_ = {"motors"}  # noqa: SLF001  ophyd has no setter
    beamline.heated_stage._ophyd_labels_ = {"motors"}  # noqa: SLF001
    beamline.merlin._ophyd_labels_ = {"detectors"}  # noqa: SLF001


def _log_errors(shell: Any, session: Session) -> None:
    """Have errors at the prompt logged, and the log named; of a plan that fails everybody is told."""
    from bluesky.utils import RunEngineInterrupted

    def show(
        _: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: Any = None
    ) -> None:
        """Show an error that reached the prompt, in IPython's signature of such a handler."""
        if isinstance(error, RunEngineInterrupted) and session.RE.state == "paused":
            session.view.say(PAUSED)
            return
        modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(trace)]
        in_plan = "bluesky.run_engine" in modules
        if told := server_said(error) or in_words(error, modules[-1:]):
            if not in_plan:  # else it is said below
                session.view.warn(told)
        else:
            shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        if isinstance(error, RunEngineInterrupted):  # a pause
            return
        logger.error("at the prompt", exc_info=(kind, error, trace))
        if in_plan:
            session.failed(f"the plan failed: {told or f'{kind.__name__}: {error}'}")
        else:
            session.view.say(f"details: {session.settings.log}")

    shell.set_custom_exc((Exception,), show)


def in_words(error: BaseException, raised_in: list[str]) -> str:
    """Return what an error says that was written for a person, "" for one that needs its traceback.

    Parameters
    ----------
    error
    raised_in
        Module that raised it.
    """
    if isinstance(error, TypeError) and "'function' object is not iterable" in str(error):
        return "RE() takes a plan that was called, as in RE(temperature_series()): both pairs of parentheses"
    ours = any(module.split(".")[0] in OURS for module in raised_in)
    return str(error) if ours and isinstance(error, ValueError | FileNotFoundError | UnknownRunError) else ""


def _explain_plans(shell: Any) -> None:
    """Have a plan that was called and not given to the RunEngine say that nothing has moved."""

    def show(plan: types.GeneratorType[Any, Any, Any], printer: Any, _: bool) -> None:
        """Print a plan, in IPython's signature of such a printer."""
        printer.text(f"<plan {plan.__name__}: nothing has moved yet; RE({plan.__name__}(...)) runs it>")

    shell.display_formatter.formatters["text/plain"].for_type(types.GeneratorType, show)


def _open_windows(shell: Any) -> None:
    """Have matplotlib draw in windows, where the extra ``gui`` is installed and there is a screen."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if screen and importlib.util.find_spec("PyQt6") is not None:
        try:
            shell.enable_matplotlib("qt")
        except ImportError as error:  # a library of the system's is missing, or nobody answers at the screen
            logger.warning("plots open no windows: %s", error)


class BestEffortForOthers:
    """Bluesky's table, plots and peak statistics for ``count``, ``scan`` and the like.

    The runs of this project's own plans are shown by the live view, which would be torn apart by a table.
    """

    def __init__(self) -> None:
        from bluesky.callbacks.best_effort import BestEffortCallback

        self.best_effort = BestEffortCallback()
        if not has_windows():
            self.best_effort.disable_plots()
        self._shown = False

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document."""
        if name == "start":
            self._shown = "purpose" not in doc
        if self._shown:
            self.best_effort(name, doc)


def has_windows() -> bool:
    """Whether matplotlib can open windows here: a Qt binding (the extra ``gui``) and a display."""
    import matplotlib

    return matplotlib.get_backend().lower() not in ("agg", "pdf", "svg", "template")
