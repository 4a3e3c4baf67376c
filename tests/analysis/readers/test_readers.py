"""Files of several beamlines, real ones and ones made here in their layout, read as rocking scans."""

import os
import shutil
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest
from scipy.io import savemat

from analysis.geometry import instrument_named, sample_rotation, two_theta
from analysis.readers import Given, ReadError, describe, read_array, read_given, read_scans

FOLDER = Path(os.environ.get("VO2_MEASURED_DATA", Path(__file__).parents[4] / "shared" / "data"))
COUNTS = np.random.default_rng(3).poisson(4.0, (12, 20, 30)).astype(np.uint32)
ARM = Given(
    instrument="34idc",
    energy=9.0,
    distance=500.0,
    pixel_size=0.055,
    axis="th",
    start=-0.28,
    step=0.005,
    positions={"delta": 32.174, "gamma": 12.6346},
)


def real(name):
    """Return a real file, or skip."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the measured file is not at {path}; VO2_MEASURED_DATA names its folder")
    return path


def one(path, given=None, frames=None):
    (scan,) = read_scans(path, given, frames)
    return scan


def words(scan):
    return "\n".join(f"{what}: {value}" for what, value in describe(scan))


def with_frames(folder, shape=(121, 195, 487)):
    """Put the frames that 1041304 is linked to under ``folder``, one count at the direct beam."""
    frames = folder / "1041304-pilatus3_100k-files"
    frames.mkdir(parents=True)
    with h5py.File(frames / "1041304.hdf", "w") as file:
        data = file.create_dataset(
            "/entry/instrument/detector/data", shape, "i4", chunks=(1, *shape[1:]), compression="gzip"
        )
        data[60, 106, 239] = 7


def test_a_real_i16_master_says_where_its_detector_is(tmp_path):
    """Vintage of 2024-03: 2θ of the direct beam's pixel is delta, and Z·UB·hkl its scattering vector."""
    shutil.copy(real("i16_1041304.nxs"), tmp_path)
    with_frames(tmp_path)
    scan = one(tmp_path / "i16_1041304.nxs")
    scan.require()
    assert (scan.format, scan.instrument, scan.axis) == ("I16 NeXus", "Diamond I16", "eta")
    assert scan.frames.shape == (121, 195, 487)
    assert scan.frames[60, 106, 239] == 7
    geometry = scan.geometry
    assert geometry.centre == (106.0, 239.0)
    assert geometry.distance == pytest.approx(599.15, abs=0.01)
    assert geometry.energy == pytest.approx(5.4638, abs=1e-4)
    assert two_theta(geometry, 106, 239) == pytest.approx(scan.positions["delta"], abs=0.01)
    z = sample_rotation(*(scan.positions[name] for name in ("mu", "eta", "chi", "phi")))
    hkl = [4.041475533577881, -0.002407067341332489, -3.9580891497689006]  # the file's own
    np.testing.assert_allclose(geometry.lab_q(106, 239), z @ scan.ub @ hkl, atol=2e-4)
    np.testing.assert_allclose(np.diff(scan.angles), 0.01, atol=1e-6)
    assert np.nanmean(scan.temperature) == pytest.approx(29.988)
    assert scan.transmission == pytest.approx(6.077e-4, rel=1e-3)
    assert scan.notes == ()
    assert {"kphi", "rc", "roi1_sum", "beamOK"} <= set(scan.unused)
    assert not {"eta", "ic1monitor", "delta"} & set(scan.unused)
    assert not any("()" in name for name in scan.unused)


