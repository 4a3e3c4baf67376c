"""Before a session: its lock, where Channel Access looks, what the queue server may do, why it did not start.

Where Channel Access looks for process variables is decided before the library is loaded, not after. The
startup files tell the queue server which numbers a plan takes, and that it takes no scripts; nothing in here
needs the queue server to be installed, for an IPython session runs the same startup files. Why a session
could not start is said in one red line.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import event_model

from analysis.file_names import require_file_name
from callbacks.locks import exclusive_lock, lock_holder
from profile_collection.catalogue.background import private_folder, require_writable
from profile_collection.devices.epics.process_variables import ProcessVariables, read_process_variables
from profile_collection.session.settings import Settings, load_settings

LOCK_FILE = "session.lock"


class StartupError(RuntimeError):
    """A session could not start.

    Parameters
    ----------
    cause
        What is wrong.
    remedy
        What to do about it.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show one red line in place of a traceback."""
        return [f"\x1b[1;31mThe session did not start: {self}\x1b[0m"]


def take_lock(data: Path, stack: contextlib.ExitStack) -> None:
    """Become the one acquisition session of the folder `data`; the lock is freed where `stack` is closed.

    Raises
    ------
    StartupError
        Another session holds it.
    """
    path = private_folder(data) / LOCK_FILE
    try:
        stack.enter_context(exclusive_lock(path))
    except BlockingIOError:
        raise StartupError(
            f"another session measures into {data}: {lock_holder(path)}",
            "close it, or choose another folder with VO2_DATA",
        ) from None


def require_results(results: Path) -> None:
    """Refuse a folder of results that cannot be written before anything is measured for it.

    Raises
    ------
    StartupError
        In words.
    """
    try:
        require_writable(results, "choose another with VO2_RESULTS")
    except ValueError as error:
        raise StartupError(str(error), "then start again") from error


def process_variables(settings: Settings) -> ProcessVariables:
    """Return the names that a session uses."""
    return read_process_variables(settings.pv_file, prefix=settings.pv_prefix, port=settings.ca_port)


def prepare_client(settings: Settings | None = None) -> None:
    """Set this process's Channel Access variables, where the file of names says something about them.

    Ophyd starts Channel Access when it is imported, so this comes first.

    Raises
    ------
    StartupError
        Channel Access is running already, with other variables.
    """
    settings = settings or load_settings()
    if settings.devices != "epics":
        return
    access = process_variables(settings).channel_access
    if access is None:
        return
    wanted = access.environment()
    missing = {name: value for name, value in wanted.items() if os.environ.get(name) != value}
    if missing and "ophyd" in sys.modules:
        words = " ".join(f"{name}={value}" for name, value in missing.items())
        raise StartupError(
            "Channel Access was started before its addresses were known",
            f"start this program with {words}",
        )
    os.environ.update(missing)


Plan = TypeVar("Plan", bound=Callable[..., Any])
Range = tuple[float, float]

EXPOSURE: Range = (1e-6, 3600.0)
"""Seconds, where the detector gives no limits of its own."""
ETA_STEP: Range = (1e-4, 1.0)
"""Degrees; the circle's resolution, and far beyond the width of any rocking curve."""
KELVIN_STEP: Range = (0.01, 1000.0)
"""Between two temperatures: what a controller resolves, and beyond the range of any stage."""
HOURS: Range = (0.0, 1000.0)
"""Of beam time."""
PATIENCE: Range = (0.0, 86400.0)
"""Seconds that a choice may wait for a result."""

_WORKER = "bluesky_queueserver.manager.worker"
_LOADER = "load_script_into_existing_nspace"


class ScriptRefusedError(RuntimeError):
    """Somebody sent a script to the queue server."""


def in_range(**ranges: Range | None) -> Callable[[Plan], Plan]:
    """Return a decorator: the queue server then refuses numbers out of range as soon as a plan is queued.

    Parameters
    ----------
    **ranges
        Smallest and largest value of a parameter, or of each number in a list; None leaves it open.
    """
    limits = {name: {"min": span[0], "max": span[1]} for name, span in ranges.items() if span}
    try:
        from bluesky_queueserver import parameter_annotation_decorator
    except ImportError:  # no queue server, nobody to tell
        return lambda plan: plan
    decorated: Callable[[Plan], Plan] = parameter_annotation_decorator({"parameters": limits})
    return decorated


def limits_of(device: Any, otherwise: Range | None = None) -> Range | None:
    """Return the limits of a device, `otherwise` where it has none (EPICS writes that as 0, 0)."""
    found = getattr(device, "limits", None)
    if found is None:
        return otherwise
    low, high = (float(limit) for limit in found)
    return (low, high) if low < high else otherwise


def refuse_scripts() -> None:
    """Have a queue server's worker refuse every script; anywhere else this does nothing.

    The queue server knows permissions for plans, devices and functions, none for scripts: whoever reaches its
    control socket could run any code as us.

    Raises
    ------
    StartupError
        This version of the queue server loads scripts in a way that is not known here.
    """
    worker = sys.modules.get(_WORKER)
    if worker is None or not _in_worker():
        return
    load = getattr(worker, _LOADER, None)
    if load is None:
        raise StartupError(
            f"scripts cannot be refused: {_WORKER} has no {_LOADER}", "install bluesky-queueserver 0.0.25"
        )
    setattr(worker, _LOADER, _without_scripts(load))


def _in_worker() -> bool:
    from bluesky_queueserver import is_re_worker_active

    return bool(is_re_worker_active())


def _without_scripts(load: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(*, script: str, **options: Any) -> Any:
        if script.strip():
            raise ScriptRefusedError(
                "this queue runs the plans of its profile and nothing else; put the plan into "
                "profile_collection/startup and open the environment again"
            )
        return load(script=script, **options)  # an empty one is how the lists of plans are renewed

    return refuse


def check_start(start: Mapping[str, Any]) -> None:
    """Refuse a run whose start document cannot be stored, or names folders elsewhere, before it begins.

    Raises
    ------
    ValueError
        In words.
    """
    if "series_uid" in start:
        require_file_name(str(start["series_uid"]), "series_uid")
    for name, value in start.items():
        try:
            json.dumps(value, cls=event_model.NumpyEncoder)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"metadata must be numbers, text, lists and dictionaries of these; {name!r} is {value!r} "
                f"({error}): give it as one of them"
            ) from error
