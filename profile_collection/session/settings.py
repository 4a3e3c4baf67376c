"""What a session may be told from outside, in one place: arguments, environment, settings file, defaults.

An argument beats the environment (``VO2_…``), and the environment beats ``<data>/.vo2/settings.toml``; the
order and the reading are pydantic-settings'.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from analysis.file_names import file_name
from callbacks.jobs import Crop, parse_crop
from profile_collection.session.alert import alert_words

if TYPE_CHECKING:
    from callbacks.collect import EarlyRule

PREFIX = "VO2_"


class Settings(BaseModel):
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
    early_results
        Whether a scan that still runs is analysed from its first frames: "on", "off", or "auto", which does
        so with real devices and at true pace, where what is left of the scan takes long enough.
    transfer_epochs
        Of transfer learning behind each result; 0 for none. By default 10 of a quick series, else 2000 with
        real devices and at true pace, 100 of a simulated series.
    operator, proposal, sample
        Written into every start document; the sample is the experiment's where none is given.
    experiment
        File that describes what is measured (`analysis.experiment`); empty is the paper's, or the quick one.
    monitor
        Whether a session also starts the monitor, and prints its address.
    alert_command
        Program with its arguments, run on failure, beam loss and finish with the reason as its last one.
    devices
        "simulated" (in this process) or "epics" (process variables, over Channel Access).
    pv_file
        Names of the process variables; those of the soft IOC by default.
    pv_prefix, ca_port
        Prefix and port of the soft IOC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Path("data")
    results: Path = Path("results")
    tiled_uri: str | None = None
    tiled_api_key: str | None = Field(default=None, repr=False)
    quick: bool = False
    realtime: bool = False
    seed: int = 0
    crop: str = ""
    analysis_threads: int = 1
    analysis: str = "callbacks.worker:analyse_scan"
    early_results: Literal["auto", "on", "off"] = "auto"
    transfer_epochs: int | None = Field(default=None, ge=0)
    operator: str = "simulated operator"
    proposal: str = "vo2-demo"
    sample: str = ""
    experiment: str = ""
    monitor: bool = False
    alert_command: str = ""
    devices: Literal["simulated", "epics"] = "simulated"
    pv_file: Path | None = None
    pv_prefix: str = "VO2:"
    ca_port: int = 15064

    @field_validator("quick", "realtime", "monitor", mode="before")
    @classmethod
    def _empty_is_no(cls, value: Any) -> Any:
        return False if value == "" else value

    @field_validator("alert_command")
    @classmethod
    def _can_be_split(cls, value: str) -> str:
        alert_words(value)
        return value

    @model_validator(mode="after")
    def _one_experiment(self) -> Settings:
        if self.quick and self.experiment:
            raise ValueError(
                f"quick is an experiment of its own, and {self.experiment!r} came too: leave one out"
            )
        return self

    @property
    def crop_shape(self) -> Crop | None:
        """Voxels about the peak that are phased, None where the run or its experiment says it."""
        if not self.crop:
            return None
        from analysis.experiment import load_experiment

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
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return {f"{PREFIX}{name.upper()}": _as_word(value) for name, value in given.items()}

    def changed(self, **given: Any) -> Settings:
        """Return these settings with what is given instead."""
        return Settings(**{**self.model_dump(), **given})


class _Environment(EnvSettingsSource):
    """Variables of a given mapping in place of ``os.environ``."""

    def __init__(self, settings: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._variables.items()}


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
    data = Path(given.get("data") or variables.get(f"{PREFIX}DATA") or "data").expanduser().resolve()
    path = data / ".vo2" / "settings.toml"
    try:
        told = _sources(variables, path)(**{**given, "data": data})
    except ValidationError as error:
        raise ValueError("; ".join(_in_words(one, path) for one in error.errors())) from error
    settings = Settings(**{**told.model_dump(), "results": told.results.expanduser().resolve()})
    _ = settings.crop_shape  # a crop that cannot be read is refused now, not after the first scan
    return settings


def _sources(variables: Mapping[str, str], path: Path) -> type[Settings]:
    """Return the settings as a class that fills itself from arguments, then `variables`, then the file."""

    class Told(BaseSettings, Settings):
        model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

        @classmethod
        def settings_customise_sources(  # type: ignore[override]
            cls, settings_cls: type[BaseSettings], init_settings: Any, **_: Any
        ) -> tuple[Any, ...]:
            return init_settings, _Environment(settings_cls, variables), _file(settings_cls, path)

    return Told


def _file(settings: type[BaseSettings], path: Path) -> TomlConfigSettingsSource:
    """Return the source that is a settings file, refusing a key that others can read.

    Where its folder is closed to us (another user's data) there is none: what needs no catalogue goes on, and
    what does says that it cannot be written.
    """
    try:
        if path.parent.is_dir() and not os.access(path.parent, os.X_OK):
            return TomlConfigSettingsSource(settings, None)
        source = TomlConfigSettingsSource(settings, path)
    except PermissionError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); its owner can let you") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as settings (TOML): {error}; correct it") from error
    if "tiled_api_key" in source.toml_data and path.stat().st_mode & 0o077:
        raise ValueError(f"{path} holds a key and others can read it; run 'chmod 600 {path}'")
    return source


WANTED = {
    "bool": "yes or no (1 or 0)",
    "int": "a whole number",
    "string": "text",
    "path": "a path",
    "literal": "one of {expected}",
}
"""Beginning of a kind of error to what was wanted."""


def _in_words(error: Any, path: Path) -> str:
    """Return one error of the validation as a sentence."""
    name, kind = ".".join(str(part) for part in error["loc"]), error["type"]
    if kind == "extra_forbidden":
        known = sorted(Settings.model_fields)
        return f"{path} may set {known}, and sets {name!r}; remove or correct this line"
    given = "something else" if name == "tiled_api_key" else repr(error["input"])
    wanted = WANTED.get(kind.partition("_")[0])
    if not name or wanted is None:
        return str(error["msg"]).removeprefix("Value error, ")
    return f"{name} must be {wanted.format(**error.get('ctx', {}))}, {given} came; correct it"


def _as_word(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def early_rule(settings: Settings) -> EarlyRule | None:
    """Return when a scan that still runs is analysed: by default at true pace, where it takes long enough."""
    from callbacks.collect import EarlyRule

    if settings.early_results == "auto":
        return EarlyRule() if settings.realtime or settings.devices == "epics" else None
    return EarlyRule(least_left=0.0) if settings.early_results == "on" else None


def epochs_of_transfer(settings: Settings) -> int:
    """Return the epochs of transfer learning behind each result: as asked, else as there is time."""
    if settings.transfer_epochs is not None:
        return settings.transfer_epochs
    if settings.quick:
        return 10
    return 2000 if settings.realtime or settings.devices == "epics" else 100
