"""Transfer learning on a stored series: resumed, guarded, and stored beside what the search found."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import callbacks.transfer as module
from analysis.phasing.config import DEFAULT
from analysis.phasing.network.model import NetworkConfig, build_network
from analysis.phasing.network.pretrained import Pretrained
from analysis.results import read_scan, write_scan
from callbacks.jobs import ScanJob
from callbacks.live import other_line
from callbacks.locks import exclusive_lock
from callbacks.transfer import LOCK, draw_curves, learn_and_store, transfer_series
from callbacks.worker import analyse_beside
from profile_collection.cli.app import app

UID = "20260101-000000-abcdef"
TINY = NetworkConfig(width=8, refiner_width=8, refinements=1)


@pytest.fixture(scope="module")
def tiny():
    return Pretrained(build_network(TINY).eval().requires_grad_(False), TINY, "tiny", {})


@pytest.fixture
def folder(tmp_path, make_scan, monkeypatch, tiny):
    """Return the results folder of a series of two temperatures, the first of which was measured twice."""
    monkeypatch.setattr(module, "load_pretrained", lambda: tiny)
    body = np.zeros((32, 32, 32), complex)
    body[10:22, 9:21, 11:24] = 1 + 0.2j
    scans = [make_scan(body, kelvin, series_uid=UID) for kelvin in (320.0, 325.0)]
    scans.append(dataclasses.replace(scans[0], attempt=0, run_uid="an earlier attempt"))
    for scan in scans:
        write_scan(tmp_path / UID / "scans" / scan.filename, scan)
    return tmp_path / UID


def test_a_series_is_learned_scan_by_scan_and_goes_on_where_it_was(folder):
    first = next(transfer_series(folder, 2))
    assert first.fresh
    stored = read_scan(first.path)
    assert stored.transfer.epochs == 2
    assert stored.transfer.search_loss < 0.05
    assert stored.chi_squared == 0.01
    told = []
    done = list(transfer_series(folder, 2, progress=lambda scan, *rest: told.append((scan.label, *rest))))
    assert [one.fresh for one in done] == [False, True]
    assert [(label, epoch) for label, epoch, _ in told] == [("325 K", 0), ("325 K", 1), ("325 K", 2)]
    assert read_scan(folder / "scans" / "320K_heating_0_an earli.h5").transfer is None
    # Fewer epochs than are there are there; more are learned.
    assert [one.fresh for one in transfer_series(folder, 1)] == [False, False]
    assert next(transfer_series(folder, 3)).fresh


def test_two_at_once_are_refused(folder):
    with (
        exclusive_lock(folder / LOCK),
        pytest.raises(RuntimeError, match=r"runs already: process \d+ on .*; wait for it, or end it"),
    ):
        next(transfer_series(folder, 1))


def test_what_was_learned_of_a_result_that_is_gone_is_not_stored(folder):
    path = next(Path(folder / "scans").glob("325K*.h5"))
    scan = read_scan(path)

    def analysed_again(epoch, loss):
        write_scan(path, dataclasses.replace(scan, object=2 * scan.object))

    config = dataclasses.replace(DEFAULT.transfer, epochs=1)
    with pytest.raises(RuntimeError, match="was analysed again during its transfer learning"):
        learn_and_store(folder, path, scan, config, analysed_again)
    assert read_scan(path).transfer is None


def test_a_response_and_a_dark_image_are_part_of_the_model(folder):
    scan = read_scan(next(Path(folder / "scans").glob("325K*.h5")))
    rng = np.random.default_rng(1)
    flat = rng.uniform(0.6, 1.4, (32, 32)).astype(np.float32)
    flat /= flat.mean()
    exposure, dark = np.linspace(0.8, 1.2, 32, dtype=np.float32), np.full((32, 32), 3, np.float32)
    plain = dataclasses.replace(scan, pixel_kernel=(0.0, 0.0, 0.0), background=0.0)
    seen = exposure[:, None, None] * flat * plain.intensity
    config = dataclasses.replace(DEFAULT.transfer, epochs=1)

    def loss(**changes):
        return module.learn(dataclasses.replace(plain, **changes), config, lambda *_: None).search_loss

    assert loss() < 1e-4
    assert loss(intensity=seen) > 1e-3
    assert loss(intensity=seen, exposure=exposure, flat_field=flat) < 1e-4
    lit = flat * plain.intensity + dark
    assert loss(intensity=lit, given_flat_field=flat, flat_field=flat, dark=dark) < 1e-4


def test_the_command_says_what_it_wrote(folder):
    (folder / "figures").mkdir()
    arguments = ["transfer", UID, "--epochs", "1", "--results", str(folder.parent)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    lines = done.stdout.strip().splitlines()
    assert "320 K  1 epochs in" in lines[0]
    assert f"2 files written in {folder / 'scans'}" in lines[-1]
    assert (folder / "figures" / "loss_curves.png").is_file()
    again = CliRunner().invoke(app, arguments)
    assert "1 epochs there already" in again.stdout
    assert "0 files written" in again.stdout
    missing = CliRunner().invoke(app, ["transfer", "nothing", "--results", str(folder.parent)])
    assert missing.exit_code == 1
    assert "a series with results is required" in missing.stderr


def test_behind_a_result_it_is_summarised_as_what_it_is_and_drawn(folder, tmp_path):
    (folder / "figures").mkdir()
    scan = read_scan(next(Path(folder / "scans").glob("325K*.h5")))
    start = {
        "uid": scan.run_uid,
        "series_uid": UID,
        "temperature_setpoint": 325.0,
        "branch": "heating",
        "attempt": 1,
    }
    nothing = np.empty(0)
    beside = {"stage": "transfer", "epochs": 1}
    job = ScanJob(start, tmp_path / "frames.h5", "", *[nothing] * 3, np.array([325.0]), {}, folder, **beside)
    done = analyse_beside(job)
    assert done.error == ""
    assert done.stage == "transfer"
    assert done.learning.epochs == 1
    assert done.chi_squared == scan.chi_squared != done.learning.loss
    assert (folder / "figures" / "loss_curves.png").is_file()
    assert "1 epochs  L3 " in other_line(done)
    with exclusive_lock(folder / LOCK):
        assert "runs already" in analyse_beside(job).error


def test_no_figure_is_drawn_for_a_series_without_figures(folder):
    assert draw_curves(folder) is None