def test_what_is_given_overrides_the_file_and_a_note_says_both(tmp_path):
    shutil.copy(real("i16_1041304.nxs"), tmp_path)
    with_frames(tmp_path)
    angles = tuple(72.7 + 0.011 * np.arange(121))
    given = Given(energy=5.5, distance=601.0, exposure=2.0, angles=angles, positions={"chi": 87.0})
    scan = one(tmp_path / "i16_1041304.nxs", given)
    scan.require()
    np.testing.assert_array_equal(scan.angles, angles)
    assert (scan.energy, scan.exposure, scan.geometry.distance) == (5.5, 2.0, 601.0)
    assert scan.geometry.pixel_size == pytest.approx(0.172)  # of the file: it was not given
    said = words(scan)
    for note in (
        "energy (keV): 5.5 was given and is used, the file says 5.46",
        "distance (mm): 601 was given and is used, the file says 599.1",
        "exposure (s): 2 was given and is used, the file says 1",
        "chi (degrees): 87 was given and is used, the file says 87.71",
        "last angle (degrees): 74.02 was given and is used, the file says 73.89",
    ):
        assert note in said
    assert "pixel size" not in said
    assert "mu (degrees)" not in said
    for wrong, complaint in (
        (Given(instrument="34idc"), "is a file of Diamond I16; the instrument 'APS 34-ID-C' was given"),
        (Given(angles=(1.0, 2.0)), "121 frames came with 2 angles"),
        (Given(start=72.7), "start and step go together"),
    ):
        with pytest.raises(ReadError, match=complaint):
            one(tmp_path / "i16_1041304.nxs", wrong)


def test_the_i16_chain_is_that_of_six_circles_where_its_detector_is_square_to_the_arm(tmp_path):
    """Rows and columns that stand square at 600 mm, by the same chain: q is xrayutilities' at every pixel."""
    import xrayutilities as xu

    shutil.copy(real("i16_1041304.nxs"), tmp_path)
    with_frames(tmp_path)
    with h5py.File(tmp_path / "i16_1041304.nxs", "r+") as file:
        detector = file["entry1/instrument/pil3_100k"]
        detector["module/slow_pixel_direction"].attrs["vector"] = [1.0, 0, 0]
        detector["module/fast_pixel_direction"].attrs["vector"] = [0.0, -1.0, 0]
        origin = [-106 * 0.172, 239 * 0.172, 600.0]
        detector["transformations/origin_offset"].attrs["vector"] = origin
        for name, angle in (("delta", 31.0), ("gamma", 7.0), ("offsetdelta", 0.0)):
            file[f"entry1/instrument/transformations/{name}"][...] = angle
    geometry = one(tmp_path / "i16_1041304.nxs").geometry
    conversion = xu.experiment.QConversion(
        ["x+", "z-", "y+", "z-"], ["x+", "z-"], [0, 1, 0], en=1000 * geometry.energy
    )
    conversion.init_area(
        "x+", "z+", cch1=106, cch2=239, Nch1=195, Nch2=487, distance=0.6, pwidth1=172e-6, pwidth2=172e-6
    )
    theirs = np.stack(conversion.area(0.0, 0.0, 0.0, 0.0, 7.0, 31.0, deg=True), axis=-1)
    rows, cols = np.indices((195, 487))
    np.testing.assert_allclose(geometry.lab_q(rows, cols), theirs, atol=1e-9)


def test_frames_that_a_link_does_not_find_are_named_and_can_be_given(tmp_path):
    path = real("i16_1041304.nxs")
    scan = one(path)
    assert "1041304-pilatus3_100k-files/1041304.hdf" in words(scan)
    with pytest.raises(ReadError, match="--frames"):
        scan.require()
    with_frames(tmp_path)
    one(path, None, tmp_path / "1041304-pilatus3_100k-files").require()


def test_a_link_is_not_followed_out_of_its_folder(tmp_path):
    path = shutil.copy(real("i16_1041304.nxs"), tmp_path)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    with_frames(elsewhere)
    with h5py.File(path, "r+") as file:
        detector = file["entry1/instrument/pil3_100k"]
        del detector["data"]
        detector["data"] = h5py.ExternalLink(
            str(elsewhere / "1041304-pilatus3_100k-files" / "1041304.hdf"), "/entry/instrument/detector/data"
        )
    assert one(Path(path)).frames is None


