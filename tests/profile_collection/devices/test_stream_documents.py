"""Which frame index comes next, after points that went out and points that were rewound."""

import functools
from pathlib import Path

import pytest

from profile_collection.devices.stream_documents import StreamDocuments


@pytest.fixture
def make(tmp_path):
    return functools.partial(
        StreamDocuments,
        tmp_path / "a file#1.h5",
        data_key="merlin_image",
        dataset="/entry/data",
        shape=(4, 5),
    )


@pytest.fixture
def documents(make):
    return make()


def take(documents):
    index = documents.begin_frame()
    documents.announce()
    return index


def test_the_resource_goes_out_once_and_first(documents):
    take(documents)
    names = [name for name, _ in documents.collect()]
    take(documents)
    names += [name for name, _ in documents.collect()]
    assert names == ["stream_resource", "stream_datum", "stream_datum"]


def test_resource_describes_the_file(documents, tmp_path: Path):
    take(documents)
    (_, resource), (_, datum) = documents.collect()
    assert resource["uri"].startswith("file://localhost/")
    assert resource["uri"].endswith("a%20file%231.h5")
    assert resource["parameters"] == {"dataset": "/entry/data", "swmr": True, "chunk_shape": [1, 4, 5]}
    assert datum["indices"] == {"start": 0, "stop": 1}
    assert datum["seq_nums"] == {"start": 0, "stop": 0}
    assert datum["descriptor"] == ""


def test_a_frame_that_was_never_collected_is_overwritten(documents):
    indices = []
    for collected in (True, False, False, True, True):
        indices.append(take(documents))
        if collected:
            list(documents.collect())
    assert indices == [0, 1, 1, 1, 2]
    assert documents.frame_count == 3


def test_an_exposure_that_gave_no_frame_takes_no_index(documents):
    assert documents.begin_frame() == 0
    assert take(documents) == 0
    list(documents.collect())
    assert documents.begin_frame() == 1
    assert documents.begin_frame() == 1
    assert documents.frame_count == 1


def test_collected_but_not_emitted_counts_as_lost_when_the_run_is_followed(make):
    documents = make(followed=True)
    first = take(documents)
    lost = list(documents.collect())
    again = take(documents)
    emitted = list(documents.collect())
    documents.confirm(emitted[-1][1])
    assert (first, again, take(documents)) == (0, 0, 1)
    assert [name for name, _ in lost] == [name for name, _ in emitted] == ["stream_resource", "stream_datum"]
    assert emitted[0][1]["uid"] == lost[0][1]["uid"]
    assert emitted[1][1]["uid"] != lost[1][1]["uid"]
