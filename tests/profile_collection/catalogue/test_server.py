"""The server is a real process in every test here."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from callbacks.catalogue import Address, connect
from profile_collection.catalogue.client import ServerError, ensure_server, status, stop_server
from profile_collection.catalogue.server_process import remember_dependencies
from profile_collection.session.storage import open_catalogue


@pytest.mark.parametrize("sign", ["?", "#"])
def test_a_folder_that_cannot_be_an_address_is_refused_before_it_is_made(tmp_path, sign):
    with pytest.raises(ServerError, match=rf"must have no '\{sign}' in its path"):
        ensure_server(tmp_path / f"what{sign}" / "data")
    assert not list(tmp_path.iterdir())


def test_its_address_is_for_this_user_alone_and_its_key_is_not_shown(served):
    folder = served.data / ".vo2"
    assert stat.S_IMODE((folder / "server.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    server = status(served.data)
    assert len(server.api_key) == 64
    assert server.api_key not in repr(server) + repr(server.address) + str(server)
    assert server.api_key not in (folder / "server.log").read_text()


@pytest.mark.parametrize("path", ["metadata/", "metadata/raw", "search/raw"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Apikey 0123456789abcdef"}])
def test_nobody_reads_without_the_key(served, path, headers):
    reply = httpx.get(f"{status(served.data).uri}/api/v1/{path}", headers=headers, trust_env=False)
    assert reply.status_code == 401


def test_it_listens_on_loopback_only(served):
    listening = psutil.Process(status(served.data).pid).net_connections(kind="inet")
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_the_root_has_two_catalogues_of_runs_and_is_none_itself(served):
    with contextlib.closing(open_catalogue(served)) as catalogue:
        specs = {name: [spec.name for spec in catalogue.root[name].specs] for name in ("raw", "processed")}
        assert specs == {"raw": ["CatalogOfBlueskyRuns"], "processed": ["CatalogOfBlueskyRuns"]}
        assert [spec.name for spec in catalogue.root.specs] == []


def test_a_second_session_finds_the_server_of_the_first(served):
    assert ensure_server(served.data).pid == status(served.data).pid


@pytest.mark.slow
def test_two_that_start_one_at_once_get_the_same_and_it_ends_when_told(own_settings):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: ensure_server(own_settings.data), range(2))
    assert first.pid == second.pid
    assert os.getsid(first.pid) != os.getsid(0)  # a Ctrl-C in our terminal does not reach it
    assert stop_server(own_settings.data)
    assert not (own_settings.data / ".vo2" / "server.json").exists()
    assert status(own_settings.data) is None
    assert not stop_server(own_settings.data)


@pytest.mark.slow
def test_a_killed_server_is_replaced_and_its_runs_are_still_there(own_settings, kept_run):
    first = ensure_server(own_settings.data)
    uid = kept_run(own_settings)
    os.kill(first.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first.pid)] if psutil.pid_exists(first.pid) else [], timeout=5)
    with contextlib.closing(open_catalogue(own_settings)) as catalogue:
        assert status(own_settings.data).pid != first.pid
        assert uid in catalogue.raw.v3


def test_who_answers_to_a_dead_servers_record_is_not_taken_for_it(served, own_settings, monkeypatch):
    """A successor removes the record and listens where the killed one did, between our reading and asking."""
    folder = own_settings.data / ".vo2"
    folder.mkdir(parents=True)
    record = folder / "server.json"
    stored = json.loads((served.data / ".vo2" / "server.json").read_text())
    record.write_text(json.dumps({**stored, "data": str(own_settings.data)}))
    assert status(own_settings.data) == status(served.data)

    def answers_and_is_another(_):
        record.unlink()
        return True

    monkeypatch.setattr("profile_collection.catalogue.client._answers", answers_and_is_another)
    assert status(own_settings.data) is None


@pytest.mark.slow
def test_a_server_whose_folder_was_removed_ends(own_settings):
    server = psutil.Process(ensure_server(own_settings.data).pid)
    shutil.rmtree(own_settings.data)
    psutil.wait_procs([server], timeout=20)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def kept_run():
    """Return a function that stores a run and returns its uid."""

    def keep(settings):
        import event_model
        from bluesky_tiled_plugins import TiledWriter

        run = event_model.compose_run(metadata={"purpose": "align"})
        with contextlib.closing(open_catalogue(settings)) as catalogue:
            writer = TiledWriter(catalogue.raw)
            writer("start", run.start_doc)
            writer("stop", run.compose_stop())
        return run.start_doc["uid"]

    return keep


def test_a_second_server_process_refuses_and_names_the_first(served):
    command = [sys.executable, "-m", "profile_collection.catalogue.server_process", str(served.data)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 3
    assert f"process {status(served.data).pid}" in second.stderr
    assert "Traceback" not in second.stderr


def test_another_servers_address_is_used_where_it_is_configured(served, own_settings, kept_run):
    there = status(served.data)
    elsewhere = own_settings.changed(tiled_uri=there.uri, tiled_api_key=there.api_key)
    uid = kept_run(elsewhere)
    with contextlib.closing(open_catalogue(served)) as catalogue:
        assert uid in catalogue.raw.v3
    assert not (own_settings.data / ".vo2").exists()


@pytest.mark.parametrize("key", ["0123456789abcdef", None])
def test_a_wrong_key_is_refused_in_words(served, key):
    with pytest.raises(ConnectionError, match="did not let us in .*VO2_TILED_API_KEY"):
        connect(Address(status(served.data).uri, key))


def test_a_server_that_does_not_answer_is_named(unused_port):
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{unused_port}"):
        connect(Address(f"http://127.0.0.1:{unused_port}", "0123456789abcdef"))


@pytest.fixture
def unused_port():
    """Return a port on which nothing listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_folder_that_cannot_be_written_is_refused_in_words(tmp_path, own_settings):
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    with pytest.raises(ServerError, match="a folder that can be written was expected, .*VO2_DATA"):
        open_catalogue(own_settings.changed(data=blocked / "data"))


def test_a_damaged_address_file_does_not_count_as_a_server(tmp_path):
    folder = tmp_path / ".vo2"
    folder.mkdir()
    for content in ("", "{", json.dumps({"uri": "http://127.0.0.1:1"}), json.dumps([1])):
        (folder / "server.json").write_text(content)
        assert status(tmp_path) is None


def test_fastapi_inspects_a_dependency_once_where_another_is_overridden(monkeypatch):
    """As Tiled overrides its settings; else every request inspects them all."""
    from fastapi import Depends, FastAPI
    from fastapi.dependencies import utils

    def settings():
        return "default"

    def reader(value: str = Depends(settings)):
        return value

    app = FastAPI()

    @app.get("/")
    def root(value: str = Depends(reader)):
        return value

    analysed = []
    analyse = utils.get_dependant

    def counted(**arguments):
        analysed.append(arguments["call"])
        return analyse(**arguments)

    monkeypatch.setattr(utils, "get_dependant", counted)
    remember_dependencies()
    app.dependency_overrides[settings] = lambda: "overridden"

    async def asked():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get("/")).json()

    assert asyncio.run(asked()) == "overridden"
    assert analysed
    analysed.clear()
    assert asyncio.run(asked()) == "overridden"
    assert not analysed
