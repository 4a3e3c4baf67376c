"""One analysed scan, as everything downstream sees it, and its HDF5 file.

One file per scan, which NeXus viewers and CXI tools open.

Layout: NeXus classes throughout (NXentry, NXsample, NXinstrument, NXdata, NXprocess), under the names of
the coherent imaging format CXI (``entry_1/image_1/data`` is the complex object), Maia 2012,
doi:10.1038/nmeth.2110.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from analysis.results.atomic import replacing


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanResult:
    """Reconstruction of one rocking scan with what is needed to judge, compare and repeat it.

    Array axes are (rocking, row, column); the laboratory frame is that of `analysis.geometry`.

    Attributes
    ----------
    object : ndarray, (n0, n1, n2) complex64, √counts
        intensity = abs(fftshift(fftn(ifftshift(object))))², so arg(object) = −Q·u (docs/science.md
        section 3.1).
    support : ndarray, (n0, n1, n2) bool
    intensity : ndarray, (n0, n1, n2) float32, counts
        Monitor-normalised crop about the peak, q = 0 at index n//2.
    mask : ndarray, (n0, n1, n2) bool
        True where a voxel was not measured.
    background : float, counts
        Expected background of a voxel.
    pixel_kernel : tuple of float, voxels
        Widths over which a measured voxel integrates.
    voxel_basis : ndarray, (3, 3) float64, nm
        Columns: voxel vectors of the object.
    q_vector : ndarray, (3,) float64, Å⁻¹
        Scattering vector at the centre of the crop, to which the object's phase belongs.
    d_spacing : float, Å
        From the centre of mass of the peak.
    d_spacing_error : float, Å
        By counting, window and background; NaN in files that were written before it was known.
    chi_squared, noise_ratio : float
    trusted : bool
    reasons : tuple of str
        Why the reconstruction is not trusted, or what was odd about the data.
    loss_history : ndarray, (steps,) float64
    temperature, temperature_sigma, temperature_setpoint : float, K
        Mean and standard deviation over the scan, and what was asked for.
    branch : {"heating", "cooling"}
    attempt, series_index : int
    series_uid, run_uid : str
    seed : int
    seconds : float
        Time the reconstruction took.
    weights_hash : str
    versions, parameters : mapping
        Software versions; crop, voxel size and other settings (JSON-able).
    strain : mapping
        Isosurface percentage (as text) to strain statistics.
    structure : mapping
        Surface against bulk, domains and displacement (`analysis.structure.structure_summary`); empty in
        files that were written before it was known.
    coherence : tuple of float, voxels
        Standard deviation of the Gaussian blur that the pattern was found to have, per axis; zeros also in
        files that were written before it was kept.
    flat_field, exposure : ndarray, (n1, n2) and (n0,) float32, or None
        What each pixel, and each frame, counts of what it should, where the pattern could not be explained
        without; else None.
    sample, instrument : mapping
        For the record: name, UB, lattice, reflection; angles and counters under I16's own names.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    intensity: NDArray[np.float32]
    mask: NDArray[np.bool_]
    background: float
    pixel_kernel: tuple[float, float, float]
    voxel_basis: NDArray[np.float64]
    q_vector: NDArray[np.float64]
    d_spacing: float
    chi_squared: float
    noise_ratio: float
    trusted: bool
    reasons: tuple[str, ...]
    loss_history: NDArray[np.float64]
    temperature: float
    temperature_sigma: float
    temperature_setpoint: float
    branch: str
    attempt: int
    series_uid: str
    series_index: int
    run_uid: str
    seed: int
    seconds: float
    weights_hash: str
    d_spacing_error: float = float("nan")
    coherence: tuple[float, float, float] = (0.0, 0.0, 0.0)
    flat_field: NDArray[np.float32] | None = None
    exposure: NDArray[np.float32] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    strain: Mapping[str, Any] = field(default_factory=dict)
    structure: Mapping[str, Any] = field(default_factory=dict)
    sample: Mapping[str, Any] = field(default_factory=dict)
    instrument: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        shape = self.object.shape
        if self.object.ndim != 3:
            raise ValueError(f"object must have three axes (rocking, row, column); got shape {shape!r}")
        for name in ("support", "intensity", "mask"):
            other = getattr(self, name).shape
            if other != shape:
                raise ValueError(f"{name} must have the object's shape {shape!r}; got {other!r}")
        for name, needed in (("flat_field", shape[1:]), ("exposure", shape[:1])):
            response = getattr(self, name)
            if response is not None and response.shape != needed:
                raise ValueError(f"{name} must have the shape {needed!r}; got {response.shape!r}")
        for name, required in (("voxel_basis", (3, 3)), ("q_vector", (3,))):
            array = getattr(self, name)
            if array.shape != required or not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite and of shape {required!r}; got {array!r}")
        if not np.isfinite(self.object).all():
            count = int(np.count_nonzero(~np.isfinite(self.object)))
            raise ValueError(f"object must be finite; {count} voxels are NaN or infinite: reconstruct again")
        if self.branch not in ("heating", "cooling"):
            raise ValueError(f"branch must be 'heating' or 'cooling'; got {self.branch!r}")

    @property
    def phase(self) -> NDArray[np.float32]:
        """Physical phase Q·u = −arg(object), (n0, n1, n2) float32, rad, wrapped to (−π, π]."""
        return np.angle(np.conj(self.object)).astype(np.float32)

    @property
    def label(self) -> str:
        """Temperature in words for figures and tables, e.g. "345 K" or "345 K cooling"."""
        suffix = "" if self.branch == "heating" else f" {self.branch}"
        return f"{self.temperature_setpoint:g} K{suffix}"

    @property
    def filename(self) -> str:
        """Name of the result file, e.g. ``345K_heating_1_a1b2c3d4.h5``."""
        return f"{self.temperature_setpoint:g}K_{self.branch}_{self.attempt}_{self.run_uid[:8]}.h5"


