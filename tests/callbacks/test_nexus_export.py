"""Scans written in their beamline's own layout, and read back by that beamline's programs and ours."""

import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from analysis.geometry import sample_rotation
from analysis.readers import Given, read_scans
from callbacks.analyse import known_bad_pixels, scan_geometry
from callbacks.frames import read_frames
from callbacks.ingest import Extras, checked, ingest_documents
from callbacks.nexus_export import write_run


@pytest.fixture
def exported(job, tmp_path):
    """Return the job of a scan of the simulated beamline, its master and its frame file in I16's layout."""
    geometry, stand = scan_geometry(job), {**job.positions, "eta": float(job.eta[0])}
    z = sample_rotation(*(stand[name] for name in ("mu", "eta", "chi", "phi")))
    seen = z.T @ geometry.lab_q(*geometry.centre)
    turn, _ = Rotation.align_vectors([seen], [[0.0, 1.0, 1.0]])
    ub = turn.as_matrix() * np.linalg.norm(seen) / 2**0.5  # its (011) is what the arm sees
    scan = replace(job, start={**job.start, "reflection": [0, 1, 1], "UB": ub.tolist()})
    return scan, *write_run(scan, tmp_path / "out", 7, "nexus")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_our_own_reader_finds_what_was_written(exported):
    job, master, _ = exported
    (scan,) = read_scans(master)
    scan.require()
    assert (scan.format, scan.instrument, scan.axis) == ("I16 NeXus", "Diamond I16", "eta")
    frames = read_frames(job.frame_file, job.dataset, job.frame_index)
    np.testing.assert_array_equal(scan.frames[0 : len(frames)], frames)
    np.testing.assert_array_equal(scan.angles, job.eta)
    np.testing.assert_array_equal(scan.monitor, job.monitor)
    np.testing.assert_array_equal(scan.temperature, job.temperature)
    geometry = scan_geometry(job)
    row0, row1, col0, col1 = geometry.roi
    rows, cols = np.indices((row1 - row0, col1 - col0))
    ours = geometry.lab_q(rows + row0, cols + col0)
    np.testing.assert_allclose(scan.geometry.lab_q(rows, cols), ours, rtol=0, atol=1e-12)
    np.testing.assert_allclose(scan.geometry.axis, geometry.axis, atol=1e-15)
    assert scan.geometry.energy == geometry.energy
    assert scan.reflection == (0, 1, 1)
    np.testing.assert_allclose(scan.ub, job.start["UB"])
    assert scan.notes == ()


def test_a_ub_that_is_not_of_the_scan_is_named(exported):
    with h5py.File(exported[1], "r+") as file:
        for row in "123":
            file[f"entry1/before_scan/xtlinfo_extra/UB{row}1"][...] += 0.3
            file[f"entry1/before_scan/xtlinfo_extra/UB{row}2"][...] += 0.3
    (scan,) = read_scans(exported[1])
    assert any("sample/ub_matrix disagrees" in note for note in scan.notes)
    assert any("UB·hkl is" in note and "off the q of the angles" in note for note in scan.notes)


def test_what_comes_back_is_prepared_to_the_very_same_pattern(exported, collecting, tmp_path):
    """The same frames, monitor, mask and geometry to rounding: phasing has no choice but the same object."""
    job, master, _ = exported
    ready = checked(read_scans(master), Extras())
    for name, doc in ingest_documents(ready, tmp_path / "frames", name="again"):
        collecting.collector(name, doc)
    again = collecting.jobs[-1]
    frames = read_frames(job.frame_file, job.dataset, job.frame_index)
    np.testing.assert_array_equal(read_frames(again.frame_file, again.dataset, again.frame_index), frames)
    for column in ("eta", "monitor", "temperature"):
        np.testing.assert_array_equal(getattr(again, column), getattr(job, column))
    ours, theirs = scan_geometry(job), scan_geometry(again)
    row0, _, col0, _ = ours.roi
    step = ours.steps(row0 + 3, col0 + 4, 0.01)
    np.testing.assert_allclose(theirs.steps(3, 4, 0.01), step, rtol=1e-9, atol=1e-15)
    bad, hidden = known_bad_pixels(job, ours), known_bad_pixels(again, theirs)
    assert hidden is not None or bad is None
    if bad is not None:
        assert (hidden | ~bad).all()


