"""What the startup files tell the queue server: which numbers a plan takes, and that it takes no scripts.

Nothing in here needs the queue server to be installed; an IPython session runs the same startup files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from profile_collection.startup_error import StartupError

Plan = TypeVar("Plan", bound=Callable[..., Any])
Range = tuple[float, float]

EXPOSURE: Range = (1e-6, 3600.0)
"""Seconds, where the detector gives no limits of its own."""
ETA_STEP: Range = (1e-4, 1.0)
"""Degrees; the circle's resolution, and far beyond the width of any rocking curve."""

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
