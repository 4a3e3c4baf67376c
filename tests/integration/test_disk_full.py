"""A full disk: a really small filesystem, filled to the brim in mid-scan. No error is mocked."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

MEGABYTES = 24
SCRIPT = """
import errno, json, os, resource, sys
from pathlib import Path

from callbacks.catalogue import rocking_starts
from callbacks.journal.recovery import read_scan_file
from profile_collection.catalogue.client import stop_server
from profile_collection.session.session import open_session
from vo2_plans import EtaWindow
from vo2_plans import rocking_scan

means, outside = sys.argv[1], Path(sys.argv[2])
session = open_session()
data, window = session.settings.data, EtaWindow(17.75, 17.9, 0.01, 30.0)
found = {"points": 0}

def fill_up():
    if means == "quota":
        size = session.beamline.merlin.file_path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
        return
    with (data / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 9, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC

def make_room():
    if means == "quota":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    (data / "filler").unlink(missing_ok=True)

def watch(name, doc):
    if name == "event" and "merlin_frame_index" in doc["data"]:
        found["points"] += 1
        if found["points"] == 5:
            fill_up()

before = dict(session.twin.axes), session.beamline.heated_stage.setpoint
try:
    if means == "filesystem":
        session.RE(session.temperature_series([350.0], EtaWindow(17.3, 18.3, 0.01, 30.0)))
except Exception as error:
    found["refusal"] = str(error)
found["unmoved"] = before == (dict(session.twin.axes), session.beamline.heated_stage.setpoint)
found["runs"] = len(session.catalogue.raw)
token = session.RE.subscribe(watch)
try:
    session.RE(rocking_scan(session.beamline, window))
except Exception as error:
    found["error"] = str(error)
found["shutter_open"] = session.twin.shutter_open
found["setpoint"] = session.beamline.heated_stage.setpoint
found["state"] = session.RE.state
session.RE.unsubscribe(token)
(path,) = session.settings.frames.rglob("*.h5")
scan = read_scan_file(path)
found["frames"], found["uid"] = scan.points, scan.start["uid"]
make_room()
session.RE(rocking_scan(session.beamline, window))
session.close()
documents = {}
from callbacks.journal.reingest import contents, stored_documents
from profile_collection.session.storage import open_catalogue
catalogue = open_catalogue(session.settings)
for start in rocking_starts(catalogue):
    held = contents(stored_documents(catalogue.raw.v3, start["uid"]))
    documents[start["uid"]] = [held.events.get("primary", []), held.exit_status]
found["stored"], found["kept"] = documents, len(list(session.settings.backup.glob("*")))
catalogue.close()
outside.write_text(json.dumps(found))
stop_server(data)
"""


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """Return the words that begin a command so that it sees a filesystem of its own, and by which means.

    A tmpfs in a mount namespace needs no rights where the system lets users have namespaces. Elsewhere a
    limit on the size of the process's files stands in, and what the test prints says so.
    """
    disk = tmp_path_factory.mktemp("disk")
    mount = f"mount -t tmpfs -o size={MEGABYTES}m tmpfs {disk}"
    if shutil.which("unshare"):
        prefix = [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            f'{mount} && exec "$@"',
            "sh",
        ]
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
            return prefix, disk, "filesystem"
    return [], disk, "quota"


@pytest.fixture(scope="module")
def found(workplace, small_disk, tmp_path_factory):
    """Return what a session on the small disk found, with what it said."""
    prefix, disk, means = small_disk
    print(f"disk full by {means}")
    answer = tmp_path_factory.mktemp("answer") / "found.json"
    environment = {**workplace[1], "VO2_DATA": str(disk / "data"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*prefix, sys.executable, "-c", SCRIPT, means, str(answer)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return {**json.loads(answer.read_text()), "means": means, "said": done.stdout}


def test_disk_full_in_mid_scan_is_said_in_words_and_keeps_what_was_measured(found):
    """Somebody fills the data disk; the next frames cannot be written.

    Reads: "merlin could not take a frame: frame 7 could not be written to …/frames/….h5: … No space left on
    device … Frames before it are kept. Free disk space, then measure this scan again."
    Left: shutter closed, heater held; the same session measures on as soon as there is room
    On disk: the frames before, readable; their points in the catalogue, the run ends with "fail"
    """
    lost = int(re.search(r"frame (\d+) could not be written to", found["error"])[1])
    assert 5 <= lost < 16  # a few more may fit into what the file had claimed before
    assert os.strerror(28 if found["means"] == "filesystem" else 27) in found["error"]
    assert "Frames before it are kept. Free disk space, then measure this scan again" in found["error"]
    assert (found["shutter_open"], found["state"]) == (False, "idle")
    assert found["setpoint"] > 290
    assert found["frames"] == lost
    assert "Traceback" not in found["said"]
    stored = dict(found["stored"])
    assert stored.pop(found["uid"]) == [list(range(1, lost + 1)), "fail"]
    assert list(stored.values()) == [[list(range(1, 17)), "success"]]
    assert found["kept"] == 0


def test_a_disk_too_small_for_the_series_is_found_before_anything_moves(found):
    """The disk has no room for the frames of the series that is asked for.

    Reads: "… must have 212 MB free (frames compressed 3 times, 200 MB in reserve), it has 23 MB: free some
    space or choose another data folder"
    Left: as it was: nothing has moved, no run was begun
    On disk: nothing new
    """
    if found["means"] != "filesystem":
        pytest.skip("user namespaces are not allowed here: no filesystem of a size of ours")
    assert "MB in reserve), it has" in found["refusal"]
    assert "free some space or choose another data folder" in found["refusal"]
    assert (found["unmoved"], found["runs"]) == (True, 0)
