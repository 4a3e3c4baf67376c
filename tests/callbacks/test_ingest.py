"""Scans of other beamlines as runs, and frame files read back as runs."""

import numpy as np
import pytest
from event_model import DocumentNames, schema_validators

from analysis.readers import Given, ReadError, read_scans
from callbacks.analyse import crop_shape, scan_geometry
from callbacks.frames import (
    DARK,
    FLAT_FIELD,
    PIXEL_MASK,
    FrameFileError,
    read_array,
    read_frames,
    stored_counts,
)
from callbacks.ingest import Extras, checked, in_order
from callbacks.journal.recovery import find_frame_file, read_scan_file
from profile_collection.session import one_scan

COUNTS = np.random.default_rng(1).poisson(5.0, (10, 8, 9))


@pytest.fixture
def ingested(tmp_path, ingest_npz):
    """Return the documents of a small measured scan; its frames lie under tmp_path/frames."""
    return ingest_npz(COUNTS, tmp_path / "frames")


def jobs_of(collecting, documents):
    for name, doc in documents:
        collecting.collector(name, doc)
    return collecting.jobs


def test_its_documents_are_valid_and_make_a_job_with_the_same_frames(ingested, collecting):
    for name, doc in ingested:
        schema_validators[DocumentNames[name]].validate(doc)
    (job,) = jobs_of(collecting, ingested)
    np.testing.assert_array_equal(read_frames(job.frame_file, job.dataset, job.frame_index), COUNTS)
    np.testing.assert_allclose(job.eta, -0.28 + 0.005 * np.arange(10))
    assert job.positions["delta"] == 32.174
    assert job.start["instrument"] == "APS 34-ID-C"
    assert job.start["simulated"] is False
    assert job.start["ingested"]["given"]["energy"] == 9.0
    assert "295 K is assumed" in job.start["ingested"]["notes"][0]


def test_its_geometry_is_that_of_34idc(ingested, collecting):
    (job,) = jobs_of(collecting, ingested)
    geometry = scan_geometry(job)
    assert geometry.instrument == "APS 34-ID-C"
    assert geometry.distance == 500.0
    np.testing.assert_allclose(geometry.axis, [1, 0, 0])
    assert crop_shape(job) == (64, 64, 64)
    # Gold (111) at 9 keV: the two arm angles agree with Bragg's law.
    q = np.linalg.norm(geometry.lab_q(3.5, 4.0))
    assert 2 * np.pi / q == pytest.approx(4.08 / np.sqrt(3), rel=0.01)


def test_a_frame_file_is_read_back_as_the_run_it_was(ingested, tmp_path):
    start = ingested[0][1]
    scan = find_frame_file(tmp_path / "frames", start["uid"][:6])
    assert scan.start == start
    assert scan.points == 10
    assert scan.shape == (8, 9)
    np.testing.assert_array_equal(scan.columns["merlin_total"], COUNTS.sum(axis=(1, 2)))
    np.testing.assert_array_equal(scan.columns["merlin_max"], COUNTS.max(axis=(1, 2)))
    np.testing.assert_allclose(scan.columns["ic1monitor"], 1.0)
    np.testing.assert_allclose(scan.columns["th"], -0.28 + 0.005 * np.arange(10))


@pytest.mark.parametrize("name", ["../../../../escaped", "Au/Pt 100", "/etc/passwd"])
def test_a_name_of_any_text_stays_in_the_data_folder(tmp_path, ingest_npz, name):
    start = ingest_npz(COUNTS, tmp_path / "data" / "frames", name=name)[0][1]
    (frames,) = (tmp_path / "data" / "frames").iterdir()
    assert frames.name == start["series_uid"]
    assert start["sample"] == name


def test_fractions_are_refused_and_leave_nothing_behind(tmp_path, ingest_npz):
    fractions = COUNTS.astype(float)
    fractions[7, 2, 3] += 0.5
    with pytest.raises(FrameFileError, match="whole numbers, frame 7 holds"):
        ingest_npz(fractions, tmp_path / "frames", copies=2, extras=Extras(temperatures=(320.0, 330.0)))
    assert not list((tmp_path / "frames").rglob("*"))


def test_whole_numbers_in_floats_and_signs_for_not_measured_are_counts(tmp_path, ingest_npz):
    counts = COUNTS.astype(float)
    counts[2, 3, 4] = np.nan
    counts[3, 3, 4] = -1
    start = ingest_npz(counts, tmp_path / "frames")[0][1]
    stored = read_frames(
        tmp_path / "frames" / start["series_uid"] / f"{start['uid']}.h5",
        "/entry/instrument/merlin/data",
        np.arange(10),
    )
    assert stored[2, 3, 4] == stored[3, 3, 4] == 2**32 - 1
    np.testing.assert_array_equal(stored[4:], COUNTS[4:])
    assert stored_counts(np.full((1, 2, 2), -1))[0].min() == 2**32 - 1


def test_many_scans_are_one_series_with_repeats_and_cycles_apart(tmp_path, ingest_npz):
    extras = Extras(temperatures=(320.0, 350.0, 350.0, 320.0))
    documents = ingest_npz(COUNTS, tmp_path / "frames", extras, copies=4)
    starts = [doc for name, doc in documents if name == "start"]
    assert [start["series_index"] for start in starts] == [0, 1, 2, 3]
    assert [start["branch"] for start in starts] == ["heating", "heating", "heating", "cooling"]
    assert [start["temperature_setpoint"] for start in starts] == [320, 350, 350, 320]
    assert {start["series_size"] for start in starts} == {4}
    assert len({start["series_uid"] for start in starts}) == 1
    assert sorted(start["time"] for start in starts) == [start["time"] for start in starts]


