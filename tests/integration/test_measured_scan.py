"""A scan that nobody here made, from file to reconstruction through the live path."""

import contextlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from analysis.phasing.registration import align
from analysis.phasing.trust import compactness
from analysis.preprocessing import prepare_scan
from analysis.readers import Given, read_array, read_given, read_scans
from analysis.results import read_scan
from callbacks.catalogue import derived_runs
from callbacks.ingest import Extras, checked
from callbacks.live import LiveView
from profile_collection.catalogue.client import stop_server
from profile_collection.session import stored_runs
from profile_collection.session.one_scan import ready, reconstruct_ready
from profile_collection.session.settings import Settings
from profile_collection.session.storage import open_catalogue

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FOLDER = Path(os.environ.get("VO2_MEASURED_DATA", Path(__file__).parents[3] / "shared" / "data"))
SCAN = FOLDER / "aps34idc_scan54.npz"
GEOMETRY = Path(__file__).parents[2] / "docs" / "how-to" / "aps34idc_scan54.toml"


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """Take the scan in; return catalogue, settings and what came of it."""
    if not SCAN.exists():
        pytest.skip(f"the measured scan is not at {SCAN}; VO2_MEASURED_DATA names its folder")
    folder = tmp_path_factory.mktemp("measured")
    settings = Settings(data=folder / "data", results=folder / "results", transfer_epochs=0)
    view = LiveView(Console(file=io.StringIO(), width=200))
    with contextlib.closing(open_catalogue(settings)) as catalogue:
        scans, extras = read_scans(SCAN, read_given(GEOMETRY)), Extras(crop=(64, 64, 64))
        found = stored_runs.ingest(catalogue, settings, view, scans, name="gold", extras=extras)
        yield catalogue, settings, found
    stop_server(settings.data)


def test_it_becomes_a_stored_run_with_a_result(ingested):
    catalogue, settings, found = ingested
    run = catalogue.raw.v3[found.run_uid]
    assert run["primary/merlin_image"].shape == (201, 256, 256)
    assert found.summary.error == ""
    (derived,) = derived_runs(catalogue, found.run_uid)
    assert derived.start["simulated"] is False
    result = read_scan(found.summary.result_file)
    assert result.instrument["name"] == "APS 34-ID-C"
    assert result.d_spacing == pytest.approx(4.08 / 3**0.5, rel=0.01)
    assert list((settings.results / found.series_uid / "figures").glob("*.png"))


def test_the_reconstruction_is_right(ingested):
    result = read_scan(ingested[2].summary.result_file)
    assert result.trusted
    assert result.chi_squared <= 0.015
    assert compactness(np.abs(result.object) ** 2, result.support) >= 0.9  # one body …
    body = np.nonzero(np.abs(result.object) > 0.3 * np.abs(result.object).max())
    sizes = np.array([np.ptp(axis) + 1 for axis in body]) * np.linalg.norm(result.voxel_basis, axis=0)
    # … of some hundred nm, in a field of view of 2.9 × 1.25 × 1.25 µm
    assert ((sizes > 150) & (sizes < 700)).all()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Unpack the scan as it was published: SPEC file, TIFF images, white field and dark image."""
    archive = FOLDER / "scan54_raw" / "scan54_raw.tar.xz"
    if not (archive.exists() and SCAN.exists()):
        pytest.skip(f"the measured scan is not at {FOLDER}; VO2_MEASURED_DATA names its folder")
    folder = tmp_path_factory.mktemp("published")
    with tarfile.open(archive) as files:
        files.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder


def test_the_raw_files_with_white_field_monitor_and_another_seed_agree(ingested, published):
    """The npz has neither: there the search found the detector's response with the object."""
    (scan,) = read_scans(published, Given(scan="54", lattice=4.08, reflection=(1, 1, 1)))
    images = {
        name: read_array(published / "example_data" / f"{file}.tif", scan.frames.shape)
        for name, file in (("flat_field", "whitefield"), ("dark", "dark"))
    }
    extras = Extras(**images, crop=(64, 64, 64))
    (one,) = ready([scan], extras)
    (result,) = reconstruct_ready(one, extras, seeds=(1,)).results
    found = read_scan(ingested[2].summary.result_file)
    assert result.trusted, result.reasons
    assert align(result.object, found.object).overlap >= 0.99
    assert any("the flat field is in the model as a gain" in note for note in result.notes)


def test_the_raw_files_of_the_scan_prepare_to_the_pattern_of_the_npz(published):
    """SPEC and TIFF images as published, angles as read: from one pattern and seed comes one object."""
    (npz,) = checked(read_scans(SCAN, read_given(GEOMETRY)), Extras())
    (raw,) = checked(read_scans(published, Given(scan="54")), Extras())
    first, second, steadied = (
        prepare_scan(
            np.asarray(one.frames[0:201]), one.scan.angles, monitor, one.geometry, shape=(64, 128, 128)
        )
        for one, monitor in ((npz, None), (raw, None), (raw, raw.scan.monitor))
    )
    np.testing.assert_array_equal(second.intensity, first.intensity)
    np.testing.assert_array_equal(second.mask, first.mask)
    np.testing.assert_allclose(second.voxel_basis, first.voxel_basis, rtol=1e-4, atol=1e-4)
    assert second.d_spacing == pytest.approx(first.d_spacing, rel=1e-9)
    np.testing.assert_allclose(steadied.monitor_factors, 1, atol=0.07)
    assert np.corrcoef(steadied.intensity.ravel(), first.intensity.ravel())[0, 1] > 0.999
