"""Expected photons on every pixel at every eta: exact q, pixel area, coherence."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import fourier_gaussian

from profile_collection.twin.config import DetectorConfig, TwinConfig
from profile_collection.twin.crystal import CrystalState
from profile_collection.twin.geometry import FloatArray, Pose, bragg_pixel, pixel_q
from profile_collection.twin.scattering import Complex, Scatterer, form_factor

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
