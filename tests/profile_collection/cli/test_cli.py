"""The program: its errors, its listings, its speed."""

import contextlib
import json
import subprocess
import sys

import event_model
import pytest
from typer.testing import CliRunner

from callbacks.jobs import parse_crop
from profile_collection.catalogue.client import status
from profile_collection.cli.app import app, parse_temperatures
from profile_collection.session.storage import open_catalogue

COMMANDS = [
    "series",
    "dry-run",
    "replay",
    "recover",
    "ingest",
    "reconstruct",
    "train",
    "serve",
    "clean",
    "truth",
    "repeat",
]
HEAVY = ("torch", "bluesky", "ophyd", "tiled", "numpy", "matplotlib")


@pytest.fixture
def vo2(served, monkeypatch):
    """Return a function that runs a command in this process, over the shared server."""
    monkeypatch.setenv("VO2_DATA", str(served.data))
    monkeypatch.setenv("VO2_RESULTS", str(served.results))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_program_starts_without_loading_anything_heavy():
    code = f"import sys, profile_collection.cli.app; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_it_names_every_command(vo2):
    shown = vo2("--help").stdout
    for command in COMMANDS:
        assert command in shown


def test_a_dry_run_prints_every_scan_with_the_whole_duration(vo2):
    result = vo2("dry-run", "--temperatures", "320,330", "--exposure", "30")
    assert result.exit_code == 0
    assert result.stdout.count("rocking_scan") == 2
    assert "the whole plan" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--temperatures", "320,hot"], "temperatures must be numbers of K in the order of"),
        (["--temperatures", "320,999"], "temperatures must be finite numbers from 295 to 400 K"),
        (["--temperatures", "nan"], "temperatures must be finite"),
        (["--exposure", "0"], "exposure must be a positive number"),
        (["--eta-step", "-0.01"], "step in eta must be a positive number"),
        (["--eta-step", "0"], "step in eta must be a positive number"),
        (["--eta-stop", "200"], "eta must stay within its limits"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_before_anything_moves(vo2, arguments, complaint):
    result = vo2("dry-run", *arguments)
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["replay", "20250101-nothing"], "the uid of a stored series was expected, '20250101-nothing' came"),
        (["recover", "deadbeef"], "'deadbeef' came and fits 0 files"),
        (["reconstruct", "deadbeef"], "the uid of a stored run was expected, 'deadbeef' came"),
        (["reconstruct", "nosuch.npz"], "nosuch.npz' is not there"),
        (["reconstruct", "/nowhere/scan.h5"], "'/nowhere/scan.h5' is not there"),
        (["reconstruct", "/etc/passwd"], "/etc/passwd is of none of the formats that are read"),
        (["replay", "/etc/passwd"], "the uid or the folder of a series was expected"),
        (["series", "--resume", "no/such"], "the uid or the folder of a series was expected"),
        (["replay", "-1", "--output", "/etc"], "'/etc' is not empty; add --overwrite"),
        (["report", "/etc/passwd"], "a series with results is required; '/etc/passwd' is none"),
        (["ingest", "/nowhere.npz"], "there is no file"),
        (["ingest", "/nowhere.npz", "--crop", "64,64"], "a crop is three whole numbers"),
        (["clean", "--keep", "-1"], "the number of series to keep must be 0 or more"),
    ],
)
def test_what_is_not_there_is_refused_in_one_sentence(vo2, arguments, complaint):
    result = vo2(*arguments)
    assert result.exit_code == 1
    assert complaint in result.stderr.replace("\n", " ")


def test_the_status_names_the_server_and_never_its_key(vo2, served):
    result = vo2("serve", "--status")
    server = status(served.data)
    assert server.uri in result.stdout
    assert server.api_key not in result.stdout + result.stderr


def test_where_none_runs_the_status_says_so(vo2, tmp_path):
    result = vo2("serve", "--status", "--data", tmp_path)
    assert result.exit_code == 1
    assert "no server" in result.stdout


def store(settings, series, *, simulated, when):
    """Store a run with its frames, truth and results folder."""
    from bluesky_tiled_plugins import TiledWriter

    metadata = {"series_uid": series, "purpose": "rocking", "simulated": simulated}
    run = event_model.compose_run(metadata=metadata, time=when)
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        writer = TiledWriter(catalogue.raw)
        writer("start", run.start_doc)
        writer("stop", run.compose_stop())
    for folder in (settings.frames, settings.data / "truth", settings.results):
        (folder / series).mkdir(parents=True)
        (folder / series / "file").write_text("x")
    return run.start_doc["uid"]


