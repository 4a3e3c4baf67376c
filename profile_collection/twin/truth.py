"""The truth about a simulated scan, as docs/science.md section 2.4 defines it, kept apart from the data.

Truth is the inverse FFT of the noiseless complex amplitude of the non-rutile density (1−R)ρ, unblurred and
sampled at the pixels' centres, at exactly the voxels of the analysed crop. Sampling the fine density on
coarse voxels instead would alias.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from profile_collection.twin.config import TwinConfig, require
from profile_collection.twin.crystal import CrystalState, crystal
from profile_collection.twin.diffraction import Complex, Scatterer, photons_per_intensity
from profile_collection.twin.geometry import FloatArray, Pose, pixel_q

FORMAT = "vo2 twin truth 1"


@dataclass(frozen=True)
class TruthRecord:
    """What the truth of a scan can be computed from.

    Attributes
    ----------
    run_uid : str
    seed : int
        The twin's.
    temperature : float, K
        Of the crystal's state during the scan.
    pose : Pose
    etas : ndarray, float64, (n,), degrees
        Position of each frame in the order of the scan.
    config : TwinConfig
    """

    run_uid: str
    seed: int
    temperature: float
    pose: Pose
    etas: FloatArray
    config: TwinConfig

    def write(self, path: Path) -> None:
        """Write a few kilobytes of JSON."""
        positions = np.asarray(self.etas, dtype=float)
        require(
            positions.ndim == 1 and positions.size > 1 and bool(np.all(np.isfinite(positions))),
            "etas must be at least two finite positions in degrees",
            self.etas,
            "give one per frame of the scan",
        )
        values = {
            **vars(self),
            "format": FORMAT,
            "pose": vars(self.pose),
            "etas": positions.tolist(),
            "config": self.config.to_dict(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of ``write``."""
        values = json.loads(path.read_text(encoding="utf-8"))
        found = values.pop("format", None) if isinstance(values, dict) else None
        require(
            found == FORMAT,
            f"{path.name} must be a file of the twin's write_truth ({FORMAT!r})",
            found,
            "check the path",
        )
        config, pose = TwinConfig.from_dict(values.pop("config")), Pose(**values.pop("pose"))
        return cls(**{**values, "etas": np.asarray(values["etas"])}, config=config, pose=pose)


@dataclass(frozen=True)
class CrystalTruth:
    """What the crystal was during a scan, from its fine fields.

    Attributes
    ----------
    d_spacing : float, Å
        abs(ρ)²-weighted mean spacing along Q of the non-rutile density (docs/science.md section 3.15).
    m1_fraction, m2_fraction, rutile_fraction : float
        Shares of the crystal's volume; they sum to 1.
    """

    d_spacing: float
    m1_fraction: float
    m2_fraction: float
    rutile_fraction: float


def crystal_truth(path: Path) -> CrystalTruth:
    """Return what the crystal was during the scan of ``path``, a file of ``Twin.write_truth``.

    The mean of the local abs(q) = abs(Q) − ∂phi/∂x_Q, weighted by abs(ρ)², is by Parseval the centre of mass
    of the whole Bragg peak, of which a detector sees a part.
    """
    record = TruthRecord.read(Path(path))
    state = crystal(record.config.crystal).state(record.temperature)
    weight = (state.support * (1 - state.rutile)).astype(np.float64) ** 2
    q = state.q_m1 * (1 - float(np.average(state.strain(), weights=weight)))
    rutile, m2 = state.rutile_fraction, state.m2_fraction
    return CrystalTruth(2 * np.pi / q, 1 - rutile - m2, m2, rutile)


