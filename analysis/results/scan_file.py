"""A scan's HDF5 file: one file per scan, which NeXus viewers and CXI tools open.

Layout: NeXus classes throughout (NXentry, NXsample, NXinstrument, NXdata, NXprocess), under the names of
the coherent imaging format CXI (``entry_1/image_1/data`` is the complex object), Maia 2012,
doi:10.1038/nmeth.2110.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from analysis.results.atomic import replacing
from analysis.results.scan import ScanResult, Transfer

CXI_VERSION = 150
FORMAT = "vo2-bcdi scan 1"

_IMAGE = {"object": "data", "support": "support", "voxel_basis": "voxel_basis", "q_vector": "q_vector"}
_DETECTOR = {"intensity": "data", "mask": "mask", "background": "background", "pixel_kernel": "pixel_kernel"}
_RESPONSE = {
    "flat_field": "flatfield",
    "exposure": "relative_exposure",
    "given_flat_field": "given_flatfield",
    "dark": "dark",
    "background_planes": "background_planes",
}
"""Written to the detector where they were given or found; the first is NeXus' name."""

_TRANSFER = "transfer_1"

_SAMPLE = (
    "temperature",
    "temperature_sigma",
    "temperature_setpoint",
    "branch",
    "d_spacing",
    "d_spacing_error",
)
_JSON = (
    "reasons",
    "notes",
    "not_counts",
    "versions",
    "parameters",
    "strain",
    "structure",
    "experiment",
    "sample",
    "instrument",
)
_UNITS = {
    "voxel_basis": "nm",
    "q_vector": "1/angstrom",
    "background": "counts",
    "intensity": "counts",
    "temperature": "K",
    "temperature_sigma": "K",
    "temperature_setpoint": "K",
    "d_spacing": "angstrom",
    "d_spacing_error": "angstrom",
    "seconds": "s",
    "cpu_seconds": "s",
}

_POSITIONS = dict.fromkeys(("mu", "eta", "chi", "phi", "delta", "gam"), "deg") | {"en": "keV", "rc": "mA"}
_LENGTHS = {"distance_mm": ("distance",), "pixel_size_mm": ("x_pixel_size", "y_pixel_size")}

AXES = ("rocking", "row", "column")
TO_NEXUS = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Turns vectors of the laboratory frame (x up, y along the beam) into that of I16's NeXus files: x up, z
along the beam. The sample's frame is the laboratory's with all circles at 0."""

JOULE_PER_KEV = 1.602176634e-16
"""CODATA 2018, exact; CXI wants SI units."""


def write_scan(path: Path, result: ScanResult) -> Path:
    """Write ``result`` to ``path`` (HDF5), whole or not at all, and return the path."""
    path = Path(path)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(NX_class="NXroot", default="entry_1", file_name=path.name, creator=FORMAT)
        file["cxi_version"] = CXI_VERSION
        entry = _group(file, "entry_1", "NXentry", default="image_1")
        entry["title"] = f"{result.sample.get('name', 'crystal')} {result.label}"
        entry["program_name"] = "vo2-bcdi"
        entry["entry_identifier"] = result.run_uid
        if np.isfinite(result.started):
            entry["start_time"] = datetime.fromtimestamp(result.started, tz=UTC).isoformat()
        _write_image(entry, result)
        _write_sample(entry, result)
        _write_instrument(entry, result)
        _write_process(entry, result)
        _write_transfer(entry, result)
        _write_diffraction(entry, result)
        entry["data_1"] = h5py.SoftLink("/entry_1/image_1")
    return path


def read_scan(path: Path) -> ScanResult:
    """Return the `ScanResult` stored at ``path`` by `write_scan`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"a scan result file is required; {str(path)!r} does not exist: check the path"
        )
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise ValueError(
            f"a scan result file (HDF5) is required; {str(path)!r} is not one: {error}"
        ) from error
    with file:
        if file.attrs.get("creator") != FORMAT:
            creator = file.attrs.get("creator")
            raise ValueError(
                f"a file of {FORMAT!r} is required; {str(path)!r} is by {creator!r}: use another"
            )
        return ScanResult(**_read_values(file["entry_1"]))