def test_one_temperature_that_is_no_number_leaves_the_others(tmp_path, ingest_npz, collecting):
    """NaN in one point, 0 K in another: the scan has the mean of the rest."""
    kelvin = np.full(len(COUNTS), 330.0)
    kelvin[2], kelvin[3] = np.nan, 0.0
    for name, doc in ingest_npz(COUNTS, tmp_path / "frames", temperature=kelvin):
        collecting.collector(name, doc)
    (job,) = collecting.jobs
    assert job.start["temperature_setpoint"] == 330.0
    assert np.nanmean(job.temperature) == 330.0


def test_the_order_is_that_of_time_and_a_time_without_zone_is_the_beamlines(tmp_path):
    from datetime import UTC, datetime

    from analysis.readers import MeasuredScan

    def scan(hour, zone=None):
        when = datetime(2024, 7, 1, hour, tzinfo=zone)
        return MeasuredScan(path=tmp_path, format="x", instrument="Diamond I16", started=when)

    late, early = scan(10), scan(10, UTC)  # 10 o'clock in summer is 9 UTC
    assert in_order([early, late]) == [late, early]


def test_two_energies_in_a_series_are_said(tmp_path):
    np.savez(tmp_path / "scan.npz", counts=COUNTS)
    given = Given(
        instrument="34idc",
        energy=9.0,
        distance=500.0,
        pixel_size=0.055,
        start=-0.28,
        step=0.005,
        positions={"delta": 32.174, "gamma": 12.6346},
        temperature=300.0,
    )
    one, two = (
        read_scans(tmp_path / "scan.npz", given.completed(Given(energy=energy)))[0] for energy in (9.0, 9.5)
    )
    for ready in checked([one, two], Extras()):
        assert "the series has scans at 9, 9.5 keV; each has its own q" in ready.notes
    assert not any("keV" in note for ready in checked([one, one], Extras()) for note in ready.notes)


def test_mask_dark_and_flat_field_lie_beside_the_frames(tmp_path, ingest_npz):
    mask = np.zeros((8, 9), bool)
    mask[1, 1] = True
    white = np.full((8, 9), 1000.0)
    white[2, 2], white[3, 3] = 0, 1200
    dark = np.zeros((8, 9))
    dark[4, 4] = 50
    start = ingest_npz(COUNTS, tmp_path / "frames", mask=mask, white=white, dark=dark)[0][1]
    path = tmp_path / "frames" / start["series_uid"] / f"{start['uid']}.h5"
    masked = read_array(path, "/entry/instrument/merlin/data", PIXEL_MASK)
    assert np.argwhere(masked).tolist() == [[1, 1], [2, 2], [4, 4]]
    gain = read_array(path, "/entry/instrument/merlin/data", FLAT_FIELD)
    assert gain[3, 3] == pytest.approx(1.2)
    assert gain[0, 0] == 1
    assert not read_array(path, "/entry/instrument/merlin/data", DARK).any()  # its one count is masked
    assert any("in the model as a gain" in note for note in start["ingested"]["notes"])
    np.testing.assert_array_equal(read_frames(path, "/entry/instrument/merlin/data", np.arange(10)), COUNTS)


@pytest.mark.parametrize(
    ("extras", "given", "complaint"),
    [
        (Extras(temperatures=(1.0, 2.0, 3.0)), None, "one for each of 2"),
        (Extras(), None, "no temperature was measured"),
        (Extras((np.zeros((3, 3), bool)), temperatures=(300.0,)), None, "mask must have the frames' shape"),
        (Extras(np.ones((8, 9), bool), temperatures=(300.0,)), None, "True where a pixel is BAD"),
        (Extras(temperatures=(300.0,)), Given(lattice=5.4), "check energy, arm angles"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_stored(
    tmp_path, ingest_npz, extras, given, complaint
):
    with pytest.raises(ReadError, match=complaint):
        ingest_npz(COUNTS, tmp_path / "frames", extras, given=given, copies=2)
    assert not (tmp_path / "frames").exists()


def test_a_file_without_a_start_document_is_refused(frame_file):
    with pytest.raises(FrameFileError, match="a frame file with a start document was expected"):
        read_scan_file(frame_file)


def test_in_order_of_time_a_stream_is_described_before_its_points(ingested):
    """The catalogue replays documents by their time."""
    first = min(doc["time"] for kind, doc in ingested if kind == "event")
    assert all(doc["time"] < first for kind, doc in ingested if kind == "descriptor")


def test_the_analysis_takes_the_mask_beside_the_frames(tmp_path, ingest_npz, collecting):
    """What was given is what preparation gets, a mask for each frame too."""
    from callbacks.analyse import known_bad_pixels

    each = np.zeros(COUNTS.shape, bool)
    each[3, 1, 1] = True
    for mask in (each, each[3]):
        collecting.jobs.clear()
        (job,) = jobs_of(collecting, ingest_npz(COUNTS, tmp_path / "frames", mask=mask))
        np.testing.assert_array_equal(known_bad_pixels(job, scan_geometry(job)), mask)


def test_the_few_arrays_that_nothing_uses_are_named_in_the_result(tmp_path):
    np.savez(tmp_path / "scan.npz", counts=COUNTS, dark_current=np.ones(3), log=np.zeros((2, 2)))
    (scan,) = read_scans(tmp_path / "scan.npz")
    (ready,) = one_scan.ready([scan])
    assert any(note.startswith("not used of the file: dark_current (3,), log (2, 2)") for note in ready.notes)
