"""The catalogue's server killed under a running measurement, and started again: real processes throughout."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import psutil
import pytest

from callbacks.catalogue import derived_runs
from callbacks.journal.journal import left_behind
from callbacks.journal.reingest import contents, stored_documents
from callbacks.locks import exclusive_lock
from profile_collection.catalogue.client import ensure_server, status
from profile_collection.session.storage import open_catalogue

pytestmark = pytest.mark.slow

SESSION = """
import json, sys
from pathlib import Path

from profile_collection.session.session import open_session
from vo2_plans import EtaWindow

folder, temperatures, stops = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
session = open_session()
seen, scan = [], None

def keep(name, doc):
    global scan
    seen.append((name, doc))
    if name == "start":
        scan = doc["series_index"] if doc["purpose"] == "rocking" else None
    if name == "event" and "Tsample" in doc["data"] and [scan, doc["seq_num"]] in stops:
        print("AT", scan, doc["seq_num"], flush=True)
        sys.stdin.readline()

session.RE.subscribe(keep)
window = EtaWindow(17.75, 17.9, 0.01, 30.0)
uids = session.RE(session.temperature_series(temperatures, window, locate=False))
kept = [(name, doc) for name, doc in seen]
(folder / "documents.json").write_text(json.dumps(kept, default=lambda value: value.tolist()))
setpoint = session.beamline.heated_stage.setpoint
print("MEASURED", session.RE.state, session.twin.shutter_open, setpoint, flush=True)
sys.stdin.readline()
session.close()
"""


@contextlib.contextmanager
def measuring(workplace, folder, temperatures, stops):
    """Run a session as a process of its own, which waits for a line at each of `stops` (scan, point)."""
    (folder / "documents.json").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(folder), json.dumps(temperatures), json.dumps(stops)],
        env={**workplace[1], "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_to(process, words):
    """Return the output up to the line that begins with `words`; pytest's own limit ends a wait in vain."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(words):
            return "".join(lines)
    raise AssertionError("".join(lines))


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


def kill_server(data):
    server = psutil.Process(status(data).pid)
    os.kill(server.pid, signal.SIGKILL)
    psutil.wait_procs([server], timeout=30)


def test_a_killed_catalogue_stops_no_scan_and_has_every_document_once_when_it_is_back(workplace, tmp_path):
    """The Tiled server is killed in mid-scan and comes back during the next one.

    Reads: "the catalogue does not take documents (it does not answer); the measurement goes on. They are
    kept in …/.vo2/backup and stored when the catalogue is back", later "3 runs the catalogue had missed,
    stored now"
    Left: the series goes on; shutter closed between exposures, heater held
    On disk: every frame; every document in the journal, then in the catalogue, none lost, none doubled
    """
    settings = workplace[0]
    before = ensure_server(settings.data)
    with measuring(workplace, tmp_path, [330.0, 335.0, 340.0], [[0, 13], [1, 5]]) as process:
        said = read_to(process, "AT 0 13")
        kill_server(settings.data)
        with exclusive_lock(settings.private / "server.lock"):  # nobody starts another before we let go
            go_on(process)
            said += read_to(process, "AT 1 5")
            assert status(settings.data) is None
        after = ensure_server(settings.data)
        assert after.pid != before.pid
        assert (after.uri, after.api_key) == (before.uri, before.api_key)
        go_on(process)
        said += read_to(process, "MEASURED idle False 340.0")
        said += process.communicate("\n", timeout=400)[0]
    assert process.returncode == 0, said
    assert "the catalogue does not take documents (it does not answer); the measurement goes on" in said
    assert str(settings.backup) in said
    assert re.search(r"\d runs the catalogue had missed, stored now", said)
    assert "Traceback" not in said
    assert list(settings.backup.glob("*")) == []
    live = runs_of(json.loads((tmp_path / "documents.json").read_text()))
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        rocking = [uid for uid, documents in live.items() if documents[0][1]["purpose"] == "rocking"]
        assert len(rocking) == 3
        for uid, documents in live.items():
            compare(catalogue, uid, documents)
        for uid in rocking:
            assert len(derived_runs(catalogue, uid)) == 1
        struck, begun_without, undisturbed = (contents(live[uid]) for uid in rocking)
        assert struck == begun_without == undisturbed
    assert list(settings.results.glob("**/unpublished/*")) == []


