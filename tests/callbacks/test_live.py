import io
from dataclasses import replace

import pytest
from rich.console import Console

from callbacks.jobs import OrderPoint, ScanSummary
from callbacks.live import LiveView


@pytest.fixture
def view():
    """Return a view that writes a log."""
    return LiveView(Console(file=io.StringIO(), width=120))


def text(view):
    return view.console.file.getvalue()


POINT = OrderPoint("uid-1", 320.0, -12.5, 0.25, False)
SUMMARY = ScanSummary(
    run_uid="uid-1",
    series_uid="series",
    temperature_setpoint=320.0,
    branch="heating",
    attempt=1,
    temperature=320.02,
    chi_squared=0.0123,
    noise_ratio=1.07,
    strain_sigma=1.89e-4,
    order=(POINT,),
    trusted=True,
    seconds=31.4,
)


def test_a_scan_shows_its_place_its_points_and_the_time_left(view, documents, frame_file):
    for name, doc in documents(frame_file, 5, start={"series_index": 1, "series_size": 3}):
        view(name, doc)
    shown = text(view)
    assert "scan 2/3  320 K heating  5 points" in shown
    assert "point 4/5" in shown
    assert "left, series" in shown
    assert "measured 5 points" in shown


def test_baseline_readings_are_no_points(view, documents, frame_file):
    for name, doc in documents(frame_file, 5)[:4]:
        view(name, doc)
    assert view._points == 0


def test_a_finished_scan_has_a_line_with_its_numbers(view, job):
    view.scan_queued(job)
    view.scan_analysed(SUMMARY)
    line = text(view)
    for words in (
        "320 K heating",
        "T 320.02 K",
        "χ² 0.0123",
        "noise ratio 1.07",
        "strain σ 1.89e-04",
        "O -12.50",
    ):
        assert words in line
    assert "31.4 s  trusted" in line


def test_each_reason_against_a_scan_is_said_once(view):
    doubt = "independent starts do not agree"
    point = replace(POINT, provisional=True, reason=f"{doubt}; twin undecided", trusted=False)
    lacks = ("no trusted reference at 320 K yet",)
    view.scan_analysed(replace(SUMMARY, trusted=False, reasons=(doubt,), order=(point,), unsettled=lacks))
    shown = text(view)
    assert "untrusted provisional" in shown
    assert shown.count(doubt) == 1
    assert "no trusted reference" in shown


def test_a_note_on_the_data_is_no_reason_against_the_result(view):
    note = "incomplete: the scan was stopped after 85 of 101 points"
    view.scan_analysed(replace(SUMMARY, notes=(note,)))
    assert "31.4 s  trusted" in text(view)
    assert f"note: {note}" in text(view)


def test_a_failure_is_red_and_says_why():
    view = LiveView(Console(file=io.StringIO(), width=120, force_terminal=True, color_system="standard"))
    view.scan_analysed(replace(SUMMARY, error="the peak is [beside] the detector"))
    assert "\x1b[1;31m" in text(view)
    assert "analysis failed: the peak is [beside] the detector" in text(view)


def test_the_table_comes_when_the_series_is_complete_and_holds_results_that_came_late(view):
    other = OrderPoint("uid-2", 330.0, 40.0, 1.5, True)
    lacks = ("the series is not complete: 1 of 2 temperatures",)
    second = replace(SUMMARY, run_uid="uid-2", temperature_setpoint=330.0, order=(other,), unsettled=lacks)
    view.scan_analysed(second)
    assert "trusted provisional" in text(view)
    assert f"provisional: {lacks[0]}" in text(view)
    assert "order parameter" not in text(view)
    view.scan_analysed(replace(SUMMARY, order=(POINT, replace(other, provisional=False)), complete=True))
    table = text(view).split("order parameter")[1]
    assert table.index("-12.50") < table.index("40.00")
    assert "provisional" not in table


def test_the_backlog_is_counted_down(view, job):
    view.scan_queued(job)
    view.scan_queued(job)
    assert "2 in analysis" in view._backlog()
    view.scan_analysed(SUMMARY)
    assert "1 in analysis" in view._backlog()


def test_bars_leave_the_screen_while_the_run_engine_is_paused(documents, frame_file):
    view = LiveView(Console(file=io.StringIO(), force_terminal=True, width=120))
    stream = documents(frame_file, 5)
    for name, doc in stream[:-3]:
        view(name, doc)
    assert view._progress is not None
    view.state_changed("paused", "pausing")
    assert view._progress is None
    view.state_changed("running", "paused")
    assert view._progress is not None
    for name, doc in stream[-3:]:
        view(name, doc)
    assert view._progress is None
