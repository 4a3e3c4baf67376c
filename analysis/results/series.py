"""The order parameter of a temperature series with all that judges it, as CSV table and JSON record."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.results.atomic import replacing
from analysis.results.crystal_parts import Domains, SurfaceBulk

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Transition:
    """O(T) = baseline + amplitude/2 · (1 + tanh((T − T_c)/width)), fitted to one branch.

    A single step is this project's choice: the paper names no model, and where M1, M2 and R coexist the
    measured curve oscillates about it, which ``rms`` shows and the errors carry.

    Attributes
    ----------
    branch : {"heating", "cooling"}
    t_c, width : float, K
        Middle of the step, and the half-width of its tanh. A width below half the distance of the two
        temperatures about the step cannot be told from any smaller one, and stays at that limit.
    amplitude, baseline : float, rad
        Height of the step and the value below it.
    t_c_error, width_error, amplitude_error, baseline_error : float
        Standard errors from the covariance, scaled by the scatter about the model. ``width_error`` is None
        where the width is at its limit.
    rms : float, rad
        Root mean square distance of the points.
    points : int
    """

    branch: str
    t_c: float
    width: float
    amplitude: float
    baseline: float
    t_c_error: float
    width_error: float | None
    amplitude_error: float
    baseline_error: float
    rms: float
    points: int

    def __call__(self, temperatures: ArrayLike) -> Floats:
        """Return the model at ``temperatures``, (m,) float, K, in rad."""
        given = (self.t_c, self.width, self.amplitude, self.baseline)
        return step(np.asarray(temperatures, dtype=float), *given)

    def as_dict(self) -> dict[str, Any]:
        """Return all attributes as plain values."""
        return asdict(self)


def step(temperatures: Floats, t_c: float, width: float, amplitude: float, baseline: float) -> Floats:
    """Return the model of `Transition` at ``temperatures``."""
    return np.asarray(baseline + amplitude / 2 * (1 + np.tanh((temperatures - t_c) / width)))


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesResult:
    """One row for each analysed temperature, sorted by branch (heating first) and temperature.

    Attributes
    ----------
    series_uid : str
    reference : str
        Label of the temperature that all others are compared with.
    temperatures, temperature_sigma, setpoints : ndarray, (n,) float64, K
    branches, run_uids, labels : tuple of str
    attempts : tuple of int
    order_parameter : ndarray, (n,) float64, rad
        O_n = v_1ᵀ Δφ_n (Najeeb et al., eq. 3).
    fit : ndarray, (n,) float64, rad
        Best-fit curve at the temperatures.
    residual, errors : ndarray, (n,) float64, rad
        Order parameter minus fit, and its modulus: the paper's error bar.
    bootstrap_error : ndarray, (n,) float64, rad
        Standard error by a bootstrap over blocks of voxels.
    seed_spread : ndarray, (n,) float64, rad
        Standard deviation over reconstructions of one scan from several seeds; NaN where there is one.
    seeds : ndarray, (n,) int64
        How many there are.
    curve : ndarray, (2, m) float64
        Temperatures (K) and order parameter (rad) of the fit, finely sampled, for drawing.
    curve_cooling : ndarray, (m,) bool
        Which part of the curve belongs to the cooling branch.
    transitions : tuple of Transition
        The transition model of each branch that has temperatures enough.
    scores : ndarray, (n, 2) float64, rad
        Projections on the first two principal components.
    eigenvalues, explained_ratio : ndarray, (k,) float64, rad²
        All eigenvalues of C (eq. 2), and their shares of its trace.
    circular : ndarray, (n,) float64
        Order parameter on the circle (`CircularOrderParameter`), without unit.
    circular_ratio : float
        Share of its first component.
    followed : ndarray, (n,) float64, rad
        Order parameter of phases with their turns (`follow_phases`); the linear one where none was made.
    near_wrap : ndarray, (n,) float64
        Share of the valid voxels with abs(Δφ) above 0.9 π: where it is large, the circular one is to be read.
    valid_fraction : ndarray, (n,) float64
        Share of the reference support where density is present.
    rms_phase : ndarray, (n,) float64, rad
        Root mean square of Δφ per valid voxel.
    overlap, twin_margin : ndarray, (n,) float64
        Of each object with the neighbour it was aligned to, and by how much the twin was decided.
    d_spacing, d_spacing_error : ndarray, (n,) float64, Å
        From the centre of mass of the peak.
    bragg_shift : ndarray, (n,) float64, Å⁻¹
        By how much abs(q) of the peak exceeds the reference's, from the ramp that the gauge took out.
    d_spacing_ramp : ndarray, (n,) float64, Å
        The spacing that this shift stands for, the reference's own being that of its centre of mass.
    chi_squared, noise_ratio : ndarray, (n,) float64
    domains : tuple of Domains
        Compressive, neutral, tensile and missing volume of the reference's support, with maps on the grid of
        ``aligned``.
    surface_bulk : tuple of SurfaceBulk
        Strain of what is present, in the shell of the reference's support and below it.
    trusted, provisional : ndarray, (n,) bool
    reasons : tuple of tuple of str
        For each temperature, why it is not trusted or provisional.
    aligned : ndarray, (n, 64, 64, 64) complex64
        Gauge-fixed objects on one orthogonal grid.
    basis : ndarray, (3, 3) float64, nm
        Its voxel vectors, as columns.
    q_axis : int
        Array axis that lies along Q.
    q_vector : ndarray, (3,) float64, Å⁻¹
        Scattering vector of the reference, in the frame of ``basis``.
    support : ndarray, (64, 64, 64) bool
        S_0, the support of the reference.
    expected : int or None
        How many temperatures the series is to have.
    notes : tuple of str
        What concerns the series as a whole.
    """

    series_uid: str
    reference: str
    temperatures: Floats
    temperature_sigma: Floats
    setpoints: Floats
    branches: tuple[str, ...]
    run_uids: tuple[str, ...]
    labels: tuple[str, ...]
    attempts: tuple[int, ...]
    order_parameter: Floats
    fit: Floats
    residual: Floats
    bootstrap_error: Floats
    seed_spread: Floats
    seeds: NDArray[np.int64]
    curve: Floats
    curve_cooling: Flags
    transitions: tuple[Transition, ...]
    scores: Floats
    eigenvalues: Floats
    explained_ratio: Floats
    circular: Floats
    circular_ratio: float
    followed: Floats
    near_wrap: Floats
    valid_fraction: Floats
    rms_phase: Floats
    overlap: Floats
    twin_margin: Floats
    d_spacing: Floats
    d_spacing_error: Floats
    bragg_shift: Floats
    d_spacing_ramp: Floats
    chi_squared: Floats
    noise_ratio: Floats
    domains: tuple[Domains, ...]
    surface_bulk: tuple[SurfaceBulk, ...]
    trusted: Flags
    provisional: Flags
    reasons: tuple[tuple[str, ...], ...]
    aligned: NDArray[np.complex64]
    basis: Floats
    q_axis: int
    q_vector: Floats
    support: Flags
    expected: int | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def errors(self) -> Floats:
        """Error bar of each temperature, rad: distance from the best-fit curve (Najeeb et al., Fig 5b)."""
        return np.abs(self.residual)

    @property
    def spread(self) -> Floats:
        """Error bar of each reconstruction, rad: over seeds where there are several, else bootstrap."""
        return np.where(np.isfinite(self.seed_spread), self.seed_spread, self.bootstrap_error)

    @property
    def final(self) -> bool:
        """True once nothing in the series is provisional."""
        return not bool(self.provisional.any())

    def __len__(self) -> int:
        return len(self.temperatures)


TABLE = "order_parameter.csv"
RECORD = "series.json"

_COLUMNS = {
    "temperature_K": "temperatures",
    "temperature_sigma_K": "temperature_sigma",
    "setpoint_K": "setpoints",
    "branch": "branches",
    "attempt": "attempts",
    "order_parameter_rad": "order_parameter",
    "fit_rad": "fit",
    "residual_rad": "residual",
    "bootstrap_error_rad": "bootstrap_error",
    "seed_spread_rad": "seed_spread",
    "seeds": "seeds",
    "circular_order_parameter": "circular",
    "followed_order_parameter_rad": "followed",
    "near_wrap_fraction": "near_wrap",
    "valid_fraction": "valid_fraction",
    "rms_phase_rad": "rms_phase",
    "overlap_with_neighbour": "overlap",
    "twin_margin": "twin_margin",
    "d_spacing_angstrom": "d_spacing",
    "d_spacing_error_angstrom": "d_spacing_error",
    "d_spacing_ramp_angstrom": "d_spacing_ramp",
    "bragg_shift_per_angstrom": "bragg_shift",
    "chi_squared": "chi_squared",
    "noise_ratio": "noise_ratio",
    "trusted": "trusted",
    "provisional": "provisional",
    "run_uid": "run_uids",
}

_STRUCTURE = (
    "compressive_fraction",
    "neutral_fraction",
    "tensile_fraction",
    "missing_fraction",
    "missing_false_alarm_rate",
    "surface_strain_mean",
    "surface_strain_sigma",
    "bulk_strain_mean",
    "bulk_strain_sigma",
)


def write_series(folder: Path, series: "SeriesResult") -> tuple[Path, Path]:
    """Write ``order_parameter.csv`` and ``series.json`` into ``folder`` and return their paths.

    The CSV has one line per temperature under a header that names the units; the JSON holds the same with
    eigenvalues, fit curve and notes.
    """
    table, record = Path(folder) / TABLE, Path(folder) / RECORD
    rows = _rows(series)
    with replacing(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*_COLUMNS, "pc2_rad", *_STRUCTURE, "reasons"])
        writer.writeheader()
        writer.writerows({**row, "reasons": "; ".join(row["reasons"])} for row in rows)
    with replacing(record) as temporary:
        temporary.write_text(
            json.dumps(_record(series, rows), indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )
    return table, record


def read_order_parameter(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of ``order_parameter.csv`` in ``folder``, numbers as numbers and flags as bool."""
    path = Path(folder) / TABLE
    if not path.is_file():
        raise FileNotFoundError(f"{TABLE} is required in {str(folder)!r}: analyse the series first")
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _parse(text) for name, text in row.items()} for row in csv.DictReader(file)]