def runs_of(documents):
    """Return the documents of each run, by uid."""
    runs, run_of = {}, {}
    for name, doc in documents:
        uid = doc["uid"] if name == "start" else doc.get("run_start") or run_of.get(doc.get("descriptor"))
        if name == "descriptor":
            run_of[doc["uid"]] = uid
        if name == "stream_resource":
            run_of[doc["uid"]] = uid
        runs.setdefault(uid, []).append((name, doc))
    return runs


def compare(catalogue, uid, live):
    """Hold the stored run against the documents that were emitted."""
    stored = stored_documents(catalogue.raw.v3, uid)
    assert contents(stored) == contents(live)
    assert stored[0] == live[0]
    assert stored[-1][1]["exit_status"] == live[-1][1]["exit_status"]
    for stream in ("baseline", "primary"):
        ours, theirs = data_of(live, stream), data_of(stored, stream)
        assert ours.keys() == theirs.keys()
        for number, data in ours.items():
            assert {key: theirs[number][key] for key in data} == data
    run = catalogue.raw.v3[uid]
    resource = next(doc for name, doc in live if name == "stream_resource")
    path = Path(resource["uri"].removeprefix("file://localhost"))
    with h5py.File(path, locking=False) as file:
        np.testing.assert_array_equal(
            run["primary/merlin_image"].read(), file[resource["parameters"]["dataset"]]
        )


def data_of(documents, stream):
    """Return number and data of each event in a stream."""
    uids = {doc["uid"] for name, doc in documents if name == "descriptor" and doc["name"] == stream}
    return {
        doc["seq_num"]: doc["data"]
        for name, doc in documents
        if name == "event" and doc["descriptor"] in uids
    }


def test_runs_kept_by_a_session_that_was_killed_too_are_stored_by_one_command(workplace, tmp_path, programs):
    """The Tiled server is killed in mid-scan, then the session, before the server was back.

    Reads: "UID: stored now" from 'vo2 recover --backup' (the next session does the same unasked)
    Left: shutter closed, heater held
    On disk: frames and documents of every finished scan; of the one that was killed the frame file
    """
    settings, environment = workplace
    ensure_server(settings.data)
    with measuring(workplace, tmp_path, [345.0, 350.0], [[0, 13], [1, 5]]) as process:
        read_to(process, "AT 0 13")
        kill_server(settings.data)
        with exclusive_lock(settings.private / "server.lock"):
            go_on(process)
            read_to(process, "AT 1 5")
            process.kill()
            process.wait()
    kept = list(left_behind(settings.backup))
    finished = {run.path.stem: list(run.documents) for run in kept if run.ended}
    assert {documents[0][1]["purpose"] for documents in finished.values()} == {"rocking", "align"}
    (killed,) = (run.path for run in kept if not run.ended)
    command = [programs / "vo2", "recover", "--backup"]
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 200, "check": False}
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    for uid in finished:
        assert f"{uid}: stored now" in done.stdout
    assert f"{killed.stem}: never ended; complete it: vo2 recover {killed.stem[:8]}" in done.stdout
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        for uid, documents in finished.items():
            compare(catalogue, uid, documents)
        assert killed.stem not in catalogue.raw.v3
    one = subprocess.run([programs / "vo2", "recover", killed.stem[:8]], **options)
    assert "5 now" in one.stdout, one.stdout + one.stderr
    again = subprocess.run(command, **options)
    assert f"{killed.stem}: was in the catalogue already" in again.stdout
    assert list(settings.backup.glob("*")) == []
