"""What a temperature series comes to: its scans, order parameter, fit, gauge, lattice and structure."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.results.crystal_parts import Domains, SurfaceBulk

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Transition:
    """O(T) = baseline + amplitude/2 · (1 + tanh((T − T_c)/width)), fitted to one leg of the series.

    A single step is this project's choice: the paper names no model, and where M1, M2 and R coexist the
    measured curve oscillates about it, which ``rms`` shows and the errors carry.

    Attributes
    ----------
    branch : {"heating", "cooling"}
    leg : int
        Which of the series' legs, counted as in `SeriesScans`.
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
    leg: int
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
class SeriesScans:
    """The scans that a series counts, one for each place in it, in the order in which they were measured.

    Attributes
    ----------
    indices : ndarray, (n,) int64
        Place in the series (``series_index``): repeated and cycled temperatures have one each.
    temperatures, temperature_sigma, setpoints : ndarray, (n,) float64, K
    branches, run_uids : tuple of str
    labels : tuple of str
        Temperature in words; one that was measured before on its branch has its number behind it.
    attempts, analyses : tuple of int
    path : ndarray, (n,) float64, K
        How far along the way that the sample went: the setpoints' steps summed up, up or down alike. It
        begins at the first temperature.
    legs : ndarray, (n,) int64
        Number of the leg, from 0: a leg goes one way, and the next begins where the sample turns.
    notes : tuple of tuple of str
        Of each scan, what is to be known of its data.
    chi_squared, noise_ratio : ndarray, (n,) float64
    resolution : ndarray, (n,) float64, nm
        Where the phase-retrieval transfer function over several trusted seeds falls below 1/e, or the edge of
        the measured q if it does not; NaN where there is one seed.
    monitor_spread : ndarray, (n,) float64
        Standard deviation of the monitor over the scan's points, relative to its mean; NaN where a file does
        not say.
    """

    indices: NDArray[np.int64]
    temperatures: Floats
    temperature_sigma: Floats
    setpoints: Floats
    branches: tuple[str, ...]
    run_uids: tuple[str, ...]
    labels: tuple[str, ...]
    attempts: tuple[int, ...]
    analyses: tuple[int, ...]
    path: Floats
    legs: NDArray[np.int64]
    notes: tuple[tuple[str, ...], ...]
    chi_squared: Floats
    noise_ratio: Floats
    resolution: Floats
    monitor_spread: Floats

    def branch_of(self, leg: int) -> str:
        """Return whether a leg is "heating" or "cooling"."""
        return self.branches[int(np.flatnonzero(self.legs == leg)[0])]

    def leg_name(self, leg: int) -> str:
        """Return a leg in words: "heating", "cooling", and from its second time on "heating 2"."""
        branch = self.branch_of(leg)
        count = sum(self.branch_of(other) == branch for other in range(leg + 1))
        return branch if count == 1 else f"{branch} {count}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """The order parameter, and what tells how far to believe it.

    Attributes
    ----------
    parameter : ndarray, (n,) float64, rad
        O_n = v_1ᵀ Δφ_n (Najeeb et al., eq. 3).
    bootstrap_error : ndarray, (n,) float64, rad
        Standard error by a bootstrap over blocks of voxels.
    seed_spread : ndarray, (n,) float64, rad
        Standard deviation over reconstructions of one scan from several seeds; NaN where there is one.
    seeds : ndarray, (n,) int64
        How many there are.
    repeat_error : ndarray, (n,) float64, rad
        Standard error that repeats of a temperature show (`analysis.order_parameter.repeat_error`): one
        number for the series, 0 for the reference; NaN where no temperature was repeated.
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
    """

    parameter: Floats
    bootstrap_error: Floats
    seed_spread: Floats
    seeds: NDArray[np.int64]
    repeat_error: Floats
    scores: Floats
    eigenvalues: Floats
    explained_ratio: Floats
    circular: Floats
    circular_ratio: float
    followed: Floats
    near_wrap: Floats
    valid_fraction: Floats
    rms_phase: Floats

    @property
    def spread(self) -> Floats:
        """Error bar of each reconstruction, rad: over seeds where there are several, else bootstrap.

        Where temperatures were repeated it is at least what the repeats show.
        """
        own = np.where(np.isfinite(self.seed_spread), self.seed_spread, self.bootstrap_error)
        return np.fmax(own, self.repeat_error)

    @property
    def spread_source(self) -> str:
        """What `spread` is made of, in words."""
        seeds = np.isfinite(self.seed_spread)
        words = ["spread over seeds"] if seeds.any() else []
        words += ["bootstrap"] if not seeds.all() else []
        least = ", at least repeats' scatter" if np.isfinite(self.repeat_error).any() else ""
        return f"error: {' or '.join(words)}{least}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The curves through the order parameter.

    Attributes
    ----------
    values, residual : ndarray, (n,) float64, rad
        Best-fit curve at the temperatures, and order parameter minus fit.
    curve : ndarray, (2, m) float64
        Temperatures (K) and order parameter (rad) of the fit, finely sampled along the way that the sample
        went, for drawing.
    curve_legs : ndarray, (m,) int64
        Leg that each point of the curve belongs to.
    transitions : tuple of Transition
        The transition model of each leg that has temperatures enough.
    """

    values: Floats
    residual: Floats
    curve: Floats
    curve_legs: NDArray[np.int64]
    transitions: tuple[Transition, ...]

    @property
    def errors(self) -> Floats:
        """Error bar of each temperature, rad: distance from the best-fit curve (Najeeb et al., Fig 5b)."""
        return np.abs(self.residual)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gauge:
    """A series in one gauge on one orthogonal grid; row i belongs to scan i.

    Attributes
    ----------
    aligned : ndarray, (n, 64, 64, 64) complex64
    basis : ndarray, (3, 3) float64, nm
        Voxel vectors of the grid, as columns; one lies along Q.
    q_axis : int
        Which.
    q_vector : ndarray, (3,) float64, Å⁻¹
        Scattering vector of the reference, in the frame of ``basis``.
    support : ndarray, (64, 64, 64) bool
        S_0, the 95 % isosurface of the reference.
    reference : int
        Row of the reference.
    neighbour : tuple of int
        Row that each was aligned to; the reference's own is itself.
    overlap, margin : ndarray, (n,) float64
        With that neighbour, and by how much the twin was decided; 1 for the reference.
    twinned : tuple of bool
    moved : ndarray, (n, 3) float64, voxels of the grid
    ramp : ndarray, (n, 3) float64, rad per voxel of the grid
        Linear phase taken out: a shift of the Bragg peak, which is reported as d-spacing.
    decided : ndarray, (n,) bool
        Whether the margin decides the twin (`analysis.order_parameter.TWIN_MARGIN`).
    """

    aligned: NDArray[np.complex64]
    basis: Floats
    q_axis: int
    q_vector: Floats
    support: Flags
    reference: int
    neighbour: tuple[int, ...]
    overlap: Floats
    margin: Floats
    twinned: tuple[bool, ...]
    moved: Floats
    ramp: Floats
    decided: Flags


