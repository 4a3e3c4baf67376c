"""One analysed scan, as everything downstream sees it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Transfer:
    """Transfer learning on one pattern: the network fine-tuned on it with the Fourier loss L3 alone.

    Of the central 32 voxels of q (docs/science.md section 3.9). A low loss does not make an object right.

    Attributes
    ----------
    object : ndarray, (32, 32, 32) complex64, √counts
        After the last epoch, on the whole field of view: a voxel is n/32 voxels of the scan's wide.
    loss_history : ndarray, (epochs + 1,) float64
        L3 before each epoch and at the end.
    overlap_epochs : ndarray, (k,) int64
        Epochs at whose beginning the overlap was measured; the last one is the end.
    overlaps : ndarray, (k,) float64
        Overlap with the search's object, brought to the same voxels; empty where there was none.
    search_loss : float
        L3 of the search's object, there; NaN where there was none.
    phase_rms : float, rad
        Root mean square difference of the last object's phase from the search's, weighted with the search's
        density; NaN where there was none.
    learning_rate : float
    seed : int
        Chose the orientation of the input.
    weights_hash : str
        SHA-256 of the weights before the first epoch.
    precision : {"bfloat16", "float32"}
        In which the network was computed.
    cpu_seconds : float
    """

    object: NDArray[np.complex64]
    loss_history: NDArray[np.float64]
    overlap_epochs: NDArray[np.int64]
    overlaps: NDArray[np.float64]
    search_loss: float
    phase_rms: float
    learning_rate: float
    seed: int
    weights_hash: str
    precision: str
    cpu_seconds: float

    def __post_init__(self) -> None:
        """Refuse curves that do not belong together."""
        if len(self.loss_history) < 1 or len(self.overlaps) not in (0, len(self.overlap_epochs)):
            raise ValueError(
                "a loss at least, and an overlap for each of its epochs, are required; got "
                f"{len(self.loss_history)!r} losses, {len(self.overlaps)!r} overlaps at "
                f"{len(self.overlap_epochs)!r} epochs"
            )

    @property
    def epochs(self) -> int:
        """Epochs of the fine-tuning."""
        return len(self.loss_history) - 1

    @property
    def final_loss(self) -> float:
        """L3 at the end."""
        return float(self.loss_history[-1])


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
        Why the reconstruction is not trusted.
    loss_history : ndarray, (steps,) float64
    temperature, temperature_sigma, temperature_setpoint : float, K
        Mean and standard deviation over the scan, and what was asked for.
    branch : {"heating", "cooling"}
    attempt, series_index : int
    analysis : int
        1 for the scan's first analysis; later ones, with more effort, stand beside it.
    series_uid, run_uid : str
    started : float, s
        When the scan began, since 1970-01-01 UTC; NaN in files that were written before it was kept.
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
        What each pixel, and each frame, counts of what it should, as the object was phased with: the flat
        field that was given, and what was found where the pattern could not be explained without; None where
        neither was.
    given_flat_field, dark : ndarray, (n1, n2) float32, or None
        What was given: each pixel's counts of the same light, over their mean, and its counts without any.
    background_planes : ndarray, (n0,) float32, counts, or None
        Background of each plane, where it changes along the scan.
    notes : tuple of str
        What is to be known of the data and no fault of the reconstruction: points left out, an assumption
        about a file; empty in files that were written before it was kept apart from ``reasons``.
    not_counts : tuple of str
        What spoke against counts as they were read; empty in files that were written before it was asked.
    experiment : mapping
        Description that the scan was measured and analysed by, as plain values (`analysis.experiment`); empty
        in files that were written before it was kept.
    transfer : Transfer or None
        Transfer learning on the scan's pattern, where it has run.
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
    started: float = float("nan")
    coherence: tuple[float, float, float] = (0.0, 0.0, 0.0)
    flat_field: NDArray[np.float32] | None = None
    exposure: NDArray[np.float32] | None = None
    given_flat_field: NDArray[np.float32] | None = None
    dark: NDArray[np.float32] | None = None
    background_planes: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = ()
    not_counts: tuple[str, ...] = ()
    analysis: int = 1
    transfer: Transfer | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    strain: Mapping[str, Any] = field(default_factory=dict)
    structure: Mapping[str, Any] = field(default_factory=dict)
    experiment: Mapping[str, Any] = field(default_factory=dict)
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
        frame = shape[1:]
        for name, needed in (
            ("flat_field", frame),
            ("exposure", shape[:1]),
            ("given_flat_field", frame),
            ("dark", frame),
            ("background_planes", shape[:1]),
        ):
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
