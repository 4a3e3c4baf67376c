import dataclasses
import fcntl
import json
import os
import subprocess
import sys

import cdiutils.io
import h5py
import numpy as np
import pytest
from silx.io import nxdata

from analysis.geometry.diffractometer import detector_q, sample_rotation
from analysis.geometry.vectors import FRAMES
from analysis.results import ScanResult, Transfer, read_scan, read_started, write_scan


def make_result(**changes):
    rng = np.random.default_rng(3)
    shape = (8, 10, 12)
    values = {
        "object": (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64),
        "support": rng.random(shape) > 0.5,
        "intensity": rng.poisson(4, shape).astype(np.float32),
        "mask": rng.random(shape) > 0.9,
        "background": 0.02,
        "pixel_kernel": (0.0, 1.0, 1.0),
        "voxel_basis": rng.normal(size=(3, 3)),
        "q_vector": np.array([1.9, -0.42, 0.0]),
        "d_spacing": 3.2068,
        "d_spacing_error": 2e-5,
        "chi_squared": 0.0123,
        "noise_ratio": 1.1,
        "trusted": False,
        "reasons": ("noise ratio 1.9 above 1.6",),
        "notes": ("point 7 is not measured: no reading",),
        "loss_history": np.linspace(0.3, 0.1, 20),
        "temperature": 320.04,
        "temperature_sigma": 0.03,
        "temperature_setpoint": 320.0,
        "branch": "heating",
        "attempt": 1,
        "series_uid": "20261122-143000-a1b2c3",
        "series_index": 0,
        "run_uid": "0f1e2d3c-0000-4000-8000-000000000000",
        "seed": 5,
        "seconds": 12.5,
        "started": 1763821800.25,
        "weights_hash": "abc",
        "coherence": (0.0, 0.3, 0.3),
        "flat_field": rng.normal(1, 0.1, shape[1:]).astype(np.float32),
        "exposure": rng.normal(1, 0.03, shape[:1]).astype(np.float32),
        "versions": {"vo2-bcdi": "0.1.0"},
        "parameters": {"crop": [64, 64, 64], "voxel_size_nm": np.array([29.0, 52.0, 51.0])},
        "strain": {"95": {"sigma": 1.9e-4}},
        "structure": {"shell_nm": 78.0, "surface": {"mean": 1e-4}},
        "sample": {
            "name": "VO2-1",
            "UB": np.eye(3),
            "lattice": {"a": 5.75, "b": 4.54, "c": 5.38, "alpha": 90, "beta": 122.6, "gamma": 90},
        },
        "instrument": {"name": "Diamond I16", "eta": 17.8, "delta": 24.8, "rc": 300.0},
    }
    return ScanResult(**(values | changes))


def plain(value):
    return json.loads(json.dumps(value, default=lambda v: v.tolist()))


def test_every_field_comes_back_as_it_went(tmp_path):
    result = make_result()
    back = read_scan(write_scan(tmp_path / "deep" / result.filename, result))
    for field in dataclasses.fields(ScanResult):
        before, after = getattr(result, field.name), getattr(back, field.name)
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype, field.name
            np.testing.assert_array_equal(after, before)
        elif isinstance(before, dict):
            assert after == plain(before), field.name
        else:
            assert after == before, field.name
            assert type(after) is type(before), field.name


def test_files_without_the_later_fields_are_still_read(tmp_path):
    path = write_scan(tmp_path / "scan.h5", make_result())
    with h5py.File(path, "a") as file:
        del file["entry_1/sample_1/d_spacing_error"], file["entry_1/process_1/structure"]
        del file["entry_1/process_1/coherence"], file["entry_1/instrument_1/detector_1/flatfield"]
        del file["entry_1/instrument_1/detector_1/relative_exposure"], file["entry_1/process_1/notes"]
    back = read_scan(path)
    assert back.notes == ()
    assert back.coherence == (0, 0, 0)
    assert back.flat_field is None
    assert back.exposure is None
    assert np.isnan(back.d_spacing_error)
    assert back.structure == {}
    assert back.strain["95"]["sigma"] == 1.9e-4


