"""The scattering geometry as measured (Najeeb et al., Fig 1a)."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray

from analysis.figures.style import BLUE, GREY, SKY, VERMILLION, drawing, panels
from analysis.geometry import Instrument, gaps_of, instrument_named, sample_rotation
from analysis.geometry.diffractometer import BEAM
from analysis.results import ScanResult
from analysis.unit_cells import wavelength

Vector = NDArray[np.float64]

ARM = 2.0
"""Drawn length of the detector arm; the lengths of the sketch are free, its directions are not."""

DETECTOR_SIDE = 0.9
SIX_CIRCLES = ("mu", "eta", "chi", "phi")
CRYSTAL_AXES = ("a*", "b*", "c*")


def experiment(result: ScanResult, ax: Axes | None = None) -> Figure:
    """Draw ki, kf, Q, detector, rocking axis, crystal and sample axes from the run's own angles.

    Directions are those of the laboratory frame (You 1999): x up, y along the beam. Lengths are not to scale.
    """
    angles = _angles(result)
    with drawing(ax, 5.8, 3.4) as (figure, place):
        grid = panels(figure, place, 1, 1)
        axes: Any = figure.add_subplot(grid[0, 0], projection="3d", computed_zorder=False)
        beams = _wave_vectors(result)
        _draw_detector(axes, result, angles)
        _draw_sample(axes, result, angles)
        _draw_beams(axes, *beams)
        _draw_rocking(axes, result, angles)
        _draw_frame(axes)
        _set_view(axes)
        axes.set_title(_words(result, angles, *beams), fontsize=7.5, pad=0)
        return figure


def _angles(result: ScanResult) -> dict[str, float]:
    instrument = _instrument(result)
    angles = instrument.standing(result.instrument)
    if missing := instrument.lacking(_scanned(result), angles):
        raise ValueError(
            f"the circles of {instrument.name} are needed to draw the geometry; {missing!r} are not in the "
            f"result's instrument {sorted(result.instrument)!r}"
        )
    return {name: angles[name] for name in instrument.axes if name in angles}


def _instrument(result: ScanResult) -> Instrument:
    return instrument_named(str(result.instrument.get("name", "")))


def _scanned(result: ScanResult) -> str:
    return str(result.instrument.get("scan", {}).get("axis", ""))


def _wave_vectors(result: ScanResult) -> tuple[Vector, Vector, Vector]:
    """Return ki, kf and Q, (3,) each, Å⁻¹: kf from the Q at which the peak was found."""
    ki = 2 * np.pi / wavelength(float(result.instrument["en"])) * BEAM
    return ki, ki + result.q_vector, np.asarray(result.q_vector, dtype=float)


def _draw_beams(axes: Any, ki: Vector, kf: Vector, q: Vector) -> None:
    k = float(np.linalg.norm(ki))
    _arrow(axes, -1.5 * ki / k, np.zeros(3), BLUE, "$k_i$", -1.38 * ki / k - [0.16, 0, 0])
    _arrow(axes, np.zeros(3), 0.95 * ARM * kf / k, VERMILLION, "$k_f$", 0.4 * ARM * kf / k + [0.17, 0, 0])
    axes.plot(*np.stack([np.zeros(3), 1.2 * ki / k], axis=1), color=BLUE, linewidth=0.8, linestyle=":")
    tip = 1.15 * q / np.linalg.norm(q)
    _arrow(axes, np.zeros(3), tip, "black", "$Q$", 1.12 * tip)


def _draw_detector(axes: Any, result: ScanResult, angles: dict[str, float]) -> None:
    """Draw the detector face with its chips at the end of the arm, and the peak's pixel as a dot."""
    arm = _instrument(result).detector_directions(angles)
    detector = result.instrument.get("detector", {})
    rows, cols = (float(number) for number in detector.get("shape", (515, 515)))
    along_row, out, along_col = arm[:, 0], arm[:, 1], arm[:, 2]

    def place(row: float, col: float) -> Vector:
        up, right = (row / (rows - 1) - 0.5) * DETECTOR_SIDE, (col / (cols - 1) - 0.5) * DETECTOR_SIDE
        return np.asarray(ARM * out + up * along_row + right * along_col)

    corners = [place(row, col) for row, col in ((0, 0), (0, cols - 1), (rows - 1, cols - 1), (rows - 1, 0))]
    face = Poly3DCollection([corners], facecolor="#dbe9f4", edgecolor="black", linewidth=0.8, alpha=0.95)
    axes.add_collection3d(face)
    gaps = gaps_of({"detector": detector, "instrument": result.instrument.get("name")})
    for gap in gaps[len(gaps) // 2 :][:1]:
        axes.plot(*np.stack([place(gap, 0), place(gap, cols - 1)], axis=1), color=GREY, linewidth=1.2)
        axes.plot(*np.stack([place(0, gap), place(rows - 1, gap)], axis=1), color=GREY, linewidth=1.2)
    axes.text(*place(1.13 * rows, cols / 2), "detector", ha="center", fontsize=8)


def _draw_sample(axes: Any, result: ScanResult, angles: dict[str, float]) -> None:
    """Draw the crystal as a box on its own voxel axes, and its reciprocal axes by the UB matrix."""
    size = np.array(result.sample.get("crystal_size_nm") or (1, 1, 1), dtype=float)
    directions = result.voxel_basis / np.linalg.norm(result.voxel_basis, axis=0)
    edges = directions * (size / size.max() * 0.55)
    for axis in range(3):
        for side in (-0.5, 0.5):
            others = [edges[:, other] for other in range(3) if other != axis]
            corners = [
                side * edges[:, axis] + a * others[0] + b * others[1]
                for a, b in ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))
            ]
            axes.add_collection3d(
                Poly3DCollection(
                    [corners], facecolor="#f3d9c6", edgecolor="#8a5a3a", linewidth=0.6, alpha=0.75
                )
            )
    if result.sample.get("UB") is None or not set(SIX_CIRCLES) <= set(angles):
        return
    turned = sample_rotation(*(angles[name] for name in SIX_CIRCLES))
    reciprocal = turned @ np.asarray(result.sample["UB"], dtype=float)
    for vector, name in zip(reciprocal.T, CRYSTAL_AXES, strict=True):
        tip = 0.78 * vector / np.linalg.norm(vector)
        axes.plot(*np.stack([np.zeros(3), tip], axis=1), color="#8a5a3a", linewidth=1.0)
        axes.text(*(1.16 * tip), name, color="#8a5a3a", fontsize=7.5, ha="center", va="center")


