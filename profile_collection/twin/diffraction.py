"""Expected photons on every pixel at every eta: scattering at exact q, pixel area, coherence, scale.

The scattering amplitude of a gridded density at arbitrary q comes from a non-uniform FFT (FINUFFT: Barnett,
Magland & af Klinteberg 2019, doi:10.1137/18M120885X). The density is piecewise linear between the grid's
nodes: its transform is the nodes' sum times sinc² along each axis. With a box instead (sinc) the ghosts of
the peak at ±2π/pitch would stay above 1e-3 of it for rutile, whose Bragg peak is not at the carrier; with
sinc² about the carrier midway between both lattices both vanish to second order.

Frames are computed ahead, in blocks along eta, because many frames share one inner FFT. The absolute scale
says how many photons one unit of computed intensity stands for.
"""

from collections import OrderedDict
from dataclasses import replace
from functools import lru_cache

import finufft
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import fourier_gaussian

from profile_collection.twin.config import DetectorConfig, MountConfig, TwinConfig
from profile_collection.twin.crystal import ComplexField, CrystalState, crystal
from profile_collection.twin.geometry import FloatArray, Pose, bragg_pixel, pixel_q

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


Frames = NDArray[np.float32]
Region = tuple[int, int, int, int]


class PixelSamples:
    """The points in q that stand for a detector region at one pose.

    Within ``reach`` pixels of the Bragg peak every pixel has ``nodes`` × ``nodes`` Gauss–Legendre nodes
    (fringes of a 1.8 µm crystal are 1.8 pixels wide; uniform sub-samples would be biased); elsewhere its
    centre stands for it.

    Parameters
    ----------
    detector : DetectorConfig
    pose : Pose
    region : tuple of int
        (row0, row1, column0, column1).
    peak : tuple of float
        Pixel of the Bragg peak.
    """

    def __init__(
        self, detector: DetectorConfig, pose: Pose, region: Region, peak: tuple[float, float]
    ) -> None:
        self.shape = (region[1] - region[0], region[3] - region[2])
        rows, columns = np.mgrid[region[0] : region[1], region[2] : region[3]].astype(float)
        reach = detector.quadrature_reach if detector.quadrature > 1 else -1
        self.near = (np.abs(rows - round(peak[0])) <= reach) & (np.abs(columns - round(peak[1])) <= reach)
        nodes, weights = np.polynomial.legendre.leggauss(detector.quadrature)
        self.weights = np.outer(weights, weights).ravel() / 4
        offsets = [(a / 2, b / 2) for a in nodes for b in nodes]
        far_q = pixel_q(detector, pose, rows[~self.near], columns[~self.near])
        near_q = [pixel_q(detector, pose, rows[self.near] + a, columns[self.near] + b) for a, b in offsets]
        self.q_lab: FloatArray = np.ascontiguousarray(np.concatenate([far_q, *near_q]).T)
        """Momentum transfer in the laboratory, (3, points), Å⁻¹."""

    def assemble(self, intensity: Frames) -> Frames:
        """Put one frame's point intensities, (points,), together as a frame, (rows, columns)."""
        count = self.near.size - np.count_nonzero(self.near)
        frame = np.empty(self.shape, dtype=np.float32)
        frame[~self.near] = intensity[:count]
        frame[self.near] = self.weights.astype(np.float32) @ intensity[count:].reshape(len(self.weights), -1)
        return frame


class Diffraction:
    """Noiseless intensity of one crystal state at one pose.

    Parameters
    ----------
    config : TwinConfig
    state : CrystalState
    pose : Pose
    region : tuple of int or None
        None takes the detector's.
    """

    def __init__(
        self, config: TwinConfig, state: CrystalState, pose: Pose, region: Region | None = None
    ) -> None:
        self.config, self.state, self.pose = config, state, pose
        self.scatterer = Scatterer.of(
            state, state.full(), tolerance=config.tolerance, threads=config.thread_count
        )
        peak = bragg_pixel(config.detector, pose, self.q_lab(config.mount.angles[1]))
        self.samples = PixelSamples(config.detector, pose, region or config.detector.region, peak)

    def q_lab(self, eta: float) -> FloatArray:
        """Reciprocal vector of M1 in the laboratory at ``eta``, (3,), Å⁻¹."""
        return self.pose.lab_to_crystal(self.config.mount, eta).T @ np.array([0.0, self.state.q_m1, 0.0])

    @property
    def points_per_frame(self) -> int:
        """Points in q that one frame needs."""
        return self.samples.q_lab.shape[1]

    def intensity(self, etas: NDArray[np.float64]) -> Frames:
        """Return abs(amplitude)² as the pixels see it, float32, (n, rows, columns), nm⁶.

        Averaged over each pixel near the peak, and blurred by the coherence.

        All frames share one call of the non-uniform FFT, and so its inner FFT. Eta is a point sample: it
        stands still during an exposure.
        """
        count = self.points_per_frame
        phases = np.empty((3, len(etas) * count), dtype=np.float32)
        for part, eta in zip(_parts(len(etas), count), etas, strict=True):
            turn = self.pose.lab_to_crystal(self.config.mount, eta)
            phases[:, part] = self.scatterer.phases(self.samples.q_lab, turn)
        total = self.scatterer.node_sum(phases)
        return np.stack([self._frame(total[part], phases[:, part]) for part in _parts(len(etas), count)])

    def _frame(self, total: Complex, phases: Frames) -> Frames:
        """Return one frame from its points' node sums, (n,), and phases, (3, n)."""
        power = np.square(total.real) + np.square(total.imag)
        power *= np.square(form_factor(phases, self.scatterer.pitch))
        return blurred(self.samples.assemble(power), self.config.detector.blur)


