from types import SimpleNamespace

import numpy as np
import pytest

from callbacks.collect import EarlyRule, ScanCollector
from callbacks.frames import FrameFileError, path_of, read_frames, write_frames


def feed(collecting, documents):
    for name, doc in documents:
        collecting.collector(name, doc)
    return collecting


def test_a_scan_becomes_one_job(collecting, documents, frame_file, tmp_path):
    feed(collecting, documents(frame_file, 5))
    (job,) = collecting.jobs
    assert job.frame_file == frame_file
    np.testing.assert_array_equal(job.frame_index, [0, 1, 2, 3, 4])
    np.testing.assert_allclose(job.eta, [17.0, 17.01, 17.02, 17.03, 17.04])
    assert job.positions == dict.fromkeys(("mu", "eta", "chi", "phi", "delta", "gam"), 1.5)
    assert job.folder == tmp_path / "results" / "20260101-000000-abcdef"
    assert job.stem == f"320K_heating_1_{job.run_uid[:8]}"
    assert (job.seed, job.extra_frames, collecting.remarks) == (3, 0, [])


def test_the_frames_of_a_job_are_the_ones_its_points_name(job):
    frames = read_frames(job.frame_file, job.dataset, np.array([4, 0, 7]))
    np.testing.assert_array_equal(frames[:, 0, 0], [4, 0, 7])


def test_of_a_point_taken_twice_the_last_wins_and_the_lost_frame_is_reported(
    collecting, documents, frame_file
):
    feed(collecting, documents(frame_file, 5, retaken=(2, 4)))
    (job,) = collecting.jobs
    np.testing.assert_array_equal(job.frame_index, [0, 2, 3, 5, 6])
    np.testing.assert_allclose(job.temperature, [320, 321, 320, 321, 320])
    assert job.extra_frames == 2
    assert "2 frames belong to no point" in collecting.remarks[0]


def test_replayed_order_gives_the_same_job(collecting, documents, frame_file):
    """A replayed run has its one coalesced range after all events, and its baseline anywhere."""
    live = documents(frame_file, 5, retaken=(3,))
    datums = [doc for name, doc in live if name == "stream_datum"]
    whole = {**datums[-1], "indices": {"start": 0, "stop": 6}, "seq_nums": {"start": 1, "stop": 7}}
    late = [doc for name, doc in live if name == "stream_resource"]
    replayed = [(name, doc) for name, doc in live if not name.startswith("stream")]
    replayed[-1:-1] = [("stream_resource", late[0]), ("stream_datum", whole)]
    feed(collecting, live)
    feed(collecting, replayed)
    first, second = collecting.jobs
    np.testing.assert_array_equal(first.frame_index, second.frame_index)
    np.testing.assert_array_equal(first.temperature, second.temperature)
    assert first.extra_frames == second.extra_frames == 1


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [([0, 1, 9, 3, 4], "frames 9 were never written"), ([0, 1, 1, 3, 4], "frames 1 serve several")],
)
def test_a_point_without_its_own_frame_is_refused(collecting, documents, frame_file, frames, complaint):
    feed(collecting, documents(frame_file, 5, frames=frames))
    assert collecting.jobs == []
    assert complaint in collecting.remarks[0]


def test_a_missing_value_is_refused_with_the_points_named(collecting, documents, frame_file):
    stream = documents(frame_file, 5)
    broken = [doc for name, doc in stream if name == "event"][3]
    broken["data"] = {key: value for key, value in broken["data"].items() if key != "ic1monitor"}
    feed(collecting, stream)
    assert "no 'ic1monitor', points 3: 4 points are left" in collecting.remarks[0]


def test_a_range_of_a_million_million_frames_does_not_fill_the_memory(collecting, documents, frame_file):
    stream = documents(frame_file, 5)
    [doc for name, doc in stream if name == "stream_datum"][0]["indices"] = {"start": 0, "stop": 10**12}
    feed(collecting, stream)
    (job,) = collecting.jobs
    np.testing.assert_array_equal(job.frame_index, [0, 1, 2, 3, 4])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused(collecting, documents, frame_file, value):
    stream = documents(frame_file, 5)
    [doc for name, doc in stream if name == "event"][2]["data"]["Tsample"] = value
    feed(collecting, stream)
    assert collecting.jobs == []
    assert "'Tsample' not finite, points 2: 4 points are left" in collecting.remarks[0]