@pytest.mark.slow
def test_clean_lists_first_and_deletes_old_simulated_series_only(own_settings, monkeypatch):
    monkeypatch.setenv("VO2_DATA", str(own_settings.data))
    monkeypatch.setenv("VO2_RESULTS", str(own_settings.results))
    old = store(own_settings, "old", simulated=True, when=1.0)
    measured = store(own_settings, "measured", simulated=False, when=0.5)
    new = store(own_settings, "new", simulated=True, when=2.0)

    listing = CliRunner().invoke(app, ["clean", "--keep", "1"])
    assert "old" in listing.stdout
    assert "measured" not in listing.stdout
    assert "nothing was deleted" in listing.stdout
    assert (own_settings.frames / "old" / "file").exists()

    assert CliRunner().invoke(app, ["clean", "--keep", "1", "--yes"]).exit_code == 0
    with contextlib.closing(open_catalogue(own_settings)) as catalogue:
        left = set(catalogue.raw.v3)
    assert left == {measured, new}
    assert old not in left
    for folder in (own_settings.frames, own_settings.data / "truth", own_settings.results):
        assert sorted(path.name for path in folder.iterdir()) == ["measured", "new"]


def test_temperatures_and_crops_are_read_as_people_write_them():
    assert parse_temperatures("320, 325.5;330") == [320.0, 325.5, 330.0]
    assert parse_temperatures(None) is None
    assert parse_crop("64, 128,128") == (64, 128, 128)
    assert parse_crop("20nm") == (96, 168, 168)


def test_an_array_that_is_not_there_is_refused(tmp_path, vo2):
    import numpy as np

    np.savez(tmp_path / "other.npz", counts=np.ones(3))
    (tmp_path / "short.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:200])
    (tmp_path / "empty.npz").touch()
    np.savez(tmp_path / "objects.npz", intensity=np.array([None]))
    for name in ("short", "empty", "objects"):
        result = vo2("reconstruct", tmp_path / f"{name}.npz")
        assert result.exit_code == 1
        assert "an npz file of numbers was expected" in " ".join(result.output.split())
    result = vo2("reconstruct", tmp_path / "other.npz")
    assert result.exit_code == 1
    assert "frames were expected in" in result.stderr.replace("\n", " ")


def test_the_address_file_holds_what_the_status_shows(served):
    stored = json.loads((served.data / ".vo2" / "server.json").read_text())
    assert stored["uri"] == status(served.data).uri


@pytest.fixture
def pattern(tmp_path, monkeypatch):
    """Return an npz file with a pattern, and have its reconstruction take no time."""
    from types import SimpleNamespace

    import numpy as np

    found = SimpleNamespace(
        object=np.ones(2), support=np.ones(2), trusted=True, reasons=(), chi_squared=0.01, noise_ratio=1.0
    )
    monkeypatch.setattr("analysis.reconstruct", lambda *_, **__: found, raising=False)
    np.savez(tmp_path / "pattern.npz", intensity=np.ones(3))
    return tmp_path / "pattern.npz"


@pytest.mark.parametrize(
    ("output", "written"),
    [
        ("result", "result.npz"),
        ("result.npz", "result.npz"),
        ("folder", "folder/pattern_object.npz"),
        ("new/folder/result", "new/folder/result.npz"),
    ],
)
def test_what_is_printed_is_what_was_written(vo2, pattern, output, written):
    (pattern.parent / "folder").mkdir()
    goal = pattern.parent / written
    first = vo2("reconstruct", pattern, "--output", pattern.parent / output)
    assert first.exit_code == 0, first.stderr
    assert f"written to {goal}" in first.stdout.replace("\n", "")
    assert goal.is_file()
    again = vo2("reconstruct", pattern, "--output", pattern.parent / output)
    assert again.exit_code == 1
    assert "is there already; add --overwrite" in again.stderr.replace("\n", " ")
    assert vo2("reconstruct", pattern, "--output", pattern.parent / output, "--overwrite").exit_code == 0


def test_a_file_where_a_folder_should_be_is_found_first(vo2, pattern, monkeypatch):
    def never(*_, **__):
        raise AssertionError("it was reconstructed first")

    monkeypatch.setattr("analysis.reconstruct", never, raising=False)
    result = vo2("reconstruct", pattern, "--output", pattern / "result.npz")
    assert result.exit_code == 1
    assert "a folder that can be written was expected" in result.stderr.replace("\n", " ")
    monkeypatch.setenv("VO2_RESULTS", str(pattern))
    result = vo2("series", "--quick")
    assert result.exit_code == 1
    assert "choose another with VO2_RESULTS" in result.stderr.replace("\n", " ")


def test_an_error_of_the_catalogues_server_is_one_line(vo2, monkeypatch):
    import httpx

    def fails(*_, **__):
        request = httpx.Request("GET", "http://127.0.0.1/api")
        raise httpx.HTTPStatusError("500 Internal Server Error\nmore", request=request, response=None)

    monkeypatch.setattr("profile_collection.session.stored_runs.replay", fails)
    result = vo2("replay", "-1")
    assert result.exit_code == 1
    assert "the catalogue's server could not do what was asked (500 Internal Server Error)" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["report", "export", "repeat", "truth", "replay", "ingest", "monitor"])
def test_an_option_that_no_command_knows_is_refused_by_name(vo2, command):
    result = vo2(command, "-1", "--no-such-option", "3")
    assert result.exit_code == 2
    assert "No such option: --no-such-option" in result.stderr
