"""The comparison with the truth, on results that are the truth itself, and on numbers made up for it."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.experiment import paper
from analysis.phasing.registration import twin as twinned
from analysis.results import write_scan
from profile_collection.checks.truth import (
    TruthReport,
    TruthRow,
    ceilings,
    compare_rutile,
    compare_with_truth,
    rutile_lines,
    rutile_verdicts,
    table_lines,
    verdict_lines,
    verdicts,
)
from profile_collection.cli.app import app
from profile_collection.twin import Clock, CrystalConfig, DetectorConfig, ThermalConfig, Twin, TwinConfig
from profile_collection.twin.truth import crystal_truth, truth_objects

ETAS = np.round(17.8 + 0.01 * np.arange(-40, 41), 5)
SERIES = "20261122-143000-a1b2c3"
CROP = slice(8, 72), slice(75, 139), slice(25, 89)
WIDE = slice(8, 72), slice(23, 191), slice(25, 89)
CORNER = (0, 150, 200)
CONFIG = TwinConfig(
    crystal=CrystalConfig(size=(500.0, 700.0, 800.0)),
    detector=DetectorConfig(roi=(150, 350, 200, 310), quadrature=1, blur=0),
    threads=1,
)


@pytest.fixture(scope="module")
def result_of(make_scan):
    """Return a maker of scans whose object is the truth in disguise: twinned, with a global phase."""

    def make(path, kelvin, crop=CROP, kind="monoclinic"):
        fields = truth_objects(path, *crop)
        counts = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(fields[kind])))) ** 2
        return make_scan(
            twinned(fields[kind]) * np.exp(1j * kelvin),
            kelvin,
            temperature=kelvin,
            intensity=counts.astype(np.float32),
            background=0.0,
            pixel_kernel=(0.0, 0.0, 0.0),
            voxel_basis=fields["voxel_basis"],
            q_vector=fields["q_vector"],
            d_spacing=crystal_truth(path).d_spacing * (1 + 2e-5),
            series_uid=SERIES,
            run_uid=path.stem,
            parameters={
                "crop_origin": [one.start + corner for one, corner in zip(crop, CORNER, strict=True)]
            },
            experiment=paper().document(),
            instrument={"detector": {"roi": CONFIG.detector.region}},
        )

    return make


@pytest.fixture(scope="module")
def folders(tmp_path_factory, result_of):
    """Return data and results of a series of two temperatures that was reconstructed perfectly."""
    root = tmp_path_factory.mktemp("truth")
    for kelvin in (320.0, 350.0):
        config = replace(CONFIG, thermal=ThermalConfig(start=kelvin, fluctuation=0.0))
        path = root / "data" / "truth" / SERIES / f"{kelvin:g}.json"
        Twin(config, Clock()).write_truth(path, path.stem, ETAS)
        scan = result_of(path, kelvin)
        write_scan(root / "results" / SERIES / "scans" / scan.filename, scan)
    return root / "data", root / "results"


@pytest.fixture(scope="module")
def report(folders):
    data, results = folders
    return compare_with_truth(results / SERIES, data / "truth" / SERIES)


def test_the_truth_itself_is_found_perfect_whatever_its_disguise(report):
    assert [row.setpoint for row in report.rows] == [320, 350]
    for row in report.rows:
        assert row.overlap == pytest.approx(1, abs=1e-4)
        assert row.strain_sigma_90 == pytest.approx(row.true_strain_sigma_90, rel=1e-3)
        assert row.strain_sigma_95 == pytest.approx(row.true_strain_sigma_95, rel=1e-3)
        assert row.missing == pytest.approx(row.true_missing, abs=1e-3)
        assert row.valid == pytest.approx(1 - row.missing, abs=0.05)
        assert row.d_deviation == pytest.approx(2e-5, rel=1e-3)
        assert row.m1_fraction + row.m2_fraction + row.rutile_fraction == pytest.approx(1)
    assert report.rows[0].rutile_fraction == pytest.approx(0, abs=1e-3)
    assert report.rows[1].rutile_fraction > 0.3
    assert report.deviation < 1e-3
    assert all(verdict.passed for verdict in verdicts(report))


def test_the_true_spacing_is_the_centre_of_mass_of_the_whole_peak(folders):
    path = folders[0] / "truth" / SERIES / "350.json"
    fields = truth_objects(path, slice(-20, 101), slice(43, 171), slice(-7, 121))
    weight = np.abs(fields["amplitude"]) ** 2
    steps = 2 * np.pi * np.linalg.inv(fields["voxel_basis"]).T / 10 / np.array(weight.shape)
    places = np.indices(weight.shape).reshape(3, -1) - np.array(weight.shape)[:, None] // 2
    q = fields["q_vector"] + steps @ np.average(places, axis=1, weights=weight.ravel())
    assert crystal_truth(path).d_spacing == pytest.approx(2 * np.pi / np.linalg.norm(q), rel=2e-5)


def test_a_ceiling_is_near_one_computed_once_and_kept(folders):
    data, results = folders
    asked = []
    found = ceilings(results / SERIES, data / "truth" / SERIES, progress=asked.append)
    assert asked == ["320 K", "350 K"]
    assert all(0.99 < value <= 1 for value in found.values())
    again = ceilings(results / SERIES, data / "truth" / SERIES, progress=asked.append)
    assert again == found
    assert len(asked) == 2


def test_the_command_prints_the_table_and_says_by_its_exit_code_whether_all_passed(folders):
    data, results = folders
    arguments = ["truth", SERIES, "--data", str(data), "--results", str(results), "--no-ceiling"]
    good = CliRunner().invoke(app, arguments)
    assert good.exit_code == 0, good.output
    assert "FAIL" not in good.output
    assert "pass  d-spacing within 1e-04 relative: +2.0e-05" in good.output
    nowhere = CliRunner().invoke(app, [*arguments[:2], "--data", str(data / "no"), *arguments[4:]])
    assert nowhere.exit_code == 1
    assert "only simulated series have one" in nowhere.output


def test_rutile_in_a_wide_crop_is_held_against_the_simulations(folders, result_of, tmp_path):
    data, _ = folders
    truth = data / "truth" / SERIES
    assert compare_rutile(tmp_path, truth) == ()
    scan = result_of(truth / "350.json", 350.0, WIDE, "full")
    write_scan(tmp_path / "wide" / scan.filename, scan)
    (found,) = compare_rutile(tmp_path, truth)
    assert found.overlap == pytest.approx(1, abs=1e-4)
    assert found.dice > 0.85
    assert found.true_fraction > 0.3
    assert found.period == pytest.approx(74, abs=4)
    assert [verdict.passed for verdict in rutile_verdicts((found,))] == [True]
    assert "wide crop 64 × 168 × 64 at 350 K: trusted" in rutile_lines((found,))[0]
    wrong = [replace(found, dice=0.79), replace(found, fraction=0.27), replace(found, period=84.0)]
    assert [verdict.passed for verdict in rutile_verdicts(tuple(wrong))] == [False] * 3
    assert rutile_verdicts((replace(found, true_fraction=0.01),)) == ()


def row(**changes):
    values = {
        "label": "340 K",
        "setpoint": 340.0,
        "overlap": 0.99,
        "ceiling": 0.995,
        "trusted": True,
        "strain_sigma_90": 2.0e-4,
        "true_strain_sigma_90": 2.0e-4,
        "strain_sigma_95": 2.0e-4,
        "true_strain_sigma_95": 2.0e-4,
        "d_spacing": 3.2067,
        "true_d_spacing": 3.2067,
        "missing": 0.1,
        "true_missing": 0.1,
        "valid": 0.9,
        "m1_fraction": 0.6,
        "m2_fraction": 0.3,
        "rutile_fraction": 0.1,
        "order": -10.0,
        "true_order": -10.0,
    }
    return TruthRow(**(values | changes))


def failing(*rows, correlation=0.999, deviation=0.01):
    judged = verdicts(TruthReport(rows, correlation, deviation))
    return [verdict.requirement for verdict in judged if not verdict.passed]


HOT = {"label": "360 K", "rutile_fraction": 0.45, "missing": 0.43, "true_missing": 0.43}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"overlap": 0.969}, "overlap with the truth ≥ 0.97 where rutile ≤ 30 %"),
        (HOT | {"overlap": 0.949}, "overlap with the truth ≥ 0.95 where rutile > 30 %"),
        ({"strain_sigma_90": 2.21e-4}, "strain σ at 90 and 95 % within 10 % where rutile ≤ 30 %"),
        ({"strain_sigma_95": 1.79e-4}, "strain σ at 90 and 95 % within 10 % where rutile ≤ 30 %"),
        (HOT | {"strain_sigma_95": 2.31e-4}, "strain σ at 90 and 95 % within 15 % where rutile > 30 %"),
        ({"d_spacing": 3.2067 * (1 + 1.1e-4)}, "d-spacing within 1e-04 relative"),
        ({"missing": 0.151}, "missing density within 5 points of the true one and of the rutile volume"),
        (HOT | {"missing": 0.39}, "missing density within 5 points of the true one and of the rutile volume"),
    ],
)
def test_each_requirement_fails_on_its_own_number(changes, complaint):
    assert failing(row(), row(**HOT), row()) == []
    assert failing(row(), row(**HOT), row(**changes)) == [complaint]


def test_the_order_parameter_must_follow_the_true_one():
    assert len(failing(row(), row(), row(), correlation=0.98, deviation=0.06)) == 2
    assert failing(row(), row(), correlation=float("nan")) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"rutile_fraction": 0.06, "missing": 0.015, "true_missing": 0.05}, "overlooked at 340 K"),
        ({"rutile_fraction": 0.0, "missing": 0.03, "true_missing": 0.0}, "imagined at 340 K"),
    ],
)
def test_density_is_missed_at_the_wrong_temperature(changes, word):
    judged = verdicts(TruthReport((row(**changes),), 1.0, 0.0))
    assert any(word in verdict.found and not verdict.passed for verdict in judged)


def test_a_line_says_whether_it_passed_and_the_table_has_one_per_temperature():
    report = TruthReport((row(), row(label="320 K cooling", ceiling=None, trusted=False)), 1.0, 0.0)
    header, first, second, _ = table_lines(report)
    assert "0.9950" in first
    assert "NO" in second
    assert "340c" in second
    assert len(header) < len(first) + 10
    assert verdict_lines(verdicts(report))[0].startswith("pass  overlap")
