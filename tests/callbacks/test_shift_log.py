"""The shift log: what happened, with times, an entry at a time."""

import datetime
import re
from dataclasses import replace

import pytest

from callbacks.jobs import OrderPoint, ScanSummary
from callbacks.shift_log import FILE, ShiftLog, append_entry

POINTS = (
    OrderPoint("uid-1", 320.0, 0.0, 0.0, False),
    OrderPoint("uid-2", 340.0, -12.5, 0.25, False, "faint", trusted=False),
)
SUMMARY = ScanSummary(
    run_uid="uid-2",
    series_uid="series",
    temperature_setpoint=340.0,
    branch="heating",
    attempt=1,
    temperature=340.02,
    chi_squared=0.0123,
    noise_ratio=1.07,
    strain_sigma=1.89e-4,
    order=POINTS,
    trusted=False,
    reasons=("starts disagree",),
    seconds=31.4,
)


@pytest.fixture
def log(tmp_path):
    return ShiftLog(lambda uid: tmp_path / uid)


def entries(tmp_path, uid="series"):
    return (tmp_path / uid / FILE).read_text(encoding="utf-8")


def measure(log, documents, frame_file, *, stop=None, **start):
    given = {"series_uid": "series", "series_size": 2, "series_index": 0, "simulated": True, **start}
    for name, doc in documents(frame_file, 5, start=given):
        log(name, {**doc, **stop} if stop and name == "stop" else doc)


def test_a_series_is_told_from_its_beginning_to_its_figures(log, tmp_path, documents, frame_file, job):
    measure(log, documents, frame_file)
    log.scan_queued(replace(job, extra_frames=2, notes=("not measured: 'Tsample' not finite, points 3",)))
    log.scan_analysed(SUMMARY)
    (tmp_path / "series" / "figures").mkdir()
    (tmp_path / "series" / "figures" / "order_parameter.png").write_bytes(b"png")
    log.scan_analysed(replace(SUMMARY, trusted=True, reasons=(), complete=True))
    log.close()
    said = entries(tmp_path)
    assert said.startswith("# Shift log of series\n\n- ")
    for word in (
        "the series **begins**: 2 temperatures",
        "SIMULATED",
        "5 points, eta",
        "5 of 5 points measured",
        "**not trusted** (starts disagree)",
        "O -12.50 ± 0.25 rad",
        "| 340 | heating | -12.50 | 0.25 | faint |",
        "[order_parameter.png](figures/order_parameter.png)",
        "**end** of the session",
    ):
        assert word in said, said
    other = entries(tmp_path, job.series_uid) if job.series_uid != "series" else said
    assert "2 frames taken again after an interruption" in other
    assert "points 3" in other
    times = re.findall(r"^- (\S+) ", said, flags=re.MULTILINE)
    parsed = [datetime.datetime.fromisoformat(one) for one in times]
    assert all(one.utcoffset() is not None for one in parsed)
    assert parsed == sorted(parsed)


def test_pauses_suspensions_retakes_and_failures_are_noted(log, tmp_path, documents, frame_file):
    log.note("before any series there is no file")
    measure(log, documents, frame_file, stop={"exit_status": "fail", "reason": "the motor is stuck"})
    log.state_changed("paused", "running")
    log.state_changed("running", "paused")
    log.warn("320 K is skipped; the series goes on.")
    measure(log, documents, frame_file, attempt=2)
    log.close()
    said = entries(tmp_path)
    for word in (
        "**fail** after 5 points: the motor is stuck",
        "**paused** by hand",
        "goes on after the pause",
        "remark: 320 K is skipped",
        "attempt 2: **retake**, scan",
        "the series is not complete",
    ):
        assert word in said, said
    assert "before any series" not in said


def test_a_resumed_series_goes_on_below_and_a_torn_line_is_ended(log, tmp_path, documents, frame_file):
    measure(log, documents, frame_file)
    path = tmp_path / "series" / FILE
    path.write_text(path.read_text(encoding="utf-8") + "- 2026-11-30T02:00:00+00:00 torn by a ki")
    measure(ShiftLog(lambda uid: tmp_path / uid), documents, frame_file)
    lines = entries(tmp_path).splitlines()
    torn = next(n for n, line in enumerate(lines) if line.endswith("torn by a ki"))
    assert "the series **goes on** in another session" in lines[torn + 1]
    assert sum(line.startswith("# ") for line in lines) == 1


def test_what_cannot_be_written_does_not_reach_the_measurement(tmp_path, documents, frame_file):
    (tmp_path / "file").write_text("no folder")
    log = ShiftLog(lambda uid: tmp_path / "file" / uid)
    measure(log, documents, frame_file)
    log.scan_analysed(SUMMARY)
    log("event", {})
    with pytest.raises(OSError, match="exists"):
        append_entry(tmp_path / "file" / FILE, "an entry")
