"""Which scans of a series are phased again, and when they pass."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from profile_collection.checks import ceiling_benchmark
from profile_collection.checks.ceiling_benchmark import CeilingRow, ceiling_rows, ceiling_table, chosen_scans
from profile_collection.cli.app import app

ROW = CeilingRow("345 K", 0.2, stored=0.97, overlap=0.98, ceiling=0.992, trusted=True, cpu_seconds=12.0)


def test_the_coldest_scan_and_the_wanted_rutile_fractions_are_chosen(monkeypatch, tmp_path):
    rutile = {365: 0.9, 350: 0.41, 320: 0.0, 345: 0.23, 340: 0.1}
    monkeypatch.setattr(ceiling_benchmark, "truth_file", lambda scan, folder: scan.temperature_setpoint)
    monkeypatch.setattr(
        ceiling_benchmark, "crystal_truth", lambda path: SimpleNamespace(rutile_fraction=rutile[path])
    )
    scans = [SimpleNamespace(temperature_setpoint=t) for t in rutile]
    chosen = chosen_scans(scans, tmp_path)
    assert [(scan.temperature_setpoint, share) for scan, share in chosen] == [
        (320, 0.0),
        (345, 0.23),
        (350, 0.41),
    ]
    # One scan that is nearest to both is phased once.
    assert len(chosen_scans(scans[2:3], tmp_path)) == 1


def test_a_row_passes_near_its_ceiling_and_in_time():
    assert ROW.passed
    assert not replace(ROW, overlap=0.971).passed
    assert not replace(ROW, cpu_seconds=26.0).passed
    assert list(ceiling_table([ROW]).columns[4].cells) == ["0.9920"]


def test_without_results_it_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="results are required"):
        next(ceiling_rows(tmp_path, tmp_path))
    found = CliRunner().invoke(app, ["benchmark", "phasing", "--seed", "5000"])
    assert found.exit_code == 1
