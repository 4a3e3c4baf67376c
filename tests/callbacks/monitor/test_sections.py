"""What the page says of a measurement and of stored results, from hand-made documents and files."""

import json
import math

import numpy as np
import pytest

from analysis.results import write_scan
from callbacks.monitor import pictures, sections
from callbacks.monitor.follower import Derived, Measured, Run
from callbacks.monitor.stored_results import ROW, Stored
from callbacks.series import FOLDERS

SERIES = "20260101-000000-abcdef"


def run(index, *, points, begun, pace=2.0, stop=None, kelvin=320.0, purpose="rocking"):
    start = {
        "uid": f"{index:08d}-0000",
        "time": begun,
        "purpose": purpose,
        "series_uid": SERIES,
        "series_index": index,
        "series_size": 4,
        "temperature_setpoint": kelvin,
        "branch": "heating",
        "scan": {"start": 17.0, "stop": 17.1, "num": 10},
    }
    made = {
        n: {
            "seq_num": n,
            "time": begun + pace * n,
            "eta": 17 + 0.01 * n,
            "Tsample": kelvin + 0.1,
            "Tset": kelvin,
            "merlin_total": 100.0 * n,
        }
        for n in range(1, points + 1)
    }
    return Run(start, {"exit_status": stop} if stop else {}, made)


def measured(*runs):
    return Measured({one.uid: one for one in runs})


def test_the_end_follows_from_the_pace_so_far_soaking_included(tmp_path):
    series = measured(run(0, points=10, begun=1000.0, stop="success"), run(1, points=5, begun=1040.0))
    found = sections.progress(series, Stored(tmp_path))
    # one scan and a half in 50 s: four take 133.3 s
    assert found["ends"] == pytest.approx(1050 + 50 / 1.5 * 2.5, abs=1e-3)
    assert found["scan_ends"] == pytest.approx(1050 + 2.0 * 5)
    assert (found["scan"], found["scans"], found["points"], found["share"]) == (2, 4, 5, 1.5 / 4)
    assert found["activity"] == "rocking at 320 K"
    assert (found["newest"], found["pace"], found["between"]) == (1050.0, 2.0, False)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (run(0, points=0, begun=0.0, purpose="align"), "aligning at 320 K"),
        (run(0, points=3, begun=0.0, stop="abort"), "the scan at 320 K ended with 'abort'"),
        (run(0, points=10, begun=0.0, stop="success"), "between scans, after 320 K"),
        (run(3, points=10, begun=0.0, stop="success"), "measured to its end, 1 in analysis"),
        (run(3, points=0, begun=0.0, stop="success", purpose="align"), "aligned at 320 K"),
        (run(3, points=0, begun=0.0, stop="success", purpose="decision"), "going to 320 K"),
        (run(3, points=0, begun=0.0, stop="success", purpose="guard"), "measured to its end"),
    ],
)
def test_what_goes_on_is_said_in_words(tmp_path, one, said):
    assert sections.progress(measured(one), Stored(tmp_path))["activity"] == said


def test_a_series_ends_with_its_last_scan_or_a_decision_and_not_with_an_alignment(tmp_path):
    scans = [run(n, points=10, begun=100.0 * n, stop="success") for n in range(3)]
    aligned = run(3, points=0, begun=330.0, stop="success", purpose="align")
    found = sections.progress(measured(*scans, aligned), Stored(tmp_path))
    assert found["share"] == 3 / 4
    assert found["ends"] > 330.0
    assert found["between"] is True
    enough = run(3, points=0, begun=330.0, stop="success", purpose="decision")
    enough.start["decision"] = {"action": "stop"}
    found = sections.progress(measured(*scans, enough), Stored(tmp_path))
    assert (found["share"], found["ends"]) == (1.0, None)
    assert found["activity"].startswith("measured to its end")


def test_curve_and_trace_hold_the_points_in_order():
    one = run(0, points=4, begun=0.0)
    one.points = dict(reversed(one.points.items()))
    assert sections.curve(one)["counts"] == [100.0, 200.0, 300.0, 400.0]
    assert sections.trace(measured(one))["time"] == [2.0, 4.0, 6.0, 8.0]


def test_a_long_trace_is_thinned_out_and_keeps_its_last_point():
    found = sections.trace(measured(run(0, points=4000, begun=0.0)))
    assert len(found["time"]) <= sections.MOST_IN_TRACE + 1
    assert found["time"][-1] == 8000.0


def test_an_early_result_is_told_apart_and_gives_way_to_the_final_one(tmp_path):
    series, stored = measured(run(0, points=10, begun=0.0)), Stored(tmp_path / SERIES)
    start = {"uid": "d", "parent_run_uid": "00000000-0000", "stage": "early", "temperature_setpoint": 320.0}
    series.derived["d"] = Derived(start, {"exit_status": "success"}, {"trusted": True, "chi_squared": 0.02})
    (row,) = sections.results(series, stored)["rows"]
    assert (row["stage"], row["verdict"], row["order"]) == ("early", "early, trusted so far", None)
    preview = {
        "uid": "p",
        "parent_run_uid": "00000000-0000",
        "stage": "preview",
        "temperature_setpoint": 320.0,
    }
    series.derived["p"] = Derived(preview | {"time": 9.0}, {"exit_status": "success"}, {"chi_squared": 0.1})
    (row,) = sections.results(series, stored)["rows"]
    assert row["stage"] == "early"  # phased, which the preview is not
    so_far = {"points": 126, "points_wanted": 221, "overlap_before": 0.9963}
    series.derived["d"].values |= so_far
    (row,) = sections.results(series, stored)["rows"]
    assert (
        row["verdict"] == "early, trusted so far, from 126 of 221 points, overlap 0.996 with the one before"
    )
    del series.derived["d"]
    (row,) = sections.results(series, stored)["rows"]
    assert (row["stage"], row["trusted"], row["order"]) == ("preview", False, None)
    assert row["verdict"] == "preview: a guess of the network, not a result"
    series.derived["t"] = Derived({**preview, "stage": "transfer"}, {"exit_status": "success"}, {"x": 1.0})
    assert [row["stage"] for row in sections.results(series, stored)["rows"]] == ["preview"]
    stored.record = {"temperatures": [dict.fromkeys(ROW) | {"run_uid": "00000000-0000"}]}
    (row,) = sections.results(series, stored)["rows"]
    assert row["stage"] == "final"
    assert Derived({}).stage == "final"


