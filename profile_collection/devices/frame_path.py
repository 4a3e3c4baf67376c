"""Where the frames of a run are kept."""

import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def frame_path(data_folder: Path, start: Mapping[str, Any]) -> Path:
    """Return the path of a run's frame file: a folder per series, a name that says what was measured.

    Parameters
    ----------
    data_folder : pathlib.Path
        Frames lie below it in `raw/frames`.
    start : mapping
        The run's start document; whatever is missing there is left out or made up, and nothing in it can lead
        out of the folder.

    Examples
    --------
    >>> start = {"uid": "0a1b2c3d-4e5f", "series_uid": "20261122-143000-a1b2c3", "series_index": 3}
    >>> start |= {"temperature_setpoint": 335.0, "branch": "heating", "purpose": "rocking", "attempt": 1}
    >>> frame_path(Path("data"), start).as_posix()
    'data/raw/frames/20261122-143000-a1b2c3/03_335K_heating_rocking_1_0a1b2c3d.h5'
    """
    setpoint = start.get("temperature_setpoint")
    parts = [
        f"{start.get('series_index', 0):02d}",
        f"{setpoint:g}K" if isinstance(setpoint, int | float) else "noT",
        *(str(start.get(key, "none")) for key in ("branch", "purpose", "attempt")),
        str(start.get("uid", uuid.uuid4()))[:8],
    ]
    folder = _safe(str(start.get("series_uid") or "unassigned"))
    return data_folder / "raw" / "frames" / folder / (_safe("_".join(parts)) + ".h5")


def _safe(text: str) -> str:
    """Return text that can be a file's name: nothing but letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip(".") or "unnamed"
