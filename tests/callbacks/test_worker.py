"""The worker's function, with a result made by hand in place of the reconstruction."""

import json
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from analysis.results import read_scan, write_scan
from callbacks import series as series_module
from callbacks.catalogue import Address
from callbacks.jobs import SoFar
from callbacks.locks import exclusive_lock
from callbacks.series import finish_series, scan_file, update_series
from callbacks.worker import analyse_beside, analyse_scan


def result_of(job, make_scan):
    rng = np.random.default_rng(5)
    inside = np.zeros((8, 8, 8), dtype=bool)
    inside[2:6, 2:6, 2:6] = True
    return make_scan(
        inside * np.exp(1j * rng.uniform(0, 0.3, inside.shape)),
        job.start["temperature_setpoint"],
        d_spacing=3.2,
        chi_squared=0.012,
        temperature=float(job.temperature.mean()),
        attempt=job.start["attempt"],
        series_uid=job.series_uid,
        series_index=job.start["series_index"],
        run_uid=job.run_uid,
        seed=job.seed,
        versions={"numpy": np.__version__},
        strain={"95": {"sigma": 2e-4}},
    )


@pytest.fixture
def reconstruction(monkeypatch, make_scan):
    """Stand in for `callbacks.analyse.analyse`; ``fails`` makes it raise."""
    stand_in = types.ModuleType("callbacks.analyse")
    stand_in.fails, stand_in.guess_fails = "", ""

    def analyse(job, at_crop):
        at_crop(None)
        if stand_in.fails:
            raise ValueError(stand_in.fails)
        return result_of(job, make_scan)

    def guessed(job, prepared):
        if stand_in.guess_fails:
            raise ValueError(stand_in.guess_fails)
        return replace(result_of(job, make_scan), trusted=False, strain={})

    def analyse_early(job, before):
        stand_in.before = before
        found = result_of(job, make_scan)
        return replace(found, chi_squared=0.02), SoFar(len(job.eta), 9, covered=before is not None)

    stand_in.analyse_early = analyse_early
    stand_in.analyse, stand_in.guessed, stand_in.prepare = analyse, guessed, lambda job: None
    monkeypatch.setitem(sys.modules, "callbacks.analyse", stand_in)
    monkeypatch.setattr(series_module, "draw_figures", lambda *_: [])
    return stand_in


def test_a_scan_is_stored_and_summarised(job, reconstruction):
    summary = analyse_scan(job)
    assert read_scan(scan_file(job)).run_uid == job.run_uid
    assert summary.error == ""
    assert (summary.chi_squared, summary.noise_ratio, summary.strain_sigma) == (0.012, 1.1, 2e-4)
    assert summary.result_file == job.folder / "scans" / f"{job.stem}.h5"
    assert summary.complete


def test_a_result_is_stored_under_the_lock_under_which_transfer_learning_stores(
    job, reconstruction, monkeypatch
):
    held = []

    def write(path, result):
        with pytest.raises(BlockingIOError), exclusive_lock(job.folder / ".series.lock"):
            pass
        held.append(path)
        return write_scan(path, result)

    monkeypatch.setattr("analysis.results.write_scan", write)
    assert analyse_scan(job).error == ""
    assert held == [scan_file(job)]


def test_a_failure_is_in_the_summary_and_beside_the_results_until_it_is_repaired(job, reconstruction):
    reconstruction.fails = "the peak is beside the detector"
    summary = analyse_scan(job)
    assert summary.error == "the peak is beside the detector"
    assert summary.complete  # every scan of the series, this one, is accounted for
    (note,) = (job.folder / "scans").glob("*.failed.json")
    assert json.loads(note.read_text())["error"] == "the peak is beside the detector"
    reconstruction.fails = ""
    assert analyse_scan(job).error == ""
    assert not note.exists()


def test_a_catalogue_that_is_gone_loses_no_result_and_is_said(job, reconstruction):
    summary = analyse_scan(job, Address("http://127.0.0.1:1", "key"))
    assert scan_file(job).exists()
    assert summary.error == ""
    assert summary.derived_uid is None
    assert "kept on disk, not published" in summary.warnings[-1]


