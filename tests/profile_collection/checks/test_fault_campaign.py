"""The campaign's draw, records, judge of frames and numbers; its processes are tried by running it."""

from collections import Counter

import numpy as np
import pytest

from callbacks.frames import write_frames
from profile_collection.checks.campaign.campaign import is_sound, judge_frames, tally_lines
from profile_collection.checks.campaign.series import (
    KINDS,
    POINTS,
    Records,
    SeriesRecord,
    SeriesTask,
    Verdict,
    draw,
)
from profile_collection.session.settings import Settings


def test_every_kind_comes_at_least_ten_times_in_two_hundred_faults():
    tasks = draw(200, seed=0)
    count = Counter(fault.kind for task in tasks for fault in task.faults)
    assert set(count) == set(KINDS)
    assert len(KINDS) >= 12
    assert sum(count.values()) == 200
    assert min(count.values()) >= 10


def test_a_seed_means_the_same_faults_and_a_longer_campaign_begins_like_a_shorter_one():
    assert draw(48, seed=1) == draw(48, seed=1) == draw(96, seed=1)[:4]
    assert draw(48, seed=1) != draw(48, seed=2)
    assert all(1 <= fault.moment < 2 * POINTS for task in draw(96, seed=1) for fault in task.faults)


def test_a_task_survives_its_way_to_the_other_process():
    (task, *_) = draw(16, seed=4)
    assert SeriesTask.from_dict(task.to_dict()) == task


def test_too_few_faults_are_refused_in_words():
    with pytest.raises(ValueError, match="at least one fault of each of 16 kinds, 3 came"):
        draw(3, seed=0)


@pytest.fixture
def campaign(tmp_path):
    """Return settings, records and a series of five frames that were announced as they were written."""
    settings, records = Settings(data=tmp_path / "data"), Records(tmp_path)
    frames = np.arange(5 * 12).reshape(5, 3, 4)
    path = settings.frames / "s" / "00_320K_heating_rocking_1_0123abcd.h5"
    write_frames(path, frames, {"eta": 17.0 + 0.01 * np.arange(5)}, {"uid": "0123abcd-x"})
    record = SeriesRecord(7, series="s")
    for n in range(5):
        point = {"run": "0123abcd-x", "seq": n + 1, "frame": n, "eta": 17.0 + 0.01 * n}
        records.take(record, "point", {**point, "total": float(frames[n].sum())})
    return settings, records, record, path


def test_frames_as_announced_are_aligned(campaign):
    settings, records, record, _ = campaign
    assert judge_frames(settings, records, record) == (5, 5, 0, [])


def test_a_point_taken_again_counts_once_and_as_it_was_last(campaign):
    settings, records, record, _ = campaign
    again = {"run": "0123abcd-x", "seq": 2, "frame": 1, "eta": 17.01, "total": 1.0}
    records.take(record, "point", again)
    taken, aligned, destroyed, remarks = judge_frames(settings, records, record)
    assert (taken, aligned, destroyed) == (5, 4, 0)
    assert "1 of 5 frames are lost or misaligned" in remarks[0]


def test_frames_of_a_file_cut_short_by_a_fault_are_counted_apart(campaign):
    settings, records, record, path = campaign
    path.write_bytes(path.read_bytes()[:200])
    assert judge_frames(settings, records, record)[:2] == (5, 0)
    record.truncated.append("0123abcd-x")
    assert judge_frames(settings, records, record) == (5, 0, 5, [])


def verdict(**changed):
    values = {"frames": 5, "aligned": 5, "destroyed": 0, "complete": True, "right": 2, "wrong": 0}
    return Verdict(
        7, **{**values, "untrusted": 0, "failed": 0, "missing": 0, "overlaps": (0.99, 0.98)} | changed
    )


@pytest.mark.parametrize(
    "changed", [{"aligned": 4}, {"complete": False}, {"wrong": 1}, {"missing": 1}, {"points_lost": 1}]
)
def test_whatever_is_lost_or_wrong_is_not_sound(changed):
    assert is_sound(verdict())
    assert not is_sound(verdict(**changed))


def test_records_go_on_where_they_stopped_and_the_numbers_are_of_all_pieces(tmp_path):
    first = Records(tmp_path)
    record = SeriesRecord(7, series="s", faults=[{"number": 0, "kind": "pause", "at": 3}])
    first.take(record, "paused", {"wish": "resume", "shutter": "open"})
    first.add(record)
    first.judged(verdict(remarks=("odd",)))
    first.note_hangs(1)
    text = "\n".join(tally_lines(Records(tmp_path)))
    assert "1 faults of 1 kinds in 1 series" in text
    assert "hangs                          1" in text
    assert "overlap with the truth         median 0.985, least 0.980" in text
    assert "! odd" in text
    assert Records(tmp_path).series()[0].remarks == ["the shutter was open when paused"]