@pytest.mark.parametrize("exit_status", ["abort", "fail"])
def test_a_scan_that_was_broken_off_is_not_analysed(collecting, documents, frame_file, exit_status):
    feed(collecting, documents(frame_file, 3, exit_status=exit_status))
    assert collecting.jobs == []
    assert f"{exit_status} after 3 points" in collecting.remarks[0]


def test_alignment_runs_are_left_alone(collecting, documents, frame_file):
    feed(collecting, documents(frame_file, 5, start={"purpose": "align"}))
    assert (collecting.jobs, collecting.remarks) == ([], [])


def test_two_runs_at_once_do_not_mix(collecting, documents, frame_file):
    one = documents(frame_file, 5, start={"temperature_setpoint": 330.0})
    two = documents(frame_file, 4, start={"temperature_setpoint": 340.0})
    for pair in zip(one, two, strict=False):
        feed(collecting, pair)
    feed(collecting, one[len(two) :])
    assert sorted(len(job.eta) for job in collecting.jobs) == [4, 5]


@pytest.mark.parametrize("name", ["start", "descriptor", "event", "stream_datum", "stream_resource", "stop"])
def test_a_malformed_document_never_reaches_the_run_engine(collecting, documents, frame_file, name):
    stream = documents(frame_file, 5)
    broken = [(kind, {"uid": "x"} if kind == name else doc) for kind, doc in stream]
    feed(collecting, broken)
    assert collecting.jobs == []
    feed(collecting, documents(frame_file, 5))
    assert len(collecting.jobs) == 1


def test_a_submit_that_fails_never_reaches_the_run_engine(collecting, documents, frame_file):
    collecting.collector._submit = lambda job: 1 / 0
    feed(collecting, documents(frame_file, 5))
    assert "the measurement goes on" in collecting.remarks[0]


@pytest.mark.parametrize(
    "uri",
    [
        "http://localhost/frames/scan.h5",
        "file://elsewhere{frames}/scan.h5",
        "file://localhost{frames}/../x.h5",
    ],
)
def test_frames_are_read_from_declared_folders_only(tmp_path, uri):
    with pytest.raises(FrameFileError, match="frames are read from"):
        path_of(uri.format(frames=tmp_path / "frames"), [tmp_path / "frames"])


def test_a_link_does_not_lead_out_of_the_declared_folders(tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "secret.h5").touch()
    (tmp_path / "frames" / "link.h5").symlink_to(tmp_path / "secret.h5")
    with pytest.raises(FrameFileError, match="secret.h5"):
        path_of(f"file://localhost{tmp_path}/frames/link.h5", [tmp_path / "frames"])


def test_a_path_with_spaces_is_found(tmp_path):
    folder = tmp_path / "my frames"
    assert path_of(f"file://localhost{tmp_path}/my%20frames/a.h5", [folder]) == folder / "a.h5"


def test_a_file_that_was_cut_short_is_refused_in_words(frame_file):
    with pytest.raises(FrameFileError, match="frame 8 was recorded and .* holds 8"):
        read_frames(frame_file, "/entry/instrument/merlin/data", np.array([0, 8]))