@pytest.mark.parametrize("name", ["formats/1040323.nxs", "formats/1049598.nxs"])
def test_hkl_scans_are_inspected_and_refused_in_words(name):
    scan = one(real(name))
    assert "hkl" in words(scan)
    with pytest.raises(ReadError, match="no rocking curve"):
        scan.require()


def test_zero_kelvin_is_not_measured_and_a_wrong_ub_is_named():
    scan = one(real("formats/1040323.nxs"))
    assert scan.temperature is None
    assert "ub_matrix disagrees" in words(scan)
    assert scan.started.tzinfo is None
    assert one(real("formats/1049598.nxs")).temperature[0] == pytest.approx(300, abs=0.1)


def test_a_real_srs_file_is_read_with_its_jittered_angles(tmp_path):
    shutil.copy(real("formats/1109527.dat"), tmp_path)
    folder = tmp_path / "1109527-pil3_100k-files"
    folder.mkdir()
    for number in range(1, 62):
        fabio.tifimage.TifImage(np.full((19, 48), number, np.int32)).write(str(folder / f"{number:05d}.tif"))
    scan = one(tmp_path / "1109527.dat", Given(distance=600.0, pixel_size=0.172))
    scan.require()
    assert scan.axis == "eta"
    assert len(scan.angles) == 61
    assert np.ptp(np.diff(scan.angles)) > 0.004
    assert scan.positions["delta"] == pytest.approx(65.81189)
    assert scan.frames[3:5, 2, 2].tolist() == [4, 5]
    assert np.nanmean(scan.temperature) == pytest.approx(300.003)
    assert scan.geometry.centre == (106.0, 239.0)
    assert (scan.cell.a, scan.cell.c, scan.cell.gamma) == (5.851, 43.315, 120.0)
    q = np.linalg.norm(scan.ub @ [0.10307, -0.01923, 26.9878])
    assert 2 * np.degrees(np.arcsin(q * 12.39842 / 7.113 / (4 * np.pi))) == pytest.approx(65.81189, abs=0.01)
    assert scan.notes == ()  # UB·hkl is the q of the angles


@pytest.fixture(scope="module")
def scan54(tmp_path_factory):
    import tarfile

    folder = tmp_path_factory.mktemp("scan54")
    with tarfile.open(real("scan54_raw/scan54_raw.tar.xz")) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder


def test_the_raw_scan_54_is_the_one_in_the_npz(scan54):
    scan = one(scan54, Given(scan="54", lattice=4.08, reflection=(1, 1, 1)))
    scan.require()
    counts = np.load(real("aps34idc_scan54.npz"))["counts"]
    np.testing.assert_array_equal(scan.frames[0:201], counts)
    assert scan.positions["delta"] == 32.174
    assert scan.monitor.min() == 1000
    assert scan.temperature is None
    assert "SPEC" in scan.format
    spacing = 2 * np.pi / np.linalg.norm(scan.geometry.lab_q(126, 127))
    assert spacing == pytest.approx(4.08 / 3**0.5, rel=0.01)
    stored = np.load(real("scan54_flat/scan54_flat.npz"))
    white = read_array(scan54 / "example_data" / "whitefield.tif", scan.frames.shape)
    np.testing.assert_array_equal(white, stored["white"])


def spec_folder(folder, scans, names="Delta  Gamma"):
    """Write a SPEC file with ``scans``, of number and points each, and images of scan 7."""
    lines = ["#F made.spec", "#D Mon Nov 30 12:00:00 2026", f"#O0 {names}", ""]
    for number, points in scans:
        lines += [f"#S {number} ascan th 0 1 {points} 1", "#D Mon Nov 30 12:00:00 2026", "#P0 32.174 12.6346"]
        lines += ["#N 3", "#L th  Monitor  Seconds", *(f"{0.1 * n} 100 1" for n in range(points)), ""]
    (folder / "made.spec").write_text("\n".join(lines), encoding="utf-8")
    images = folder / "S0007"
    images.mkdir()
    for n in range(4):
        fabio.tifimage.TifImage(COUNTS[n]).write(str(images / f"image_{n:03d}.tif"))
    return folder / "made.spec"


