"""What ends a plan in words, or costs a result; mended, the series goes on to its end."""

import os
from pathlib import Path

import pytest
from bluesky.run_engine import RunEngineInterrupted

from callbacks.catalogue import derived_runs
from callbacks.pool import make_pool
from profile_collection.session.resuming import series_progress

pytestmark = pytest.mark.slow


def fails_then_goes_on(shift, check_like, words, *, retaken, complete):
    """See the plan fail in words; mend what is broken, and resume the series to its end."""
    with pytest.raises(RuntimeError, match=words):
        shift.engine(shift.series())
    assert shift.engine.state == "idle"
    assert shift.safe()
    uid = shift.last_series()
    before = series_progress(shift.session.catalogue, uid)
    assert len(before.complete) == complete
    shift.mend()
    found = shift.measure(shift.session.temperature_series(resume=uid))
    check_like(found, retaken=retaken)
    assert all(scan.start["series_uid"] == uid for scan in found)
    return found


def test_detector_giving_no_frame_at_all(shift, check_like):
    """Three lost frames in a row end the scan; the series is resumed.

    Reads: "merlin could not take a frame: no frame came within 5 s of the exposure's end, 3 times in a row.
    Check the detector's link and restart its server, then measure this scan again"
    Left: idle; shutter closed, heater holds its setpoint
    On disk: the frames before it; 'vo2 series --resume' measures the scan as attempt 2
    """
    shift.at_exposure(shift.in_scan, lambda cancelled: shift.twin.faults.drop_frames(3))
    found = fails_then_goes_on(shift, check_like, "3 times in a row", retaken=2 * shift.points, complete=0)
    assert [scan.start["attempt"] for scan in found] == [2, 1]


def test_stuck_motor(shift, check_like):
    """The axis does not arrive; the series is resumed.

    Reads: "eta did not arrive at 17.8 ± 0.0001: it stands at 17.78. Free the motor and check its driver and
    limit switches, then measure again."
    Left: idle; shutter closed, heater holds its setpoint
    On disk: the points before it; 'vo2 series --resume' measures the scan as attempt 2
    """
    shift.at_exposure(shift.in_scan, lambda cancelled: shift.twin.faults.stuck.add("eta"))
    words = r"eta did not arrive at 17\.8 .* it stands at 17\.78"
    found = fails_then_goes_on(shift, check_like, words, retaken=2 * shift.points, complete=0)
    assert [scan.start["attempt"] for scan in found] == [2, 1]


def test_heater_not_reaching_its_setpoint(shift, check_like):
    """The soak ends at its time-out; the series is resumed.

    Reads: "heated_stage did not settle at 330 ± 0.3 K within 3600 s: it is at 322.00 K, heater 21 %. The
    setpoint is kept. Check heater, ramp rate (5 K/min) and cooling, then start again."
    Left: idle; shutter closed, the setpoint is kept
    On disk: the scans before it, complete; 'vo2 series --resume' goes on with the temperature
    """
    shift.twin.thermal.ceiling = 322.0
    found = fails_then_goes_on(shift, check_like, "did not settle at 330", retaken=shift.points, complete=1)
    assert [scan.start["attempt"] for scan in found] == [1, 1]


def test_abort_and_resume_of_the_series(shift, check_like):
    """What was aborted is measured again; what was complete is not.

    Reads: "abort 3 points in 2 s", "scan at 330 K: abort after 3 points, not analysed"
    Left: idle; shutter closed, heater holds its setpoint
    On disk: complete scans stay; the aborted one keeps its frames, and is measured again as attempt 2
    """
    shift.pause_at(shift.points + shift.in_scan)
    with pytest.raises(RunEngineInterrupted):
        shift.engine(shift.series())
    shift.engine.abort()
    assert shift.safe()
    assert "abort 3 points" in shift.said
    uid = shift.last_series()
    found = shift.measure(shift.session.temperature_series(resume=uid))
    check_like(found, retaken=shift.points)
    assert [scan.start["attempt"] for scan in found] == [1, 2]


def test_truncated_hdf5_file(shift, check_like, undisturbed):
    """A file cut short is found by the analysis, not taken for a result.

    Reads: "analysis failed: frames were expected in <file> ... and could not be read: ... truncated file",
    in red
    Left: the series goes on; shutter open during exposures only
    On disk: the other scans complete; a derived run with exit status "fail" says what is wrong with this one
    """
    scans, files, cut = [], [], []

    def truncate(name, doc):
        if name == "start" and doc["purpose"] == "rocking":
            scans.append(doc["uid"])
        elif name == "stream_resource" and doc["run_start"] in scans:
            files.append(doc["uri"].removeprefix("file://localhost"))
        elif name == "event" and "sx" in doc["data"] and files and not cut:  # the baseline behind the scan
            os.truncate(files[0], os.path.getsize(files[0]) // 2)  # noqa: PTH202
            cut.append(files[0])

    token = shift.engine.subscribe(truncate)
    try:
        shift.engine(shift.series())
    finally:
        shift.engine.unsubscribe(token)
    shift.session.drain()
    first, last = sorted(shift.session.pipeline.summaries[-2:], key=lambda one: one.temperature_setpoint)
    assert "could not be read" in first.error
    assert "✗ 320 K heating" in shift.said
    assert derived_runs(shift.session.catalogue, first.run_uid)[-1].stop["exit_status"] == "fail"
    check_like([shift.scan(last.run_uid)], retaken=0, like=undisturbed[1:])


@pytest.mark.parametrize("deaths", [1, 2])
def test_kill_9_of_the_analysis_worker(shift, check_like, deaths):
    """The scan is given to a fresh worker once; a scan that kills two workers is reported.

    Reads: "the analysis process died on the scan 320K_heating_1_…; trying it once more", the second time
    "analysis failed: the analysis process died twice on this scan"
    Left: the measurement does not notice
    On disk: every frame; the scan's result, or its failure as a derived run; the other scans' results
    """
    import vo2_steady_analysis  # the analysis, on the path of this session and of its workers

    queue = shift.session.pipeline.queue
    workers = queue._final
    threads = workers.make_executor
    workers.executor.shutdown()
    workers.executor, workers.make_executor = None, make_pool
    Path(vo2_steady_analysis.__file__).with_name("deaths").write_text(str(deaths))
    try:
        shift.engine(shift.series())
        shift.session.drain()
    finally:
        workers.executor.shutdown()
        workers.executor, workers.make_executor = None, threads
        queue.start()
    assert shift.said.count("trying it once more") == 1
    cold, warm = sorted(shift.session.pipeline.summaries[-2:], key=lambda one: one.temperature_setpoint)
    assert warm.error == ""
    if deaths == 1:
        assert cold.error == ""
        check_like(shift.outcome(), retaken=0)
    else:
        assert "died twice on this scan" in cold.error
