"""The shutter closes by itself when the session is gone: a real process, really killed."""

import os
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

CLIENT = """
from profile_collection.session.hardware import Heartbeat
from profile_collection.devices.epics.process_variables import read_process_variables
from profile_collection.devices.epics.beam import EpicsShutter
import time

names = read_process_variables()
shutter = EpicsShutter(names=names.beam)
shutter.wait_for_connection(timeout=15)
Heartbeat(names.safety.heartbeat).start()
shutter.open()
print("open", flush=True)
time.sleep(600)
"""


@pytest.fixture
def client(ioc):
    """Return a process that holds the shutter open and beats."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT], env=dict(os.environ), stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait(timeout=30)
    process.stdout.close()


def test_kill_9_closes_the_shutter(client, pv, eventually):
    state, tripped = pv("EA-SHTR-01:STA"), pv("EA-SAFE-01:TRIPPED")
    before = tripped.get()
    assert client.stdout.readline().strip() == "open"
    time.sleep(4.0)  # twice the IOC's patience: the heartbeat keeps it open
    assert state.get(as_string=True) == "Open"
    client.kill()
    eventually(lambda: state.get(as_string=True) == "Closed")
    assert tripped.get() == before + 1
