"""A facility's own Tiled server over PostgreSQL, by configuration alone, and documents over 0MQ."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import event_model
import httpx
import numpy as np
import pytest

from callbacks.catalogue import Address, connect, find_run
from callbacks.journal.catalogue_writer import CatalogueWriter

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "use-a-facility-server.md"
POINTS, RUNS, WRITERS = 5, 3, 3


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def program(name: str) -> str:
    """Return where one of PostgreSQL's programs is, or skip."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = shutil.which(name) or (str(found[-1]) if found else None)
    if path is None:
        pytest.skip(f"PostgreSQL's {name} is not installed (Debian: postgresql)")
    return path


@contextlib.contextmanager
def ended(process: subprocess.Popen):
    with process:  # closes its pipes
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def program_of_root(name):
    """Return where a program of Debian's lies that only root's PATH may hold."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") or name


@pytest.fixture(scope="module")
def database():
    """Yield host and port of a PostgreSQL server of its own on loopback, and the name of its user."""
    initdb, postgres = program("initdb"), program("postgres")
    user = [program_of_root("runuser"), "-u", "postgres", "--"] if os.getuid() == 0 else []  # it refuses root
    with tempfile.TemporaryDirectory(prefix="vo2-postgres-") as folder:
        if user:
            shutil.chown(folder, "postgres", "postgres")
        data, port = f"{folder}/data", free_port()
        made = subprocess.run(
            [*user, initdb, "-D", data, "-U", "vo2", "-A", "trust", "-E", "UTF8", "--no-sync"],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        command = [postgres, "-D", data, "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1"]
        with (Path(folder) / "log").open("w") as log:
            process = subprocess.Popen([*user, *command], stdout=log, stderr=log, cwd=folder)
        with ended(process):
            ready = [program("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-U", "vo2"]
            for _ in range(300):
                if subprocess.run(ready, capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.2)
            else:
                pytest.fail((Path(folder) / "log").read_text())
            yield f"127.0.0.1:{port}", "vo2"


def created(where: str, user: str, name: str) -> str:
    """Make a database and return its address."""
    host, port = where.split(":")
    createdb = [program("createdb"), "-h", host, "-p", port, "-U", user, name]
    subprocess.run(createdb, check=True, capture_output=True)
    return f"postgresql://{user}@{where}/{name}"


@pytest.fixture(scope="module")
def facility(database, tmp_path_factory):
    """Tiled's own server, with the configuration that the how-to page shows; yields its address."""
    folder = tmp_path_factory.mktemp("facility")
    catalogue, tables = (created(*database, name) for name in ("catalogue", "tables"))
    shown = re.search(r"```yaml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.S).group(1)
    for word, here in {
        "postgresql+asyncpg://tiled:PASSWORD@dbserver/catalogue": catalogue.replace("ql:", "ql+asyncpg:"),
        "postgresql://tiled:PASSWORD@dbserver/tables": tables,
        "/srv/tiled/arrays": str(folder / "arrays"),
        "/srv/beamline/frames": str(folder / "frames"),
    }.items():
        assert word in shown
        shown = shown.replace(word, here)
    for name in ("arrays", "frames"):
        (folder / name).mkdir()
    (folder / "config.yml").write_text(shown, encoding="utf-8")
    key, port = secrets.token_hex(32), free_port()
    command = [sys.executable, "-m", "tiled", "serve", "config", str(folder / "config.yml")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, "TILED_SINGLE_USER_API_KEY": key},
        )
    with ended(process):
        address = Address(f"http://127.0.0.1:{port}", key)
        for _ in range(600):
            if process.poll() is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{address.uri}/healthz", trust_env=False).status_code == 200:
                    yield address
                    return
            time.sleep(0.2)
        pytest.fail((folder / "log").read_text())


def documents(number: int) -> list[tuple[str, dict]]:
    """Return the documents of a small rocking scan."""
    run = event_model.compose_run(metadata={"purpose": "rocking", "scan_id": number, "series_uid": "s"})
    stream = run.compose_descriptor(
        name="primary",
        data_keys={"eta": {"dtype": "number", "shape": [], "source": "test", "dtype_numpy": "<f8"}},
    )
    events = [stream.compose_event(data={"eta": 0.1 * i}, timestamps={"eta": i}) for i in range(POINTS)]
    found = [("start", run.start_doc), ("descriptor", stream.descriptor_doc)]
    return [*found, *(("event", event) for event in events), ("stop", run.compose_stop())]


