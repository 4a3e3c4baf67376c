"""What a session may be told from outside, in one place: arguments, environment, settings file, defaults.

An argument beats the environment (``VO2_…``), and the environment beats ``<data>/.vo2/settings.toml``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from analysis.experiment import load_experiment
from analysis.file_names import file_name
from callbacks.jobs import Crop, parse_crop

FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
DEVICES = ("simulated", "epics")


@dataclass(frozen=True)
class Settings:
    """The configuration of a session.

    Parameters
    ----------
    data
        Folder of the frames, the catalogue and the session's records.
    results
        Folder of the analysed series.
    tiled_uri, tiled_api_key
        Another Tiled server than the one in `data`; the key never appears in a repr.
    quick
        Three temperatures on a small detector region instead of the paper's ten.
    realtime
        Simulated durations at their true pace instead of as fast as the machine allows.
    seed
        Seed of the simulated beamline and of the phasing.
    crop
        How much about the peak is phased: ``m1``, ``20nm`` or three sizes; empty leaves it to the run.
    analysis_threads
        Threads of the analysis worker; fixed, because the same seed must give the same result.
    analysis
        Importable function, ``module:name``, that the worker calls for each scan.
    operator, proposal, sample
        Written into every start document; the sample is the experiment's where none is given.
    experiment
        File that describes what is measured (`analysis.experiment`); empty is the paper's, or the quick one.
    devices
        "simulated" (in this process) or "epics" (process variables, over Channel Access).
    pv_file
        Names of the process variables; those of the soft IOC by default.
    pv_prefix, ca_port
        Prefix and port of the soft IOC.
    """

    data: Path = Path("data")
    results: Path = Path("results")
    tiled_uri: str | None = None
    tiled_api_key: str | None = field(default=None, repr=False)
    quick: bool = False
    realtime: bool = False
    seed: int = 0
    crop: str = ""
    analysis_threads: int = 1
    analysis: str = "callbacks.worker:analyse_scan"
    operator: str = "simulated operator"
    proposal: str = "vo2-demo"
    sample: str = ""
    experiment: str = ""
    devices: str = "simulated"
    pv_file: Path | None = None
    pv_prefix: str = "VO2:"
    ca_port: int = 15064

    def __post_init__(self) -> None:
        if self.devices not in DEVICES:
            raise ValueError(f"devices must be one of {DEVICES}, {self.devices!r} came; correct it")
        if self.quick and self.experiment:
            raise ValueError(
                f"quick is an experiment of its own, and {self.experiment!r} came too: leave one out"
            )

    @property
    def crop_shape(self) -> Crop | None:
        """Voxels about the peak that are phased, None where the run or its experiment says it."""
        if not self.crop:
            return None
        return parse_crop(self.crop, load_experiment(self.experiment) if self.experiment else None)

    @property
    def private(self) -> Path:
        """Folder of what only this user may read: address and key of the server, locks, records."""
        return self.data / ".vo2"

    @property
    def backup(self) -> Path:
        """Folder of the documents that the catalogue does not have yet."""
        return self.private / "backup"

    @property
    def frames(self) -> Path:
        """Folder of the frame files, the only one the server may read."""
        return self.data / "raw" / "frames"

    def series_folder(self, series_uid: str) -> Path:
        """Return the folder of the results of a series."""
        return self.results / file_name(series_uid)

    @property
    def log(self) -> Path:
        """File of what happened in detail."""
        return self.private / "session.log"

    def environment(self) -> dict[str, str]:
        """Return the settings as the ``VO2_…`` variables that give them back in another process."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {f"VO2_{name.upper()}": _as_word(value) for name, value in given.items()}


def load_settings(environment: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """Return the settings of this process, paths made absolute.

    Parameters
    ----------
    environment
        Variables to read, ``os.environ`` by default.
    **given
        Fields of `Settings`; None means not given.

    Raises
    ------
    ValueError
        An unknown or unreadable value, or a settings file that shows its key to others.
    """
    variables = os.environ if environment is None else environment
    given = {name: value for name, value in given.items() if value is not None}
    told = _from_environment(variables) | given
    data = Path(told.get("data", Settings.data)).expanduser().resolve()
    stored = _from_file(data / ".vo2" / "settings.toml")
    settings = replace(Settings(), **{**stored, **told, "data": data})
    settings = replace(settings, results=Path(settings.results).expanduser().resolve())
    _ = settings.crop_shape  # a crop that cannot be read is refused now, not after the first scan
    return settings


def _from_environment(variables: Mapping[str, str]) -> dict[str, Any]:
    """Pick the fields of `Settings` out of the environment."""
    return {
        item.name: _as_value(item.name, variables[f"VO2_{item.name.upper()}"])
        for item in fields(Settings)
        if f"VO2_{item.name.upper()}" in variables
    }


def _from_file(path: Path) -> dict[str, Any]:
    """Read a settings file, refusing unknown fields and a key that others can read."""
    if not path.exists():
        return {}
    known = {item.name for item in fields(Settings)}
    stored = tomllib.loads(path.read_text(encoding="utf-8"))
    if unknown := sorted(set(stored) - known):
        raise ValueError(
            f"{path} may set {sorted(known)}, and sets {unknown!r}; remove or correct these lines"
        )
    if "tiled_api_key" in stored and path.stat().st_mode & 0o077:
        raise ValueError(f"{path} holds a key and others can read it; run 'chmod 600 {path}'")
    return {name: _as_value(name, value) for name, value in stored.items()}


def _as_value(name: str, value: Any) -> Any:
    """Turn a word into the type that field `name` has."""
    default = getattr(Settings, name)
    if isinstance(default, bool):
        return _as_bool(name, value)
    if isinstance(default, int):
        try:
            return int(value)
        except ValueError as error:
            raise ValueError(f"{name} must be a whole number, {value!r} came; correct it") from error
    return Path(value) if isinstance(default, Path) or name == "pv_file" else value


def _as_bool(name: str, value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in FALSE_WORDS | TRUE_WORDS:
        raise ValueError(f"{name} must be yes or no (1 or 0), {value!r} came; correct it")
    return word in TRUE_WORDS


def _as_word(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
