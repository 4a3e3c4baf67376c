"""Which process variables answer: asked, never written; for those who look before a session is opened."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ophyd import Device
from ophyd.signal import EpicsSignalBase

from profile_collection.devices.epics.beam import EpicsBeam
from profile_collection.devices.epics.beamline import EpicsHeatedStage
from profile_collection.devices.epics.merlin import EpicsMerlin
from profile_collection.devices.epics.process_variables import ProcessVariables
from profile_collection.devices.epics.signals import EpicsAxis, WallClock, wait_patiently


@dataclass(frozen=True)
class Survey:
    """What answered.

    Attributes
    ----------
    asked
        How many signals there are.
    silent
        Names of those that did not answer.
    skew
        Seconds that the ring current's time stamp is ahead of this machine, None where it did not answer.
    """

    asked: int
    silent: tuple[str, ...]
    skew: float | None


def survey(names: ProcessVariables, timeout: float) -> Survey:
    """Ask for all process variables of a beamline.

    Parameters
    ----------
    names
    timeout
        Seconds that they are given, all together.
    """
    wait_patiently()
    beam = EpicsBeam(names=names.beam)
    stage = EpicsHeatedStage(names=names.temperature, axes=names.sample_stage, clock=WallClock())
    axes: list[Device] = [EpicsAxis(prefix, name=axis) for axis, prefix in names.circles.items()]
    merlin = EpicsMerlin(names=names.detector, shutter=beam.shutter, data_folder=Path())
    devices: tuple[Device, ...] = (beam, beam.shutter, stage, *axes, merlin)
    # Signals that a detector makes only when they are used are left out: plans use few of them.
    signals = {
        item.item.pvname: item.item
        for device in devices
        for item in device.walk_signals()
        if isinstance(item.item, EpicsSignalBase)
    }
    deadline = time.monotonic() + timeout
    while (silent := [name for name, one in signals.items() if not one.connected]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.1)
    skew = None
    if names.beam.ring_current not in silent:
        beam.rc.get()
        skew = float(beam.rc.timestamp) - time.time()
    return Survey(len(signals), tuple(sorted(silent)), skew)