def test_of_scans_with_one_number_the_last_is_read_once_and_said(tmp_path):
    """BCDA-APS/apstools#128: numbers begin anew in a file that goes on."""
    path = spec_folder(tmp_path, [(7, 3), (8, 5), (7, 4)])
    scan = one(path)
    assert len(scan.angles) == 4
    assert "scan 7 is 2 times in the file; the one of order 2 is read" in " ".join(scan.notes)
    assert len(one(path, Given(scan="7.1")).angles) == 3
    with pytest.raises(ReadError, match=r"has no scan 7\.3"):
        read_scans(path, Given(scan="7.3"))


def test_motors_that_belong_to_no_position_are_not_used(tmp_path):
    """silx-kit/silx#3459: fewer positions than names; which is missing nobody knows."""
    scan = one(spec_folder(tmp_path, [(7, 4)], names="Delta  Gamma  Theta"))
    assert scan.positions == {}
    assert "names 3 motors and the scan has 2 positions" in " ".join(scan.notes)
    assert "the angle of delta" in " ".join(scan.missing)


def test_a_circle_that_file_and_person_write_differently_is_one(tmp_path):
    """Stored under two names that differ in case, a run was refused by the catalogue's server."""
    path = spec_folder(tmp_path, [(7, 4)])
    scan = one(path, Given(positions={"del": 30.0, "chi": 90.0}, axis="Theta"))
    assert scan.positions == {"delta": 30.0, "gamma": 12.6346, "chi": 90.0}
    assert scan.axis == "th"
    np.testing.assert_allclose(scan.angles, [0, 0.1, 0.2, 0.3])


def test_a_spec_file_without_scans_and_a_scan_without_points_are_said(tmp_path):
    """silx-kit/silx#2110 and #756."""
    with pytest.raises(ReadError, match="has no scans"):
        read_scans(spec_folder(tmp_path, []))
    (tmp_path / "other").mkdir()
    scan = one(spec_folder(tmp_path / "other", [(7, 0)]))
    assert "4 images lie there, 0 were measured" in " ".join(scan.missing)
    assert dict(describe(scan))["rocking axis"] == "th"


@pytest.mark.parametrize("word", ["nan", "inf", ""])
def test_a_row_of_a_spec_file_with_no_number_shifts_no_other(tmp_path, word):
    """dkriegner/xrayutilities#71: silx passes over "nan", and reads what stands behind it as the angle."""
    path = spec_folder(tmp_path, [(7, 4)])
    path.write_text(path.read_text().replace("0.2 100 1", f"{word} 100 1" if word else "0.2 100"))
    scan = one(path)
    assert not np.isfinite(scan.angles[2])
    np.testing.assert_allclose(scan.angles[[0, 1, 3]], [0, 0.1, 0.3])
    assert scan.monitor[2] == 100 or (not word and np.isnan(scan.monitor[2]))
    assert ("1 of 4 rows do not hold 3 numbers" in " ".join(scan.notes)) == (not word)


def test_lines_of_a_multichannel_analyser_are_no_rows(tmp_path):
    path = spec_folder(tmp_path, [(7, 4)])
    path.write_text(path.read_text().replace("0.2 100 1", "@A 1 2 3\\\n 4 5 6\n0.2 100 1"))
    np.testing.assert_allclose(one(path).angles, [0, 0.1, 0.2, 0.3])


def test_a_spec_file_without_header_is_read(tmp_path):
    """silx-kit/silx#174."""
    path = spec_folder(tmp_path, [(7, 4)])
    path.write_text(path.read_text()[path.read_text().index("#S 7") :])
    assert len(one(path).angles) == 4


def test_images_that_a_broken_off_scan_left_are_said_and_left_out(tmp_path):
    """NSLS2/PyXRF#70."""
    scan = one(spec_folder(tmp_path, [(7, 3)]))
    assert scan.frames.shape[0] == len(scan.angles) == 3
    assert "the last 1 of 4 images belong to no point" in " ".join(scan.notes)
    assert "image" not in " ".join(scan.missing)


