"""A stored series phased again from other seeds."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage
from typer.testing import CliRunner

import analysis.phasing.two_lattices as phasing_module
from analysis.results import read_series, write_scan
from callbacks.analyse import repeat_series
from callbacks.locks import alone
from callbacks.series import last_first, last_started, read_attempts, read_results, update_series
from profile_collection.cli.app import app

UID = "20260101-000000-abcdef"


def crystal(kelvin):
    """Return an object without symmetry whose phase grows with temperature, (32, 32, 32) complex64."""
    x, y, z = (2 * (np.indices((32, 32, 32)) - 16) / 32).astype(float)
    body = (np.abs(x) < 0.5) & (np.abs(y + 0.2 * x) < 0.4) & (np.abs(z) < 0.45) & (x + y + z < 0.6)
    amplitude = ndimage.gaussian_filter(body.astype(float), 0.6)
    phase = np.sin(3 * x) + np.cos(4 * y * z) + 0.04 * (kelvin - 320) * np.sin(5 * z + x)
    return (amplitude * np.exp(1j * phase)).astype(np.complex64)


@pytest.fixture(scope="module")
def scans(make_scan):
    """Return the results of a series of two temperatures, by setpoint."""
    fixed = {"series_uid": UID, "background": 0.0, "voxel_basis": np.diag([29.0, 52.0, 51.0])}
    return {kelvin: make_scan(crystal(kelvin), kelvin, **fixed) for kelvin in (320.0, 325.0)}


@pytest.fixture
def asked(monkeypatch, scans):
    """Put a phasing in place that starts from the answer and errs by the seed; return the calls."""
    calls = []

    def phasing(intensity, mask, *, seed, pixel_kernel, background, flat_field, dark, not_counts):
        kelvin = min(scans, key=lambda one: np.abs(scans[one].intensity - intensity).sum())
        assert (flat_field, dark, not_counts) == (None, None, ())
        calls.append((kelvin, seed, pixel_kernel, background))
        noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=intensity.shape), 1)
        array = (crystal(kelvin) * np.exp(1j * (0.1 * noise / noise.std() + seed))).astype(np.complex64)
        return SimpleNamespace(
            object=array,
            support=np.abs(array) > 0.1,
            chi_squared=0.02,
            noise_ratio=1.1,
            trusted=True,
            reasons=(),
            loss_history=np.zeros(3),
            seed=seed,
            seconds=0.1,
            weights_hash="abc",
            coherence=(0.0, 0.0, 0.0),
            calibrated=False,
            flat_field=np.ones(intensity.shape[1:], np.float32),
        )

    monkeypatch.setattr(phasing_module, "reconstruct", phasing)
    return calls


@pytest.fixture
def folder(tmp_path, scans):
    """Return the results folder of a series of two temperatures."""
    for one in scans.values():
        write_scan(tmp_path / UID / "scans" / one.filename, one)
    update_series(tmp_path / UID, 2)
    return tmp_path / UID


def test_each_scan_is_phased_once_for_every_other_seed_and_the_spread_is_stored(folder, asked):
    first = read_series(folder)
    series = repeat_series(folder, [0, 1, 2])
    assert [(kelvin, seed) for kelvin, seed, *_ in asked] == [(320, 1), (320, 2), (325, 1), (325, 2)]
    assert asked[0][2:] == ((0.0, 1.0, 1.0), 0.0)
    assert list(series.order.seeds) == [3, 3]
    assert 0 < series.order.seed_spread[1] < 0.2 * abs(series.order.parameter[1])
    record = read_series(folder)
    assert record["final"]
    assert record["expected"] == 2
    assert [row["seed_spread_rad"] for row in record["temperatures"]] == list(series.order.seed_spread)
    before = [row["order_parameter_rad"] for row in first["temperatures"]]
    np.testing.assert_allclose(series.order.parameter, before)
    repeat_series(folder, [1, 2])
    assert len(asked) == 4


def test_two_repeats_of_one_series_are_not_made_at_once(folder, asked):
    with (
        alone(folder / ".repeat.lock", "held"),
        pytest.raises(RuntimeError, match="is being repeated: process"),
    ):
        repeat_series(folder, [1])
    assert not asked


def test_a_later_update_keeps_the_spread(folder, asked):
    repeat_series(folder, [1])
    update_series(folder, 3)
    record = read_series(folder)
    assert [row["seeds"] for row in record["temperatures"]] == [2, 2]
    assert not record["final"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["repeat", UID, "--seeds", "one"], "seeds are whole numbers of 0 or more"),
        (["repeat", UID, "--seeds", ""], "seeds are whole numbers of 0 or more"),
        (["repeat", "nothing"], "a series with results is required"),
    ],
)
def test_what_cannot_be_repeated_is_refused_in_words(folder, arguments, words):
    done = CliRunner().invoke(app, [*arguments, "--results", str(folder.parent)])
    assert done.exit_code == 1
    assert words in done.stderr


def test_the_command_prints_both_errors(folder, asked):
    done = CliRunner().invoke(app, ["repeat", UID, "--seeds", "1", "--results", str(folder.parent)])
    assert done.exit_code == 0, done.output
    assert "bootstrap" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 3


def test_the_last_trusted_attempt_counts_wherever_a_series_is_read(tmp_path, make_scan):
    body = np.zeros((8, 8, 8), dtype=complex)
    body[2:6, 2:6, 2:6] = 1
    for attempt, trusted in ((1, False), (2, True), (3, False)):
        scan = make_scan(body, attempt=attempt, trusted=trusted, run_uid=f"{attempt}0000000-0000")
        write_scan(tmp_path / "scans" / scan.filename, scan)
    other = make_scan(body, series_index=1, run_uid="90000000-0000", trusted=False)
    write_scan(tmp_path / "scans" / other.filename, other)
    assert [(one.series_index, one.attempt) for one in read_results(tmp_path)] == [(0, 2), (1, 1)]
    assert len(read_attempts(tmp_path)) == 4


def test_the_last_series_is_the_one_whose_last_scan_began_last():
    starts = [("aps34idc-z", 10.0), ("20261122-a", 12.0), ("20261121-b", 11.0)]
    assert last_started(starts) == "20261122-a"
    assert last_first(starts) == ["20261122-a", "20261121-b", "aps34idc-z"]
    assert last_started([]) is None