def _parts(frames: int, points: int) -> list[slice]:
    """Return where each frame's points lie in a block."""
    return [slice(i * points, (i + 1) * points) for i in range(frames)]


def blurred(frame: Frames, sigma: float) -> Frames:
    """Convolve with a Gaussian of ``sigma`` pixels, exactly: sampled taps are wrong below one pixel."""
    if sigma == 0:
        return frame
    fast = [scipy.fft.next_fast_len(n + 8, real=True) for n in frame.shape]
    padded = np.pad(frame, [(0, f - n) for f, n in zip(fast, frame.shape, strict=True)], mode="edge")
    spectrum = fourier_gaussian(scipy.fft.rfft2(padded), sigma, n=fast[-1])
    result = scipy.fft.irfft2(spectrum, s=fast)[: frame.shape[0], : frame.shape[1]]
    return np.maximum(result, 0, dtype=np.float32)


POINTS_PER_BLOCK = 9_000_000
"""Points of q in one call of the non-uniform FFT: about 24 full frames, 350 MB."""

LARGEST_BLOCK = 56

CACHE_BYTES = 160_000_000

ETA_DIGITS = 5
"""Positions that agree to 1e-5° are one position."""


class LookAhead:
    """Serves frames of one Diffraction one by one and computes them in growing blocks.

    A first exposure is computed alone; when exposures follow each other by a constant step in eta, the next
    ones are computed with it: 4, then 16, then as many as fit. Frames are kept, so that a point taken again
    costs nothing.

    Parameters
    ----------
    diffraction : Diffraction
    """

    def __init__(self, diffraction: Diffraction) -> None:
        self.diffraction = diffraction
        self.computed = 0
        self._frames: OrderedDict[float, Frames] = OrderedDict()
        self._last: float | None = None
        self._step = 0.0
        self._block = 1
        self._largest = int(np.clip(POINTS_PER_BLOCK // diffraction.points_per_frame, 1, LARGEST_BLOCK))

    def frame(self, eta: float) -> Frames:
        """Return the intensity at ``eta`` degrees, float32, (rows, columns), nm⁶; not to be written to."""
        key = round(eta, ETA_DIGITS)
        self._watch(key)
        if key not in self._frames:
            self._compute(key)
        return self._frames[key]

    def _watch(self, key: float) -> None:
        """Guess the step from the last two exposures."""
        if self._last is None or key == self._last:
            self._last = key
            return
        step = round(key - self._last, ETA_DIGITS)
        if step != self._step:
            self._step, self._block = step, 1
        elif key not in self._frames:
            self._block = min(4 * self._block, self._largest)
        self._last = key

    def _compute(self, key: float) -> None:
        wanted = [round(key + i * self._step, ETA_DIGITS) for i in range(self._block)]
        keys = [k for k in dict.fromkeys(wanted) if k not in self._frames]
        for k, frame in zip(keys, self.diffraction.intensity(np.array(keys)), strict=True):
            self._frames[k] = frame
        self.computed += len(keys)
        room = max(int(CACHE_BYTES / self._frames[key].nbytes), 2 * self._largest)
        while len(self._frames) > room:
            self._frames.popitem(last=False)


_REGION = (217, 297, 217, 297)
"""The Bragg peak on the middle of the detector and everything that can be brightest near it."""


def photons_per_intensity(config: TwinConfig) -> float:
    """Return photons per nm⁶ in the reference exposure.

    Makes the brightest pixel of the rocking scan at the reference temperature ``peak_photons``, wherever
    detector and sample really stand.
    """
    mount = MountConfig(angles=config.mount.angles, energy=config.mount.energy, theta=config.mount.theta)
    plain = replace(config, mount=mount, detector=DetectorConfig(blur=config.detector.blur))
    return config.beam.peak_photons / _brightest(replace(plain, beam=type(config.beam)()))


@lru_cache(maxsize=8)
def _brightest(config: TwinConfig) -> float:
    """Return the largest intensity of a rocking scan at the reference temperature, nm⁶."""
    mu, eta, chi, phi = config.mount.angles
    pose = Pose(mu, chi, phi, delta=2 * config.mount.theta, gam=0.0, energy=config.mount.energy)
    state = crystal(config.crystal).state(config.crystal.reference_temperature)
    scan = Diffraction(config, state, pose, region=_REGION)
    return float(scan.intensity(eta + 0.01 * np.arange(-24.0, 25.0)).max())
