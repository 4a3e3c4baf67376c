"""Scans written in their beamline's own layout, and read back by that beamline's programs and ours."""

import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from analysis.readers import Given, read_scans
from callbacks.analyse import scan_geometry
from callbacks.frames import read_frames
from callbacks.nexus_export import write_run


@pytest.fixture
def exported(job, tmp_path):
    """Return the job of a scan of the simulated beamline, its master and its frame file in I16's layout."""
    start = {**job.start, "reflection": [0, 1, 1], "UB": (2 * np.pi * np.eye(3)).tolist()}
    scan = replace(job, start=start)
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
    np.testing.assert_allclose(scan.ub, 2 * np.pi * np.eye(3))
    assert any("UB·hkl is" in note for note in scan.notes)  # the unit matrix is not this crystal's


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
