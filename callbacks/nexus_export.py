"""A measured scan written as its beamline writes its own: NeXus master and frames of I16, BLISS file of ID01.

So a run of the catalogue can be opened by the beamline's programs, and taken in again anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.geometry import (
    FRAMES,
    ScanGeometry,
    direction,
    instrument_named,
    sample_rotation,
    turned,
)
from analysis.results.atomic import replacing
from callbacks.analyse import known_bad_pixels, scan_geometry
from callbacks.collect import CIRCLES
from callbacks.frames import BLOCK, FLAT_FIELD, open_frames, read_array, read_beside

if TYPE_CHECKING:
    import h5py

    from callbacks.jobs import ScanJob

LAYOUTS = {"nexus": "Diamond I16", "id01": "ESRF ID01"}
"""Formats, and the instrument whose scans have them."""

ENTRY = "entry1"


def write_run(job: ScanJob, folder: Path, number: int, kind: str) -> list[Path]:
    """Write a scan into ``folder`` in the layout ``kind``; return the files, that to open first.

    Parameters
    ----------
    job
        The scan; only the frames of its points are written.
    folder
        It is made.
    number
        Of the scan: the files are called by it.
    kind
        One of `LAYOUTS`.

    Raises
    ------
    ValueError
        The scan was measured at another instrument, whose circles the layout has no place for.
    """
    geometry = scan_geometry(job)
    wanted = LAYOUTS[kind]
    if geometry.instrument != wanted:
        raise ValueError(
            f"the format {kind!r} is that of {wanted}, this scan is of {geometry.instrument!r}: take another"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return (_write_i16 if kind == "nexus" else _write_id01)(job, geometry, folder, number)


def _write_i16(job: ScanJob, geometry: ScanGeometry, folder: Path, number: int) -> list[Path]:
    """Write a master and, linked to it, its frames."""
    import h5py

    linked = f"{number}-merlin-files/{number}.hdf"
    frames, master = folder / linked, folder / f"{number}.nxs"
    frames.parent.mkdir(exist_ok=True)
    with replacing(frames) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["NX_class"] = "NXroot"
        detector = _group(file, "entry/instrument/detector", "NXdetector")
        _copy(job, detector, "data")
    with replacing(master) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(NX_class="NXroot", default=ENTRY)
        entry = _group(file, ENTRY, "NXentry")
        _write_scan(entry, job, number)
        _write_before(entry, job, geometry)
        _write_i16_detector(entry, job, geometry, linked)
        _write_i16_sample(entry, job, geometry)
    return [master, frames]


def _copy(job: ScanJob, group: h5py.Group, name: str) -> None:
    """Copy the frames of a scan's points, block by block."""
    import hdf5plugin

    with open_frames(job.frame_file, job.dataset, job.frame_index) as stored:
        shape = (len(job.frame_index), *stored.shape[1:])
        packed = hdf5plugin.Bitshuffle(nelems=0, cname="lz4")
        data = group.create_dataset(name, shape, stored.dtype, chunks=(1, *shape[1:]), **packed)
        for first in range(0, shape[0], BLOCK):
            picked = job.frame_index[first : first + BLOCK]
            data[first : first + len(picked)] = np.stack([stored[int(one)] for one in picked])


