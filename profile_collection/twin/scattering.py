"""Scattering amplitude of a gridded density at arbitrary q, by a non-uniform FFT.

The density is piecewise linear between the grid's nodes: its transform is the nodes' sum times sinc² along
each axis. With a box instead (sinc) the ghosts of the peak at ±2π/pitch would stay above 1e-3 of it for
rutile, whose Bragg peak is not at the carrier; with sinc² about the carrier midway between both lattices
both vanish to second order.

Barnett, Magland & af Klinteberg 2019, doi:10.1137/18M120885X (FINUFFT).
"""

import finufft
import numpy as np
from numpy.typing import NDArray

from profile_collection.twin.crystal import ComplexField, CrystalState

Complex = NDArray[np.complex64]


class Scatterer:
    """A density on a regular grid, ready to be asked for its amplitude.

    Parameters
    ----------
    density : ndarray, complex64, (n0, n1, n2)
        Modulated about the carrier; node n // 2 is the origin.
    pitch : ndarray, (3,), nm
    carrier : ndarray, float64, (3,), Å⁻¹
        In the crystal's frame.
    tolerance : float
        Relative precision asked of FINUFFT.
    threads : int
    """

    def __init__(
        self,
        density: ComplexField,
        pitch: NDArray[np.float64],
        carrier: NDArray[np.float64],
        *,
        tolerance: float = 1e-4,
        threads: int = 1,
    ) -> None:
        self.density = np.ascontiguousarray(density, dtype=np.complex64)
        self.pitch = np.asarray(pitch, dtype=float)
        self.carrier = np.asarray(carrier, dtype=float)
        # An oversampling of 1.25 halves the time of the inner FFT; 2 is needed only below 1e-5 in single
        # precision.
        self._plan = finufft.Plan(
            2,
            self.density.shape,
            1,
            tolerance,
            -1,
            dtype="complex64",
            nthreads=threads,
            upsampfac=1.25 if tolerance >= 1e-4 else 2.0,
        )

    @classmethod
    def of(
        cls, state: CrystalState, density: ComplexField, *, tolerance: float = 1e-4, threads: int = 1
    ) -> "Scatterer":
        """Build the scatterer of ``density`` (``state.full()`` or ``state.monoclinic()``)."""
        pitch = np.array([float(a[1] - a[0]) for a in state.axes])
        return cls(density, pitch, np.array([0.0, state.carrier, 0.0]), tolerance=tolerance, threads=threads)

    def phases(
        self, q: NDArray[np.float64], rotation: NDArray[np.float64] | None = None
    ) -> NDArray[np.float32]:
        """Return the phase advance per node.

        Parameters
        ----------
        q : ndarray, float64, (3, n), Å⁻¹
        rotation : ndarray, float64, (3, 3), optional
            Takes ``q`` to the crystal's frame.

        Returns
        -------
        ndarray, float32, (3, n), rad
        """
        per_node = 10 * self.pitch[:, None] * (np.eye(3) if rotation is None else rotation)
        return (per_node @ q - 10 * (self.pitch * self.carrier)[:, None]).astype(np.float32)

    def amplitude(self, q: NDArray[np.float64]) -> Complex:
        """Return ∫ρ exp(−i q·r) d³r.

        Parameters
        ----------
        q : ndarray, float64, (..., 3), Å⁻¹
            In the crystal's frame.

        Returns
        -------
        ndarray, complex64, (...), nm³
        """
        phases = self.phases(np.asarray(q, dtype=float).reshape(-1, 3).T)
        amplitude = self.node_sum(phases) * form_factor(phases, self.pitch)
        return amplitude.reshape(np.shape(q)[:-1])

    def node_sum(self, phases: NDArray[np.float32]) -> Complex:
        """Return the nodes' sum without the form factor, complex64, (n,), for phases (3, n), rad."""
        self._plan.setpts(*phases)
        return np.asarray(self._plan.execute(self.density))


def form_factor(phases: NDArray[np.float32], pitch: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the transform of one node's tent: volume times Π (sin(φ/2) / (φ/2))².

    Parameters
    ----------
    phases : ndarray, float32, (3, n), rad
        Phase advance per node.
    pitch : ndarray, float64, (3,), nm

    Returns
    -------
    ndarray, float32, (n,), nm³
    """
    # The offset keeps 0/0 away and is lost in rounding everywhere else.
    half = phases * np.float32(0.5) + np.float32(1e-12)
    product = half[0] * half[1] * half[2]
    np.sin(half, out=half)
    ratio = half[0] * half[1] * half[2] / product
    return np.float32(np.prod(pitch)) * ratio * ratio