@pytest.mark.parametrize(("frames", "positions"), [(12, 10), (10, 12)])
def test_a_bliss_scan_that_was_cancelled_has_its_common_points(tmp_path, frames, positions):
    """silx-kit/pymca#1175: datasets of different lengths."""
    with h5py.File(tmp_path / "bliss.h5", "w") as file:
        scan = file.create_group("s_42.1")
        scan["title"], scan["start_time"] = "ascan eta 17 17.12 12 1", "2024-01-01T10:00:00+01:00"
        scan["measurement/mpx1x4"] = COUNTS[:frames]
        scan["measurement/mon"] = np.arange(positions) + 100.0
        for name, value in {"mu": 0.0, "phi": 31.0, "nu": 12.0, "delta": 33.0, "mononrj": 9.0}.items():
            scan[f"instrument/positioners/{name}"] = value
        scan["instrument/positioners/eta"] = 17 + 0.01 * np.arange(positions)
    found = one(tmp_path / "bliss.h5")
    assert len(found.frames[:]) == found.frames.shape[0] == len(found.angles) == 10
    np.testing.assert_array_equal(found.frames[8:20], COUNTS[8:10])
    assert ("the first 10 are used" in " ".join(found.notes)) == (frames > positions)


def test_frames_along_the_last_axis_are_refused_in_words(tmp_path):
    np.savez(tmp_path / "last.npz", counts=np.moveaxis(COUNTS, 0, -1), monitor=np.ones(len(COUNTS)))
    with pytest.raises(ReadError, match=r"store numpy\.moveaxis\(counts, -1, 0\)"):
        read_scans(tmp_path / "last.npz")


def test_an_object_that_was_reconstructed_is_no_scan(tmp_path):
    with h5py.File(tmp_path / "object.cxi", "w") as file:
        file["cxi_version"] = 150
        file["entry_1/image_1/data"] = np.ones((16, 16, 16), np.complex64)
        file["entry_1/data_1/data"] = h5py.SoftLink("/entry_1/image_1/data")
    with pytest.raises(ReadError, match="must hold counts; it holds complex64"):
        read_scans(tmp_path / "object.cxi")


@pytest.mark.parametrize(
    ("text", "words"), [("", "0 bytes"), ("version https://git-lfs.github.com/spec/v1\n", "Git LFS")]
)
def test_a_file_that_is_not_there_in_truth_is_said(tmp_path, text, words):
    (tmp_path / "scan.nxs").write_text(text)
    with pytest.raises(ReadError, match=words):
        read_scans(tmp_path / "scan.nxs")


def test_frames_in_other_files_that_are_gone_are_no_zeros(tmp_path):
    """h5py/h5py#1546, HDFGroup/hdf5#5088: a virtual dataset gives zeros where a source is missing."""
    layout = h5py.VirtualLayout((12, 20, 30), "u4")
    for n in range(2):
        with h5py.File(tmp_path / f"part_{n}.h5", "w") as file:
            file["data"] = COUNTS[6 * n : 6 * n + 6]
        layout[6 * n : 6 * n + 6] = h5py.VirtualSource(f"part_{n}.h5", "data", (6, 20, 30))
    path = tmp_path / "whole.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    given = Given(dataset="entry/data/data")
    np.testing.assert_array_equal(one(path, given).frames[0:12], COUNTS)
    (tmp_path / "part_1.h5").unlink()
    with pytest.raises(ReadError, match=r"kept in 2 other files, and 1 of them cannot be opened \(part_1"):
        read_scans(path, given)


