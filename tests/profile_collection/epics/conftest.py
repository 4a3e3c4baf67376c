"""A real soft IOC in a process of its own, and the EPICS devices connected to it."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

PORT = int(os.environ["EPICS_CA_SERVER_PORT"])
PACE = 20.0  # simulated seconds per second: slow enough to be caught in a motion


@pytest.fixture(scope="package")
def data_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ioc") / "data"


@pytest.fixture(scope="package")
def ioc(data_folder):
    """Return the process of the IOC; it serves the soft IOC's own names."""
    script = Path(__file__).with_name("ioc_process.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, script, str(PORT), data_folder, str(PACE)], env=environment)
    for _ in range(600):
        with suppress(OSError), socket.create_connection(("127.0.0.1", PORT), timeout=1):
            break
        assert process.poll() is None, "the IOC has ended"
        time.sleep(0.1)
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


@pytest.fixture(scope="package")
def beamline(ioc, data_folder):
    from profile_collection.devices import make_epics
    from profile_collection.process_variables import read_process_variables

    identity = {"sample": "VO2", "proposal": "test", "operator": "test", "software_version": "0"}
    return make_epics(read_process_variables(port=PORT), data_folder, identity=identity)


@pytest.fixture
def pv(ioc):
    """Return a function that gives the process variable of a name, connected."""
    import epics

    def connected(name):
        found = epics.PV(f"VO2:{name}", auto_monitor=False)
        assert found.wait_for_connection(timeout=15), name
        return found

    return connected