def test_transfer_learning_comes_back_beside_the_chi_squared_of_the_finish(tmp_path, make_transfer):
    learned = make_transfer(2)
    path = write_scan(tmp_path / "scan.h5", make_result(transfer=learned))
    back = read_scan(path)
    for field in dataclasses.fields(Transfer):
        before, after = getattr(learned, field.name), getattr(back.transfer, field.name)
        np.testing.assert_array_equal(after, before, err_msg=field.name)
        assert type(after) is type(before), field.name
    assert (back.transfer.epochs, back.transfer.final_loss) == (12, learned.loss_history[-1])
    assert back.chi_squared == 0.0123
    with h5py.File(path) as file:
        group = file["entry_1/transfer_1"]
        assert group.attrs["NX_class"] == "NXprocess"
        assert group["final_loss"][()] == learned.final_loss
        # The same field of view in fewer voxels.
        wide = group["voxel_basis"][()] * group["object"].shape
        np.testing.assert_allclose(wide, back.voxel_basis * back.object.shape)
    assert read_scan(write_scan(path, make_result())).transfer is None
    with pytest.raises(ValueError, match="an overlap for each of its epochs"):
        dataclasses.replace(learned, overlaps=np.array([0.7]))


def test_a_response_that_was_not_looked_for_is_not_written(tmp_path):
    path = write_scan(tmp_path / "scan.h5", make_result(flat_field=None, exposure=None))
    with h5py.File(path) as file:
        assert not {"flatfield", "relative_exposure"} & set(file["entry_1/instrument_1/detector_1"])
    assert read_scan(path).flat_field is None
    with pytest.raises(ValueError, match=r"flat_field must have the shape \(10, 12\)"):
        make_result(flat_field=np.ones((8, 10), np.float32))
    with pytest.raises(ValueError, match=r"exposure must have the shape \(8,\)"):
        make_result(exposure=np.ones(12, np.float32))


def test_a_file_that_another_program_has_locked_is_read(tmp_path):
    """By a viewer, or by a file system whose locks fail: results are replaced as a whole."""
    path = write_scan(tmp_path / "result.h5", make_result())
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert read_scan(path).seed == 5
        assert read_started(path) == 1763821800.25
        write_scan(path, make_result(seed=6))
    assert read_scan(path).seed == 6


def test_phase_is_minus_the_argument():
    result = make_result()
    np.testing.assert_allclose(np.exp(1j * result.phase), np.exp(-1j * np.angle(result.object)), atol=1e-6)


def test_a_nexus_viewer_and_a_cxi_tool_find_their_way(tmp_path):
    result = make_result()
    with h5py.File(write_scan(tmp_path / "scan.h5", result)) as file:
        default = file[file.attrs["default"]]
        assert default.attrs["NX_class"] == "NXentry"
        image = default[default.attrs["default"]]
        assert image.attrs["NX_class"] == "NXdata"
        assert image[image.attrs["signal"]].shape == result.object.shape
        assert file["cxi_version"][()] >= 140
        np.testing.assert_array_equal(file["entry_1/data_1/data"][()], result.object)
        assert file["entry_1/image_1/voxel_basis"].attrs["units"] == "nm"
        sample = file["entry_1/sample_1"]
        assert sample.attrs["NX_class"] == "NXsample"
        assert sample["temperature"][()] == result.temperature
        assert sample["temperature_sigma"][()] == result.temperature_sigma
        assert sample["ub_matrix"].shape == (1, 3, 3)
        assert sample["unit_cell"].shape == (1, 6)
        pattern = file["entry_1/image_2"]
        for name, size in zip(pattern.attrs["axes"], result.object.shape, strict=True):
            assert pattern[name].shape == (size,)
            assert pattern[name].attrs["units"] == "1/angstrom"
        assert file["entry_1/instrument_1/eta/value"][()] == 17.8
        assert file["entry_1/instrument_1/rc"].attrs["NX_class"] == "NXpositioner"


def test_the_validator_of_nexus_finds_no_error(tmp_path):
    path = write_scan(tmp_path / "scan.h5", make_result())
    check = [sys.executable, "-m", "nexusformat.scripts.nxcheck", "-e", str(path)]
    told = subprocess.run(check, capture_output=True, text=True, check=True).stdout
    assert "Total number of errors: 0" in told, told