def _draw_rocking(axes: Any, result: ScanResult, angles: dict[str, float]) -> None:
    """Draw the axis of the rocking scan with the sense in which its angle increases."""
    name = _scanned(result)
    axis = _instrument(result).rocking_axis(name, angles)
    first = np.cross(axis, [0.0, 1.0, 0.0]) if abs(axis[1]) < 0.9 else np.cross(axis, [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    turn = np.linspace(0.2, 1.7 * np.pi, 60)[:, None]
    ring = 1.05 * axis + 0.16 * (np.cos(turn) * first + np.sin(turn) * second)
    axes.plot(*np.stack([-1.05 * axis, 1.3 * axis], axis=1), color=SKY, linewidth=0.9, linestyle=(0, (6, 3)))
    axes.plot(*ring.T, color=SKY, linewidth=1.3)
    axes.quiver(*ring[-2], *(ring[-1] - ring[-2]), color=SKY, length=8, arrow_length_ratio=2.0)
    axes.text(*(1.45 * axis), name, color=SKY, fontsize=8, ha="center", va="center")


def _draw_frame(axes: Any) -> None:
    """Draw the laboratory axes in a corner."""
    corner = np.array([0.55, -1.35, 0.0])
    for axis, name in enumerate(("x (up)", "y (beam)", "z")):
        _arrow(
            axes,
            corner,
            corner + 0.4 * np.eye(3)[axis],
            GREY,
            name,
            corner + (0.7 if axis == 1 else 0.55) * np.eye(3)[axis],
        )


def _arrow(axes: Any, tail: Vector, tip: Vector, colour: str, name: str, at: Vector) -> None:
    axes.quiver(*tail, *(tip - tail), color=colour, linewidth=1.5, arrow_length_ratio=0.09)
    axes.text(*at, name, color=colour, fontsize=9 if name.startswith("$") else 7, ha="center", va="center")


def _set_view(axes: Any) -> None:
    """Look from the side and a little downstream, with x of the laboratory upward."""
    axes.view_init(elev=20, azim=-52, vertical_axis="x")  # first: the box's sides follow the vertical axis
    axes.set(xlim=(-0.7, 1.5), ylim=(-1.3, 2.3), zlim=(-1.2, 1.2))
    axes.set_box_aspect((2.2, 3.6, 2.4), zoom=1.9)
    axes.set_axis_off()
    axes.set_proj_type("ortho")
    for artist in (*axes.collections, *axes.lines):
        artist.set_clip_on(False)  # the sketch is wider than its square place
    for artist in axes.get_children():
        artist.set_in_layout(False)


def _words(result: ScanResult, angles: dict[str, float], ki: Vector, kf: Vector, q: Vector) -> str:
    cosine = float(ki @ kf / (np.linalg.norm(ki) * np.linalg.norm(kf)))
    stood = ", ".join(f"{name} {angle:.2f}°" for name, angle in angles.items())
    hkl = "".join(str(index) for index in result.sample.get("reflection", ())) or "?"
    scan = result.instrument.get("scan", {})
    rocked = ""
    if {"axis", "start", "stop", "num"} <= set(scan):
        rocked = f"; {scan['axis']} {scan['start']:g}° → {scan['stop']:g}° in {scan['num']} points"
    return (
        f"{stood}\n({hkl}): 2θ = {np.degrees(np.arccos(cosine)):.3f}°, |Q| = {np.linalg.norm(q):.4f} Å⁻¹, "
        f"{float(result.instrument['en']):g} keV{rocked}"
    )