@dataclass(frozen=True, kw_only=True, eq=False)
class Lattice:
    """The mean spacing of the planes, which the phase does not show once its ramp is taken out.

    Attributes
    ----------
    d_spacing, d_spacing_error : ndarray, (n,) float64, Å
        From the centre of mass of the peak.
    bragg_shift : ndarray, (n,) float64, Å⁻¹
        By how much abs(q) of the peak exceeds the reference's, from the ramp that the gauge took out.
    d_spacing_ramp : ndarray, (n,) float64, Å
        The spacing that this shift stands for, the reference's own being that of its centre of mass.
    """

    d_spacing: Floats
    d_spacing_error: Floats
    bragg_shift: Floats
    d_spacing_ramp: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Structure:
    """What the crystal consists of at each temperature.

    Attributes
    ----------
    domains : tuple of Domains
        Compressive, neutral, tensile and missing volume of the reference's support, with maps on the grid of
        the gauge.
    surface_bulk : tuple of SurfaceBulk
        Strain of what is present, in the shell of the reference's support and below it.
    """

    domains: tuple[Domains, ...]
    surface_bulk: tuple[SurfaceBulk, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesResult:
    """A temperature series: n scans, and what they say together.

    Attributes
    ----------
    series_uid : str
    scans : SeriesScans
    order : Order
    fit : Fit
    gauge : Gauge
    lattice : Lattice
    structure : Structure
    trusted, provisional : ndarray, (n,) bool
    reasons : tuple of tuple of str
        For each temperature, why it is not trusted.
    expected : int or None
        How many scans the series is to have.
    notes : tuple of str
        What concerns the series as a whole.
    unsettled : tuple of str
        Why its values are provisional; among the notes, too.
    critical_region : tuple of float or None, K
        First and last temperature that figures mark.
    """

    series_uid: str
    scans: SeriesScans
    order: Order
    fit: Fit
    gauge: Gauge
    lattice: Lattice
    structure: Structure
    trusted: Flags
    provisional: Flags
    reasons: tuple[tuple[str, ...], ...]
    expected: int | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)
    unsettled: tuple[str, ...] = ()
    critical_region: tuple[float, float] | None = None

    @property
    def reference(self) -> str:
        """Label of the temperature that all others are compared with."""
        return self.scans.labels[self.gauge.reference]

    @property
    def final(self) -> bool:
        """True once nothing in the series is provisional."""
        return not bool(self.provisional.any())

    def __len__(self) -> int:
        return len(self.scans.temperatures)
