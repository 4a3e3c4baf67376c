"""What the page draws, as compact arrays: crystals, their surfaces, diffraction, the newest frame.

All but the frame is computed in a process of its own, for it takes the time that the browsers would wait.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from analysis.results import AlignedObjects

PERCENT = 99.0
"""Share of Σ abs(ρ)² inside the surface that is shown; nearer to 100 % the rim rings."""

FAINT = 0.03
"""Share of the largest amplitude below which a voxel has no phase worth a colour."""

MASKED = 255
"""Value of a pixel that counts no photons; counts go from 0 to 254."""

Bytes = NDArray[np.uint8]


def pack(arrays: Mapping[str, NDArray[Any]], **facts: Any) -> bytes:
    """Return arrays and facts as one compressed message.

    Length of the header (4 bytes, little endian), the header (JSON: ``facts``, and of each array name,
    dtype, shape and where it begins), the arrays, each at a multiple of 8 bytes; all of it gzipped.
    """
    places, parts, offset = [], [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        places.append({"name": name, "dtype": array.dtype.name, "shape": array.shape, "offset": offset})
        padding = -len(data) % 8
        parts += [data, bytes(padding)]
        offset += len(data) + padding
    header = json.dumps({"facts": facts, "arrays": places}).encode()
    header += b" " * (-(len(header) + 4) % 8)
    body = len(header).to_bytes(4, "little") + header + b"".join(parts)
    return gzip.compress(body, compresslevel=1, mtime=0)


def warm_up() -> None:
    """Import what the pictures need, so that the first one does not wait for it."""
    import analysis.figures.phase_retrieval
    import analysis.figures.rendering
    import analysis.order_parameter  # noqa: F401


@lru_cache(maxsize=2)
def _aligned(folder: Path, stamp: float) -> AlignedObjects:
    """Return the aligned objects of a series; of one that was stored without them, aligned now.

    Parameters
    ----------
    folder
        Of the series.
    stamp
        When its results were written last: others are read anew.
    """
    from analysis.results import AlignedObjects, read_aligned

    try:
        return read_aligned(folder)
    except FileNotFoundError:
        from analysis.order_parameter import analyse_series
        from callbacks.series import read_results

        return AlignedObjects.of(analyse_series(read_results(folder)))


@lru_cache(maxsize=4)
def _not_final(path: Path, written: float, folder: Path, stamp: float) -> AlignedObjects:
    """Return a preview or an early result laid upon the series' last aligned object, alone if there is none.

    Parameters
    ----------
    path, written
        Its file, and when that was written: a newer early result has the same path.
    folder, stamp
        As for `_aligned`.
    """
    from analysis.order_parameter import analyse_series, beside
    from analysis.results import AlignedObjects, read_scan

    result = read_scan(path)
    if not stamp:
        return AlignedObjects.of(analyse_series([result]))
    aligned = _aligned(folder, stamp)
    return replace(aligned, run_uids=(result.run_uid,), objects=beside(aligned, result)[None])


@dataclass(frozen=True)
class Source:
    """Where a crystal is to be found.

    Parameters
    ----------
    folder, stamp
        Of the series, and when its final results were written last, 0 where there are none.
    run_uid
        The scan.
    path, written
        File of a preview or an early result and when it was written; None is the final result.
    """

    folder: Path
    stamp: float
    run_uid: str
    path: Path | None = None
    written: float = 0.0

    def find(self) -> tuple[AlignedObjects, NDArray[np.complex64]]:
        """Return the objects it is comparable with, and the crystal itself."""
        if self.path is None:
            aligned = _aligned(self.folder, self.stamp)
        else:
            aligned = _not_final(self.path, self.written, self.folder, self.stamp)
        return aligned, aligned.objects[aligned.row(self.run_uid)]


def crystal(source: Source) -> bytes:
    """Return amplitude and phase of a crystal in the series' gauge, as bytes.

    Amplitude: 0 to 255 of the largest. Phase Q·u: 0 to 255 stand for −π to π.
    """
    aligned, array = source.find()
    amplitude = np.abs(array)
    top = float(amplitude.max()) or 1.0
    seen = (amplitude > FAINT * top) | aligned.support
    phase = np.where(seen, (np.pi - np.angle(array)) * (255 / (2 * np.pi)), 127.5)
    arrays = {
        "amplitude": np.rint(amplitude * (255 / top)).astype(np.uint8),
        "phase": np.rint(phase).clip(0, 255).astype(np.uint8),
        "support": aligned.support.astype(np.uint8),
    }
    pitch = np.linalg.norm(aligned.basis, axis=0).tolist()
    return pack(arrays, pitch=pitch, q_axis=aligned.q_axis, largest=top)


def surface_of(source: Source) -> bytes:
    """Return a crystal's isosurface: points (nm), triangles, and the phase (rad) at each point."""
    from analysis.figures.rendering import surface

    aligned, array = source.find()
    found = surface(array, aligned.basis, PERCENT, fine=1)
    arrays = {"points": found.points.T, "faces": found.faces.T, "phase": found.phase}
    return pack(arrays, percent=PERCENT)


def diffraction(path: Path) -> bytes:
    """Return the middle detector image of a scan's result and the one calculated from its object.

    Both on one logarithmic scale, 0 to 254; `MASKED` where nothing was measured.
    """
    from analysis.figures.phase_retrieval import calculated_intensity
    from analysis.results import read_scan

    result = read_scan(path)
    middle = result.intensity.shape[0] // 2
    measured, calculated = result.intensity[middle], calculated_intensity(result)[middle]
    top = float(measured[~result.mask[middle]].max(initial=1.0))
    arrays = {
        "measured": logarithmic(measured, result.mask[middle], top),
        "calculated": logarithmic(calculated, np.zeros_like(result.mask[middle]), top),
    }
    return pack(arrays, largest=top, chi_squared=float(result.chi_squared), label=result.label)


def logarithmic(counts: NDArray[Any], masked: NDArray[np.bool_], top: float) -> Bytes:
    """Return counts as log(1 + counts) from 0 to 254 of `top`, `MASKED` where `masked`."""
    scale = 254 / np.log1p(max(top, 1.0))
    shown = np.rint(np.log1p(np.maximum(counts, 0).astype(np.float64)) * scale).clip(0, 254)
    return np.where(masked, MASKED, shown).astype(np.uint8)


def newest_frame(path: Path, start: Mapping[str, Any]) -> bytes:
    """Return the last frame of a file that may still be written, on a logarithmic scale, gaps masked.

    Raises
    ------
    FrameFileError
        The file has no frame yet, or cannot be read.
    """
    from analysis.geometry import gaps_of
    from callbacks.frames import DATASET, FrameFileError, read_last_frame

    counts, number = read_last_frame(path, DATASET)
    if number < 0:
        raise FrameFileError(f"{path.name} holds no frame yet: wait for the first exposure")
    detector = start.get("detector", {})
    shape = tuple(detector.get("shape", counts.shape))
    row0, row1, col0, col1 = detector.get("roi") or (0, shape[0], 0, shape[1])
    gaps = gaps_of(start)
    masked = np.isin(np.arange(row0, row1), gaps)[:, None] | np.isin(np.arange(col0, col1), gaps)[None, :]
    if masked.shape != counts.shape:
        masked = np.zeros(counts.shape, dtype=bool)
    saturation = detector.get("saturation")
    if saturation:
        masked = masked | (counts > saturation)
    top = float(np.where(masked, 0, counts).max(initial=1))
    image = logarithmic(counts, masked, top)
    return pack({"frame": image}, largest=top, number=number, total=int(counts[~masked].sum()))
