"""``vo2 exposure``: what it asks for, refuses and prints; the phasing is left out."""

import numpy as np
import pytest
from typer.testing import CliRunner

import callbacks.exposure
from analysis.exposure import ExposureRow, ExposureTable
from profile_collection.cli.app import app
from profile_collection.cli.exposure import parse_fractions

GEOMETRY = """
instrument = "34idc"
energy = 9.0
distance = 500.0
pixel_size = 0.055
axis = "th"
start = -0.28
step = 0.005
lattice = 4.08
reflection = [1, 1, 1]
[positions]
delta = 32.174
gamma = 12.6346
"""


@pytest.fixture
def asked(monkeypatch):
    """Have the reconstructions take no time: errors that fall as 1/√t; return the jobs that came."""
    jobs = []

    def tried(job, *, config, progress):
        jobs.append(job)
        seconds = callbacks.exposure.exposure_of(job)
        rows = [ExposureRow(f, (0.03 / f**0.5,) * 2, (0.99, 0.98), 2, 2, (), 50.0) for f in config.fractions]
        return ExposureTable(seconds, 1e7, 1e5, True, tuple(rows))

    monkeypatch.setattr(callbacks.exposure, "exposures_of", tried)
    return jobs


@pytest.fixture
def call(tmp_path):
    counts = np.random.default_rng(4).poisson(3.0, (12, 20, 30)).astype(np.uint32)
    np.savez(tmp_path / "scan.npz", counts=counts)
    (tmp_path / "geometry.toml").write_text(GEOMETRY, encoding="utf-8")

    def run(*words):
        path = ["exposure", str(tmp_path / "scan.npz"), "--geometry", str(tmp_path / "geometry.toml")]
        return CliRunner().invoke(app, [*path, "--data", str(tmp_path / "data"), *words])

    return run


def test_table_proposal_and_what_was_assumed_are_printed(asked, call):
    done = call("--exposed", "30", "--phase-error", "0.1")
    assert done.exit_code == 0, done.output
    assert "2.7 s per point reaches a phase error of 0.1 rad" in done.output
    assert "0.0520" in done.output  # at a third
    assert done.output.count("assumed: ") == 3
    assert len(asked) == 1


def test_an_exposure_that_nobody_said_is_asked_for(asked, call):
    done = call()
    assert done.exit_code == 1
    assert "--exposed 30" in done.output
    assert asked == []


def test_limits_bound_the_proposal(asked, call):
    assert "5 s is the shortest allowed" in call("--exposed", "30", "--shortest", "5").output


@pytest.mark.parametrize("words", ["1/3,x", "1/0", ""])
def test_fractions_that_cannot_be_read_are_refused(call, words):
    done = call("--exposed", "30", "--fractions", words)
    assert done.exit_code == 1
    assert "fractions of the exposure" in done.output


def test_fractions_are_quotients_or_numbers():
    assert parse_fractions("1/4, 0.1") == (0.25, 0.1)