def test_a_file_that_is_no_hdf5_is_refused_in_words(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("not a frame")
    with pytest.raises(FrameFileError, match="could not be read"):
        read_frames(path, "/data", np.array([0]))


@pytest.fixture
def long_file(tmp_path):
    """Return a file of 20 frames."""
    path = tmp_path / "frames" / "long.h5"
    path.parent.mkdir()
    write_frames(path, np.ones((20, 4, 5), dtype=np.uint32), {}, {})
    return path


@pytest.mark.parametrize("key", ["Tsample", "eta", "ic1monitor"])
@pytest.mark.parametrize("value", [float("nan"), None, "broken"])
def test_one_bad_reading_costs_its_point_alone_and_is_named(collecting, documents, long_file, key, value):
    stream = documents(long_file, 20)
    [doc for name, doc in stream if name == "event"][7]["data"][key] = value
    feed(collecting, stream)
    (job,) = collecting.jobs
    assert job.frame_index.tolist() == [number for number in range(20) if number != 6]
    assert not job.incomplete
    assert key in job.notes[0]
    assert job.notes[0].endswith("points 7")
    assert job.notes[0] in collecting.remarks[0]


def test_a_point_without_its_document_is_named(collecting, documents, long_file):
    stream = documents(long_file, 20)
    del stream[[number for number, (name, _) in enumerate(stream) if name == "event"][11]]
    feed(collecting, stream)
    (job,) = collecting.jobs
    assert job.notes == ("not measured: no reading, points 11",)
    assert len(job.eta) == 19


@pytest.mark.parametrize("exit_status", ["success", "abort", "fail"])
def test_a_scan_that_was_stopped_late_is_handed_on_as_incomplete(
    collecting, documents, long_file, exit_status
):
    stream = documents(long_file, 16, exit_status=exit_status)
    stream[0][1]["scan"]["num"] = 20
    feed(collecting, stream)
    (job,) = collecting.jobs
    assert job.incomplete
    assert job.notes == ("incomplete: the scan was stopped after 16 of 20 points",)


def test_a_scan_that_was_stopped_before_half_is_not(collecting, documents, long_file):
    stream = documents(long_file, 9)
    stream[0][1]["scan"]["num"] = 20
    feed(collecting, stream)
    assert collecting.jobs == []
    assert "20 points were asked for and 9 came" in collecting.remarks[0]


def early_collector(tmp_path, **rule):
    jobs, remarks = [], []
    collector = ScanCollector(
        jobs.append,
        warn=remarks.append,
        folder_of=lambda uid: tmp_path / "results" / uid,
        folders=[tmp_path / "frames"],
        preview=True,
        early=EarlyRule(**{"least_left": 0.0, **rule}),
    )
    return SimpleNamespace(collector=collector, jobs=jobs, remarks=remarks)


def test_a_scan_that_still_runs_is_handed_on_from_a_share_on_and_then_now_and_again(
    tmp_path, documents, frame_file
):
    collecting = feed(early_collector(tmp_path, every=0.1), documents(frame_file, 20, retaken=(2,)))
    *early, final = collecting.jobs
    assert [len(job.eta) for job in early] == [11, 13, 15, 17, 19]
    assert {job.stage for job in early} == {"early"}
    assert not any(job.preview for job in early)
    np.testing.assert_array_equal(early[0].frame_index, [0, *range(2, 12)])
    assert early[0].frame_file == final.frame_file
    assert early[0].notes == ("from the first 11 of 20 points",)
    assert (final.stage, final.preview, len(final.eta), final.notes) == ("final", True, 20, ())
    assert len(collecting.remarks) == 1  # that of the frame taken again, of the final job


def test_an_early_result_waits_until_the_frames_are_announced(tmp_path, documents, frame_file):
    live = documents(frame_file, 8)
    frames = [document for document in live if document[0] == "stream_datum"]
    late = [document for document in live if document[0] != "stream_datum"]
    late[-1:-1] = frames
    assert [job.stage for job in feed(early_collector(tmp_path), late).jobs] == ["final"]


@pytest.mark.parametrize(
    ("points", "asked", "seconds", "due"),
    [
        (121, 0, 3600.0, False),
        (122, 0, 3600.0, True),
        (126, 122, 3600.0, False),
        (127, 122, 3600.0, True),
        (220, 122, 36000.0, True),
        (221, 122, 36000.0, False),  # the final result follows
        (122, 0, 24.2, False),  # 19.8 s are left
        (122, 0, 48.4, True),
    ],
)
def test_when_an_early_result_is_due(points, asked, seconds, due):
    assert EarlyRule().due(points, 221, asked, seconds) is due
