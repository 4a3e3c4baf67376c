"""Where Channel Access looks for process variables: decided before the library is loaded, not after."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from profile_collection.process_variables import read_process_variables
from profile_collection.settings import Settings, load_settings
from profile_collection.startup_error import StartupError

if TYPE_CHECKING:
    from profile_collection.process_variables import ProcessVariables


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