def test_frames_in_files_elsewhere_are_read_only_where_their_folder_is_given(tmp_path):
    """As for links: a file from outside decides nothing about what else of this machine is read."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "scan").mkdir()
    with h5py.File(tmp_path / "elsewhere" / "part.h5", "w") as file:
        file["data"] = COUNTS
    layout = h5py.VirtualLayout((12, 20, 30), "u4")
    layout[:] = h5py.VirtualSource("../elsewhere/part.h5", "data", (12, 20, 30))
    path = tmp_path / "scan" / "whole.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    given = Given(dataset="entry/data/data")
    with pytest.raises(ReadError, match=r"not under .*scan \(\.\./elsewhere/part.h5\).*--frames"):
        read_scans(path, given)
    (scan,) = read_scans(path, given, frames=tmp_path / "elsewhere")
    np.testing.assert_array_equal(scan.frames[0:12], COUNTS)


def test_34idc_agrees_with_xrayutilities_in_every_pixel():
    import xrayutilities as xu

    given = ARM.completed(Given(centre=(7.0, 21.0)))
    geometry = given.geometry(instrument_named("APS 34-ID-C"), "th", dict(ARM.positions), (20, 30))
    conversion = xu.experiment.QConversion(["y+"], ["y+", "x-"], [0, 0, 1], en=9000.0)
    conversion.init_area(
        "y-", "x+", cch1=7.0, cch2=21.0, Nch1=20, Nch2=30, distance=0.5, pwidth1=55e-6, pwidth2=55e-6
    )
    theirs = np.stack(conversion.area(0.0, 32.174, 12.6346, deg=True), axis=-1)
    rows, cols = np.indices((20, 30))
    np.testing.assert_allclose(geometry.lab_q(rows, cols), theirs[..., [1, 2, 0]], atol=1e-12)
    np.testing.assert_array_equal(geometry.axis, [1, 0, 0])


def bliss(path):
    """Write a file in the layout of ID01's BLISS, as cdiutils reads it."""
    with h5py.File(path, "w") as file:
        scan = file.create_group("PtNP_42.1")
        scan["measurement/mpx1x4"] = COUNTS
        scan["measurement/mon"] = np.full(12, 1000.0)
        scan["measurement/mon2"] = scan["measurement/roi1"] = np.arange(12)
        scan["measurement/andor"] = h5py.ExternalLink("andor.h5", "/data")
        scan["instrument/andor/image"] = np.zeros((4, 5))
        for name, value in {"phi": 31.0, "nu": 12.0, "delta": 33.0, "mononrj": 9.0}.items():
            scan[f"instrument/positioners/{name}"] = value
        scan["instrument/positioners/eta"] = 17 + 0.01 * np.arange(12)
        for name, value in {"beam_center_y": 7.0, "beam_center_x": 21.0, "distance": 0.8}.items():
            scan[f"instrument/mpx1x4/{name}"] = value
        scan["instrument/mpx1x4/y_pixel_size"] = scan["instrument/mpx1x4/x_pixel_size"] = 55e-6
        scan["start_time"] = "2024-05-01T10:00:00+02:00"
    return path


@pytest.mark.filterwarnings("ignore")
def test_an_id01_file_is_read_as_cdiutils_reads_it(tmp_path):
    from cdiutils.io.id01 import ID01Loader

    scan = one(bliss(tmp_path / "any.name"))
    scan.require()
    loader = ID01Loader(str(tmp_path / "any.name"), 42, "PtNP", detector_name="mpx1x4")
    calibration = loader.load_det_calib_params()
    assert scan.geometry.centre == (calibration["cch1"], calibration["cch2"])
    assert scan.geometry.distance == pytest.approx(1000 * calibration["distance"])
    assert scan.geometry.pixel_size == pytest.approx(1000 * calibration["pwidth1"])
    assert 1000 * scan.geometry.energy == pytest.approx(loader.load_energy())
    np.testing.assert_array_equal(scan.frames[0:12], loader.load_detector_data())
    np.testing.assert_allclose(scan.angles, 17 + 0.01 * np.arange(12))
    assert scan.name == "PtNP"
    assert scan.unused == ("image (4, 5)", "measurement/andor (linked)", "mon2", "roi1")
    assert scan.monitor.tolist() == [1000.0] * 12
    with pytest.raises(ReadError, match="no scan '43'"):
        read_scans(tmp_path / "any.name", Given(scan="43"))


