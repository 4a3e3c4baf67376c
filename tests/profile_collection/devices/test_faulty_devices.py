"""What the devices make of faulty hardware: a fresh frame, or words."""

import pytest
from bluesky.utils import FailedStatus

from profile_collection.devices.frames import ATTEMPTS


@pytest.fixture
def merlin(beamline):
    beamline.merlin.stage()
    yield beamline.merlin
    beamline.merlin.unstage()


@pytest.mark.parametrize(
    "fault", [lambda f: f.drop_frames(), lambda f: f.repeat_frames(), lambda f: f.delay_frames(60.0)]
)
def test_a_frame_that_is_not_fresh_is_exposed_again(beamline, merlin, caplog, fault):
    merlin.trigger().wait(10)
    list(merlin.collect_asset_docs())
    fault(beamline.twin.faults)
    merlin.trigger().wait(10)
    assert merlin.get_index() == 2
    assert beamline.twin.exposures >= 3
    assert "(attempt 1 of 3)" in caplog.text
    assert beamline.beam.shutter.position == "closed"


def test_a_detector_that_gives_no_frame_at_all_fails_in_words(beamline, merlin):
    beamline.twin.faults.drop_frames(ATTEMPTS)
    with pytest.raises(
        RuntimeError, match="no frame came within 5 s .* 3 times in a row. Check the detector"
    ):
        merlin.trigger().wait(10)
    assert beamline.beam.shutter.position == "closed"
    assert merlin.get_index() == 0


def test_a_stuck_motor_says_where_it_stands(beamline):
    eta = beamline.diffractometer.eta
    eta.move(17.8, wait=True)
    beamline.twin.faults.stuck.add("eta")
    with pytest.raises((RuntimeError, FailedStatus), match=r"eta did not arrive at 18\.2 .* stands at 17\.8"):
        eta.move(18.2, wait=True)
    assert eta.position == pytest.approx(17.8)
