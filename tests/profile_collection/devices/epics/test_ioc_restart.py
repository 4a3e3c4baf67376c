"""An IOC that dies in the middle of things, and comes back: nothing hangs, everything says so in words."""

import time

import pytest

pytestmark = pytest.mark.slow

START = {"uid": "restart1", "series_uid": "restart", "purpose": "align", "plan_name": "test"}


def test_a_dead_ioc_fails_in_words_and_a_new_one_is_found_again(ioc, beamline):
    """Kill -9 of the IOC in the middle of an exposure and of a soak.

    Reads: "merlin could not take a frame: …", "heated_stage does not answer while it goes to 350 K …"
    Left: exposure, motion and soak end; the new IOC begins with the shutter closed, and is found without help
    On disk: the frames up to then, each was flushed; 'vo2 series --resume' measures the scan again
    """
    merlin, stage, eta = beamline.merlin, beamline.heated_stage, beamline.diffractometer.eta
    merlin.note_start(START)
    merlin.acquire_time.set(1000.0).wait(timeout=15)
    merlin.stage()
    exposing, soaking = merlin.trigger(), stage.set(350.0)
    time.sleep(1.0)
    ioc.kill()
    exposure_error, soak_error = exposing.exception(timeout=120), soaking.exception(timeout=120)
    assert "merlin could not take a frame" in str(exposure_error)
    assert "heated_stage does not answer while it goes to 350 K" in str(soak_error)
    ioc.start()
    for signal in (eta.user_readback, beamline.beam.shutter._demand, merlin.cam.acquire):
        signal.wait_for_connection(timeout=90)
    eta.wait_for_connection(all_signals=True, timeout=90)
    merlin.unstage()
    assert beamline.beam.shutter.position == "closed"
    eta.set(18.1).wait(timeout=90)
    assert eta.position == 18.1
