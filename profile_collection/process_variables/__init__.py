"""The names of the beamline's process variables, read from one file.

`soft_ioc.toml` names what ``vo2 ioc`` serves; `i16.toml` is the pattern of a file for real hardware.
"""

from profile_collection.process_variables.names import (
    BeamNames,
    ChannelAccess,
    DetectorNames,
    ProcessVariables,
    SafetyNames,
    SimulationNames,
    TemperatureNames,
    read_process_variables,
)

__all__ = [
    "BeamNames",
    "ChannelAccess",
    "DetectorNames",
    "ProcessVariables",
    "SafetyNames",
    "SimulationNames",
    "TemperatureNames",
    "read_process_variables",
]
