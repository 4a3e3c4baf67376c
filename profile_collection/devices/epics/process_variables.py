"""The names of the beamline's process variables, read from one file, and the errors of one that is wrong.

`soft_ioc.toml` names what ``vo2 ioc`` serves; `i16.toml` is the pattern of a file for real hardware.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

SOFT_IOC = Path(__file__).with_name("soft_ioc.toml")
"""The names that ``vo2 ioc`` serves."""


@dataclass(frozen=True)
class ChannelAccess:
    """Where the IOCs answer; left out of the file, the environment decides.

    Attributes
    ----------
    address : str
        EPICS_CA_ADDR_LIST.
    port : int
        EPICS_CA_SERVER_PORT.
    max_array_bytes : int
        EPICS_CA_MAX_ARRAY_BYTES.
    """

    address: str
    port: int
    max_array_bytes: int = 10_000_000

    def environment(self) -> dict[str, str]:
        """Return the variables that a client needs before it loads Channel Access."""
        return {
            "EPICS_CA_ADDR_LIST": self.address,
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CA_REPEATER_PORT": str(self.port + 1),
            "EPICS_CA_MAX_ARRAY_BYTES": str(self.max_array_bytes),
        }


@dataclass(frozen=True)
class BeamNames:
    """Names of everything upstream of the sample."""

    energy: str
    shutter_demand: str
    shutter_state: str
    ring_current: str
    permit: str
    monitor: str
    transmission: str
    transmission_readback: str
    transmission_steps: str


@dataclass(frozen=True)
class TemperatureNames:
    """Names of the temperature controllers, and what the sample bears.

    Attributes
    ----------
    controller, thermometer : str
        Prefixes of the LS336 that heats and of the LS340 whose first input is the sample's diode.
    limits : tuple of float
        Lowest and highest setpoint, K.
    ramp_limits : tuple of float
        Slowest and fastest ramp, K/min.
    heater_range : int
        Range that is switched on where the heater is found switched off.
    """

    controller: str
    thermometer: str
    limits: tuple[float, float]
    ramp_limits: tuple[float, float]
    heater_range: int = 3


@dataclass(frozen=True)
class DetectorNames:
    """The detector's prefix (before CAM:, HDF5:, ARR:), where it stands, and where its start document goes.

    Attributes
    ----------
    prefix : str
    run_start : str
        A character waveform that the file writer stores with the frames; empty where there is none.
    distance_mm, pixel_size_mm : float
    shape : tuple of int
        Rows and columns of the full detector.
    gaps : tuple of int
        Rows and columns (the same numbers) between its chips, which hold no sensor.
    """

    prefix: str
    run_start: str
    distance_mm: float
    pixel_size_mm: float
    shape: tuple[int, int]
    gaps: tuple[int, ...] = ()


@dataclass(frozen=True)
class SafetyNames:
    """Names of the heartbeat that keeps the shutter's permit, its timeout, and how often it was missed."""

    heartbeat: str
    timeout: str
    tripped: str


@dataclass(frozen=True)
class SimulationNames:
    """Names that only a simulation has."""

    now: str
    sleep: str
    pace: str
    seed: str


@dataclass(frozen=True)
class ProcessVariables:
    """All names of a beamline.

    Attributes
    ----------
    circles, sample_stage : dict
        Motor records of mu eta chi phi delta gam and of sx sy sz.
    safety, simulation, channel_access : optional
        What this beamline does not have is None.
    """

    circles: dict[str, str]
    sample_stage: dict[str, str]
    beam: BeamNames
    temperature: TemperatureNames
    detector: DetectorNames
    safety: SafetyNames | None = None
    simulation: SimulationNames | None = None
    channel_access: ChannelAccess | None = None


_SECTIONS: dict[str, type[Any]] = {
    "beam": BeamNames,
    "temperature": TemperatureNames,
    "detector": DetectorNames,
    "safety": SafetyNames,
    "simulation": SimulationNames,
    "channel_access": ChannelAccess,
}
_AXES = {"circles": ("mu", "eta", "chi", "phi", "delta", "gam"), "sample_stage": ("sx", "sy", "sz")}


def read_process_variables(
    path: Path | None = None, *, prefix: str = "VO2:", port: int | None = None
) -> ProcessVariables:
    """Return the names in a file, `soft_ioc.toml` by default.

    Parameters
    ----------
    path
        A TOML file with the sections of `soft_ioc.toml`; those of a simulation may be missing.
    prefix
        Stands for ``{P}`` in the file.
    port
        In place of the file's own.

    Raises
    ------
    ValueError
        The file is missing or no TOML; a section or name is missing, unknown or of the wrong kind.
    """
    source = path or SOFT_IOC
    try:
        stored = tomllib.loads(source.read_text(encoding="utf-8").replace("{P}", prefix))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"a TOML file with the names of process variables was expected at {str(source)!r} "
            f"({error}): correct VO2_PV_FILE, or the file; {SOFT_IOC.name} is one"
        ) from error
    if port is not None and "channel_access" in stored:
        stored["channel_access"]["port"] = port
    given: dict[str, Any] = {name: _section(source, name, stored.pop(name, None)) for name in _SECTIONS}
    for name, axes in _AXES.items():
        found = stored.pop(name, {})
        if set(found) != set(axes):
            raise ValueError(
                f"{source}: [{name}] must name {', '.join(axes)}, it names {sorted(found)!r}; correct it"
            )
        given[name] = found
    if stored:
        raise ValueError(
            f"{source}: unknown sections {sorted(stored)!r}; remove or correct them (what is said of the "
            "sample belongs into the experiment's own file)"
        )
    return ProcessVariables(**given)


def _section(source: Path, name: str, stored: dict[str, Any] | None) -> Any:
    if stored is None:
        if name in ("safety", "simulation", "channel_access"):
            return None
        raise ValueError(f"{source}: the section [{name}] is missing; see {SOFT_IOC.name} for its names")
    kind = _SECTIONS[name]
    known = {field.name for field in fields(kind)}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{source}: [{name}] must have {sorted(known)}: {error}; correct it") from error
