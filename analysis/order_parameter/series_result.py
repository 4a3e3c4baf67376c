"""The order parameter of a temperature series, with all that is needed to judge it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.order_parameter.transition import Transition
from analysis.structure import Domains, SurfaceBulk

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


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
