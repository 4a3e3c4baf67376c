"""A series analysed once more, beside the first analysis."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

import callbacks.analyse as analyse_module
import callbacks.series as series_module
from analysis.order_parameter import counting
from analysis.results import read_scan, read_series, write_scan
from callbacks.catalogue import connect, derived_runs
from callbacks.locks import exclusive_lock
from callbacks.monitor.stored_results import Stored
from callbacks.reanalyse import LOCK_FILE, best_of, finish, publish_reanalyses, reanalyse_series
from callbacks.series import update_series
from profile_collection.catalogue.client import ensure_server, stop_server
from profile_collection.cli.app import app

UID = "20260101-000000-abcdef"


def crystal(kelvin, wrong=0.0):
    """Return an object without symmetry whose phase grows with temperature; `wrong` makes it another."""
    x, y, z = (2 * (np.indices((32, 32, 32)) - 16) / 32).astype(float)
    body = (np.abs(x) < 0.5) & (np.abs(y + 0.2 * x) < 0.4) & (np.abs(z) < 0.45) & (x + y + z < 0.6)
    amplitude = ndimage.gaussian_filter(body.astype(float), 0.6)
    phase = np.sin(3 * x) + np.cos(4 * y * z) + 0.04 * (kelvin - 320) * np.sin(5 * z + x)
    phase = phase + wrong * np.sin(9 * x * y + 7 * z)
    return (amplitude * np.exp(1j * phase)).astype(np.complex64)


@pytest.fixture
def asked(monkeypatch):
    """Put a phasing in place that fails from most seeds at 325 K; return the calls."""
    calls = []

    def phase(scan, seed, **_):
        calls.append((scan.temperature_setpoint, seed))
        good = scan.temperature_setpoint == 320.0 or seed in (2, 3)
        array = crystal(scan.temperature_setpoint, 0.0 if good else 2.0 + seed)
        return SimpleNamespace(
            object=array,
            support=np.abs(array) > 0.1,
            chi_squared=0.01 + 0.001 * seed if good else 0.2,
            noise_ratio=1.1 if good else 9.0,
            trusted=good,
            reasons=() if good else ("starts disagree",),
            loss_history=np.zeros(3),
            seed=seed,
            seconds=0.1,
            weights_hash="abc",
            coherence=(0.0, 0.0, 0.0),
            flat_field=np.ones(array.shape[1:]),
            exposure=np.ones(array.shape[0]),
            calibrated=False,
        )

    monkeypatch.setattr(analyse_module, "phase", phase)
    return calls


@pytest.fixture
def folder(tmp_path, make_scan, monkeypatch):
    """Return the results of a series of which the second temperature failed."""
    monkeypatch.setattr(series_module, "draw_figures", lambda *_: [])
    fixed = {"series_uid": UID, "background": 0.0, "voxel_basis": np.diag([29.0, 52.0, 51.0])}
    fixed |= {"strain": {"95": {"sigma": 1e-4}}}
    good = make_scan(crystal(320.0), 320.0, **fixed)
    failed = make_scan(
        crystal(325.0, 2.0), 325.0, trusted=False, reasons=("starts disagree",), chi_squared=0.2, **fixed
    )
    for one in (good, failed):
        write_scan(tmp_path / UID / "scans" / one.filename, one)
    update_series(tmp_path / UID, 2)
    return tmp_path / UID


def rows(folder):
    return read_series(folder)["temperatures"]


def test_the_best_of_more_seeds_stands_beside_the_first_and_counts(folder, asked):
    before = {path: path.read_bytes() for path in (folder / "scans").glob("*.h5")}
    assert [row["trusted"] for row in rows(folder)] == [True, False]
    made = list(reanalyse_series(folder, 5))
    state = finish(folder)
    assert {path: path.read_bytes() for path in (folder / "scans").glob("*.h5")} == before
    assert [one.result.trusted for one in made] == [True, True]
    assert made[1].result.seed == 2
    assert made[1].result.analysis == 2
    kept = read_scan(made[1].path).parameters["reanalysis"]
    assert kept["seeds"] == [0, 1, 2, 3, 4]
    assert kept["trusted"] == [False, False, True, True, False]
    assert "2 of 5 seeds trusted" in made[1].result.notes[-1]
    assert [(row["trusted"], row["analysis"]) for row in rows(folder)] == [(True, 2), (True, 2)]
    assert not any(point.provisional for point in state.order)
    assert rows(folder)[1]["seeds"] == 2  # the spread of the trusted ones is kept
    stored = Stored(folder)
    stored.refresh()
    assert stored.path_of(made[1].result.run_uid) == made[1].path
    assert "**reanalysed**" in (folder / "shift-log.md").read_text(encoding="utf-8")


def test_an_interrupted_call_goes_on_and_a_second_one_does_nothing(folder, asked):
    again = reanalyse_series(folder, 3)
    next(again)
    again.close()  # as by Ctrl-C after the first scan
    done = len(asked)
    assert [one.fresh for one in reanalyse_series(folder, 3)] == [False, True]
    assert len(asked) == 2 * done
    assert [one.fresh for one in reanalyse_series(folder, 3)] == [False, False]
    more = list(reanalyse_series(folder, 4))
    assert [one.result.analysis for one in more] == [3, 3]
    assert len(asked) == 2 * done + 2


def test_two_at_once_are_not_allowed_and_too_few_seeds_are_none(folder, asked):
    with (
        exclusive_lock(folder / LOCK_FILE),
        pytest.raises(RuntimeError, match="is being reanalysed: process"),
    ):
        list(reanalyse_series(folder, 5))
    with pytest.raises(ValueError, match="two seeds or more"):
        list(reanalyse_series(folder, 1))


def test_trusted_seeds_that_are_different_objects_leave_none_trusted(make_scan):
    one = make_scan(crystal(320.0), seed=0)
    other = make_scan(crystal(320.0, 3.0), seed=1, chi_squared=0.02)
    best = best_of([one, other], 2)
    assert not best.trusted
    assert best.seed == 0
    assert "another object" in best.reasons[-1]
    assert counting([one, best])[0].analysis == 1  # the last trusted one counts


@pytest.mark.slow
def test_it_is_published_beside_the_first(folder, asked, tmp_path):
    data = tmp_path / "data"
    catalogue = connect(ensure_server(data).address)
    try:
        from bluesky_tiled_plugins import TiledWriter

        scans = [read_scan(path) for path in sorted((folder / "scans").glob("*.h5"))]
        for scan in scans[:1]:
            start = {"uid": scan.run_uid, "time": 1.0, "series_uid": UID, "purpose": "rocking", "attempt": 1}
            start |= {"temperature_setpoint": 320.0, "branch": "heating"}
            writer = TiledWriter(catalogue.raw)
            writer("start", start)
            stop = {"uid": "s", "run_start": scan.run_uid, "time": 2.0, "exit_status": "success"}
            writer("stop", {**stop, "num_events": {}})
        run = ["reanalyse", UID, "--seeds", "3", "--results", str(folder.parent), "--data", str(data)]
        done = CliRunner().invoke(app, run)
        assert done.exit_code == 0, done.output
        assert "trusted before, now trusted" in done.output
        assert "is not published: its scan is not in this catalogue" in done.output
        (derived,) = derived_runs(catalogue, scans[0].run_uid)
        assert derived.metadata["start"]["analysis"] == 2
        assert derived.metadata["start"]["reanalysis"]["seeds"] == [0, 1, 2]
        state = finish(folder)
        assert len(publish_reanalyses(catalogue, folder, state)) == 1
        assert len(derived_runs(catalogue, scans[0].run_uid)) == 1
    finally:
        catalogue.close()
        stop_server(data)
