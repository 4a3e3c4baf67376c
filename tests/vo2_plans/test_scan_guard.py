"""What the guard of a scan objects to, and what it does about it: on curves made up, and on the twin."""

import bluesky.plan_stubs as bps
import pytest

from vo2_plans import EtaWindow, SeriesPlace, temperature_series
from vo2_plans.scan_guard import ScanGuard, guarded_scan

WINDOW = EtaWindow(17.5, 18.1, 0.02, 10.0)


def readings(counts, peak=1000, current=300.0, kelvin=320.0):
    values = {
        "merlin_peak_row": 30.0,
        "merlin_peak_column": 30.0,
        "merlin_peak_total": counts,
        "merlin_peak_max": peak,
        "rc": current,
        "Tsample": kelvin,
    }
    return {key: {"value": value, "timestamp": 0.0} for key, value in values.items()}


def looked(window=WINDOW, centre=17.8, width=0.03, point=lambda n: {}):
    """Return a guard that has seen a Lorentzian squared about `centre`."""
    guard = ScanGuard("merlin", 2**24 - 1, 320.0, 0.1)
    for n, eta in enumerate(window.positions()):
        guard.look(eta, readings(1e6 / (1 + ((eta - centre) / width) ** 2) ** 2, **point(n)))
    return guard


def remedies(guard, window=WINDOW):
    return {finding.remedy for finding in guard.findings(window)}


def test_a_whole_curve_is_left_alone():
    assert looked().findings(WINDOW) == ()


def test_a_dry_run_without_readings_is_left_alone():
    assert ScanGuard("merlin", 1.0, 320.0, 0.1).findings(WINDOW) == ()


def test_a_peak_off_centre_is_recentred_and_keeps_the_windows_width():
    guard = looked(centre=17.55)
    assert remedies(guard) == {"recentre"}
    mended = guard.mended(WINDOW, guard.findings(WINDOW))
    assert mended.centre == pytest.approx(17.56, abs=0.02)
    assert mended.num == WINDOW.num


def test_wings_that_are_cut_off_get_a_longer_window_up_to_a_limit():
    guard = looked(width=0.3)
    assert remedies(guard) == {"extend"}
    mended = guard.mended(WINDOW, guard.findings(WINDOW))
    assert (mended.start, mended.stop) == pytest.approx((17.36, 18.24))
    assert mended.stop - mended.start <= 1.5 * (WINDOW.stop - WINDOW.start)
    one_end = looked(centre=17.68, width=0.06)
    assert set(one_end.cut_ends()) == {"start"}
    mended = one_end.mended(WINDOW, one_end.findings(WINDOW))
    assert (mended.start, mended.stop) == pytest.approx((17.2, 18.1))


def test_saturation_a_lost_beam_and_a_wrong_temperature_are_counted_in_words():
    guard = looked(point=lambda n: {"peak": 2**24 - 1} if n in (14, 15) else {})
    (finding,) = guard.findings(WINDOW)
    assert finding.remedy == "attenuate"
    assert "2 of 31 points are saturated" in finding.text
    guard = looked(point=lambda n: {"current": 0.0} if n < 3 else {})
    (finding,) = guard.findings(WINDOW)
    assert (finding.text, finding.remedy) == ("3 points were measured without beam", "retake")
    guard = looked(point=lambda n: {"kelvin": 321.5} if n == 7 else {})
    (finding,) = guard.findings(WINDOW)
    assert finding.remedy == "retake"
    assert "1 points were measured away from 320 K, the farthest at 321.50 K" in finding.text


def test_a_scan_without_a_peak_is_not_simply_repeated():
    guard = ScanGuard("merlin", 1e6, 320.0, 0.1)
    for eta in WINDOW.positions():
        guard.look(eta, readings(0.0))
    (finding,) = guard.findings(WINDOW)
    assert finding.remedy == ""
    assert "no peak" in finding.text


AWAY = EtaWindow(17.5, 17.84, 0.02, 10.0)
"""The twin's peak, at 17.8°, is near its end."""


def measured(beamline, engine, documents, plan):
    engine(plan)
    starts = documents.of("start")
    rocking = [start for start in starts if start["purpose"] == "rocking"]
    return rocking, [start for start in starts if start["purpose"] == "guard"]


