"""Documents in any order, missing, doubled, malformed: nothing is raised, and no wrong job submitted."""

import copy
import itertools
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callbacks.collect import ScanCollector

POINTS = 5
bounded = settings(
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**12),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def collect(documents, frame_file):
    """Return the jobs and remarks that a fresh collector makes of documents."""
    jobs, remarks = [], []
    collector = ScanCollector(
        jobs.append, warn=remarks.append, folder_of=Path, folders=[frame_file.parent], seed=3
    )
    for name, doc in documents:
        collector(name, copy.deepcopy(doc))
    return jobs, remarks


def expected_of(retaken):
    """Return each point's frame, and its temperature, where the points in `retaken` were taken twice."""
    counter = itertools.count()
    frames, temperatures = [], []
    for number in range(POINTS):
        attempts = [next(counter) for _ in range(2 if number + 1 in retaken else 1)]
        frames.append(attempts[-1])
        temperatures.append(320.0 + len(attempts) - 1)
    return frames, temperatures


def assert_right(job, documents, retaken=()):
    """Hold a job against what was measured: it must be this scan's, each point with its own last frame."""
    frames, temperatures = expected_of(retaken)
    assert job.run_uid == documents[0][1]["uid"]
    np.testing.assert_array_equal(job.frame_index, frames)
    np.testing.assert_array_equal(job.temperature, temperatures)
    np.testing.assert_allclose(job.eta, 17.0 + 0.01 * np.arange(POINTS))


def middle_of(documents):
    """Return what may change places: all but start, descriptors and stop, which others name."""
    fixed = ("start", "descriptor", "stop")
    return [item for item in documents if item[0] not in fixed]


@bounded
@given(data=st.data(), retaken=st.sets(st.integers(1, POINTS), max_size=2))
def test_the_order_between_the_descriptors_and_the_end_does_not_matter(documents, frame_file, data, retaken):
    """Only of a point that was taken twice must the second come second."""
    stream = documents(frame_file, POINTS, retaken=tuple(retaken))
    middle = data.draw(st.permutations(middle_of(stream)))
    events = [item for item in middle if item[0] == "event"]
    in_turn = iter(sorted(events, key=lambda item: item[1]["data"].get("merlin_frame_index", -1)))
    middle = [next(in_turn) if item[0] == "event" else item for item in middle]
    head = [item for item in stream if item[0] in ("start", "descriptor")]
    jobs, remarks = collect([*head, *middle, stream[-1]], frame_file)
    assert len(jobs) == 1, remarks
    assert_right(jobs[0], stream, retaken)
    assert jobs[0].extra_frames == len(retaken)


@bounded
@given(data=st.data())
def test_points_may_come_in_any_order(documents, frame_file, data):
    stream = documents(frame_file, POINTS)
    middle = data.draw(st.permutations(middle_of(stream)))
    head = [item for item in stream if item[0] in ("start", "descriptor")]
    jobs, remarks = collect([*head, *middle, stream[-1]], frame_file)
    assert len(jobs) == 1, remarks
    assert_right(jobs[0], stream)


@bounded
@given(data=st.data())
def test_documents_that_come_twice_change_nothing(documents, frame_file, data):
    """As after a reconnection to a proxy; the end counts once."""
    stream = documents(frame_file, POINTS)
    chosen = data.draw(st.lists(st.sampled_from(range(len(stream))), max_size=6))
    doubled = [item for number, item in enumerate(stream) for _ in range(1 + chosen.count(number))]
    jobs, _ = collect(doubled, frame_file)
    assert len(jobs) == 1
    assert_right(jobs[0], stream)


@bounded
@given(data=st.data())
def test_a_scan_with_a_document_missing_is_no_job_and_says_why(documents, frame_file, data):
    """But for the readings that nothing depends on: the baseline."""
    stream = documents(frame_file, POINTS)
    lost = data.draw(st.sets(st.sampled_from(range(1, len(stream))), min_size=1, max_size=4))
    kept = [item for number, item in enumerate(stream) if number not in lost]
    jobs, remarks = collect(kept, frame_file)
    if lost <= baseline_of(stream):
        assert len(jobs) == 1
        assert_right(jobs[0], stream)
    else:
        assert jobs == []
        assert remarks or len(stream) - 1 in lost  # without an end the scan may still be going on


def baseline_of(stream):
    """Return the places of the baseline's descriptor and event."""
    (uid,) = (doc["uid"] for name, doc in stream if name == "descriptor" and doc["name"] == "baseline")
    return {
        number
        for number, (name, doc) in enumerate(stream)
        if doc.get("uid") == uid or (name == "event" and doc["descriptor"] == uid)
    }


@bounded
@given(data=st.data())
def test_a_malformed_document_raises_nothing_and_makes_no_wrong_job(documents, frame_file, data):
    """One value anywhere is replaced by something else, or its key is gone."""
    stream = documents(frame_file, POINTS)
    spoilt = copy.deepcopy(stream)
    number = data.draw(st.integers(0, len(stream) - 1))
    name, doc = spoilt[number]
    place, key = data.draw(st.sampled_from(list(places(doc))))
    if data.draw(st.booleans()):
        del place[key]
    else:
        place[key] = data.draw(ODD)
    jobs, remarks = collect(spoilt, frame_file)
    assert len(jobs) <= 1
    assert jobs or remarks or name == "start" or touches_the_end(name, doc, stream[number][1])
    for job in jobs:
        for column in (job.eta, job.monitor, job.temperature):
            assert column.shape == (POINTS,)
            assert np.isfinite(column).all()
        np.testing.assert_array_equal(job.frame_index, np.arange(POINTS))
        assert job.frame_file == frame_file
    again, _ = collect(stream, frame_file)
    assert len(again) == 1


def places(doc):
    """Yield every dictionary in a document with each of its keys."""
    for key, value in doc.items():
        yield doc, key
        if isinstance(value, dict):
            yield from places(value)


def touches_the_end(name, doc, before):
    """Whether the run's end names another run now, so that this one seems to go on."""
    return name == "stop" and doc.get("run_start") != before["run_start"]


@bounded
@given(
    noise=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "start",
                    "descriptor",
                    "event",
                    "event_page",
                    "stream_resource",
                    "stream_datum",
                    "resource",
                    "datum",
                    "stop",
                    "nonsense",
                ]
            ),
            st.one_of(
                ODD,
                st.dictionaries(
                    st.sampled_from(
                        ["uid", "run_start", "descriptor", "data", "seq_num", "indices", "purpose", "name"]
                    ),
                    ODD,
                ),
            ),
        ),
        max_size=12,
    )
)
def test_noise_between_the_documents_of_a_scan_does_not_disturb_it(documents, frame_file, noise):
    stream = documents(frame_file, POINTS)
    mixed = list(itertools.chain.from_iterable(itertools.zip_longest(stream, noise, fillvalue=None)))
    jobs, _ = collect([item for item in mixed if item is not None], frame_file)
    assert len(jobs) == 1
    assert_right(jobs[0], stream)