def test_hdfmap_opens_it_with_the_same_numbers(exported):
    import hdfmap

    job, master, _ = exported
    mapped = hdfmap.create_nexus_map(str(master))
    with hdfmap.load_hdf(str(master)) as file:
        np.testing.assert_array_equal(mapped.get_data(file, "eta"), job.eta)
        np.testing.assert_array_equal(mapped.get_data(file, "ic1monitor"), job.monitor)
        np.testing.assert_array_equal(mapped.get_data(file, "Tsample"), job.temperature)
        assert mapped.get_data(file, "incident_energy") == pytest.approx(scan_geometry(job).energy)
        frame = read_frames(job.frame_file, job.dataset, job.frame_index[2:3])[0]
        np.testing.assert_array_equal(mapped.get_image(file, 2), frame)


def test_nxcheck_finds_no_error(exported):
    for path in exported[1:]:
        check = [sys.executable, "-m", "nexusformat.scripts.nxcheck", "-e", str(path)]
        done = subprocess.run(check, capture_output=True, text=True, check=True)
        assert "Total number of errors: 0" in done.stdout, done.stdout


def test_the_frames_of_retaken_points_are_left_out(job, tmp_path):
    picked = replace(
        job,
        frame_index=job.frame_index[[0, 2, 4]],
        eta=job.eta[[0, 2, 4]],
        monitor=job.monitor[[0, 2, 4]],
        temperature=job.temperature[[0, 2, 4]],
    )
    master, _ = write_run(picked, tmp_path / "out", 1, "nexus")
    (scan,) = read_scans(master)
    np.testing.assert_array_equal(
        scan.frames[0:3], read_frames(job.frame_file, job.dataset, picked.frame_index)
    )
    assert len(scan.angles) == 3


def test_a_scan_of_another_instrument_is_refused(job, tmp_path):
    with pytest.raises(ValueError, match="'id01' is that of ESRF ID01"):
        write_run(job, tmp_path / "out", 1, "id01")


@pytest.mark.filterwarnings("ignore")
def test_an_id01_scan_is_written_so_that_cdiutils_reads_it(ingest_npz, collecting, tmp_path):
    from cdiutils.io.id01 import ID01Loader

    counts = np.random.default_rng(2).poisson(4.0, (12, 20, 30))
    given = Given(
        instrument="id01",
        energy=9.0,
        distance=800.0,
        pixel_size=0.055,
        centre=(7.0, 21.0),
        axis="eta",
        start=17.0,
        step=0.01,
        positions={"mu": 0.0, "nu": 12.0, "delta": 33.0, "phi": 31.0},
        temperature=300.0,
    )
    for name, doc in ingest_npz(counts, tmp_path / "frames", given=given):
        collecting.collector(name, doc)
    (job,) = collecting.jobs
    (path,) = write_run(job, tmp_path / "out", 42, "id01")
    sample = path.stem.removesuffix("_42")
    loader = ID01Loader(str(path), 42, sample, detector_name="mpx1x4")
    np.testing.assert_array_equal(loader.load_detector_data(), counts)
    calibration = loader.load_det_calib_params()
    assert (calibration["cch1"], calibration["cch2"]) == (7.0, 21.0)
    assert calibration["distance"] == pytest.approx(0.8)
    assert calibration["pwidth1"] == pytest.approx(55e-6)
    assert loader.load_energy() == pytest.approx(9000)
    (scan,) = read_scans(path)
    scan.require()
    geometry = scan_geometry(job)
    rows, cols = np.indices((20, 30))
    np.testing.assert_allclose(scan.geometry.lab_q(rows, cols), geometry.lab_q(rows, cols), atol=1e-12)
    np.testing.assert_allclose(scan.angles, job.eta)
    with h5py.File(path) as file:
        assert f"{sample}_42.1" in file