def _write_scan(entry: h5py.Group, job: ScanJob, number: int) -> None:
    """Write what was scanned and counted, once per point."""
    scan, axis = job.start["scan"], str(job.start["scan"]["axis"])
    command = f"scan {axis} {scan['start']:g} {scan['stop']:g} {scan['step']:g} merlin {scan['exposure']:g}"
    started = datetime.fromtimestamp(float(job.start.get("time", 0.0)), tz=UTC)
    texts = {
        "definition": "NXmx",
        "entry_identifier": str(number),
        "program_name": "vo2-bcdi",
        "scan_command": command,
        "title": command,
        "start_time": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    for name, text in texts.items():
        entry[name] = text
    instrument = _group(entry, "instrument", "NXinstrument")
    instrument["name"] = "i16"
    measurement = _group(entry, "measurement", "NXdata", signal="ic1monitor", axes=[axis])
    points = len(job.eta)
    columns = {
        axis: (job.eta, "deg"),
        "ic1monitor": (job.monitor, "counts"),
        "Tsample": (job.temperature, "K"),
        "count_time": (np.full(points, float(scan["exposure"])), "s"),
    }
    for name, (values, unit) in columns.items():
        kind = "NXpositioner" if name == axis else "NXcollection"
        one = _group(instrument, name, kind)
        _put(one, name, values, unit)
        one[name].attrs.update(local_name=f"{name}.{name}", target=one[name].name)
        measurement[name] = one[name]
        measurement.attrs[f"{name}_indices"] = np.array([0], np.int32)


def _write_before(entry: h5py.Group, job: ScanJob, geometry: ScanGeometry) -> None:
    """Write what stood still."""
    before = _group(entry, "before_scan", "NXcollection")
    axis = str(job.start["scan"]["axis"])
    circles = {**job.positions, axis: float(job.eta[0])}
    sample = _group(before, "diffractometer_sample", "NXcollection")
    for name in CIRCLES:
        if name in circles:
            _put(sample, name, float(circles[name]), "deg")
    _put(sample, "en", geometry.energy, "keV")
    for name, index in zip("hkl", _indices(job, geometry, circles), strict=False):
        sample[name] = float(index)
    _put(_group(before, "mono", "NXcollection"), "en", geometry.energy, "keV")
    controller = _group(before, "temperature_controller", "NXcollection")
    _put(controller, "Tsample", float(np.nanmean(job.temperature)), "K")
    _put(controller, "Tset", float(job.start["temperature_setpoint"]), "K")
    for name, pixel in zip(("merlin_centre_j", "merlin_centre_i"), _centre(geometry), strict=True):
        _group(before, name, "NXcollection")[name] = pixel  # i is the column
    lattice, ub = job.start.get("lattice"), job.start.get("UB")
    extra = _group(before, "xtlinfo_extra", "NXcollection")
    extra["crystal_name"] = str(job.start.get("sample", ""))
    if lattice:
        for name, ours in zip(("alpha1", "alpha2", "alpha3"), ("alpha", "beta", "gamma"), strict=True):
            _put(extra, name, float(lattice[ours]), "deg")
        for name in "abc":
            _put(extra, name, float(lattice[name]), "angstrom")
    if ub is not None:
        for row, values in enumerate(np.asarray(ub, dtype=float), start=1):
            for column, value in enumerate(values, start=1):
                extra[f"UB{row}{column}"] = float(value)


def _indices(job: ScanJob, geometry: ScanGeometry, circles: Mapping[str, float]) -> Sequence[float]:
    """Return h, k, l of the arm's q as the circles stand, as a beamline states them, or the reflection."""
    if job.start.get("UB") is None:
        return job.start.get("reflection") or ()
    arm = geometry.lab_q(*geometry.centre)
    turned_back = sample_rotation(*(circles[name] for name in ("mu", "eta", "chi", "phi"))).T @ arm
    return [float(one) for one in np.linalg.solve(np.asarray(job.start["UB"], dtype=float), turned_back)]


def _centre(geometry: ScanGeometry) -> tuple[float, float]:
    """Return (row, column) of the direct beam in the frames, which are a region of the detector."""
    return geometry.centre[0] - geometry.roi[0], geometry.centre[1] - geometry.roi[2]


def _bad(job: ScanJob, geometry: ScanGeometry) -> NDArray[np.bool_]:
    """Return which pixels are bad or lie between chips, (rows, cols) or (n, rows, cols) bool."""
    row0, row1, col0, col1 = geometry.roi
    gap = np.zeros(geometry.shape, dtype=bool)
    gap[list(geometry.gaps)] = True
    gap[:, list(geometry.gaps)] = True
    known = known_bad_pixels(job, geometry)
    between = gap[row0:row1, col0:col1]
    return between if known is None else between | known


def _write_i16_detector(entry: h5py.Group, job: ScanJob, geometry: ScanGeometry, linked: str) -> None:
    """Write the detector, its frames linked, and where each pixel is: pixel, detector, delta, gamma."""
    import h5py

    instrument = entry["instrument"]
    detector = _group(instrument, "merlin", "NXdetector")
    detector["data"] = h5py.ExternalLink(linked, "/entry/instrument/detector/data")
    detector["count_time"] = entry["measurement/count_time"]
    detector["type"] = "Pixel"
    if np.isfinite(geometry.saturation):
        detector["saturation_value"] = np.array([geometry.saturation])
    bad = _bad(job, geometry)
    if bad.any():
        detector.create_dataset("pixel_mask", data=bad.astype(np.uint32), compression="gzip")
    flat_field = read_array(job.frame_file, job.dataset, FLAT_FIELD)
    if flat_field is not None:
        detector.create_dataset("flatfield", data=flat_field, compression="gzip")
    for name in ("x_pixel_size", "y_pixel_size"):
        _put(detector, name, geometry.pixel_size, "mm")
    _put(detector, "distance", geometry.distance, "mm")
    _write_i16_arm(entry, job, geometry)
    data = _group(entry, "merlin", "NXdata", signal="data", axes=[str(job.start["scan"]["axis"]), ".", "."])
    data["data"] = h5py.ExternalLink(linked, "/entry/instrument/detector/data")
    axis = str(job.start["scan"]["axis"])
    data[axis] = entry[f"measurement/{axis}"]
    entry.attrs["default"] = "merlin"
    transmission = read_beside(job.frame_file, job.dataset, "transmission", job.frame_index)
    if transmission is not None:
        attenuator = _group(instrument, "attenuator", "NXattenuator")
        attenuator["attenuator_transmission"] = float(transmission.mean())


def _write_i16_arm(entry: h5py.Group, job: ScanJob, geometry: ScanGeometry) -> None:
    """Write the chain of the arm's two circles, and where its detector is on it."""
    place, instrument = f"/{ENTRY}/instrument", entry["instrument"]
    detector = instrument["merlin"]
    # Of the arm at zero: the chain turns it.
    circles = [(axis, job.positions[name]) for name, axis in instrument_named(geometry.instrument).arm]
    to_nexus = FRAMES["nexus"].T
    at_zero = to_nexus @ turned(circles, "you").T @ geometry.arm
    row, column = _centre(geometry)
    corner = geometry.distance * at_zero[:, 1]
    corner = corner - geometry.pixel_size * (row * at_zero[:, 0] + column * at_zero[:, 2])
    arm = _group(instrument, "transformations", "NXcollection")
    for name, ours, before in (("gamma", "gam", "."), ("delta", "delta", f"{place}/transformations/gamma")):
        axis = dict(instrument_named(geometry.instrument).arm)[ours]
        angle, vector = float(job.positions[ours]), to_nexus @ direction(axis, "you")
        _moved(arm, name, angle, vector, before, "rotation", "deg")
    moves = _group(detector, "transformations", "NXtransformations")
    _moved(moves, "origin_offset", 1.0, corner, f"{place}/transformations/delta", "translation", "mm")
    detector["depends_on"] = f"{place}/merlin/transformations/origin_offset"
    module = _group(detector, "module", "NXdetector_module")
    module["data_origin"] = np.array([0, 0], np.int32)
    frame = (geometry.roi[1] - geometry.roi[0], geometry.roi[3] - geometry.roi[2])
    module["data_size"] = np.array(frame, np.int32)
    offset = f"{place}/merlin/module/module_offset"
    _moved(
        module, "module_offset", 0.0, at_zero[:, 1], detector["depends_on"].asstr()[()], "translation", "mm"
    )
    for name, vector in (("slow", at_zero[:, 0]), ("fast", at_zero[:, 2])):
        _moved(module, f"{name}_pixel_direction", geometry.pixel_size, vector, offset, "translation", "mm")


def _write_i16_sample(entry: h5py.Group, job: ScanJob, geometry: ScanGeometry) -> None:
    sample = _group(entry, "sample", "NXsample")
    sample["name"] = str(job.start.get("sample", ""))
    beam = _group(sample, "beam", "NXbeam")
    _put(beam, "incident_energy", np.array([geometry.energy]), "keV")
    if job.start.get("UB") is not None:
        matrix = FRAMES["nexus"].T @ np.asarray(job.start["UB"], dtype=float) / (2 * np.pi)
        _put(sample, "ub_matrix", matrix[None], "1/angstrom")
    lattice = job.start.get("lattice")
    if lattice:
        names = ("a", "b", "c", "alpha", "beta", "gamma")
        sample["unit_cell"] = np.array([[float(lattice[name]) for name in names]])


def _write_id01(job: ScanJob, geometry: ScanGeometry, folder: Path, number: int) -> list[Path]:
    """Write one BLISS file: frames and counters in ``measurement``, motors and detector in ``instrument``."""
    import h5py

    sample = "".join(one if one.isalnum() else "_" for one in str(job.start.get("sample") or "sample"))
    path, axis = folder / f"{sample}_{number}.h5", str(job.start["scan"]["axis"])
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        scan = _group(file, f"{sample}_{number}.1", "NXentry")
        started = datetime.fromtimestamp(float(job.start.get("time", 0.0)), tz=UTC)
        scan["start_time"] = started.isoformat()
        scan["title"] = f"scan {axis}"
        measurement = _group(scan, "measurement", "NXcollection")
        _copy(job, measurement, "mpx1x4")
        measurement["mon"] = job.monitor
        measurement["temperature"] = job.temperature
        measurement["acq_time"] = np.full(len(job.eta), float(job.start["scan"]["exposure"]))
        motors = _group(scan, "instrument/positioners", "NXcollection")
        for name, angle in job.positions.items():
            _put(motors, name, float(angle), "deg")
        _put(motors, axis, job.eta, "deg")
        _put(motors, "mononrj", geometry.energy, "keV")
        detector = _group(scan, "instrument/mpx1x4", "NXdetector")
        row, column = _centre(geometry)
        numbers = {"beam_center_y": row, "beam_center_x": column, "distance": 1e-3 * geometry.distance}
        numbers |= dict.fromkeys(("x_pixel_size", "y_pixel_size"), 1e-3 * geometry.pixel_size)
        for name, value in numbers.items():
            detector[name] = value
        bad = _bad(job, geometry)
        if bad.any():
            detector.create_dataset("pixel_mask", data=bad.astype(np.uint32), compression="gzip")
    return [path]


def _group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    group = parent.require_group(name)
    group.attrs.update(NX_class=nx_class, **attributes)
    return group


def _put(group: h5py.Group, name: str, value: Any, unit: str) -> None:
    group[name] = value
    group[name].attrs["units"] = unit


def _moved(
    group: h5py.Group,
    name: str,
    value: float,
    vector: NDArray[np.float64],
    depends_on: str,
    kind: str,
    unit: str,
) -> None:
    """Write a link of a chain of transformations."""
    group[name] = np.array([value])
    attributes: Mapping[str, Any] = {
        "transformation_type": kind,
        "vector": np.asarray(vector, dtype=float),
        "offset": np.zeros(3),
        "depends_on": depends_on,
        "units": unit,
    }
    group[name].attrs.update(attributes)
