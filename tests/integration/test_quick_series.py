"""A short series with the real analysis, from motors to order parameter, and again from the catalogue."""

import contextlib
import os
import socket
import subprocess
import time

import h5py
import hdf5plugin  # noqa: F401  registers the decompression filters
import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.results import read_order_parameter, read_scan
from callbacks.catalogue import as_v3, derived_runs, last_series, series_runs
from profile_collection.catalogue.client import stop_server
from profile_collection.checks.truth import compare_with_truth
from profile_collection.cli.app import app
from profile_collection.session.settings import Settings
from profile_collection.session.storage import open_catalogue

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TEMPERATURES = [320.0, 350.0]


@pytest.fixture(scope="module")
def measured(tmp_path_factory, programs):
    """Run `vo2 series --quick` once; return settings, environment and what it said."""
    folder = tmp_path_factory.mktemp("quick")
    settings = Settings(data=folder / "data", results=folder / "results", quick=True)
    environment = {**os.environ, **settings.environment()}
    command = [programs / "vo2", "series", "--quick", "--temperatures", "320,350"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
    yield settings, environment, done
    with contextlib.suppress(Exception):
        stop_server(settings.data)


@pytest.fixture(scope="module")
def series(measured):
    """Return the uid of the series."""
    with contextlib.closing(open_catalogue(measured[0])) as catalogue:
        return last_series(catalogue)


def test_it_ends_well_and_says_what_it_found(measured):
    _, _, done = measured
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for kelvin in ("320", "350"):
        assert f"✓ {kelvin} K heating" in done.stdout
    assert "order parameter" in done.stdout


def test_the_results_folder_is_complete(measured, series):
    folder = measured[0].results / series
    rows = read_order_parameter(folder)
    assert [row["setpoint_K"] for row in rows] == TEMPERATURES
    assert all(np.isfinite(row["order_parameter_rad"]) for row in rows)
    assert len(list((folder / "scans").glob("*.h5"))) == len(TEMPERATURES)
    assert len(list((folder / "figures").glob("*.png"))) >= 4


def test_each_scan_has_its_provenance_and_its_derived_run(measured, series):
    settings = measured[0]
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        runs = series_runs(catalogue, series)
        assert [run.start["temperature_setpoint"] for run in runs] == TEMPERATURES
        for run in runs:
            (derived,) = derived_runs(catalogue, run.start["uid"])
            result = read_scan(settings.results / series / "scans" / _name(run.start))
            assert derived["primary/chi_squared"].read()[0] == result.chi_squared
            assert result.run_uid == run.start["uid"]
            assert len(result.weights_hash) >= 8
            assert result.parameters["crop_shape"] == [64, 64, 64]
            assert result.chi_squared < 0.02


def test_transfer_learning_has_run_behind_each_result(measured, series):
    settings, _, done = measured
    folder = settings.results / series
    for path in (folder / "scans").glob("*.h5"):
        scan = read_scan(path)
        assert scan.transfer.epochs == 10
        assert scan.transfer.final_loss < scan.transfer.loss_history[0]
        assert scan.transfer.search_loss < 0.1 * scan.transfer.final_loss
    assert done.stdout.count("transfer ") >= len(TEMPERATURES)
    curves = (folder / "figures" / "loss_curves.png").stat()
    assert curves.st_mtime >= max(path.stat().st_mtime for path in (folder / "scans").glob("*.h5"))


def _name(start):
    return f"{start['temperature_setpoint']:g}K_{start['branch']}_{start['attempt']}_{start['uid'][:8]}.h5"


def test_a_replay_in_another_process_gives_the_same_order_parameter(measured, series, programs):
    settings, environment, _ = measured
    command = [programs / "vo2", "replay", series]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    live = read_order_parameter(settings.results / series)
    replayed = read_order_parameter(settings.results / series / "replay")
    for one, other in zip(live, replayed, strict=True):
        assert one["run_uid"] == other["run_uid"]
        assert other["order_parameter_rad"] == pytest.approx(one["order_parameter_rad"], abs=1e-6)
        assert other["chi_squared"] == pytest.approx(one["chi_squared"], rel=1e-6)


def test_out_in_i16s_layout_and_in_again_gives_the_same_order_parameter(measured, series, tmp_path):
    """`vo2 export --format nexus`, then `vo2 ingest` of the files alone, in a folder that knows nothing."""
    settings = measured[0]
    out, back = tmp_path / "i16", Settings(data=tmp_path / "data", results=tmp_path / "results")
    where = ["--data", str(settings.data), "--results", str(settings.results)]
    done = CliRunner().invoke(app, ["export", series, "--format", "nexus", "--output", str(out), *where])
    assert done.exit_code == 0, done.output
    masters = sorted(out.glob("*.nxs"), reverse=True)  # time puts them in order
    there = ["--data", str(back.data), "--results", str(back.results), "--name", "VO2"]
    try:
        done = CliRunner(env={"VO2_TRANSFER_EPOCHS": "0"}).invoke(
            app, ["ingest", *(str(path) for path in masters), *there]
        )
    finally:
        stop_server(back.data)
    assert done.exit_code == 0, done.output
    (folder,) = back.results.glob("VO2-*")
    ours, theirs = read_order_parameter(settings.results / series), read_order_parameter(folder)
    assert [row["setpoint_K"] for row in theirs] == TEMPERATURES  # as the thermometer in the files says
    for one, two in zip(ours, theirs, strict=True):
        assert two["order_parameter_rad"] == pytest.approx(one["order_parameter_rad"], abs=1e-6)
        assert two["chi_squared"] == pytest.approx(one["chi_squared"], rel=1e-6)
        assert two["d_spacing_angstrom"] == pytest.approx(one["d_spacing_angstrom"], rel=1e-9)
        assert two["trusted"] == one["trusted"]
    assert (folder / "figures" / "order_parameter.png").exists()


def test_it_agrees_with_the_simulations_truth(measured, series):
    settings = measured[0]
    report = compare_with_truth(settings.results / series, settings.data / "truth" / series)
    assert [row.setpoint for row in report.rows] == TEMPERATURES
    for row in report.rows:
        assert row.trusted
        assert row.overlap >= 0.95
        assert row.strain_sigma_95 == pytest.approx(row.true_strain_sigma_95, rel=0.15)
        assert row.missing == pytest.approx(row.true_missing, abs=0.05)
    assert report.deviation <= 0.05


def test_a_series_without_truth_is_refused_in_words(measured, series, tmp_path):
    with pytest.raises(FileNotFoundError, match="only simulated series have one"):
        compare_with_truth(measured[0].results / series, tmp_path)


# -- the same series over Channel Access ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured_over_channel_access(tmp_path_factory, programs):
    """Run `vo2 ioc --quick` and, against it, `vo2 series --quick` with EPICS devices; return settings."""
    folder = tmp_path_factory.mktemp("channel_access")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(
        data=folder / "data",
        results=folder / "results",
        quick=True,
        devices="epics",
        ca_port=port,
        transfer_epochs=0,
    )
    environment = {**os.environ, **settings.environment()}
    ioc = subprocess.Popen([programs / "vo2", "ioc", "--quick"], env=environment)
    try:
        _wait_for(port)
        command = [programs / "vo2", "series", "--quick", "--temperatures", "320,350"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=800, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        ioc.terminate()
        ioc.wait(timeout=30)
    yield settings
    with contextlib.suppress(Exception):
        stop_server(settings.data)


def _wait_for(port):
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError("the IOC does not answer")


def _documents(settings):
    """Return, for each rocking scan of the last series, start document, data keys by stream, and its file."""
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        found = []
        for run in series_runs(catalogue, last_series(catalogue)):
            documents = [(name, dict(doc)) for name, doc in as_v3(run).documents()]
            keys = {doc["name"]: doc["data_keys"] for name, doc in documents if name == "descriptor"}
            (path,) = [doc["uri"] for name, doc in documents if name == "stream_resource"]
            found.append((dict(run.start), keys, path.removeprefix("file://localhost")))
        return found


OWN = ("uid", "time", "series_uid", "scan_id")


def test_channel_access_gives_the_same_documents(measured, measured_over_channel_access):
    ours, theirs = _documents(measured[0]), _documents(measured_over_channel_access)
    assert len(ours) == len(theirs) == len(TEMPERATURES)
    for (start, keys, _), (other_start, other_keys, _) in zip(ours, theirs, strict=True):
        assert {k: v for k, v in start.items() if k not in OWN} == {
            k: v for k, v in other_start.items() if k not in OWN
        }
        assert set(keys) == set(other_keys) == {"primary", "baseline"}
        for stream, described in keys.items():
            told = {
                name: (key["dtype"], key["shape"], key.get("units") or None, key.get("external"))
                for name, key in described.items()
            }
            assert told == {
                name: (key["dtype"], key["shape"], key.get("units") or None, key.get("external"))
                for name, key in other_keys[stream].items()
            }


def test_channel_access_gives_the_same_frames_and_numbers(measured, measured_over_channel_access):
    ours, theirs = _documents(measured[0]), _documents(measured_over_channel_access)
    for (_, _, path), (_, _, other) in zip(ours, theirs, strict=True):
        with h5py.File(path) as one, h5py.File(other) as two:
            group, other_group = one["/entry/instrument/merlin"], two["/entry/instrument/merlin"]
            assert set(group) == set(other_group)
            for name in set(group) - {"timestamp"}:
                np.testing.assert_array_equal(group[name][:], other_group[name][:], err_msg=name)


def test_channel_access_gives_the_same_order_parameter(measured, measured_over_channel_access, series):
    settings = measured_over_channel_access
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        other = read_order_parameter(settings.results / last_series(catalogue))
    for one, two in zip(read_order_parameter(measured[0].results / series), other, strict=True):
        assert two["order_parameter_rad"] == pytest.approx(one["order_parameter_rad"], abs=1e-6)
        assert two["chi_squared"] == pytest.approx(one["chi_squared"], rel=1e-6)