def read_series(folder: Path) -> dict[str, Any]:
    """Return what ``series.json`` in ``folder`` holds; what an older file lacks is empty or None.

    Keys are those that `write_series` gives: ``final``, ``temperatures`` (one mapping per row of the table),
    ``eigenvalues_rad2``, ``explained_ratio``, ``fit_curve``, ``transitions``, ``notes`` and others.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"{RECORD} is required in {str(folder)!r}: analyse the series first")
    record: dict[str, Any] = {"transitions": [], "structure": [], "circular_explained_ratio": None}
    record |= json.loads(path.read_text(encoding="utf-8"))
    nothing = dict.fromkeys([*_COLUMNS, "pc2_rad", *_STRUCTURE])
    record["temperatures"] = [nothing | row for row in record["temperatures"]]
    curve = record["fit_curve"]
    curve.setdefault("branch", ["heating"] * len(curve["temperature_K"]))
    return record


def _rows(series: "SeriesResult") -> list[dict[str, Any]]:
    rows = []
    for index in range(len(series)):
        row = {name: _cell(getattr(series, attribute)[index]) for name, attribute in _COLUMNS.items()}
        row["pc2_rad"] = _cell(series.scores[index, 1])
        row |= _structure(series.domains[index].record(), series.surface_bulk[index].record())
        row["reasons"] = list(series.reasons[index])
        rows.append(row)
    return rows


def _structure(domains: Mapping[str, Any], shells: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `_STRUCTURE` columns of one temperature."""
    fractions, regions = domains["fractions"], [shells[name] for name in ("surface", "bulk")]
    values = [
        *(fractions[name] for name in ("compressive", "neutral", "tensile", "missing")),
        domains["false_alarm_rate"],
        *(region[name] for region in regions for name in ("mean", "sigma")),
    ]
    return dict(zip(_STRUCTURE, values, strict=True))


def _record(series: "SeriesResult", rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "series_uid": series.series_uid,
        "reference": series.reference,
        "final": series.final,
        "expected": series.expected,
        "notes": list(series.notes),
        "temperatures": rows,
        "eigenvalues_rad2": [_cell(value) for value in series.eigenvalues],
        "explained_ratio": [_cell(value) for value in series.explained_ratio],
        "fit_curve": {
            "temperature_K": series.curve[0].tolist(),
            "order_parameter_rad": series.curve[1].tolist(),
            "branch": ["cooling" if cooling else "heating" for cooling in series.curve_cooling],
        },
        "transitions": [transition.as_dict() for transition in series.transitions],
        "circular_explained_ratio": _cell(series.circular_ratio),
        "structure": [
            {"domains": domains.record(), "surface_bulk": shells.record()}
            for domains, shells in zip(series.domains, series.surface_bulk, strict=True)
        ],
        "voxel_basis_nm": series.basis.tolist(),
        "support_voxels": int(np.count_nonzero(series.support)),
    }


def _cell(value: Any) -> Any:
    """Return a plain Python value; a number that is not finite becomes None, for JSON has none."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain


def _parse(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    try:
        return float(text)
    except ValueError:
        return text
