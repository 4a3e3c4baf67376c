"""What lies beside the frames of a scan."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from callbacks.frames import DATASET, FrameFileError, open_frames, read_beside, read_last_frame, write_frames


def test_values_beside_the_frames_follow_the_points(tmp_path):
    path = tmp_path / "frames.h5"
    columns = {"transmission": np.array([1.0, 0.5, 0.25]), "eta": np.arange(3.0)}
    write_frames(path, np.zeros((3, 4, 4)), columns, {"uid": "abc"})
    np.testing.assert_array_equal(read_beside(path, DATASET, "transmission", np.array([2, 0])), [0.25, 1.0])
    assert read_beside(path, DATASET, "humidity", np.array([0])) is None
    assert read_beside(path, DATASET, "eta", np.array([3])) is None
    assert read_beside(tmp_path / "none.h5", DATASET, "eta", np.array([0])) is None


WRITER = """
import pathlib, sys
import numpy as np
from profile_collection.twin.frame_file import FrameFile

file = FrameFile(pathlib.Path(sys.argv[1]), (4, 5))
for number in range(6):
    file.write(number, np.full((4, 5), number, "<u4"), {"transmission": 0.5}, start={"uid": "a"})
file._frames.resize(7, axis=0)  # a frame that is being written: there, but not its index
file._frames.flush()
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def growing(tmp_path):
    """Return a file that another process holds open for writing, six frames and a piece of one in it."""
    path = tmp_path / "frames.h5"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "written\n"
        yield path
        writer.stdin.close()


def test_a_file_that_is_being_written_ends_where_its_index_does(growing):
    with open_frames(growing, DATASET, np.arange(4), growing=True) as frames:
        assert frames.shape == (4, 4, 5)
        np.testing.assert_array_equal(frames[1:3, 0, :2], [[1, 1], [2, 2]])
    with (
        pytest.raises(FrameFileError, match="frame 6 was recorded and .* holds 6"),
        open_frames(growing, DATASET, np.arange(7), growing=True),
    ):
        pass
    np.testing.assert_array_equal(read_beside(growing, DATASET, "transmission", np.arange(2)), [0.5, 0.5])
    assert read_last_frame(growing, DATASET)[1] == 5


def test_a_file_that_is_being_written_may_be_no_link_either(tmp_path):
    elsewhere, path = tmp_path / "elsewhere.h5", tmp_path / "frames.h5"
    write_frames(elsewhere, np.zeros((3, 4, 4)), {}, {"uid": "abc"})
    with h5py.File(path, "w") as file:
        file[DATASET] = h5py.ExternalLink(elsewhere, DATASET)
    with (
        pytest.raises(FrameFileError, match="link to another file"),
        open_frames(path, DATASET, np.arange(2), growing=True),
    ):
        pass