def write_plain(folder, kind):
    """Write the frames in one of the formats that say little else, under a name that says nothing."""
    path = folder / "frames"
    if kind == "numpy arrays":
        np.savez(folder / "frames.npz", counts=COUNTS)
        return folder / "frames.npz"
    if kind == "one array":
        np.save(folder / "frames.npy", COUNTS)
        return folder / "frames.npy"
    if kind == "MATLAB 7.3 arrays":
        with h5py.File(path, "w", userblock_size=512) as file:
            file["counts"] = COUNTS.T  # MATLAB lists the fastest axis first
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
        return path
    if kind == "MATLAB arrays":
        savemat(path, {"counts": COUNTS}, appendmat=False)
    elif kind == "TIFF stack":
        from PIL import Image

        pages = [Image.fromarray(frame.astype(np.int32), mode="I") for frame in COUNTS]
        pages[0].save(path, format="TIFF", save_all=True, append_images=pages[1:])
    elif kind == "TIFF folder":
        path.mkdir()
        for number, frame in enumerate(COUNTS):
            fabio.tifimage.TifImage(frame).write(str(path / f"{number:03d}.tif"))
    else:
        place = "entry_1/instrument_1/detector_1/data" if kind == "CXI" else "entry/data/data"
        with h5py.File(path, "w") as file:
            file[place] = COUNTS
            if kind == "CXI":
                file["cxi_version"] = 160
    return path


PLAIN = [
    "numpy arrays",
    "one array",
    "MATLAB arrays",
    "MATLAB 7.3 arrays",
    "TIFF stack",
    "TIFF folder",
    "CXI",
    "areaDetector HDF5",
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", PLAIN)
def test_plain_frames_are_found_by_content_and_completed_by_what_is_given(tmp_path, kind):
    path = write_plain(tmp_path, kind)
    bare = one(path)
    with pytest.raises(ReadError, match="lacks: the instrument"):
        bare.require()
    scan = one(path, ARM)
    scan.require()
    np.testing.assert_array_equal(scan.frames[0:12], COUNTS)
    np.testing.assert_array_equal(scan.frames[2:5, 3:7, slice(1, 9)], COUNTS[2:5, 3:7, 1:9])
    np.testing.assert_allclose(scan.angles, -0.28 + 0.005 * np.arange(12))
    assert scan.instrument == "APS 34-ID-C"
    assert scan.frames.shape == COUNTS.shape


def test_what_lies_beside_the_frames_is_used_and_the_rest_is_named(tmp_path):
    mask = COUNTS[0] > 8
    np.savez(
        tmp_path / "scan.npz",
        counts=COUNTS,
        mask=mask,
        white=np.ones((20, 30)),
        dark=np.zeros((20, 30)),
        monitor=np.full(12, 5),
        th=np.linspace(0, 1, 12),
        temperature=295.0,
        something=np.zeros(3),
    )
    scan = one(tmp_path / "scan.npz", Given(**{**ARM.said, "start": None, "step": None}))
    np.testing.assert_array_equal(scan.mask, mask)
    assert scan.flat_field.shape == scan.dark.shape == (20, 30)
    assert scan.monitor.tolist() == [5.0] * 12
    assert scan.temperature.tolist() == [295.0] * 12
    np.testing.assert_allclose(scan.angles, np.linspace(0, 1, 12))
    assert scan.unused == ("something (3,)",)
    assert "not used: something" in words(scan)


@pytest.mark.parametrize("place", ["entry_1/instrument_1/detector_1", "entry/instrument/detector"])
def test_images_beside_the_frames_of_an_hdf5_file_are_used_and_others_named(tmp_path, place):
    with h5py.File(tmp_path / "scan", "w") as file:
        file[f"{place}/data"] = COUNTS
        file[f"{place}/pixel_mask"] = (COUNTS[0] > 8).astype(np.uint32)
        file[f"{place}/flatfield"] = np.full((20, 30), 2.0)
        file[f"{place}/dark"] = np.zeros((20, 30))
        file[f"{place}/threshold"] = np.zeros((20, 30))
    scan = one(tmp_path / "scan", ARM)
    np.testing.assert_array_equal(scan.mask, COUNTS[0] > 8)
    assert scan.flat_field.mean() == 2
    assert scan.dark.shape == (20, 30)
    assert scan.unused == ("threshold (20, 30)",)


def test_an_image_is_found_by_its_name_where_a_file_holds_several(tmp_path):
    np.savez(tmp_path / "flat.npz", white=np.full((20, 30), 2.0), dark=np.zeros((20, 30)))
    assert read_array(tmp_path / "flat.npz", COUNTS.shape, "flat_field").mean() == 2
    assert read_array(tmp_path / "flat.npz", COUNTS.shape, "dark").mean() == 0
    with pytest.raises(ReadError, match="it holds \\['dark', 'white'\\]: save it alone"):
        read_array(tmp_path / "flat.npz", COUNTS.shape, "mask")


def test_files_that_are_cut_short_are_refused_in_words(tmp_path):
    whole = write_plain(tmp_path, "numpy arrays").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "broken.npz").write_bytes(whole[:2000] + bytes(100) + whole[2100:])
    for name in ("cut.npz", "broken.npz"):
        with pytest.raises(ReadError, match=r"is it whole\?"):
            read_scans(tmp_path / name, ARM)
        with pytest.raises(ReadError, match=r"is it whole\?"):
            read_array(tmp_path / name, COUNTS.shape)


