"""The detector on its own: exposures, shutter, pausing, failing."""

import os
import threading
import time

import h5py
import numpy as np
import pytest

from profile_collection.twin.frame_file import FRAMES


@pytest.fixture
def merlin(beamline):
    merlin = beamline.merlin
    merlin.stage()
    yield merlin
    merlin.unstage()


def expose(merlin):
    merlin.trigger().wait(timeout=20)
    reading = merlin.read()
    return reading, list(merlin.collect_asset_docs())


def test_a_trigger_takes_one_frame(merlin):
    reading, documents = expose(merlin)
    assert reading["merlin_frame_index"]["value"] == 0
    assert [name for name, _ in documents] == ["stream_resource", "stream_datum"]
    assert merlin.get_index() == 1
    path = merlin.file_path
    merlin.unstage()
    with h5py.File(path) as stored:
        assert stored[FRAMES].shape == (1, 64, 64)
        assert stored[FRAMES][0].sum() == reading["merlin_total"]["value"] > 1000
        assert stored[FRAMES][0].max() == reading["merlin_max"]["value"]


def test_the_image_is_described_and_not_read(merlin):
    key = merlin.describe()["merlin_image"]
    assert key["external"] == "STREAM:"
    assert key["dtype_numpy"] == "<u4"
    assert key["shape"] == [64, 64]
    assert key["dims"] == ["row", "column"]
    expose(merlin)
    assert set(merlin.describe()) - set(merlin.read()) == {"merlin_image"}


def test_the_peak_is_given_in_pixels_of_the_whole_detector(merlin):
    reading, _ = expose(merlin)
    assert reading["merlin_peak_row"]["value"] == pytest.approx(128, abs=12)  # a tiny crystal's peak is broad
    assert reading["merlin_peak_column"]["value"] == pytest.approx(128, abs=12)


def test_configuration_is_recorded(merlin):
    configuration = merlin.read_configuration()
    assert configuration["merlin_acquire_time"]["value"] == 1.0
    assert configuration["merlin_counter_depth"]["value"] == 24


def test_trigger_does_not_block_and_the_shutter_is_open_for_the_exposure_only(
    make_beamline, monkeypatch, eventually
):
    beamline = make_beamline()
    merlin, shutter, exposed = beamline.merlin, beamline.beam.shutter, threading.Event()
    monkeypatch.setattr(beamline.twin.clock, "sleep", lambda duration, cancel=None: exposed.wait(120))
    merlin.stage()
    status = merlin.trigger()
    eventually(lambda: shutter.position == "open")
    assert not status.done
    exposed.set()
    status.wait(timeout=60)
    assert shutter.position == "closed"
    merlin.unstage()


@pytest.mark.parametrize("way", ["pause", "stop", "unstage"])
def test_a_running_exposure_is_broken_off(make_beamline, way):
    beamline = make_beamline(pace=0.1)  # ten real seconds
    merlin, shutter = beamline.merlin, beamline.beam.shutter
    merlin.stage()
    path = merlin.file_path
    status = merlin.trigger()
    time.sleep(0.3)
    getattr(merlin, way)()
    status.wait(timeout=1)  # done, not failed: the RunEngine would raise a failure on resuming
    assert shutter.position == "closed"
    time.sleep(0.3)
    assert shutter.position == "closed"
    merlin.unstage()
    with h5py.File(path) as stored:
        assert stored[FRAMES].shape[0] == 0


def test_after_a_pause_there_is_no_frame_to_read_until_the_next_trigger(make_beamline):
    beamline = make_beamline(pace=5)
    merlin = beamline.merlin
    merlin.stage()
    merlin.trigger()
    merlin.pause()
    with pytest.raises(RuntimeError, match="no frame to read: its last exposure was broken off"):
        merlin.read()
    merlin.resume()
    reading, documents = expose(merlin)
    assert reading["merlin_frame_index"]["value"] == 0
    assert len(documents) == 2
    merlin.unstage()


def test_an_unstaged_detector_says_so(beamline):
    with pytest.raises(RuntimeError, match="must be staged before it is triggered"):
        beamline.merlin.trigger()


def test_twelve_bits_saturate(beamline):
    merlin = beamline.merlin
    merlin.counter_depth.put(12)
    merlin.acquire_time.put(300.0)
    merlin.stage()
    reading, _ = expose(merlin)
    assert merlin.saturation == 4095
    assert reading["merlin_max"]["value"] == 4095
    merlin.unstage()


@pytest.mark.parametrize(
    ("signal", "value"), [("acquire_time", 0.0), ("acquire_time", -1.0), ("counter_depth", 16)]
)
def test_impossible_settings_are_refused_in_words(beamline, signal, value):
    with pytest.raises(ValueError, match=f"merlin_{signal} must be .* got {value!r}"):
        getattr(beamline.merlin, signal).put(value)


def test_a_full_disk_fails_the_status_in_words(merlin, beamline):
    """The kernel's /dev/full takes the file's place after three frames; they stay readable."""
    path = merlin.file_path
    totals = [expose(merlin)[0]["merlin_total"]["value"] for _ in range(3)]
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, merlin._file._file.id.get_vfd_handle())
    os.close(full)
    error = merlin.trigger().exception(timeout=10)
    assert "frame 3 could not be written to" in str(error)
    assert "No space left on device" in str(error)
    assert "Frames before it are kept" in str(error)
    assert beamline.beam.shutter.position == "closed"
    again = merlin.trigger().exception(timeout=10)
    assert "could not take a frame" in str(again)
    merlin.unstage()
    with h5py.File(path, swmr=True) as stored:
        np.testing.assert_array_equal(stored[FRAMES][:3].sum(axis=(1, 2)), totals)


def test_a_folder_that_cannot_be_written_is_found_when_staging(beamline):
    beamline.merlin.data_folder.parent.mkdir(exist_ok=True)
    beamline.merlin.data_folder.write_text("a file where a folder should be")
    with pytest.raises(OSError, match="merlin cannot write its frames to .* choose another data folder"):
        beamline.merlin.stage()


def test_names_from_documents_cannot_leave_the_folder(beamline):
    merlin = beamline.merlin
    merlin.note_start({"uid": "../../../etc", "series_uid": "../../up", "branch": "a/b", "purpose": "align"})
    merlin.stage()
    assert merlin.file_path.is_relative_to(merlin.data_folder / "raw" / "frames")
    assert ".." not in merlin.file_path.parts
    merlin.unstage()