def test_the_stored_orientation_matrix_leads_to_the_measured_q(tmp_path):
    """UB·hkl of NeXus has no 2π and stands in the frame x up, z along the beam; the angles turn it into q."""
    angles = {"mu": 3.0, "eta": 17.8, "chi": 88.0, "phi": 11.0, "delta": 24.8, "gam": 0.4}
    detector = {"energy": 9.0, "distance": 1310.0, "pixel_size": 0.055, "centre": (0.0, 0.0)}
    q = detector_q(angles["delta"], angles["gam"], 0.0, 0.0, **detector)
    turned = sample_rotation(*(angles[name] for name in ("mu", "eta", "chi", "phi")))
    hkl = np.array([0.0, 1.0, 1.0])
    ub = np.outer(turned.T @ q, hkl) / 2
    path = write_scan(tmp_path / "scan.h5", make_result(sample={"UB": ub}, q_vector=q))
    with h5py.File(path) as file:
        stored = file["entry_1/sample_1/ub_matrix"][0]
    to_you = FRAMES["nexus"]
    circles = to_you.T @ turned @ to_you
    np.testing.assert_allclose(2 * np.pi * to_you @ circles @ stored @ hkl, q, atol=1e-9)
    assert np.linalg.norm(stored @ hkl) == pytest.approx(1 / (2 * np.pi / np.linalg.norm(q)))


def test_a_scan_tells_when_it_began(tmp_path):
    path = write_scan(tmp_path / "scan.h5", make_result())
    assert read_started(path) == 1763821800.25
    with h5py.File(path, "a") as file:
        assert file["entry_1/start_time"].asstr()[()].endswith("+00:00")
        del file["entry_1/process_1/started"]
    assert read_started(path) == path.stat().st_mtime
    assert np.isnan(read_scan(path).started)


def test_the_default_plot_of_a_nexus_viewer_is_the_object_in_nanometres(tmp_path):
    result = make_result()
    with h5py.File(write_scan(tmp_path / "scan.h5", result)) as file:
        plot = nxdata.get_default(file, validate=True)
        assert plot.is_valid, plot.issues
        assert plot.signal.name == "/entry_1/image_1/data"
        assert plot.axes_dataset_names == ["rocking", "row", "column"]
        for axis, values in enumerate(plot.axes):
            pitch = np.linalg.norm(result.voxel_basis[:, axis])
            np.testing.assert_allclose(np.diff(values[()]), pitch)
            assert values[result.object.shape[axis] // 2] == 0
        diffraction = nxdata.NXdata(file["entry_1/image_2"])
        assert diffraction.is_valid
        np.testing.assert_array_equal(diffraction.signal[()], result.intensity)


def test_cdiutils_loads_object_support_and_diffraction(tmp_path):
    result = make_result()
    path = str(write_scan(tmp_path / "scan.h5", result))
    np.testing.assert_array_equal(cdiutils.io.load_cxi(path, "image_1"), result.object)
    np.testing.assert_array_equal(cdiutils.io.load_cxi(path, "image_2"), result.intensity)
    whole = cdiutils.io.load_cxi(path, "entry_1/image_1/support", "entry_1/image_1/voxel_basis")
    np.testing.assert_array_equal(whole["entry_1/image_1/support"] > 0, result.support)
    with cdiutils.io.CXIFile(path) as file:
        assert file["entry_1/sample_1/name"] == "VO2-1"


def test_what_cxi_wants_in_si_units_is_in_si_units(tmp_path):
    detector = {"name": "merlin", "distance_mm": 1310.0, "pixel_size_mm": 0.055}
    result = make_result(instrument={"name": "Diamond I16", "en": 9.0, "eta": 17.8, "detector": detector})
    with h5py.File(write_scan(tmp_path / "scan.h5", result)) as file:
        instrument = file["entry_1/instrument_1"]
        assert instrument["source_1/energy"][()] == pytest.approx(1.44196e-15, rel=1e-5)
        assert instrument["detector_1/distance"][()] == pytest.approx(1.31)
        assert instrument["detector_1/y_pixel_size"][()] == pytest.approx(55e-6)
        assert instrument["detector_1/y_pixel_size"].attrs["units"] == "m"
        assert instrument["eta/value"].attrs["units"] == "deg"
        assert file["entry_1/image_2/data_space"].asstr()[()] == "diffraction"


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "scan.h5"
    write_scan(path, make_result())
    before = path.read_bytes()
    with pytest.raises(TypeError, match="JSON-able"):
        write_scan(path, make_result(parameters={"bad": object()}))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["scan.h5"]  # noqa: PTH208 - hidden files count


def test_foreign_files_are_refused_in_words(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_scan(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("no")
    with pytest.raises(ValueError, match="is not one"):
        read_scan(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="use another"):
        read_scan(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"support": np.ones((2, 2, 2), bool)}, "support must have the object's shape"),
        ({"object": np.full((8, 10, 12), np.nan, np.complex64)}, "960 voxels are NaN"),
        ({"branch": "up"}, "'heating' or 'cooling'"),
        ({"voxel_basis": np.eye(2)}, "voxel_basis must be finite"),
    ],
)
def test_results_that_contradict_themselves_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_result(**changes)
