"""What makes a scan wait or take a point again, and go on."""

import threading

import pytest
from bluesky.run_engine import RunEngineInterrupted

pytestmark = pytest.mark.slow


def test_the_undisturbed_series_would_show_a_frame_at_the_wrong_point(undisturbed):
    frames = undisturbed[0].frames
    for one, next_one in zip(frames, frames[1:], strict=False):
        assert ((one - next_one) ** 2).sum() / (one + next_one).sum() > 20


def test_pause_and_resume_within_an_exposure(shift, check_like):
    """The exposure is broken off, and the point taken again.

    Reads: "Pausing..." and the prompt, with RE.resume(), RE.abort() offered
    Left: shutter closed, heater holds its setpoint, motors where they are
    On disk: every point once; the broken-off frame is overwritten
    """
    shift.pause_at(shift.in_scan)
    with pytest.raises(RunEngineInterrupted):
        shift.engine(shift.series())
    assert shift.engine.state == "paused"
    assert shift.safe()
    shift.engine.resume()
    found = shift.outcome()
    check_like(found, retaken=1)
    assert found[0].stored_frames == shift.points


@pytest.fixture
def suspended(shift, check_like, capsys):
    """Return what disturbs an exposure; the scan waits, and goes on by itself once all is as it was."""

    def disturb(part, name, bad, *, words):
        seen, good = [], getattr(part, name)

        def act(cancelled):
            setattr(part, name, bad)
            assert cancelled.wait(shift.patience)
            seen.append((shift.safe(), shift.stage.setpoint, shift.engine.state))
            threading.Timer(0.2, setattr, (part, name, good)).start()

        shift.at_exposure(shift.in_scan, act)
        found = shift.measure()
        assert seen == [(True, shift.temperatures[0], "running")]
        check_like(found, retaken=1)
        assert found[0].stored_frames == shift.points
        assert words in capsys.readouterr().out

    return disturb


def test_ring_current_lost_within_an_exposure(shift, suspended):
    """The suspender waits for beam.

    Reads: "Suspending... ring current below 150 mA; goes on from 200 mA", later "return to nominal
    conditions"
    Left: waiting; shutter closed, heater holds its setpoint; goes on by itself
    On disk: every point once; the exposure without beam is taken again
    """
    words = "ring current below 150 mA; goes on from 200 mA"
    suspended(shift.twin.faults, "beam_lost", True, words=words)


def test_front_end_shutter_closed_within_an_exposure(shift, suspended):
    """The suspender waits for the permit.

    Reads: "Suspending... the front end is closed; goes on when it opens"
    Left: waiting; shutter closed, heater holds its setpoint; goes on by itself
    On disk: every point once; the exposure without beam is taken again
    """
    words = "the front end is closed; goes on when it opens"
    suspended(shift.twin.faults, "front_end_open", False, words=words)


def test_sample_drifting_off_its_temperature(shift, suspended):
    """The suspender waits for the temperature; the setpoint is not touched.

    Reads: "Suspending... the sample is more than 0.5 K off its setpoint; goes on within 0.25 K"
    Left: waiting; shutter closed, setpoint and ramp unchanged; goes on by itself
    On disk: every point once, each within 0.1 K; the exposure off temperature is taken again
    """
    words = "the sample is more than 0.5 K off its setpoint; goes on within 0.25 K"
    suspended(shift.twin.thermal, "drift", 1.5, words=words)


@pytest.mark.parametrize(
    "fault", [lambda f: f.drop_frames(), lambda f: f.repeat_frames(), lambda f: f.delay_frames(30.0)]
)
def test_detector_dropping_repeating_or_delaying_a_frame(shift, check_like, fault):
    """A frame that is not the exposure's own is exposed again, twice at most.

    Reads: "merlin: no frame came within 5 s of the exposure's end (attempt 1 of 3)", or "frame 14 was handed
    over again where frame 15 was due"
    Left: the scan goes on; shutter open during exposures only
    On disk: every point once with a frame of its own
    """
    shift.at_exposure(shift.in_scan, lambda cancelled: fault(shift.twin.faults))
    check_like(shift.measure(), retaken=1)
    assert "(attempt 1 of 3)" in shift.said
