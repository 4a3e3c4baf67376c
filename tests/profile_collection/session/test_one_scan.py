"""One file reconstructed on its own: what is checked before, what is written, and what is said."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import pyvista
from typer.testing import CliRunner

from analysis.figures.one_page import one_page
from analysis.readers import Given, ReadError, read_scans
from analysis.results import read_scan
from callbacks.ingest import Extras
from profile_collection.cli.app import app
from profile_collection.session import one_scan
from profile_collection.session.one_scan import OneScan, is_frame_file

COUNTS = np.random.default_rng(4).poisson(3.0, (12, 20, 30)).astype(np.uint32)
GEOMETRY = """
instrument = "34idc"
energy = 9.0
distance = 500.0
pixel_size = 0.055
axis = "th"
start = -0.28
step = 0.005
lattice = 4.08
reflection = [1, 1, 1]
[positions]
delta = 32.174
gamma = 12.6346
"""


@pytest.fixture
def results(make_scan):
    """Return two results of one pattern, the second not trusted."""
    at = np.indices((24, 24, 24)).reshape(3, -1) - 12
    body = np.exp(-((np.linalg.norm(at, axis=0) / 5) ** 4))
    array = (body * np.exp(-0.1j * at[1])).reshape(24, 24, 24).astype(np.complex64)
    basis = np.diag([29.0, 52.0, 51.0])
    kept = {
        "temperature": 320.0,
        "voxel_basis": basis,
        "notes": ("one point is not measured", "d is 1 % off 2.3556 Å"),
    }
    return (
        make_scan(array, chi_squared=0.02, **kept),
        make_scan(array, chi_squared=0.01, trusted=False, reasons=("the crystal is in pieces",), **kept),
    )


@pytest.fixture
def quick(monkeypatch, results):
    """Have the analysis take no time; return the jobs it got."""
    jobs = []

    def analysed(job):
        jobs.append(job)
        return results[0]

    monkeypatch.setattr(one_scan, "analyse", analysed)
    monkeypatch.setattr(one_scan, "phased_again", lambda *_: results[1])
    return jobs


@pytest.fixture
def scan(tmp_path):
    """Return an npz file of frames, and the TOML file of its geometry."""
    np.savez(tmp_path / "scan.npz", counts=COUNTS, white=np.full((20, 30), 9.0))
    (tmp_path / "geometry.toml").write_text(GEOMETRY, encoding="utf-8")
    return tmp_path / "scan.npz", tmp_path / "geometry.toml"


def test_the_verdict_is_said_first_then_the_seeds_and_the_notes(results):
    found = OneScan(results)
    assert found.best is results[0]  # of the trusted, though the other has the lower χ²
    assert found.agreement == pytest.approx(1, abs=1e-5)
    assert found.words[0].startswith("χ² 0.0200, noise ratio")
    assert found.words[0].endswith("trusted")
    assert found.words[1] == "2 seeds, 1 trusted; the least overlap of two is 1.000"
    assert found.words[2] == "note: one point is not measured"
    alone = OneScan(results[1:])
    assert "not trusted: the crystal is in pieces" in alone.words[0]
    assert alone.agreement is None


def test_page_object_and_support_are_written_in_every_format(results, tmp_path):
    written = OneScan(results).write(tmp_path / "out" / "gold")
    assert [path.name for path in written] == ["gold.png", "gold.h5", "gold.npz", "gold.vti"]
    np.testing.assert_array_equal(read_scan(written[1]).object, results[0].object)
    with np.load(written[2]) as arrays:
        np.testing.assert_array_equal(arrays["support"], results[0].support)
        np.testing.assert_array_equal(arrays["voxel_basis_nm"], results[0].voxel_basis)
    assert "amplitude" in pyvista.read(written[3]).point_data


def test_the_page_shows_slices_in_nm_counts_and_the_verdict(results):
    page = OneScan(results[1:]).page()
    axes = [ax for figure in page.subfigs for ax in figure.axes]
    labels = {ax.get_xlabel() for ax in axes}
    assert {"z (nm)", "y (nm)", "column", "step of the rocking curve"} <= labels
    texts = [text for ax in axes for text in ax.texts]
    (doubt,) = [text for text in texts if "not trusted" in text.get_text()]
    assert doubt.get_color() == "#D55E00"


def test_without_geometry_a_scan_is_phased_in_voxels_and_says_so(tmp_path, quick):
    np.save(tmp_path / "frames.npy", COUNTS)
    (scan,) = read_scans(tmp_path / "frames.npy")
    (ready,) = one_scan.ready([scan])
    found = one_scan.reconstruct_ready(ready)
    assert not found.scaled
    assert any("lengths, d and strain mean nothing, for the file lacks" in note for note in ready.notes)
    labels = {ax.get_xlabel() for figure in found.page().subfigs for ax in figure.axes}
    assert "column (voxels)" in labels
    written = found.write(tmp_path / "out")
    assert [path.suffix for path in written] == [".png", ".npz"]
    with np.load(written[1]) as arrays:
        assert np.isnan(arrays["voxel_basis_nm"]).all()


def test_frames_that_are_not_there_are_refused(tmp_path):
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["nothing"] = 1
    assert not is_frame_file(tmp_path / "scan.h5")
    with pytest.raises(ReadError, match="none of the formats"):
        one_scan.reconstruct_file(tmp_path / "scan.h5")


def test_from_python_in_one_call(scan, quick, tmp_path):
    path, geometry = scan
    np.save(tmp_path / "mask.npy", COUNTS[0] > 8)
    found = one_scan.reconstruct_file(path, geometry=geometry, mask=tmp_path / "mask.npy", seeds=2)
    assert len(found.results) == 2
    assert found.scaled
    (job,) = quick
    assert job.start["instrument"] == "APS 34-ID-C"
    assert job.start["reflection"] == [1, 1, 1]
    assert any(
        "in the model as a gain" in note for note in job.start["ingested"]["notes"]
    )  # the file's white


def test_the_command_says_what_it_wrote_and_refuses_to_overwrite(scan, quick, tmp_path):
    path, geometry = scan
    command = ["reconstruct", str(path), "--geometry", str(geometry), "--seeds", "3"]
    command += ["--output", str(tmp_path / "out" / "gold")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    said = done.output.replace("\n", " ")
    assert "3 seeds, 1 trusted" in said
    for suffix in (".png", ".h5", ".npz", ".vti"):
        assert f"gold{suffix}" in said
        assert (tmp_path / "out" / f"gold{suffix}").is_file()
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1
    assert "is there already; add --overwrite" in again.output.replace("\n", " ")


def test_a_scan_that_lacks_something_is_refused_before_it_is_phased(scan, quick, tmp_path):
    path, geometry = scan
    np.save(tmp_path / "mask.npy", np.zeros((3, 3), bool))
    command = ["reconstruct", str(path), "--geometry", str(geometry), "--mask", str(tmp_path / "mask.npy")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "must have the frames' shape (20, 30)" in done.output.replace("\n", " ")
    assert not quick


def test_extras_hold_for_a_scan_with_several(scan):
    path, geometry = scan
    from analysis.readers import read_given

    (read,) = read_scans(path, read_given(geometry).completed(Given(exposure=2.0)))
    (ready,) = one_scan.ready([read], Extras(flat_field=np.full((20, 30), 3.0)))
    assert ready.arrays["flatfield"].mean() == 1


@pytest.mark.parametrize(
    ("name", "given", "named"),
    [
        ("pattern.npz", ["--energy", "9", "--crop", "32,32,32"], "--energy, --crop"),
        ("pattern.npz", ["--flat-field", "white.npy"], "--flat-field"),
        ("0123abcd", ["--mask", "m.npy"], "--mask"),
    ],
)
def test_reconstruct_refuses_what_it_would_not_use(tmp_path, monkeypatch, name, given, named):
    monkeypatch.chdir(tmp_path)
    np.savez("pattern.npz", intensity=np.ones((32, 32, 32)))
    done = CliRunner().invoke(app, ["reconstruct", name, *given, "--data", str(tmp_path / "data")])
    assert done.exit_code == 1
    assert f"{named} would not be used" in " ".join(done.output.split())
    assert not (tmp_path / "data").exists()


def test_what_was_written_is_phased_again_by_what_spoke_against_its_counts(results, tmp_path, monkeypatch):
    """The intensity of a result is normalised with the monitor: its fractions are our own."""
    asked = []
    monkeypatch.setattr(
        "analysis.reconstruct", lambda *_, **named: asked.append(named) or results[0], raising=False
    )
    for said in ((), ("all values are multiples of 0.7",)):
        kept = replace(results[0], not_counts=said)
        paths = OneScan((kept,)).write(tmp_path / f"done{len(said)}")
        again = CliRunner().invoke(app, ["reconstruct", str(paths[2])])
        assert again.exit_code == 0, again.output
        assert asked[-1]["not_counts"] == list(said)
        assert read_scan(paths[1]).not_counts == said


def test_frames_that_were_not_measured_are_left_out_of_the_rocking_curve(results):
    mask = results[0].mask.copy()
    mask[5] = True
    page = one_page(replace(results[0], mask=mask), ())
    (curve,) = [ax for ax in page.axes if ax.get_xlabel() == "step of the rocking curve"]
    for line in curve.lines:
        assert np.isnan(line.get_ydata()[5])
        assert np.isfinite(np.delete(line.get_ydata(), 5)).all()
