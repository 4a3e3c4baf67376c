"""Rows, resuming, intervals and the baseline of the phasing benchmark."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from analysis.benchmark import CLASSES, baseline, benchmark_pattern, comparisons, draw_cases, judge
from analysis.benchmark.baseline import plain_phasing
from analysis.benchmark.generator import chosen_classes
from analysis.benchmark.judge import Row, Share, append_row, read_rows, run_cases, summarise
from analysis.benchmark.tables import evidence_table, photon_table, quality_table, starts_table, trust_table
from analysis.phasing.registration import overlap

CASES = draw_cases(range(9000, 9006), 6)


def row_of(case, **changes):
    values = {
        "seed": case.seed,
        "kind": case.kind.name,
        "turns": case.kind.turns,
        "photons": case.photons,
        "detector": case.kind.detector,
        "shape": "rod",
        "field": "bumps",
        "coherence": 0.1,
        "extent_0": 0.5,
        "extent_1": 0.4,
        "extent_2": 0.3,
        "draws": 1,
        "overlap": 0.99,
        "trusted": True,
        "reasons": "",
        "agreement": 0.98,
        "noise_ratio": 1.1,
        "chi_squared": 0.01,
        "compactness": 1.0,
        "oversampling": 2.0,
        "effective_voxels": 9000.0,
        "filled": 0.1,
        "origin": "network 0",
        "iterations": 600,
        "cpu_seconds": 2.0,
        "wall_seconds": 2.5,
        "baseline_overlap": 0.5,
        "baseline_chi_squared": 0.1,
        "baseline_cpu_seconds": 1.9,
        "baseline_starts": 1,
        "weights_hash": "abc",
    }
    return Row(**(values | changes))


@pytest.mark.parametrize(("hits", "total"), [(0, 18), (3, 18), (17, 18), (18, 18)])
def test_the_interval_ends_where_the_counts_become_improbable(hits, total):
    low, high = Share(hits, total).interval
    # By its definition: at the limits, the tails hold 2.5 % each.
    if hits > 0:
        assert binom.sf(hits - 1, total, low) == pytest.approx(0.025)
    else:
        assert low == 0
    if hits < total:
        assert binom.cdf(hits, total, high) == pytest.approx(0.025)
    else:
        assert high == 1
    assert low <= hits / total <= high


def test_all_of_eighteen_is_the_textbook_interval():
    assert Share(18, 18).interval[0] == pytest.approx(0.025 ** (1 / 18))


def test_a_summary_counts_right_trusted_and_wronged():
    rows = [
        row_of(CASES[0]),
        row_of(CASES[1], trusted=False, cpu_seconds=4.0),
        row_of(CASES[2], overlap=0.6, cpu_seconds=9.0),
        row_of(CASES[3], overlap=0.5, trusted=False, baseline_overlap=0.97),
        row_of(CASES[4], baseline_starts=0, baseline_overlap=float("nan")),
    ]
    found = summarise(rows)
    assert (found.success.hits, found.success.total) == (3, 5)
    assert (found.trusted_right.hits, found.trusted_right.total) == (2, 3)
    assert (found.right_distrusted.hits, found.right_distrusted.total) == (1, 3)
    assert (found.baseline_success.hits, found.baseline_success.total) == (1, 4)
    assert found.cpu_seconds == 2.0
    assert found.overlap == 0.99


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [row_of(CASES[0], reasons="a, b; c"), row_of(CASES[1], trusted=False, detector=True)]
    for row in rows:
        append_row(path, row)
    assert read_rows(path) == rows
    with pytest.raises(ValueError, match="one table is one software"):
        append_row(path, row_of(CASES[2], weights_hash="other"))
    path.write_text("seed,overlap\n1,0.5\n")
    with pytest.raises(ValueError, match="give another file"):
        read_rows(path)


def test_an_interrupted_run_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    path, ran, beside = tmp_path / "rows.csv", [], []

    def judged(case):
        ran.append(case.seed)
        return row_of(case, baseline_starts=0, baseline_overlap=0.0)

    def compared(case, row):
        beside.append(case.seed)
        return replace(row, baseline_starts=3)

    monkeypatch.setattr(judge, "judge", judged)
    monkeypatch.setattr(judge, "with_baseline", compared)
    run = run_cases(CASES[:4], path)
    next(run), next(run)
    run.close()
    assert [row.seed for row in read_rows(path)] == [9000, 9001]
    run = run_cases(CASES, path)
    assert [next(run)[1] for _ in range(5)] == [9, 8, 7, 6, 5]
    run.close()
    assert [waiting for _, waiting in run_cases(CASES, path)] == [4, 3, 2, 1, 0]
    assert ran == beside == [9000, 9001, 9002, 9003, 9004, 9005]
    assert [(row.seed, row.baseline_starts) for row in read_rows(path)] == [(seed, 3) for seed in ran]
    assert list(run_cases(CASES, path)) == []


def test_the_baseline_begins_no_start_that_would_not_fit(monkeypatch):
    spent = [0.0]

    def start(modulus, free, support, rng):
        spent[0] += 0.6
        return support.to(torch.complex64)

    monkeypatch.setattr(baseline, "time", SimpleNamespace(process_time=lambda: spent[0]))
    monkeypatch.setattr(baseline, "one_start", start)
    counts = np.ones((8, 8, 8))
    for seconds, starts in ((2.0, 3), (1.3, 2), (1e-6, 1)):
        spent[0] = 0.0
        assert plain_phasing(counts, counts < 0, 0.0, cpu_seconds=seconds, seed=1).starts == starts


def test_the_baseline_finds_an_easy_crystal():
    pattern = benchmark_pattern(9003, peak_to_peak=1.0, photons=1e6, size=32)
    # The first start does, so a slow machine's share of them is enough.
    found = plain_phasing(pattern.counts, pattern.mask, pattern.background, cpu_seconds=1e-6, seed=1)
    assert overlap(found.object, pattern.truth) > 0.95
    assert found.starts == 1
    assert found.chi_squared < 0.02


def test_the_baseline_lets_unmeasured_voxels_float():
    pattern = benchmark_pattern(9003, peak_to_peak=1.0, photons=1e6, size=32)
    mask = np.zeros_like(pattern.mask)
    mask[:, 20, :] = True
    spoilt = np.where(mask, 1e6, pattern.counts)
    found = plain_phasing(spoilt, mask, 0.0, cpu_seconds=1e-6, seed=1)
    assert overlap(found.object, pattern.truth) > 0.9


@pytest.mark.slow
def test_one_crystal_is_judged_from_pattern_to_row():
    kind = replace(CLASSES[0], name="easy", turns=0.5)
    case = judge.Case(9003, kind, 1e5)
    row = judge.judge(case)
    assert row.overlap > 0.95
    assert row.baseline_starts == 0
    beside = judge.with_baseline(case, replace(row, cpu_seconds=0.1))
    assert beside.overlap == row.overlap
    assert beside.baseline_starts == 1
    assert 0 < beside.baseline_overlap <= 1
    assert row.compactness > 0.9
    assert row.oversampling == pytest.approx(1 / max(row.extent_0, row.extent_1, row.extent_2), rel=0.2)


def test_tables_show_targets_beside_what_was_reached():
    rows = [row_of(case, overlap=0.99 if case.seed % 2 else 0.4) for case in CASES]
    quality = quality_table(rows)
    assert quality.row_count == len(CLASSES) + 1
    cells = [list(column.cells) for column in quality.columns]
    assert cells[0][:2] == [CLASSES[0].name, CLASSES[1].name]
    assert cells[1][0].startswith("0/1 = 0.0%")
    assert "≥ 99%" in cells[2][0]
    assert "✗" in cells[2][0]
    assert "✓" in cells[2][1]
    assert trust_table(rows).row_count == 3
    assert photon_table(rows).row_count == 3
    assert evidence_table(rows).row_count == 2  # plain ones are all wrong here, detector ones all right


def test_classes_are_chosen_by_words_in_their_names():
    assert chosen_classes(None) == CLASSES
    assert {kind.detector for kind in chosen_classes("detector")} == {True}
    assert [kind.name for kind in chosen_classes("measured")] == ["3π, 1e5–1e6, measured"]
    assert {kind.turns for kind in chosen_classes("2π, 4π")} == {2, 4}
    with pytest.raises(ValueError, match="none holds"):
        chosen_classes("9π")


def test_cost_of_a_right_object_is_set_beside_that_without_the_network():
    without, with_it = comparisons.POLICIES[:2]

    def outcome(policy, seed, overlap, seconds):
        return comparisons.Outcome(policy, seed, "easy", overlap, True, 10, seconds)

    outcomes = [outcome(without, seed, 0.99, 10.0) for seed in range(8)]
    outcomes += [outcome(with_it, seed, 0.99, 4.0) for seed in range(8)]
    rows = [list(column.cells) for column in starts_table(outcomes).columns]
    assert rows[-2] == ["10.0", "4.0"]
    assert rows[-1] == ["", "0.40 (0.40–0.40)"]
    half = [replace(one, overlap=0.5) if one.policy == with_it and one.seed % 2 else one for one in outcomes]
    rows = [list(column.cells) for column in starts_table(half).columns]
    assert rows[-2] == ["10.0", "8.0"]
    assert rows[-1][1].startswith("0.80 (0.")
    with pytest.raises(ValueError, match="same crystals"):
        starts_table(outcomes[:-1])


@pytest.mark.slow
def test_policies_of_starts_are_compared_on_the_same_crystal(monkeypatch):
    monkeypatch.setitem(comparisons.ALONE, "the network, transfer learning", 20)
    kind = replace(CLASSES[0], name="easy", turns=0.5)
    outcomes = list(comparisons.compare([judge.Case(9003, kind, 1e5)]))
    assert [outcome.policy for outcome in outcomes] == [*comparisons.ALONE, *comparisons.POLICIES]
    alone, searched = outcomes[:2], outcomes[2:]
    assert all(outcome.overlap > 0.95 and outcome.iterations > 0 for outcome in searched)
    assert all(outcome.iterations == 0 and not outcome.trusted for outcome in alone)
    table = starts_table(outcomes)
    assert table.row_count == 5
    assert list(table.columns[1].cells)[-1].startswith("1/1")