def truth_objects(
    path: Path, frame_slice: slice, row_slice: slice, col_slice: slice
) -> dict[str, NDArray[Any]]:
    """Return the truth of a scan for one crop.

    Parameters
    ----------
    path : Path
        A file of ``Twin.write_truth``.
    frame_slice, row_slice, col_slice : slice
        The crop: frames of the scan, and pixels counted from the corner of the frames as they were read
        out. Bounds are literal (a negative start lies before the first frame; eta continues there by the
        scan's step).

    Returns
    -------
    dict
        ``monoclinic`` (the truth) and ``full``, complex64, with the crop's shape n: objects whose abs(FFT)²
        is the expected count of a reference exposure; arg = −Q·u, origin at index n // 2. ``amplitude`` and
        ``amplitude_full``, complex64: their transforms. ``support``, ``rutile``, ``m2`` (0 to 1), ``phase``
        (phi, rad) and ``strain``, float32: the fine fields at the voxels' centres. ``q_vector`` (3,) Å⁻¹ at
        the crop's centre and ``voxel_basis`` (3, 3) nm with the voxels' edges as columns, both in the
        laboratory at the crop's central eta.
    """
    record = TruthRecord.read(Path(path))
    config, pose = record.config, record.pose
    state = crystal(config.crystal).state(record.temperature)
    frames, rows, columns = (
        _indices(s, n) for s, n in ((frame_slice, "frame"), (row_slice, "row"), (col_slice, "col"))
    )
    etas = _extended(record.etas, frames)
    q = crop_q(config, pose, etas, rows, columns)
    scale = np.float32(np.sqrt(photons_per_intensity(config)))
    centre = tuple(n // 2 for n in q.shape[:3])
    basis = voxel_basis(q)
    turn = pose.lab_to_crystal(config.mount, etas[centre[0]]).T
    result: dict[str, NDArray[Any]] = {"q_vector": turn @ q[centre], "voxel_basis": turn @ basis}
    for name, suffix, density in (("monoclinic", "", state.monoclinic()), ("full", "_full", state.full())):
        scatterer = Scatterer.of(state, density, tolerance=config.tolerance, threads=config.thread_count)
        amplitude = scatterer.amplitude(q) * scale
        result["amplitude" + suffix], result[name] = amplitude, inverse_transform(amplitude)
    return result | _fields(state, basis, q.shape[:3])


def inverse_transform(amplitude: Complex) -> Complex:
    """Return fftshift(ifftn(ifftshift(amplitude))), the object of docs/science.md section 3.1."""
    return np.asarray(np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(amplitude))), dtype=np.complex64)


def crop_q(
    config: TwinConfig, pose: Pose, etas: FloatArray, rows: NDArray[np.int_], columns: NDArray[np.int_]
) -> FloatArray:
    """Exact q of every voxel's centre in the crystal's frame, (frames, rows, columns, 3), Å⁻¹."""
    r0, _, c0, _ = config.detector.region
    grid = np.meshgrid(rows.astype(float) + r0, columns.astype(float) + c0, indexing="ij")
    q_lab = pixel_q(config.detector, pose, *grid)
    return np.stack([q_lab @ pose.lab_to_crystal(config.mount, eta).T for eta in etas])


def voxel_basis(q: FloatArray) -> FloatArray:
    """Return the edges of a crop's real-space voxel as columns, (3, 3), nm.

    From the voxels' q, (n0, n1, n2, 3), Å⁻¹, linearised at the crop's centre.
    """
    centre = [n // 2 for n in q.shape[:3]]
    steps = np.empty((3, 3))
    for axis in range(3):
        ahead, behind = list(centre), list(centre)
        ahead[axis], behind[axis] = centre[axis] + 1, centre[axis] - 1
        steps[:, axis] = (q[tuple(ahead)] - q[tuple(behind)]) / 2
    return np.asarray(2 * np.pi * np.linalg.inv(steps * np.array(q.shape[:3])).T / 10)


def _fields(state: CrystalState, basis: FloatArray, shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Sample the fine fields at the voxels' centres."""
    indices = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"))
    positions = np.tensordot(basis, indices, axes=1)
    nodes = [(positions[i] - a[0]) / (a[1] - a[0]) for i, a in enumerate(state.axes)]
    fine = {
        "support": state.support,
        "rutile": state.rutile,
        "m2": state.m2,
        "phase": state.phase,
        "strain": state.strain(),
    }
    return {name: map_coordinates(field, nodes, order=1, mode="constant") for name, field in fine.items()}


def _indices(crop: slice, name: str) -> NDArray[np.int_]:
    require(
        crop.start is not None
        and crop.stop is not None
        and crop.step in (None, 1)
        and crop.stop - crop.start >= 3,
        f"{name}_slice must have a start and a stop at least 3 apart, and no step",
        crop,
        "give the analysed crop, for example slice(78, 142)",
    )
    return np.arange(crop.start, crop.stop)


def _extended(etas: FloatArray, frames: NDArray[np.int_]) -> FloatArray:
    """Eta of each frame, continued with the scan's own step beyond its ends."""
    step = (etas[-1] - etas[0]) / (len(etas) - 1)
    inside = etas[np.clip(frames, 0, len(etas) - 1)]
    return np.asarray(inside + step * (np.minimum(frames, 0) + np.maximum(frames - len(etas) + 1, 0)))
