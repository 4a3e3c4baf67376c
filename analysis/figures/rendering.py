"""Pictures of surfaces: by PyVista where it can render, by Matplotlib where it cannot.

The surfaces are isosurfaces as triangle meshes in nanometres, coloured by phase.
"""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from analysis.figures.style import PHASE_MAP
from analysis.structure import isosurface

FINE = 2
"""Points per voxel along each axis, interpolated over the object's own Fourier coefficients."""

SPECK = 27
"""Voxels: a cube of three on a side, about what the band limit resolves."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface of triangles.

    Attributes
    ----------
    points : ndarray, (n, 3) float32, nm
        In the frame of the voxel basis, from the middle of the grid.
    faces : ndarray, (m, 3) int32
        Numbers of three points; counter-clockwise seen from outside.
    phase : ndarray, (n,) float32, rad
        phi = Q·u at the points, wrapped.
    """

    points: NDArray[np.float32]
    faces: NDArray[np.int32]
    phase: NDArray[np.float32]


def surface(
    array: NDArray[np.complexfloating],
    basis: ArrayLike,
    percent: float,
    *,
    fine: int = FINE,
    cut: tuple[int, float] | None = None,
) -> Surface:
    """Return the surface inside which ``percent`` % of Σ abs(ρ)² lies (Najeeb et al., Fig 3).

    Loose pieces smaller than `SPECK` voxels are ringing of the band limit and left out.

    Parameters
    ----------
    array : ndarray, (n0, n1, n2) complex
        Object with arg = −Q·u.
    basis : array_like, (3, 3) float, nm
        Columns: voxel vectors.
    percent : float
        In (0, 100).
    fine : int
        Points per voxel along each axis.
    cut : tuple of int and float, optional
        Array axis and index beyond which everything is cut away, to show the phase inside.
    """
    level = float(np.abs(array)[isosurface(array, percent)].min())
    dense = finer(array, fine)
    if cut is not None:
        np.moveaxis(dense, cut[0], 0)[math.ceil(cut[1] * fine) + 1 :] = 0
    amplitude = np.pad(_without_specks(np.abs(dense), level, SPECK * fine**3), 1)
    at, faces, _, _ = marching_cubes(amplitude, level, gradient_direction="ascent")
    at = at.astype(np.float64) - 1
    value = _interpolated(dense, at)
    matrix = np.asarray(basis, dtype=float) / fine
    points = (at - np.array(dense.shape) // 2) @ matrix.T
    turned = faces if np.linalg.det(matrix) > 0 else faces[:, ::-1]
    return Surface(points.astype(np.float32), turned.astype(np.int32), -np.angle(value).astype(np.float32))


def finer(array: NDArray[np.complexfloating], factor: int) -> NDArray[np.complex64]:
    """Return an object with ``factor`` points per voxel: its transform padded with zeros; n//2 stays."""
    spectrum = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(array)))
    before = [(factor * n) // 2 - n // 2 for n in array.shape]
    after = [(factor - 1) * n - low for n, low in zip(array.shape, before, strict=True)]
    padded = np.pad(spectrum, list(zip(before, after, strict=True)))
    dense = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(padded))) * factor**3
    return np.asarray(dense, dtype=np.complex64)


def _without_specks(amplitude: NDArray[np.floating], level: float, smallest: int) -> NDArray[np.floating]:
    """Return the amplitude, 0 in pieces above ``level`` that have fewer than ``smallest`` points."""
    pieces, count = ndimage.label(amplitude > level)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    small = sizes < min(smallest, sizes[1:].max(initial=0))
    small[0] = False
    return np.where(small[pieces], 0, amplitude)