def scan(beamline, mode, window=AWAY):
    def plan():
        yield from bps.mv(beamline.heated_stage, 320.0)
        return (yield from guarded_scan(beamline, window, SeriesPlace("mine", 0, 1, 320.0), mode=mode))

    return plan()


def test_mend_measures_again_about_the_peak_and_says_why(beamline, engine, documents):
    rocking, decided = measured(beamline, engine, documents, scan(beamline, "mend"))
    assert [start["attempt"] for start in rocking] == [1, 2]
    assert {start["series_index"] for start in rocking} == {0}
    second = EtaWindow.of(rocking[1]["scan"])
    assert second.num == AWAY.num
    assert second.centre == pytest.approx(17.8, abs=0.04)
    assert decided[0]["decision"]["action"] == "again"
    assert "off centre" in decided[0]["decision"]["reason"]
    event = documents.events("decisions")[0]
    assert event["data"]["decision_rule"] == "scan guard"
    stops = {stop["run_start"]: stop for stop in documents.of("stop")}
    assert stops[decided[0]["uid"]]["reason"].startswith("320 K: the peak is off centre")


def test_flag_says_the_same_and_measures_nothing(beamline, engine, documents, caplog):
    rocking, decided = measured(beamline, engine, documents, scan(beamline, "flag"))
    assert len(rocking) == 1
    assert [one["decision"]["action"] for one in decided] == ["keep"]
    assert "off centre" in caplog.text
    assert "It is kept as it is" in caplog.text


def test_a_series_measures_a_longer_window_and_names_its_guard(beamline, engine, documents):
    narrow = EtaWindow(17.74, 17.86, 0.02, 10.0)
    plan = temperature_series(beamline, [320, 325], narrow, locate=False, guard="mend")
    rocking, decided = measured(beamline, engine, documents, plan)
    assert [(start["series_index"], start["attempt"]) for start in rocking] == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
    ]
    assert [start["scan"]["num"] for start in rocking] == [7, 9, 7, 9]
    assert all(start["series_plan"]["guard"] == "mend" for start in rocking)
    assert "the window cuts the curve off" in decided[0]["decision"]["reason"]


def test_less_beam_where_the_peak_is_saturated(beamline, engine, documents, monkeypatch):
    metadata = beamline.metadata()
    detector = {**metadata["detector"], "saturation": 1000}
    monkeypatch.setattr(type(beamline), "metadata", lambda self: {**metadata, "detector": detector})
    wide = EtaWindow(17.5, 18.1, 0.02, 10.0)
    plan = temperature_series(beamline, [320], wide, locate=False, guard="mend", pre_expose=False)
    rocking, decided = measured(beamline, engine, documents, plan)
    assert [start["attempt"] for start in rocking] == [1, 2]
    dimmed = rocking[1]["attenuation"]["transmission"]
    assert dimmed < 1
    assert "points are saturated" in decided[0]["decision"]["reason"]
    assert min(event["data"]["transmission"] for event in documents.events("primary")) == dimmed


def test_without_a_guard_no_document_mentions_one(beamline, engine, documents):
    narrow = EtaWindow(17.74, 17.86, 0.02, 10.0)
    rocking, decided = measured(
        beamline, engine, documents, temperature_series(beamline, [320], narrow, locate=False)
    )
    assert len(rocking) == 1
    assert decided == []
    assert "guard" not in rocking[0]["series_plan"]


def test_a_window_out_of_reach_is_not_measured(beamline, engine, documents, monkeypatch):
    low, _ = beamline.diffractometer.eta.limits
    monkeypatch.setattr(type(beamline.diffractometer.eta), "limits", (low, 17.85))
    rocking, decided = measured(beamline, engine, documents, scan(beamline, "mend"))
    assert len(rocking) == 1
    assert decided[0]["decision"]["action"] == "keep"
    assert "the window that would mend it: Nothing was moved" in decided[0]["decision"]["reason"]


def test_another_mode_is_refused_in_words(beamline):
    with pytest.raises(ValueError, match="one of flag, mend"):
        list(temperature_series(beamline, [320], WINDOW, guard="repair"))
