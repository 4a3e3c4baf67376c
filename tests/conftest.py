"""For all tests: threads and the port of Channel Access, decided before torch and ophyd start; fixtures."""

import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from analysis.results import ScanResult, Transfer

COUNTED = {"analysis", "vo2_plans"}  # as pyproject.toml has it under coverage
BASIS = np.diag([29.0, 52.0, 51.0])
Q = np.array([0.0, 1.9594, 0.0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if "PYTEST_XDIST_WORKER" in os.environ:  # a worker inherits the port of the process that began it
    os.environ.pop("VO2_CA_PORT", None)
CA_PORT = int(os.environ.setdefault("VO2_CA_PORT", str(_free_port())))

# One thread a process, none waiting in a loop: the tests' processes and others share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

os.environ |= {
    "EPICS_CA_ADDR_LIST": "127.0.0.1",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_CA_SERVER_PORT": str(CA_PORT),
    "EPICS_CA_REPEATER_PORT": str(CA_PORT + 1),
    "EPICS_CA_MAX_ARRAY_BYTES": "10000000",
}


def pytest_collection_modifyitems(items):
    """Put files with slow tests first: at the end no worker is left alone with one (`make test`).

    Coverage is counted in the tests of arrays and plans alone: whatever runs then is traced line by line,
    Bluesky's and Tiled's own code, too, and of other packages much runs in other processes.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if COUNTED.isdisjoint(item.path.relative_to(Path(__file__).parent).parts):
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def eventually():
    """Return a function that waits until a condition holds and returns its value.

    Its limit (s) only ends what hangs: a busy machine may need a part of it, so it is generous.
    """

    def wait(condition, limit=120.0, what=""):
        end = time.monotonic() + limit
        while not (value := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {limit:.0f} s: {what or condition}")
            time.sleep(0.02)
        return value

    return wait


@pytest.fixture(scope="session")
def make_transfer():
    """Return a maker of transfer learnings of 12 epochs, which differ by a number."""

    def make(number=0):
        return Transfer(
            object=np.ones((4, 4, 4), np.complex64),
            loss_history=(0.06 + 0.004 * number) * np.exp(-np.arange(13) / 5) + 0.003,
            overlap_epochs=np.array([0, 5, 10, 12]),
            overlaps=np.array([0.7, 0.72, 0.71, 0.69]) - 0.03 * number,
            search_loss=3e-4 + 1e-5 * number,
            phase_rms=0.5,
            learning_rate=1e-4,
            seed=0,
            weights_hash="abc",
            precision="float32",
            cpu_seconds=1.0,
        )

    return make


@pytest.fixture(scope="session")
def make_scan():
    """Return a maker of scan results from an object, its setpoint (K) and whatever matters to the test."""

    def make(array, setpoint=320.0, **changes):
        shape = array.shape
        values = {
            "object": array.astype(np.complex64),
            "support": np.abs(array) > 0.1 * np.abs(array).max(),
            "intensity": (np.abs(np.fft.fftshift(np.fft.fftn(array))) ** 2).astype(np.float32),
            "mask": np.zeros(shape, dtype=bool),
            "background": 0.02,
            "pixel_kernel": (0.0, 1.0, 1.0),
            "voxel_basis": BASIS * 64 / np.array(shape),
            "q_vector": Q,
            "d_spacing": 3.2067 * (1 + 1.5e-5 * (setpoint - 320)),
            "chi_squared": 0.01,
            "noise_ratio": 1.1,
            "trusted": True,
            "reasons": (),
            "loss_history": 0.05 + 0.3 * np.exp(-np.arange(200) / 30),
            "temperature": setpoint + 0.01,
            "temperature_sigma": 0.02,
            "temperature_setpoint": setpoint,
            "branch": "heating",
            "attempt": 1,
            "series_uid": "20261122-143000-a1b2c3",
            "series_index": round((setpoint - 320) / 5),
            "run_uid": f"{setpoint:06.1f}-0000-4000-8000-000000000000",
            "seed": 0,
            "seconds": 9.0,
            "weights_hash": "abc",
        }
        return ScanResult(**(values | changes))

    return make


class Documents(list):
    """Documents as (name, document), in the order in which they came."""

    def of(self, name):
        return [document for kind, document in self if kind == name]

    def events(self, stream="primary"):
        descriptors = {d["uid"] for d in self.of("descriptor") if d["name"] == stream}
        return [event for event in self.of("event") if event["descriptor"] in descriptors]


@pytest.fixture
def documents():
    return Documents()


@pytest.fixture
def engine(documents):
    """Return a RunEngine that validates its documents and keeps them in ``documents``."""
    from bluesky import RunEngine
    from event_model import DocumentNames, schema_validators

    engine = RunEngine({}, context_managers=[])

    def keep(name, document):
        schema_validators[DocumentNames[name]].validate(document)
        documents.append((name, document))

    engine.subscribe(keep)
    return engine


@pytest.fixture
def make_beamline(tmp_path):
    """Return a maker of simulated beamlines of a small crystal, milliseconds per frame."""
    from profile_collection.devices.simulated.beamline import make_simulated
    from profile_collection.twin import Clock, CrystalConfig, DetectorConfig, Twin, TwinConfig

    small = TwinConfig(
        crystal=CrystalConfig(
            size=(500, 500, 500), pitch=(12.5, 12.5, 12.5), correlation_length=200, domain_length=150
        ),
        detector=DetectorConfig(roi=(96, 160, 96, 160), quadrature=1),
        threads=1,
    )

    def make(pace=float("inf")):
        twin = Twin(small, Clock(pace))
        twin.set_axis("delta", 25.1079)  # puts the peak on the region that is read out
        twin.set_axis("gam", 0.3428)
        beamline = make_simulated(twin, tmp_path / "data")
        beamline.twin = twin  # for the tests' own look behind the scenes
        return beamline

    return make


@pytest.fixture
def beamline(make_beamline):
    return make_beamline()
