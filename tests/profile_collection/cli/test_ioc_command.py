"""`vo2 ioc`, the names it serves, and the setting that chooses between simulated and EPICS devices."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from profile_collection.devices.epics.process_variables import read_process_variables
from profile_collection.session.settings import Settings, load_settings

PROGRAM = Path(sys.executable).parent / "vo2"
NAMES = Path(sys.modules[read_process_variables.__module__].__file__).parent


def run(*arguments, **environment):
    return subprocess.run(
        [PROGRAM, "ioc", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_lists_what_it_serves(tmp_path):
    done = run("--quick", "--list-pvs", "--prefix", "TEST:", "--data", tmp_path)
    assert done.returncode == 0, done.stderr
    listed = set(done.stdout.split())
    assert listed >= {
        "TEST:MO-DIFF-01:ETA",
        "TEST:MO-STAGE-01:Z",
        "TEST:EA-LS336-01:SETP_S1",
        "TEST:EA-LS340-01:KRDG0",
        "TEST:EA-DET-01:CAM:Acquire",
        "TEST:EA-DET-01:HDF5:Capture",
        "TEST:EA-SHTR-01:CON",
        "TEST:SR-DI-DCCT-01:SIGNAL",
        "TEST:EA-SAFE-01:HEARTBEAT",
    }
    assert all(name.startswith("TEST:") for name in listed)


def test_a_second_ioc_on_a_port_is_refused_in_words(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--quick", "--port", str(port), "--data", tmp_path)
    assert done.returncode == 1
    assert f"a program serves at 127.0.0.1:{port} already; end it, or choose another --port" in done.stderr


@pytest.mark.parametrize("file", ["soft_ioc.toml", "i16.toml"])
def test_both_files_of_names_are_complete(file):
    names = read_process_variables(NAMES / file)
    assert set(names.circles) == {"mu", "eta", "chi", "phi", "delta", "gam"}
    assert names.temperature.limits == (295.0, 400.0)
    assert (names.simulation is None) == (file == "i16.toml")


def test_a_beamline_decides_its_channel_access_itself():
    assert read_process_variables(NAMES / "i16.toml").channel_access is None
    access = read_process_variables(port=20000).channel_access
    assert access.environment()["EPICS_CA_ADDR_LIST"] == "127.0.0.1"
    assert access.environment()["EPICS_CA_SERVER_PORT"] == "20000"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('monitor = "', 'monitors = "', r"\[beam\] must have"),
        ("[temperature]", "[cold]", r"section \[temperature\] is missing"),
        ("[safety]", "[danger]", r"unknown sections \['danger'\]"),
        ('eta = "', 'theta = "', r"\[circles\] must name mu, eta"),
    ],
)
def test_a_wrong_file_of_names_is_refused_in_words(tmp_path, before, after, words):
    path = tmp_path / "names.toml"
    path.write_text((NAMES / "soft_ioc.toml").read_text().replace(before, after, 1))
    with pytest.raises(ValueError, match=words):
        read_process_variables(path)


def test_one_line_of_the_configuration_chooses(tmp_path):
    assert Settings().devices == "simulated"
    (tmp_path / ".vo2").mkdir()
    (tmp_path / ".vo2" / "settings.toml").write_text('devices = "epics"\n')
    assert load_settings({}, data=tmp_path).devices == "epics"
    with pytest.raises(ValueError, match="devices must be one of .* 'real' came"):
        load_settings({"VO2_DEVICES": "real"}, data=tmp_path)


def test_an_address_that_comes_too_late_is_told(monkeypatch, tmp_path):
    import ophyd  # noqa: F401  Channel Access is running in this process

    from profile_collection.session.startup_checks import StartupError, prepare_client

    monkeypatch.setenv("EPICS_CA_SERVER_PORT", "5064")
    with pytest.raises(StartupError, match="start this program with EPICS_CA_SERVER_PORT=16000"):
        prepare_client(Settings(data=tmp_path, devices="epics", ca_port=16000))
    assert os.environ["EPICS_CA_SERVER_PORT"] == "5064"
