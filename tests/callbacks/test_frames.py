"""What lies beside the frames of a scan."""

import numpy as np

from callbacks.frames import DATASET, read_beside, write_frames


def test_values_beside_the_frames_follow_the_points(tmp_path):
    path = tmp_path / "frames.h5"
    columns = {"transmission": np.array([1.0, 0.5, 0.25]), "eta": np.arange(3.0)}
    write_frames(path, np.zeros((3, 4, 4)), columns, {"uid": "abc"})
    np.testing.assert_array_equal(read_beside(path, DATASET, "transmission", np.array([2, 0])), [0.25, 1.0])
    assert read_beside(path, DATASET, "humidity", np.array([0])) is None
    assert read_beside(path, DATASET, "eta", np.array([3])) is None
    assert read_beside(tmp_path / "none.h5", DATASET, "eta", np.array([0])) is None
