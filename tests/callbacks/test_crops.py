"""Which part of reciprocal space is phased: by name, and from the settings through to the analysis."""

from types import SimpleNamespace

import numpy as np
import pytest

import analysis.phasing.two_lattices as phasing_module
from analysis.experiment import paper
from analysis.phasing.two_lattices import second_peak
from callbacks.analyse import crop_shape, phased_again
from callbacks.ingest import Extras
from callbacks.jobs import parse_crop
from profile_collection.session.settings import Settings, load_settings
from profile_collection.session.stored_runs import job_of

M1_BAND, FINE, STRAIN = paper().crop, paper().wide_crop, paper().transformation_strain


@pytest.mark.parametrize(
    ("text", "crop"),
    [("m1", M1_BAND), (" 20nm", FINE), ("64, 128,128", (64, 128, 128))],
)
def test_crops_are_read_as_people_write_them(text, crop):
    assert parse_crop(text) == crop


@pytest.mark.parametrize("text", ["", "64,64", "64,64,8", "wide", "64,64,-64"])
def test_other_crops_are_refused_in_words(text):
    with pytest.raises(ValueError, match="a crop is three whole numbers of at least 16"):
        parse_crop(text)


def test_a_setting_goes_through_to_the_analysis(tmp_path, ingest_npz):

    settings = Settings(data=tmp_path, crop="32,48,64")
    counts = np.ones((8, 32, 32), dtype=np.uint16)
    documents = ingest_npz(counts, settings.frames, Extras(crop=(64, 128, 128)))
    assert crop_shape(job_of(documents, settings, tmp_path)) == (32, 48, 64)
    usual = settings.changed(crop="")
    assert crop_shape(job_of(documents, usual, tmp_path)) == (64, 128, 128)


def test_a_crop_that_cannot_be_read_is_refused_before_anything_is_measured(tmp_path):
    assert load_settings({}, data=tmp_path, crop="20nm").crop_shape == FINE
    with pytest.raises(ValueError, match="'huge' came"):
        load_settings({"VO2_CROP": "huge"}, data=tmp_path)


@pytest.mark.parametrize(
    ("shape", "strain", "held"),
    [(FINE, STRAIN, True), (M1_BAND, STRAIN, False), ((64, 128, 128), STRAIN, False), (FINE, None, False)],
)
def test_rutile_is_looked_for_where_its_peak_is_inside_and_nowhere_else(shape, strain, held):
    prepared = SimpleNamespace(
        intensity=np.zeros(shape, np.uint8),
        voxel_basis=np.diag(np.array([1837.0, 3281, 3281]) / shape),
        q_vector=np.array([0.0, 1.9594, 0.0]),
    )
    offset = second_peak(prepared, strain, M1_BAND)
    assert (offset is not None) == held
    if held:
        assert offset == pytest.approx([0, -44, 0], abs=1.5)


@pytest.mark.parametrize(("shape", "algorithm"), [(FINE, "reconstruct_both"), (M1_BAND, "reconstruct")])
def test_a_stored_scan_is_phased_again_by_the_algorithm_of_its_first_phasing(
    shape, algorithm, make_scan, monkeypatch
):
    scan = make_scan(
        np.ones(shape, np.complex64),
        voxel_basis=np.diag(np.array([1837.0, 3281, 3281]) / shape),
        q_vector=np.array([0.0, 1.9594, 0.0]),
        sample={"reflection": [0, 1, 1]},
    )
    asked = []
    for name in ("reconstruct", "reconstruct_both"):
        monkeypatch.setattr(
            phasing_module, name, lambda *_, name=name, seed, **__: asked.append((name, seed)) or "found"
        )
    monkeypatch.setattr("callbacks.analyse.phasing_values", lambda *_: {})
    phased_again(scan, 7)
    assert asked == [(algorithm, 7)]