def read_started(path: Path) -> float:
    """Return when the scan of a result file began, seconds since 1970-01-01 UTC.

    Of a file that was written before it was kept, when the file was.
    """
    with h5py.File(path, "r", locking=False) as file:
        stored = file.get("entry_1/process_1/started")
        return float(stored[()]) if stored is not None else Path(path).stat().st_mtime


def _group(parent: h5py.Group, name: str, nx_class: str, **attributes: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update(NX_class=nx_class, **attributes)
    return group


def _put(group: h5py.Group, name: str, value: Any, units: str | None = None) -> None:
    array = np.asarray(value)
    if array.dtype == bool and array.ndim:
        group.create_dataset(name, data=array.astype(np.uint8), compression="gzip", compression_opts=1)
    else:
        group[name] = value
    if units:
        group[name].attrs["units"] = units


def _write_image(entry: h5py.Group, result: ScanResult) -> None:
    image = _group(entry, "image_1", "NXdata", signal="data", interpretation="volume")
    image.attrs["axes"] = list(AXES)
    for axis, name in enumerate(AXES):
        size, pitch = result.object.shape[axis], float(np.linalg.norm(result.voxel_basis[:, axis]))
        _put(image, name, (np.arange(size) - size // 2) * pitch, "nm")
        image[name].attrs["long_name"] = f"along the voxel vector of {name} (nm)"
    for name, place in _IMAGE.items():
        _put(image, place, getattr(result, name), _UNITS.get(name))
    image["data_space"] = "real"
    image["data_type"] = "complex density; arg = -Q.u"
    image["is_fft_shifted"] = 0
    image["image_center"] = np.array(result.object.shape) // 2
    lengths = np.linalg.norm(result.voxel_basis, axis=0) * 1e-9
    _put(image, "image_size", lengths * result.object.shape, "m")


def _write_diffraction(entry: h5py.Group, result: ScanResult) -> None:
    """Show the measured intensity as a second image, as CXI has it; the arrays stay with the detector."""
    image = _group(entry, "image_2", "NXdata", signal="data", interpretation="volume")
    image.attrs["axes"] = [f"q_{name}" for name in AXES]
    box = result.voxel_basis * np.array(result.object.shape)
    steps = np.linalg.norm(2 * np.pi * np.linalg.inv(box), axis=1) / 10
    for name, size, step in zip(AXES, result.object.shape, steps, strict=True):
        _put(image, f"q_{name}", (np.arange(size) - size // 2) * step, "1/angstrom")
        image[f"q_{name}"].attrs["long_name"] = f"q along {name}, from the middle of the crop (1/angstrom)"
    for name in ("data", "mask"):
        image[name] = h5py.SoftLink(f"/entry_1/instrument_1/detector_1/{name}")
    image["data_space"] = "diffraction"
    image["data_type"] = "unphased intensity"
    image["is_fft_shifted"] = 0


def _write_sample(entry: h5py.Group, result: ScanResult) -> None:
    sample = _group(entry, "sample_1", "NXsample")
    for name in _SAMPLE:
        _put(sample, name, getattr(result, name), _UNITS.get(name))
    sample["name"] = str(result.sample.get("name", ""))
    if result.sample.get("UB") is not None:
        # Ours is You's with 2π; NeXus has none, a leading axis of components, and the frame of I16's files.
        matrix = TO_NEXUS @ np.asarray(result.sample["UB"], dtype=float) / (2 * np.pi)
        _put(sample, "ub_matrix", matrix[None], "1/angstrom")
    lattice = result.sample.get("lattice")
    if lattice:
        names = ("a", "b", "c", "alpha", "beta", "gamma")
        sample["unit_cell"] = np.array([[float(lattice[name]) for name in names]])


def _write_instrument(entry: h5py.Group, result: ScanResult) -> None:
    instrument = _group(entry, "instrument_1", "NXinstrument")
    instrument["name"] = str(result.instrument.get("name", ""))
    for name, value in result.instrument.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            _put(_group(instrument, name, "NXpositioner"), "value", float(value), _POSITIONS.get(name))
    if "en" in result.instrument:
        source = _group(instrument, "source_1", "NXsource")
        _put(source, "energy", float(result.instrument["en"]) * JOULE_PER_KEV, "J")
    detector = _group(instrument, "detector_1", "NXdetector")
    known = result.instrument.get("detector", {})
    for name, places in _LENGTHS.items():
        for place in places if name in known else ():
            _put(detector, place, float(known[name]) * 1e-3, "m")
    for name, place in _DETECTOR.items():
        _put(detector, place, getattr(result, name), _UNITS.get(name))
    for name, place in _RESPONSE.items():
        if getattr(result, name) is not None:
            _put(detector, place, getattr(result, name))


def _write_process(entry: h5py.Group, result: ScanResult) -> None:
    process = _group(entry, "process_1", "NXprocess")
    process["program"] = "vo2-bcdi"
    process["command"] = "reconstruct"
    for name in _process_fields():
        _put(process, name, getattr(result, name), _UNITS.get(name))
    for name in _JSON:
        process[name] = json.dumps(getattr(result, name), default=_plain)


def _write_transfer(entry: h5py.Group, result: ScanResult) -> None:
    """Write the transfer learning, where it has run, with what a reader computes: final loss, its voxels."""
    if result.transfer is None:
        return
    process = _group(entry, _TRANSFER, "NXprocess")
    process["program"] = "vo2-bcdi"
    process["command"] = "transfer"
    for field in fields(Transfer):
        _put(process, field.name, getattr(result.transfer, field.name), _UNITS.get(field.name))
    process["final_loss"] = result.transfer.final_loss
    larger = np.array(result.object.shape) / result.transfer.object.shape
    _put(process, "voxel_basis", result.voxel_basis * larger, "nm")


def _read_transfer(entry: h5py.Group) -> Transfer | None:
    if _TRANSFER not in entry:
        return None
    process = entry[_TRANSFER]
    return Transfer(**{field.name: _python(process[field.name][()]) for field in fields(Transfer)})


def _process_fields() -> list[str]:
    elsewhere = {*_IMAGE, *_DETECTOR, *_SAMPLE, *_JSON, *_RESPONSE, "transfer"}
    return [field.name for field in fields(ScanResult) if field.name not in elsewhere]


def _read_values(entry: h5py.Group) -> dict[str, Any]:
    process = entry["process_1" if "process_1" in entry else "image_1/process_1"]  # older files
    detector = entry["instrument_1/detector_1"]
    places = {name: entry["image_1"][place] for name, place in _IMAGE.items()}
    places |= {name: detector[place] for name, place in _DETECTOR.items()}
    # Older files lack the fields that came later: those have defaults.
    places |= {name: entry["sample_1"][name] for name in _SAMPLE if name in entry["sample_1"]}
    places |= {name: process[name] for name in _process_fields() if name in process}
    places |= {name: detector[place] for name, place in _RESPONSE.items() if place in detector}
    values: dict[str, Any] = {name: _python(node[()]) for name, node in places.items()}
    values |= {name: json.loads(process[name].asstr()[()]) for name in _JSON if name in process}
    values["support"] = values["support"].astype(bool)
    values["mask"] = values["mask"].astype(bool)
    values["trusted"] = bool(values["trusted"])
    for name in ("reasons", "notes", "not_counts"):
        values[name] = tuple(values.get(name, ()))
    values["transfer"] = _read_transfer(entry)
    for name in ("pixel_kernel", "coherence"):
        if name in values:
            values[name] = tuple(float(width) for width in values[name])
    return values


def _python(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def _plain(value: Any) -> Any:
    """Return numpy values and mappings as what JSON knows."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"provenance must be JSON-able; got {type(value).__name__} {value!r}")
