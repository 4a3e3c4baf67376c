"""Who may read what: real requests to a real server, and a look at every line that could run foreign code."""

import ast
import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import h5py
import httpx
import numpy as np
import psutil
import pytest
from bluesky_tiled_plugins import TiledWriter

from callbacks.catalogue import rocking_starts
from callbacks.frames import DATASET, FrameFileError, read_frames, write_frames
from callbacks.journal.recovery import scan_documents
from profile_collection.catalogue.client import ensure_server, status
from profile_collection.session.storage import open_catalogue

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("profile_collection", "vo2_plans", "callbacks", "analysis")


@pytest.fixture(scope="module")
def stored(served):
    """Return the uid of a stored run with two points and their frames."""
    path = served.frames / "a series" / "a.h5"
    start = {"uid": str(uuid4()), "time": 1.0, "purpose": "rocking", "series_uid": "s"}
    write_frames(path, np.ones((2, 3, 4)), {"eta": np.arange(2.0)}, start)
    store(served, start, path)
    return start["uid"]


def store(served, start, path, uri=None):
    columns = {"eta": np.arange(2.0), "Tsample": np.full(2, 320.0)}
    with contextlib.closing(open_catalogue(served)) as catalogue:
        writer = TiledWriter(catalogue.raw)
        for name, doc in scan_documents(start, path, (3, 4), columns):
            writer(name, {**doc, "uri": uri} if uri and name == "stream_resource" else doc)


READS = (
    "metadata/",
    "metadata/raw",
    "metadata/raw/{uid}",
    "search/raw",
    "array/full/raw/{uid}/primary/merlin_image?format=application/octet-stream",
    "array/block/raw/{uid}/primary/merlin_image?block=0,0,0",
    "table/full/raw/{uid}/primary/internal?format=application/json-seq",
    "container/full/raw/{uid}?format=application/json-seq",
)


@pytest.mark.parametrize("path", READS)
def test_neither_metadata_nor_data_are_read_without_the_key(served, stored, path):
    server = status(served.data)
    url = f"{server.uri}/api/v1/{path.format(uid=stored)}"
    assert get(url, {"Authorization": f"Apikey {server.api_key}"}) == 200
    for headers in ({}, {"Authorization": "Apikey " + "0" * 64}, {"Authorization": "Bearer x"}):
        assert get(url, headers) in (401, 403)
    joint = "&" if "?" in url else "?"
    assert get(f"{url}{joint}api_key={'0' * 64}", {}) in (401, 403)


def get(url, headers):
    return httpx.get(url, headers=headers, trust_env=False, timeout=60).status_code


@pytest.mark.parametrize(("method", "path"), [("POST", "metadata/raw"), ("DELETE", "metadata/raw/{uid}")])
def test_nothing_is_written_without_the_key(served, stored, method, path):
    url = f"{status(served.data).uri}/api/v1/{path.format(uid=stored)}"
    assert httpx.request(method, url, trust_env=False, timeout=60).status_code in (401, 403)
    with contextlib.closing(open_catalogue(served)) as catalogue:
        assert stored in catalogue.raw.v3


@pytest.fixture
def outside(served, tmp_path):
    """Return the addresses of a real frame file that lies outside, in the ways one could try to reach it."""
    secret = tmp_path / "secret.h5"
    write_frames(secret, np.full((2, 3, 4), 7), {"eta": np.arange(2.0)}, {})
    served.frames.mkdir(parents=True, exist_ok=True)
    link, folder = served.frames / f"{tmp_path.name}.h5", served.frames / tmp_path.name
    link.symlink_to(secret)
    folder.symlink_to(tmp_path)
    up = "/".join([".."] * len(served.frames.parts[1:]))
    yield {
        "another path": f"file://localhost{secret}",
        "dots": f"file://localhost{served.frames}/{up}{secret}",
        "encoded dots": f"file://localhost{served.frames}/{up.replace('.', '%2e')}{secret}",
        "a link": f"file://localhost{link}",
        "a linked folder": f"file://localhost{folder}/secret.h5",
        "http": f"http://localhost{secret}",
        "another host": f"file://elsewhere{served.frames}/a.h5",
        "s3": "s3://bucket/secret.h5",
    }
    link.unlink()
    folder.unlink()


WAYS = ("another path", "dots", "encoded dots", "a link", "a linked folder", "http", "another host", "s3")


@pytest.mark.parametrize("way", WAYS)
def test_the_server_reads_no_frames_outside_its_folder(served, stored, outside, way, monkeypatch):
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    start = {"uid": str(uuid4()), "time": 1.0, "purpose": "align"}
    with contextlib.suppress(Exception):  # some are refused at once, others when they are read
        store(served, start, served.frames / "a.h5", uri=outside[way])
    with contextlib.closing(open_catalogue(served)) as catalogue:
        np.testing.assert_array_equal(catalogue.raw.v3[stored]["primary/merlin_image"].read(), 1)
        with pytest.raises(Exception, match=r"500|404|merlin_image|Refusing|scheme"):  # noqa: PT011
            catalogue.raw.v3[start["uid"]]["primary/merlin_image"].read()