def numbered_labels(results: Iterable[ScanResult]) -> tuple[str, ...]:
    """Return the labels of a series' scans; one that came before has its number behind it, "350 K (2)"."""
    seen: Counter[str] = Counter()
    labels = []
    for result in results:
        seen[result.label] += 1
        count = seen[result.label]
        labels.append(result.label if count == 1 else f"{result.label} ({count})")
    return tuple(labels)


CXI_VERSION = 150
FORMAT = "vo2-bcdi scan 1"

_IMAGE = {"object": "data", "support": "support", "voxel_basis": "voxel_basis", "q_vector": "q_vector"}
_DETECTOR = {"intensity": "data", "mask": "mask", "background": "background", "pixel_kernel": "pixel_kernel"}
_RESPONSE = {"flat_field": "flatfield", "exposure": "relative_exposure"}
"""Written to the detector where they were found; the first is NeXus' name."""

_SAMPLE = (
    "temperature",
    "temperature_sigma",
    "temperature_setpoint",
    "branch",
    "d_spacing",
    "d_spacing_error",
)
_JSON = ("reasons", "versions", "parameters", "strain", "structure", "sample", "instrument")
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
}

_POSITIONS = dict.fromkeys(("mu", "eta", "chi", "phi", "delta", "gam"), "deg") | {"en": "keV", "rc": "mA"}
_LENGTHS = {"distance_mm": ("distance",), "pixel_size_mm": ("x_pixel_size", "y_pixel_size")}

AXES = ("rocking", "row", "column")
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
        _write_image(entry, result)
        _write_sample(entry, result)
        _write_instrument(entry, result)
        _write_process(entry, result)
        _write_diffraction(entry)
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
        file = h5py.File(path, "r")
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


def _write_diffraction(entry: h5py.Group) -> None:
    """Show the measured intensity as a second image, as CXI has it; the arrays stay with the detector."""
    image = _group(entry, "image_2", "NXdata", signal="data", interpretation="volume")
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
        _put(sample, "ub_matrix", np.asarray(result.sample["UB"], dtype=float), "1/angstrom")
    lattice = result.sample.get("lattice")
    if lattice:
        names = ("a", "b", "c", "alpha", "beta", "gamma")
        sample["unit_cell"] = np.array([float(lattice[name]) for name in names])


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
    process = _group(entry["image_1"], "process_1", "NXprocess")
    process["program"] = "vo2-bcdi"
    process["command"] = "reconstruct"
    for name in _process_fields():
        _put(process, name, getattr(result, name), _UNITS.get(name))
    for name in _JSON:
        process[name] = json.dumps(getattr(result, name), default=_plain)


def _process_fields() -> list[str]:
    elsewhere = {*_IMAGE, *_DETECTOR, *_SAMPLE, *_JSON, *_RESPONSE}
    return [field.name for field in fields(ScanResult) if field.name not in elsewhere]


def _read_values(entry: h5py.Group) -> dict[str, Any]:
    process, detector = entry["image_1/process_1"], entry["instrument_1/detector_1"]
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
    values["reasons"] = tuple(values["reasons"])
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