def store(uri: str, key: str, folder: str, first: str) -> None:
    """Store runs as a session does; the main of a writing process."""
    with contextlib.closing(connect(Address(uri, key))) as catalogue:
        failed: list[str] = []
        writer = CatalogueWriter(
            catalogue, Path(folder), batch_size=2, warn=failed.append, say=lambda text: None
        )
        for number in range(int(first), int(first) + RUNS):
            for name, doc in documents(number):
                writer(name, doc)
        assert not failed, failed


@pytest.mark.slow
def test_a_server_over_postgresql_takes_several_writers_at_once_and_loses_none(facility, tmp_path):
    code = "import sys; from tests.integration.test_facility_server import store; store(*sys.argv[1:])"
    writers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                code,
                facility.uri,
                facility.api_key,
                str(tmp_path / str(i)),
                str(100 * i),
            ],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(WRITERS)
    ]
    for writer in writers:
        _, error = writer.communicate(timeout=300)
        assert writer.returncode == 0, error
    with contextlib.closing(connect(facility)) as catalogue:
        runs = [run for run in catalogue.raw.v3.values() if run.metadata["start"].get("series_uid") == "s"]
        assert sorted(run.metadata["start"]["scan_id"] for run in runs) == [
            100 * i + n for i in range(WRITERS) for n in range(RUNS)
        ]
        for run in runs:
            kinds = [name for name, _ in find_run(catalogue, run.metadata["start"]["uid"]).documents()]
            assert kinds[0] == "start"
            assert kinds[-1] == "stop"
            # PostgreSQL returns rows in any order: a reader goes by their number, as the callbacks do
            order = np.argsort(run["primary"]["seq_num"].read())
            assert np.allclose(run["primary"]["eta"].read()[order], 0.1 * np.arange(POINTS))


LISTENER = """
import sys
from bluesky.callbacks.zmq import RemoteDispatcher

def show(name, doc):
    print(name, doc["uid"], flush=True)

dispatcher = RemoteDispatcher(sys.argv[1])
dispatcher.subscribe(show)
print("listening", flush=True)
dispatcher.start()
"""


@pytest.mark.slow
def test_a_late_subscriber_over_0mq_catches_up_from_the_catalogue(facility, tmp_path):
    """One run ended before another process listened: that from Tiled, the next over the proxy, each once."""
    from bluesky.callbacks.zmq import Publisher

    into, out = free_port(), free_port()
    missed, heard = documents(901), documents(902)
    code = "from bluesky.commandline.zmq_proxy import main; main()"
    proxy = [sys.executable, "-W", "ignore", "-c", code, str(into), str(out)]
    with ended(subprocess.Popen(proxy, stdout=subprocess.DEVNULL)):
        publisher = Publisher(f"127.0.0.1:{into}")
        with contextlib.closing(connect(facility)) as catalogue:
            writer = CatalogueWriter(
                catalogue, tmp_path, batch_size=1, warn=pytest.fail, say=lambda text: None
            )
            for name, doc in missed:
                publisher(name, doc)
                writer(name, doc)
            listen = [sys.executable, "-c", LISTENER, f"127.0.0.1:{out}"]
            with ended(subprocess.Popen(listen, stdout=subprocess.PIPE, text=True)) as listener:
                assert listener.stdout.readline() == "listening\n"
                stored = [
                    (name, doc["uid"]) for name, doc in find_run(catalogue, missed[0][1]["uid"]).documents()
                ]
                time.sleep(2.0)  # until the proxy knows of the listener; 0MQ does not say when
                for name, doc in heard:
                    publisher(name, doc)
                lines = [listener.stdout.readline().split() for _ in heard]
        publisher.close()
    assert lines == [[name, doc["uid"]] for name, doc in heard]
    assert stored[0] == ("start", missed[0][1]["uid"])
    assert stored[-1][0] == "stop"
