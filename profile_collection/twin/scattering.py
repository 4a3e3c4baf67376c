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

    def phases(self, q: NDArray[np.float64]) -> NDArray[np.float32]:
        """Phase advance per node, (..., 3), rad, of ``q`` in the crystal's frame, (..., 3), Å⁻¹."""
        return ((q - self.carrier) * (10 * self.pitch)).astype(np.float32)

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
        phases = self.phases(np.asarray(q, dtype=float))
        return self.amplitude_at(np.ascontiguousarray(np.moveaxis(phases, -1, 0)))

    def amplitude_at(self, phases: NDArray[np.float32]) -> Complex:
        """Return the amplitude for phase advances per node, float32, (3, ...), rad; complex64, (...), nm³."""
        points = phases.reshape(3, -1)
        self._plan.setpts(*points)
        amplitude = self._plan.execute(self.density)
        amplitude *= self.form_factor(points)
        return np.asarray(amplitude).reshape(phases.shape[1:])

    def form_factor(self, phases: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the transform of one node's tent, nm³, for phases (3, ...), rad: volume times Π sinc²."""
        half = phases * np.float32(0.5)
        half[np.abs(half) < 1e-4] = 1e-4
        np.divide(np.sin(half), half, out=half)
        product = half[0] * half[1] * half[2]
        return np.float32(np.prod(self.pitch)) * product * product
