"""Scans of other beamlines, and frame files read back as runs."""

from dataclasses import replace

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from callbacks.frames import FrameFileError, read_frames
from callbacks.journal.recovery import find_frame_file, read_scan_file
from callbacks.replay import Aps34idcScan, ingest_documents, read_counts

COUNTS = np.random.default_rng(1).poisson(5.0, (6, 4, 5))


@pytest.fixture
def ingested(tmp_path):
    """Return the documents of a small measured scan; its frames lie under tmp_path/frames."""
    return list(ingest_documents(COUNTS, Aps34idcScan(), tmp_path / "frames", name="gold"))


def test_its_documents_are_valid_and_make_a_job_with_the_same_frames(ingested, collecting):
    for name, doc in ingested:
        schema_validators[DocumentNames[name]].validate(doc)
        collecting.collector(name, doc)
    (job,) = collecting.jobs
    np.testing.assert_array_equal(read_frames(job.frame_file, job.dataset, job.frame_index), COUNTS)
    np.testing.assert_allclose(job.eta, -0.28 + 0.005 * np.arange(6))
    assert job.positions["delta"] == 32.174
    assert job.start["instrument"] == "APS 34-ID-C"
    assert job.start["simulated"] is False


def test_its_geometry_is_that_of_34idc(ingested, collecting):
    from callbacks.analyse import crop_shape, scan_geometry

    for name, doc in ingested:
        collecting.collector(name, doc)
    geometry = scan_geometry(collecting.jobs[0])
    assert geometry.instrument == "APS 34-ID-C"
    assert geometry.distance == 500.0
    np.testing.assert_allclose(geometry.axis, [1, 0, 0])
    assert crop_shape(collecting.jobs[0]) == (64, 128, 128)
    # Gold (111) at 9 keV: the two arm angles agree with Bragg's law.
    q = np.linalg.norm(geometry.lab_q(1.5, 2.0))
    assert 2 * np.pi / q == pytest.approx(4.08 / np.sqrt(3), rel=0.01)


def test_a_frame_file_is_read_back_as_the_run_it_was(ingested, tmp_path):
    start = ingested[0][1]
    scan = find_frame_file(tmp_path / "frames", start["uid"][:6])
    assert scan.start == start
    assert scan.points == 6
    assert scan.shape == (4, 5)
    np.testing.assert_array_equal(scan.columns["merlin_total"], COUNTS.sum(axis=(1, 2)))
    np.testing.assert_array_equal(scan.columns["merlin_max"], COUNTS.max(axis=(1, 2)))
    np.testing.assert_allclose(scan.columns["ic1monitor"], 1.0)


@pytest.mark.parametrize("name", ["../../../../escaped", "Au/Pt 100", "/etc"])
def test_a_samples_name_leads_nowhere_and_stays_what_it_is_in_the_documents(tmp_path, name):
    documents = list(ingest_documents(COUNTS, Aps34idcScan(), tmp_path / "data" / "frames", name=name))
    start = dict(documents)["start"]
    assert start["sample"] == name
    assert "/" not in start["series_uid"]
    (written,) = tmp_path.rglob("*.h5")
    assert written.parent == tmp_path / "data" / "frames" / start["series_uid"]


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.ones((3, 3)), r"\(rocking, row, column\)"),
        (np.full((3, 3, 3), -1), "counts must lie in 0"),
        (np.full((3, 3, 3), 2**33), "counts must lie in 0"),
        (np.full((3, 3, 3), np.nan), "whole numbers"),
    ],
)
def test_what_is_no_stack_of_counts_is_refused(tmp_path, array, complaint):
    np.savez(tmp_path / "bad.npz", counts=array)
    with pytest.raises(ValueError, match=complaint):
        read_counts(tmp_path / "bad.npz")


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", counts=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="an npz file with the array 'counts' was expected"):
        read_counts(tmp_path / "bad.npz")


def test_a_file_without_a_start_document_is_refused(frame_file):
    with pytest.raises(FrameFileError, match="a frame file with a start document was expected"):
        read_scan_file(frame_file)


def test_other_angles_can_be_given(tmp_path):
    documents = dict(ingest_documents(COUNTS, replace(Aps34idcScan(), crop=(16, 16, 16)), tmp_path, name="x"))
    assert documents["start"]["crop"] == [16, 16, 16]


def test_in_order_of_time_a_stream_is_described_before_its_points(tmp_path):
    """The catalogue replays documents by their time."""
    documents = list(ingest_documents(COUNTS, Aps34idcScan(), tmp_path, name="x"))
    first = min(doc["time"] for kind, doc in documents if kind == "event")
    assert all(doc["time"] < first for kind, doc in documents if kind == "descriptor")
