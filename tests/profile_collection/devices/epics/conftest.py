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


class Ioc:
    """The process of the IOC; it serves the soft IOC's own names."""

    def __init__(self, folder):
        self._folder = folder
        self.start()

    def start(self):
        script = Path(__file__).with_name("ioc_process.py")
        command = [sys.executable, script, str(PORT), self._folder, str(PACE)]
        self.process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", PORT), timeout=1):
                return
            assert self.process.poll() is None, "the IOC has ended"
            time.sleep(0.1)
        raise TimeoutError("the IOC does not answer")

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=30)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0


@pytest.fixture(scope="package")
def ioc(data_folder):
    ioc = Ioc(data_folder)
    yield ioc
    ioc.stop()


@pytest.fixture(scope="package")
def beamline(ioc, data_folder):
    from analysis.experiment import paper
    from profile_collection.devices.epics.beamline import make_epics
    from profile_collection.devices.epics.process_variables import read_process_variables

    identity = {"sample": "VO2", "proposal": "test", "operator": "test", "software_version": "0"}
    return make_epics(
        read_process_variables(port=PORT), data_folder, identity=identity, experiment=paper().document()
    )


@pytest.fixture
def pv(ioc):
    """Return a function that gives the process variable of a name, connected."""
    import epics

    def connected(name):
        found = epics.PV(f"VO2:{name}", auto_monitor=False)
        assert found.wait_for_connection(timeout=15), name
        return found

    return connected
