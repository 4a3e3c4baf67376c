"""Devices keep Bluesky's protocols, which are checked as Bluesky checks them: at run time."""

import pytest
from bluesky import protocols

from profile_collection.devices import make_simulated
from profile_collection.twin import Twin

PROTOCOLS = {
    "diffractometer": ("Readable", "Stageable", "Stoppable", "HasHints", "Configurable"),
    "diffractometer.eta": ("Readable", "Movable", "Stoppable", "Checkable"),
    "diffractometer.delta": ("Readable", "Movable", "Stoppable", "Checkable"),
    "heated_stage": (
        "Readable",
        "Movable",
        "Stageable",
        "Stoppable",
        "Checkable",
        "HasHints",
        "Configurable",
    ),
    "heated_stage.sx": ("Readable", "Movable", "Stoppable", "Checkable"),
    "heated_stage.Tsample": ("Readable", "Subscribable"),
    "heated_stage.ramp_rate": ("Readable", "Movable", "Subscribable"),
    "merlin": (
        "Readable",
        "Triggerable",
        "Stageable",
        "Stoppable",
        "Pausable",
        "WritesStreamAssets",
        "HasHints",
        "Configurable",
    ),
    "merlin.acquire_time": ("Readable", "Movable", "Subscribable"),
    "beam": ("Readable", "Stageable", "Stoppable", "HasHints", "Configurable"),
    "beam.en": ("Readable", "Movable", "Stoppable", "Checkable"),
    "beam.rc": ("Readable", "Subscribable"),
    "beam.ic1monitor": ("Readable",),
    "beam.transmission": ("Readable", "Movable"),
    "beam.shutter": ("Readable", "Movable", "Stoppable", "Pausable"),
}


def simulated(tmp_path):
    return make_simulated(Twin(), tmp_path)


FORMS = [simulated]
"""Functions that make a beamline in a folder; each form of the devices is held to the same protocols."""


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def beamline(request, tmp_path):
    return request.param(tmp_path)


@pytest.mark.parametrize(("path", "names"), PROTOCOLS.items(), ids=PROTOCOLS)
def test_a_device_keeps_the_protocols_that_plans_use_it_by(beamline, path, names):
    device = beamline
    for part in path.split("."):
        device = getattr(device, part)
    broken = [name for name in names if not isinstance(device, getattr(protocols, name))]
    assert broken == []
    assert isinstance(device, protocols.HasName)
    assert device.name


def test_what_is_read_is_what_is_described(beamline):
    for path in PROTOCOLS:
        device = beamline
        for part in path.split("."):
            device = getattr(device, part)
        described = device.describe()
        external = {key for key, value in described.items() if "external" in value}
        assert described.keys() - external == device.read().keys(), path
        for key, value in described.items():
            assert {"source", "dtype", "shape"} <= value.keys(), (path, key)


def test_names_of_data_are_unique_on_the_beamline(beamline):
    devices = (beamline.diffractometer, beamline.heated_stage, beamline.merlin, beamline.beam)
    keys = [key for device in devices for key in device.describe()]
    assert len(keys) == len(set(keys))
