"""Channel Access of this process: on loopback and a port of its own, decided before ophyd starts it."""

import os
import socket


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if "PYTEST_XDIST_WORKER" in os.environ:  # a worker inherits the port of the process that began it
    os.environ.pop("VO2_CA_PORT", None)
CA_PORT = int(os.environ.setdefault("VO2_CA_PORT", str(_free_port())))

os.environ |= {
    "EPICS_CA_ADDR_LIST": "127.0.0.1",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_CA_SERVER_PORT": str(CA_PORT),
    "EPICS_CA_REPEATER_PORT": str(CA_PORT + 1),
    "EPICS_CA_MAX_ARRAY_BYTES": "10000000",
}