def test_an_hdf5_file_that_no_reader_knows_is_refused_with_what_it_holds():
    with pytest.raises(ReadError, match=r"an HDF5 file with \d+ arrays, among them .*entry"):
        read_scans(real("formats/i06-353130.nxs"))


def test_the_energy_is_said_where_no_geometry_can_be_made():
    assert "energy: 9 keV" in words(one(real("formats/1040323.nxs")))
    assert "energy: 7.113 keV" in words(one(real("formats/1109527.dat")))


def test_a_mask_of_another_shape_is_refused(tmp_path):
    np.savez(tmp_path / "scan.npz", counts=COUNTS, mask=np.zeros((3, 3), bool))
    with pytest.raises(ReadError, match="'mask' must have the shape"):
        read_scans(tmp_path / "scan.npz")


def test_what_is_no_scan_is_refused_in_words(tmp_path):
    with pytest.raises(ReadError, match="there is no file"):
        read_scans(tmp_path / "none")
    (tmp_path / "text").write_text("nothing", encoding="utf-8")
    with pytest.raises(ReadError, match="none of the formats that are read"):
        read_scans(tmp_path / "text")
    np.savez(tmp_path / "pickled.npz", counts=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ReadError, match="cannot be read as numpy arrays"):
        read_scans(tmp_path / "pickled.npz")
    np.savez(tmp_path / "flat.npz", counts=np.ones((3, 3)))
    with pytest.raises(ReadError, match=r"\(rocking, row, column\)"):
        read_scans(tmp_path / "flat.npz")


def test_geometry_is_read_from_toml_and_an_unknown_key_is_named(tmp_path):
    path = tmp_path / "geometry.toml"
    path.write_text(
        'instrument = "id01"\nenergy = 9.0\ncentre = [7, 21]\nlattice = {a = 4, b = 4, c = 4, alpha = 90, '
        "beta = 90, gamma = 90}\nreflection = [1, 1, 1]\n[positions]\nnu = 12.0\n",
        encoding="utf-8",
    )
    given = read_given(path)
    assert given.centre == (7, 21)
    assert given.cell().d_spacing(given.reflection) == pytest.approx(4 / 3**0.5)
    path.write_text("enrgy = 9.0\n", encoding="utf-8")
    with pytest.raises(ReadError, match="'enrgy'"):
        read_given(path)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [({"energy": 9000.0}, "eV"), ({"step": 0.0}, "not 0"), ({"temperature": 0.0}, "above 0")],
)
def test_impossible_numbers_are_refused_before_anything_is_read(given, complaint):
    with pytest.raises(ValueError, match=complaint):
        Given(**given)
