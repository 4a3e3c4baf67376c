"""What `vo2 doctor` finds, and that it changes nothing."""

import os
import shutil

import pytest
from typer.testing import CliRunner

from callbacks.locks import exclusive_lock
from profile_collection.catalogue.background import private_folder
from profile_collection.cli.app import app
from profile_collection.session import doctor
from profile_collection.session.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(data=tmp_path / "data", results=tmp_path / "results")


def found(settings, **options):
    return {one.subject: one for one in doctor.examine(settings, **options)}


def test_with_nothing_running_all_is_looked_at_and_nothing_is_made(settings, tmp_path):
    said = found(settings)
    assert {
        *("Python", "packages", "weights", "experiment", "data folder", "results folder", "permissions"),
        *("disk of data", "disk of results", "clock", "server", "session", "unfinished", "page", "monitor"),
        *("Chromium", "process variables"),
    } <= set(said)
    assert [one for one in said.values() if one.level == "FAIL"] == []
    assert all(one.remedy for one in said.values() if one.level != "OK")
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_each_with_its_remedy_and_fails_where_a_series_would(tmp_path):
    run = CliRunner().invoke
    done = run(app, ["doctor", "--data", str(tmp_path / "d"), "--results", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    assert "OK    Python" in done.output
    (tmp_path / "d").write_text("no folder")
    done = run(app, ["doctor", "--data", str(tmp_path / "d"), "--results", str(tmp_path / "r")])
    assert done.exit_code == 1
    assert "FAIL  data folder" in done.output
    assert "→ choose another with VO2_DATA" in done.output
    assert "a series cannot be measured like this" in done.output


def test_settings_that_cannot_be_read_are_a_finding(tmp_path):
    private = private_folder(tmp_path)
    (private / "settings.toml").write_text("colour = 'red'\n")
    done = CliRunner().invoke(app, ["doctor", "--data", str(tmp_path)])
    assert done.exit_code == 1
    assert "FAIL  settings" in done.output
    assert "sets 'colour'" in done.output


def test_locks_open_files_and_unfinished_work_are_named(settings):
    private = private_folder(settings.data)
    (private / "server.json").write_text("{}")
    (private / "server.json").chmod(0o644)
    (private / "pending").mkdir()
    (private / "pending" / "abc.json").write_text("{}")
    (settings.results / "s" / "unpublished").mkdir(parents=True)
    (settings.results / "s" / "unpublished" / "x.jsonl").write_text("")
    with exclusive_lock(private / "session.lock"), exclusive_lock(private / "server.lock"):
        said = found(settings)
    assert said["permissions"].level == "FAIL"
    assert f"chmod go-rwx {private / 'server.json'}" in said["permissions"].remedy
    assert f"process {os.getpid()}" in said["session"].said
    assert said["server"].level == "FAIL"
    assert "does not answer to its key" in said["server"].said
    assert said["unfinished"].level == "WARN"
    assert found(settings)["session"].level == "OK"


def test_a_full_disk_and_a_missing_browser(settings, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    said = found(settings)
    assert said["disk of data"].level == "FAIL"
    assert "vo2 clean" in said["disk of data"].remedy
    assert (said["Chromium"].level, said["Chromium"].remedy.split()[-1]) == ("WARN", "chromium")


def test_a_server_that_does_not_let_us_in(settings):
    said = found(settings.changed(tiled_uri="http://127.0.0.1:9", tiled_api_key="no"))
    assert said["server"].level == "FAIL"
    assert "VO2_TILED_API_KEY" in said["server"].remedy


@pytest.mark.parametrize(
    ("text", "said_of_it"),
    [(None, "No such file"), ("motors = [", "a TOML file"), ("[beam]\n", "ring_current")],
    ids=["no file", "no TOML", "names missing"],
)
def test_a_wrong_file_of_process_variables_is_named_with_what_to_do(settings, tmp_path, text, said_of_it):
    path = tmp_path / "names.toml"
    if text is not None:
        path.write_text(text)
    said = found(settings.changed(devices="epics", pv_file=path))["process variables"]
    assert said.level == "FAIL"
    assert str(path) in said.said
    assert said_of_it in said.said
    assert "two to copy" in said.remedy


def test_a_key_that_is_missing_is_said(settings):
    said = found(settings.changed(tiled_uri="http://127.0.0.1:9"))
    assert (said["key"].level, said["key"].remedy) == ("WARN", "set VO2_TILED_API_KEY")


def test_a_check_that_breaks_down_hides_no_other(settings, monkeypatch):
    monkeypatch.setattr(doctor, "described", lambda _: 1 / 0)
    said = found(settings)
    assert said["experiment"].level == "FAIL"
    assert "ZeroDivisionError" in said["experiment"].said
    assert said["clock"].level in ("OK", "WARN")


@pytest.mark.slow
def test_a_server_that_runs_is_found_with_its_key(served):
    said = found(served, signals=False)
    assert said["server"].level == "OK"
    assert "127.0.0.1" in said["server"].said
    assert said["key"].level == "OK"