def test_figures_that_fail_are_a_warning(job, reconstruction, monkeypatch):
    monkeypatch.setattr(series_module, "draw_figures", lambda *_: ["figures not drawn: no font"])
    summary = analyse_scan(job)
    assert "figures not drawn: no font" in summary.warnings
    assert summary.error == ""


def test_an_order_parameter_that_fails_is_a_warning(job, reconstruction, monkeypatch):
    import analysis.order_parameter

    monkeypatch.setattr(analysis.order_parameter, "analyse_series", lambda *_, **__: 1 / 0)
    summary = analyse_scan(job)
    assert summary.warnings == ("order parameter not computed: division by zero",)
    assert scan_file(job).exists()


def change(job, **start):
    return replace(job, start={**job.start, **start})


def test_a_series_is_complete_when_every_place_has_a_result_or_a_failure(job, reconstruction):
    first = change(job, series_size=3, temperature_setpoint=320.0)
    second = change(job, series_size=3, series_index=1, temperature_setpoint=330.0, uid="b" * 36)
    third = change(job, series_size=3, series_index=2, temperature_setpoint=340.0, uid="c" * 36)
    assert not analyse_scan(third).complete  # any order
    assert not analyse_scan(first).complete
    reconstruction.fails = "no peak"
    assert analyse_scan(second).complete


def test_of_two_attempts_the_last_counts(job, reconstruction):
    again = change(job, attempt=2, uid="d" * 36)
    analyse_scan(again)
    summary = analyse_scan(job)
    assert [point.run_uid for point in summary.order] == ["d" * 36]


def test_a_series_that_ended_early_gets_its_figures(job, reconstruction, monkeypatch):
    drawn = []
    analyse_scan(change(job, series_size=5))
    monkeypatch.setattr(series_module, "draw_figures", lambda *args: drawn.append(args) or [])
    finish_series(job.folder)
    assert len(drawn) == 1


def test_an_empty_series_has_no_order_parameter(tmp_path):
    state = update_series(tmp_path, 3)
    assert (state.order, state.complete) == ((), False)


def test_a_preview_lies_beside_the_result_and_counts_nowhere(job, reconstruction):
    reconstruction.fails = "the phasing failed"
    failure = analyse_scan(replace(job, preview=True))
    assert failure.error == "the phasing failed"
    assert failure.order == ()
    (preview,) = (job.folder / "previews").glob("*.h5")
    assert read_scan(preview).run_uid == job.run_uid
    assert list((job.folder / "scans").glob("*.h5")) == []
    reconstruction.fails, reconstruction.guess_fails = "", "no network"
    preview.unlink()
    assert analyse_scan(replace(job, preview=True)).error == ""  # the result does without it
    assert list((job.folder / "previews").glob("*.h5")) == []


def test_a_preview_made_beside_is_not_made_again(job, reconstruction):
    summary = analyse_beside(replace(job, stage="preview"))
    assert (summary.stage, summary.trusted, summary.order) == ("preview", False, ())
    assert summary.result_file == job.folder / "previews" / f"{job.stem}.h5"
    reconstruction.guess_fails = "asked twice"
    assert analyse_scan(replace(job, preview=True)).error == ""
    summary.result_file.unlink()
    assert analyse_beside(replace(job, stage="preview")).error == "asked twice"


def test_only_what_is_asked_for_is_previewed(job, reconstruction):
    analyse_scan(job)
    assert not (job.folder / "previews").exists()


def test_an_early_result_replaces_the_one_before_and_counts_nowhere(job, reconstruction):
    early = replace(job, stage="early")
    summary = analyse_beside(early)
    assert (summary.stage, summary.error, summary.order, summary.complete) == ("early", "", (), False)
    assert (summary.so_far.points, summary.so_far.covered, summary.chi_squared) == (5, False, 0.02)
    assert reconstruction.before is None
    assert analyse_beside(early).so_far.covered
    assert reconstruction.before.run_uid == job.run_uid
    assert len(list((job.folder / "early").glob("*.h5"))) == 1
    assert not (job.folder / "scans").exists()
    assert update_series(job.folder, 1).order == ()
    final = analyse_scan(job)
    assert [point.run_uid for point in final.order] == [job.run_uid]
    assert read_scan(scan_file(job)).chi_squared == 0.012