def test_a_link_inside_a_frame_file_does_not_lead_out(tmp_path):
    secret, innocent = tmp_path / "secret.h5", tmp_path / "innocent.h5"
    write_frames(secret, np.full((2, 3, 4), 7), {}, {})
    with h5py.File(innocent, "w") as file:
        file[DATASET] = h5py.ExternalLink(str(secret), DATASET)
        layout = h5py.VirtualLayout((2, 3, 4), "u4")
        layout[:] = h5py.VirtualSource(str(secret), DATASET, (2, 3, 4))
        file.create_virtual_dataset("virtual", layout)
    for dataset in (DATASET, "/virtual"):
        with pytest.raises(FrameFileError, match="a link to another file"):
            read_frames(innocent, dataset, np.array([0, 1]))
    assert read_frames(secret, DATASET, np.array([1])).max() == 7


FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "torch.load",
    "torch.save",
    "pickle.load",
    "pickle.loads",
    "joblib.load",
    "yaml.load",
    "yaml.unsafe_load",
    "marshal.loads",
    "shelve.open",
    "pandas.read_pickle",
    "subprocess.getoutput",
}
FORBIDDEN_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "pty"}


def sources():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def dotted(node):
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def suspicious(tree):
    """Yield line and words of whatever could run what an input says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            for name in names:
                if name.split(".")[0] in FORBIDDEN_MODULES:
                    yield node.lineno, f"import {name}"
        if not isinstance(node, ast.Call):
            continue
        if dotted(node.func) in FORBIDDEN_CALLS:
            yield node.lineno, dotted(node.func)
        for word in node.keywords:
            named = word.arg in ("shell", "allow_pickle")
            if named and isinstance(word.value, ast.Constant) and word.value.value is True:
                yield node.lineno, f"{word.arg}=True"


def test_no_input_is_ever_run_as_code():
    """Weights are safetensors; nothing is unpickled, evaluated, or given to a shell."""
    found = [
        f"{path.relative_to(ROOT)}:{line} {what}"
        for path in sources()
        for line, what in suspicious(ast.parse(path.read_text()))
    ]
    assert found == []
    assert len(sources()) > 100


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "eval(x)",
        "torch.load(p)",
        "subprocess.run(c, shell=True)",
        "np.load(p, allow_pickle=True)",
    ],
)
def test_the_look_for_such_code_finds_it(code):
    assert list(suspicious(ast.parse(code)))


def test_weights_are_safetensors_only(tmp_path):
    import torch

    from analysis.phasing.network.pretrained import load_pretrained

    assert {path.suffix for path in (ROOT / "analysis" / "phasing").rglob("*.pt*")} == set()
    path = tmp_path / "weights.safetensors"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="safetensors"):
        load_pretrained(path)


@pytest.mark.slow
def test_the_key_is_in_one_file_and_nowhere_else(served, make_session):
    """Not in logs, documents, results, nor in any process's arguments."""
    from vo2_plans import EtaWindow

    session = make_session(served)
    window = EtaWindow(17.76, 17.84, 0.02, 30.0)
    session.RE(
        session.temperature_series([320.0, 333.0], window, locate=False)
    )  # the second one's analysis fails
    session.drain()
    key = status(served.data).api_key
    assert len(rocking_starts(session.catalogue)) >= 2
    with_key = [path for path in files(served.data, served.results) if key.encode() in path.read_bytes()]
    assert with_key == [served.private / "server.json"]
    assert key not in session.view.console.file.getvalue()
    assert key not in repr(session.settings) + repr(session.catalogue) + repr(session.pipeline.settings)
    arguments = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not any(key in line for line in arguments)
    assert any(str(served.data) in line for line in arguments)  # the server is among them


def files(*folders):
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_what_is_private_is_for_this_user_alone(served):
    ensure_server(served.data)
    assert served.private.stat().st_mode & 0o077 == 0
    for name in ("server.json", "server.log"):
        assert (served.private / name).stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_a_server_told_to_listen_elsewhere_says_what_that_means(own_settings):
    command = [Path(sys.executable).parent / "vo2", "serve", "--host", "0.0.0.0"]
    process = subprocess.Popen(
        command,
        env=os.environ | own_settings.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        line = process.stdout.readline()
        assert re.search(r"listening at 0\.0\.0\.0: whoever reaches this machine and has the key", line)
        found = ensure_server(own_settings.data)
        assert found.pid == process.pid
        assert get(f"{found.uri}/api/v1/metadata/", {}) == 401
        process.terminate()
    assert process.returncode == 0