def _interpolated(dense: NDArray[np.complex64], at: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Return the object at fractional indices ``at`` (n, 3), linear in its real and imaginary part."""
    real = ndimage.map_coordinates(dense.real, at.T, order=1, mode="nearest")
    imaginary = ndimage.map_coordinates(dense.imag, at.T, order=1, mode="nearest")
    return np.asarray(real + 1j * imaginary, dtype=np.complex64)


SCENE = Path(__file__).with_name("pyvista_scene.py")
SWITCH = "VO2_RENDERER"
"""Environment variable; "matplotlib" leaves PyVista alone."""

PIXELS = 460
AMBIENT = 0.38
TIMEOUT = 300.0

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """A parallel projection: unit vectors (3,) that point right and up in the picture."""

    right: NDArray[np.float64]
    up: NDArray[np.float64]

    @property
    def looking(self) -> NDArray[np.float64]:
        """Direction (3,) from the eye into the picture."""
        return np.cross(self.up, self.right)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Surfaces seen from several sides.

    Attributes
    ----------
    images : ndarray, (surfaces, views, pixels, pixels, 4) uint8
        First row on top, transparent where there is nothing.
    half : float, nm
        Half the side of the square that each picture shows, about ``middle``.
    middle : ndarray, (3,) float64, nm
    renderer : {"pyvista", "matplotlib"}
    note : str
        Why PyVista did not draw them, in words; empty where it did.
    """

    images: Images
    half: float
    middle: NDArray[np.float64]
    renderer: str
    note: str = ""


def render(surfaces: Sequence[Surface], views: Sequence[View], *, pixels: int = PIXELS) -> Pictures:
    """Draw every surface in every view, all on one scale, coloured by phase."""
    points = np.concatenate([one.points for one in surfaces]).astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    reach = max(
        float(np.abs((points - middle) @ axis).max()) for view in views for axis in (view.right, view.up)
    )
    half = 1.03 * reach
    if os.environ.get(SWITCH, "").lower() == "matplotlib":
        images, note = None, f"{SWITCH}=matplotlib is set"
    else:
        images, note = _by_pyvista(surfaces, views, middle, half, pixels)
    if images is not None:
        return Pictures(images, half, middle, "pyvista")
    painted = [[_painted(one, view, middle, half, pixels) for view in views] for one in surfaces]
    return Pictures(np.array(painted), half, middle, "matplotlib", note)


def _by_pyvista(
    surfaces: Sequence[Surface], views: Sequence[View], middle: NDArray[np.float64], half: float, pixels: int
) -> tuple[Images | None, str]:
    """Return the images, or None and the reason in words."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "meshes.npz", Path(folder) / "images.npz"
        meshes: dict[str, NDArray[np.generic]] = {}
        for number, one in enumerate(surfaces):
            meshes |= {f"points{number}": one.points, f"faces{number}": one.faces}
            meshes[f"colours{number}"] = (255 * _colours(one.phase)).astype(np.uint8)
        np.savez(
            source,
            right=np.array([view.right for view in views]),
            up=np.array([view.up for view in views]),
            middle=middle,
            half=np.array(half),
            pixels=np.array(pixels),
            count=np.array(len(surfaces)),
            **meshes,  # type: ignore[arg-type]
        )
        command = [sys.executable, str(SCENE), str(source), str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, f"PyVista could not be run: {error}"
        if done.returncode or not target.is_file():
            return None, f"PyVista cannot render here: {_last_words(done)}"
        with np.load(target) as file:
            images = np.asarray(file["images"], dtype=np.uint8)
    if not images[..., 3].any():
        return None, "PyVista cannot render here: its pictures are empty"
    return images, ""


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    """Return what a failed process said last, or how it ended."""
    if done.returncode < 0:
        return f"the renderer was ended by signal {-done.returncode}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {done.returncode}"


def _colours(phase: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return RGB in 0 … 1, (n, 3), of phases on the cyclic map from −π to π."""
    return np.asarray(mpl.colormaps[PHASE_MAP]((phase + np.pi) / (2 * np.pi)))[:, :3]


def _painted(one: Surface, view: View, middle: NDArray[np.float64], half: float, pixels: int) -> Images:
    """Draw a surface by painting its triangles from the farthest to the nearest."""
    corners = one.points[one.faces].astype(np.float64) - middle
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    facing = -(normals @ view.looking) / lengths
    seen = np.flatnonzero(facing > 0)
    depth = corners[seen].mean(axis=1) @ view.looking
    seen = seen[np.argsort(-depth)]
    flat = np.stack([corners[seen] @ view.right, corners[seen] @ view.up], axis=-1)
    middle_phase = -np.angle(np.exp(-1j * one.phase[one.faces[seen]]).sum(axis=1))
    shade = AMBIENT + (1 - AMBIENT) * facing[seen, None]
    figure = Figure(figsize=(1, 1), dpi=pixels, facecolor="none")
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set(xlim=(-half, half), ylim=(-half, half))
    colours = _colours(middle_phase.astype(np.float32)) * shade
    ax.add_collection(PolyCollection(list(flat), facecolors=colours, edgecolors=colours, linewidths=0.2))
    canvas.draw()
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)
