"""vo2 report and vo2 export: which series or file, and what lands where."""

import numpy as np
import pytest
import pyvista
from typer.testing import CliRunner

from analysis.results import write_scan
from callbacks.locks import alone
from profile_collection.cli.app import app
from profile_collection.session import exporting


@pytest.fixture
def stored(tmp_path, make_scan):
    """Return a results folder with two series, and the path of a scan of the newer one."""
    at = np.indices((24, 24, 24)).reshape(3, -1) - 12
    body = np.exp(-((np.linalg.norm(at, axis=0) / 5) ** 4))
    array = (body * np.exp(-0.1j * at[1])).reshape(24, 24, 24).astype(np.complex64)
    paths = []
    # The second began later, though its name sorts before: neither zone nor prefix decides, the time does.
    for uid, started in (("aps34idc-20261122-aaaaaa", 1e9), ("20261121-000000-bbbbbb", 1e9 + 60)):
        result = make_scan(
            array,
            temperature=320.0,
            voxel_basis=np.diag([29.0, 52.0, 51.0]),
            series_uid=uid,
            started=started,
            run_uid=uid[-6:] * 3,
        )
        paths.append(write_scan(tmp_path / uid / "scans" / result.filename, result))
    return tmp_path, paths[-1]


def test_a_series_is_found_by_uid_path_or_as_the_newest(stored):
    root, path = stored
    newest = path.parent.parent
    assert exporting.series_folder(root, "-1") == newest
    assert exporting.series_folder(root, newest.name) == newest
    assert exporting.series_folder(root / "elsewhere", str(newest)) == newest
    with pytest.raises(FileNotFoundError, match="a series with results is required"):
        exporting.series_folder(root, "nonsense")
    with pytest.raises(FileNotFoundError, match="no series with results"):
        exporting.series_folder(root / "elsewhere", "-1")


def test_two_reports_are_not_written_into_one_folder_at_once(stored):
    root, path = stored
    folder = path.parent.parent
    lock = folder / "report" / ".report.lock"
    with alone(lock, "held"), pytest.raises(RuntimeError, match=r"another report .*: process \d+ on"):
        exporting.report_series(folder)


@pytest.mark.parametrize("kind", ["vti", "vts"])
def test_a_scan_is_exported_with_its_strain_and_provenance(stored, tmp_path, kind):
    root, path = stored
    (written,) = exporting.export_target(root, str(path), kind, tmp_path / "out")
    assert written == tmp_path / "out" / f"{path.stem}.{kind}"
    grid = pyvista.read(written)
    assert np.nanmedian(grid.point_data["strain"]) == pytest.approx(0.1 / 52 / 19.594, rel=0.01)
    assert grid.field_data["temperature_K"][0] == 320
    assert grid.field_data["trusted"][0] == "yes"


def test_where_nothing_can_be_written_is_said_before_anything_is_computed(stored, monkeypatch):
    root, path = stored
    (path.parent.parent / "export").write_text("no folder")
    monkeypatch.setattr(exporting, "_analysed", lambda *_: pytest.fail("computed first"))
    with pytest.raises(ValueError, match="give another place with --output"):
        exporting.export_target(root, "-1", "vti")


def test_a_series_becomes_a_collection_for_paraview(stored):
    root, path = stored
    files = exporting.export_target(root, "-1", "vti")
    folder = path.parent.parent / "export"
    assert [file.name for file in files] == [f"{path.stem}.vti", "series.pvd"]
    assert f'timestep="320" file="{path.stem}.vti"' in (folder / "series.pvd").read_text()
    arrays = exporting.export_target(root, "-1", "npy")
    assert [file.name for file in arrays] == [
        f"{path.stem}_{name}.npy" for name in ("object", "support", "coordinates")
    ]


def test_the_commands_say_what_they_wrote_and_what_they_miss(stored):
    root, path = stored
    runner = CliRunner()
    done = runner.invoke(app, ["export", str(path), "--format", "npy", "--results", str(root)])
    assert done.exit_code == 0
    assert f"{path.stem}_object.npy" in done.stdout
    for arguments, complaint in (
        (["export", str(path), "--format", "stl"], "the format must be one of"),
        (["export", str(path), "--percent", "0"], "percent must lie in"),
        (["export", str(root / "none.h5")], "does not exist"),
        (["report", "nonsense"], "a series with results is required"),
    ):
        refused = runner.invoke(app, [*arguments, "--results", str(root)])
        assert refused.exit_code == 1
        assert complaint in refused.output
