"""The frame file: what goes in comes out, also while it is written, after a kill, on a full disk."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import h5py
import hdf5plugin  # noqa: F401 - registers the filter for reading
import numpy as np
import pytest

from profile_collection.twin.frame_file import DETECTOR_GROUP, FRAMES, SCALARS, FrameFile

SHAPE = (32, 48)


def frame_of(number):
    return np.random.default_rng(number).poisson(0.5, SHAPE).astype(np.uint32) + (2**31 + number)


def test_frames_and_scalars_come_back(tmp_path):
    file = FrameFile(tmp_path / "a" / "frames.h5", SHAPE)
    start = {"uid": "abc", "scan": {"num": np.int64(3)}, "UB": np.eye(3)}
    for index in range(3):
        file.write(index, frame_of(index), {"eta": 17.0 + index, "monitor": 1e6}, start=start)
    file.close()
    file.close()  # safe to call twice
    with h5py.File(file.path) as stored:
        data = stored[FRAMES]
        assert data.dtype == np.dtype("<u4")
        assert data.chunks == (1, *SHAPE)
        assert 32008 in [int(key) for key in data._filters]  # Bitshuffle
        np.testing.assert_array_equal(data[:], [frame_of(index) for index in range(3)])
        np.testing.assert_array_equal(stored[DETECTOR_GROUP]["eta"][:], [17.0, 18.0, 19.0])
        np.testing.assert_array_equal(stored[DETECTOR_GROUP]["frame_index"][:], [0, 1, 2])
        assert np.isnan(stored[DETECTOR_GROUP]["Tsample"][0])
        assert json.loads(stored["entry"].attrs["start"])["scan"] == {"num": 3}


def test_all_scalars_are_there_for_every_frame(tmp_path):
    file = FrameFile(tmp_path / "frames.h5", SHAPE)
    file.write(0, frame_of(0), dict.fromkeys(SCALARS, 2.0))
    file.close()
    with h5py.File(file.path) as stored:
        assert {name for name, item in stored[DETECTOR_GROUP].items() if len(item) == 1} == {"data", *SCALARS}


def test_a_retaken_frame_replaces_the_old_one(tmp_path):
    file = FrameFile(tmp_path / "frames.h5", SHAPE)
    for index, number in [(0, 0), (1, 1), (1, 7), (2, 2)]:
        file.write(index, frame_of(number), {"eta": float(number)})
    file.close()
    with h5py.File(file.path) as stored:
        np.testing.assert_array_equal(stored[FRAMES][:], [frame_of(0), frame_of(7), frame_of(2)])
        np.testing.assert_array_equal(stored[DETECTOR_GROUP]["eta"][:], [0, 7, 2])


def test_holes_are_refused(tmp_path):
    file = FrameFile(tmp_path / "frames.h5", SHAPE)
    with pytest.raises(IndexError, match="must be at most 0, got 2"):
        file.write(2, frame_of(0), {})
    file.close()


def test_an_existing_file_is_never_overwritten(tmp_path):
    FrameFile(tmp_path / "frames.h5", SHAPE).close()
    with pytest.raises(FileExistsError):
        FrameFile(tmp_path / "frames.h5", SHAPE)


def test_another_process_reads_while_it_is_written(tmp_path):
    file = FrameFile(tmp_path / "frames.h5", SHAPE)
    file.write(0, frame_of(0), {"eta": 1.0})
    program = f"""
        import h5py, hdf5plugin
        with h5py.File({str(file.path)!r}, swmr=True) as f:
            print(f[{FRAMES!r}].shape[0], f[{FRAMES!r}][0].sum())
    """
    read = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert read.stdout.split() == ["1", str(frame_of(0).sum())]
    file.close()


def test_frames_survive_kill_9(tmp_path):
    program = f"""
        import os, signal, numpy as np, pathlib
        from profile_collection.twin.frame_file import FrameFile
        file = FrameFile(pathlib.Path({str(tmp_path / "frames.h5")!r}), (4, 4))
        for index in range(5):
            frame = np.full((4, 4), index, np.uint32)
            file.write(index, frame, {{"eta": 1.0 * index}}, start={{"uid": "abc"}})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with h5py.File(tmp_path / "frames.h5", swmr=True) as stored:
        np.testing.assert_array_equal(stored[FRAMES][:, 0, 0], np.arange(5))
        np.testing.assert_array_equal(stored[DETECTOR_GROUP]["eta"][:], np.arange(5))
        assert json.loads(stored["entry"].attrs["start"]) == {"uid": "abc"}


@pytest.fixture
def small_disk(tmp_path):
    """Mount a really small filesystem of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small filesystem needs more rights than this user has")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def noise(number):
    return np.random.default_rng(number).integers(0, 2**32, (64, 64), dtype=np.uint32)


def write_until_it_fails(file):
    """Return how many frames went in, and the error."""
    for index in range(1000):
        try:
            file.write(index, noise(index), {"eta": float(index)})
        except (OSError, RuntimeError) as error:
            return index, error
    raise AssertionError("the disk never filled up")


def check_kept(path, count):
    with h5py.File(path, swmr=True) as stored:
        complete = stored[DETECTOR_GROUP]["frame_index"].shape[0]
        assert count - 1 <= complete <= count
        for index in range(complete):
            np.testing.assert_array_equal(stored[FRAMES][index], noise(index))


def test_a_full_disk_keeps_what_was_written(small_disk):
    file = FrameFile(small_disk / "frames.h5", (64, 64))
    count, error = write_until_it_fails(file)
    assert "No space left on device" in str(error)
    assert count > 10
    assert not file.is_open
    check_kept(file.path, count)


def test_a_disk_that_fails_neither_crashes_nor_spoils_the_file(tmp_path):
    """The kernel's own /dev/full takes the file's place; afterwards all is freed and the file is read."""
    file = FrameFile(tmp_path / "frames.h5", (64, 64))
    for index in range(5):
        file.write(index, noise(index), {"eta": float(index)})
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, file._file.id.get_vfd_handle())
    os.close(full)
    with pytest.raises((OSError, RuntimeError), match="No space left on device"):
        file.write(5, noise(5), {"eta": 5.0})
    path = file.path
    file.close()
    del file
    gc.collect()
    check_kept(path, 5)