def test_a_series_nobody_knows_is_said_to_be_unknown(tmp_path):
    stored = Stored(tmp_path / "none")
    stored.refresh()
    said = sections.heading("none", Measured(), stored, current=False, catalogue="")["messages"]
    assert said[0].startswith("No series 'none' is known")


def test_damaged_files_are_named_and_what_is_mended_is_read_again(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "series.json").write_text("{")
    (tmp_path / "scans" / "320K_heating_1_a1b2c3d4.h5").write_bytes(b"no HDF5")
    (tmp_path / "scans" / "325K_heating_1_b1b2c3d4.failed.json").write_text(json.dumps({"error": "why"}))
    stored = Stored(tmp_path)
    assert stored.refresh()
    assert not stored.refresh()
    assert [text.split(" ")[0] for text in stored.problems] == ["series.json", "The"]
    rows = sections.results(Measured(), stored)["rows"]
    assert [(row["label"], row["verdict"]) for row in rows] == [("325 K", "failed: why")]
    (tmp_path / "scans" / "320K_heating_1_a1b2c3d4.h5").unlink()
    assert stored.refresh()
    assert len(stored.problems) == 1


def test_sections_are_json_whatever_is_not_known(tmp_path):
    one = run(0, points=2, begun=0.0)
    one.start["temperature_setpoint"] = None
    for value in (
        sections.progress(measured(one), Stored(tmp_path)),
        sections.curve(one),
        sections.frame(measured(one)),
        sections.progress(Measured(), Stored(tmp_path)),
    ):
        json.dumps(value, allow_nan=False)


def crystal(kelvin):
    """Return an object without symmetry, (32, 32, 32) complex64."""
    x, y, z = (2 * (np.indices((32, 32, 32)) - 16) / 32).astype(float)
    body = (np.abs(x) < 0.5) & (np.abs(y + 0.2 * x) < 0.4) & (np.abs(z) < 0.45) & (x + y + z < 0.6)
    phase = np.sin(3 * x) + np.cos(4 * y * z) + 0.01 * (kelvin - 320) * np.sin(5 * z + x)
    return (body * np.exp(1j * phase)).astype(np.complex64)


def alike(one, two):
    """Return the overlap of two objects where they lie: a view needs them in one gauge."""
    return abs(np.vdot(one, two)) / (np.linalg.norm(one) * np.linalg.norm(two))


def test_an_early_crystal_is_shown_before_any_final_one_and_in_its_place_beside_them(tmp_path, make_scan):
    def stored(stage, kelvin, uid):
        result = make_scan(crystal(kelvin), kelvin, run_uid=uid)
        (tmp_path / FOLDERS[stage]).mkdir(exist_ok=True)
        write_scan(tmp_path / FOLDERS[stage] / result.filename, result)

    def found(stage, uid):
        other = () if stage == "final" else series.other(uid, stage)
        return pictures.Source(tmp_path, series.stamp if series.files else 0.0, uid, *other).find()[1]

    first, second = "a1b2c3d4-0000", "b1b2c3d4-0000"
    stored("early", 320.0, first)
    series = Stored(tmp_path)
    assert series.refresh()
    alone = found("early", first)
    with pytest.raises(LookupError, match="no preview result of the run 'a1b2c3d4-0000'"):
        series.other(first, "preview")
    stored("final", 320.0, first)
    stored("preview", 325.0, second)
    assert series.refresh()
    stamp = series.stamp
    assert alike(alone, found("final", first)) > 0.999
    assert alike(found("final", first), found("preview", second)) > 0.98
    stored("early", 325.0, second)
    assert series.refresh()  # told, but what is final stays as it is
    assert series.stamp == stamp


def test_counts_are_shown_on_a_logarithmic_scale_and_gaps_apart():
    counts, masked = np.array([0.0, 9.0, 99.0, 5.0]), np.array([False, False, False, True])
    assert pictures.logarithmic(counts, masked, 99.0).tolist() == [0, 127, 254, pictures.MASKED]
    assert math.isclose(254 * math.log(10) / math.log(100), 127)


@pytest.mark.parametrize(
    ("bootstrap", "seeds", "repeats", "error"),
    [(4.1, None, None, 4.1), (4.1, 2.1, None, 2.1), (4.1, 2.1, 3.0, 3.0), (None, None, None, None)],
)
def test_the_error_bar_is_the_scatter_of_the_reconstruction_not_the_distance_from_the_fit(
    tmp_path, bootstrap, seeds, repeats, error
):
    given = {"bootstrap_error_rad": bootstrap, "seed_spread_rad": seeds, "repeat_error_rad": repeats}
    stored = Stored(tmp_path)
    row = dict.fromkeys(ROW) | given | {"residual_rad": 0.0, "run_uid": "a"}
    stored.record = {"temperatures": [row]}
    assert sections.results(Measured(), stored)["rows"][0]["error"] == error
