"""What is compared with the truth, temperature by temperature."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TruthRow:
    """One temperature's result beside its truth.

    Attributes
    ----------
    label : str
    setpoint : float, K
    overlap : float
        Complex overlap with the truth after twin, shift, ramp and global phase are removed.
    ceiling : float or None
        The same for a reconstruction that starts from the truth: what the data can give. None where it was
        not computed.
    trusted : bool
    strain_sigma_90, true_strain_sigma_90, strain_sigma_95, true_strain_sigma_95 : float
        Standard deviation of the strain inside the 90 and the 95 % isosurface.
    d_spacing, true_d_spacing : float, Å
    missing, true_missing : float
        Share of the reference's support without density: in the reconstruction, and in the true object by the
        same steps.
    valid : float
        Share of the reference's support that the order parameter is made of.
    m1_fraction, m2_fraction, rutile_fraction : float
        True shares of the crystal's volume.
    order, true_order : float, rad
    """

    label: str
    setpoint: float
    overlap: float
    ceiling: float | None
    trusted: bool
    strain_sigma_90: float
    true_strain_sigma_90: float
    strain_sigma_95: float
    true_strain_sigma_95: float
    d_spacing: float
    true_d_spacing: float
    missing: float
    true_missing: float
    valid: float
    m1_fraction: float
    m2_fraction: float
    rutile_fraction: float
    order: float
    true_order: float

    @property
    def d_deviation(self) -> float:
        """Relative difference of the d-spacing from the true one."""
        return self.d_spacing / self.true_d_spacing - 1


@dataclass(frozen=True)
class TruthReport:
    """All temperatures, and how the order parameter follows the true one.

    Attributes
    ----------
    rows : tuple of TruthRow
    correlation : float
        Pearson correlation of the two order parameters, nan below three temperatures.
    deviation : float
        Largest difference of the two as a fraction of the true one's range, after the sign of v_1 is matched.
    """

    rows: tuple[TruthRow, ...]
    correlation: float
    deviation: float
