"""Plain arrays: npz, npy, MATLAB's mat and TIFF stacks; what they do not say is in a TOML file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from analysis.readers.hdf5 import DARKS, FLAT_FIELDS, MASKS, described
from analysis.readers.linked import opened
from analysis.readers.scan import Given, Images, MeasuredScan, ReadError

FRAMES = ("counts", "intensity", "frames", "data", "images")
MONITORS = ("monitor", "ic1monitor")
ANGLES = ("angles", "angle", "eta", "theta", "th")
TEMPERATURES = ("temperature", "Tsample")


BROKEN = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
"""What numpy raises of a file of arrays that is not whole."""


class NumpyArrays:
    """An npz archive, or an npy file of the frames alone."""

    format = "numpy arrays"

    def accepts(self, path: Path) -> bool:
        """Return whether the file begins as a zip archive of arrays or as an npy file."""
        if not path.is_file():
            return False
        return _begins(path, b"\x93NUMPY") or (_begins(path, b"PK\x03\x04") and _is_npz(path))

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the one scan of the file."""
        return [_scan(path, self.format, _numpy(path), given)]


NAMES = {"mask": MASKS, "flat_field": FLAT_FIELDS, "dark": DARKS}


def read_array(path: Path, shape: tuple[int, ...], kind: str = "") -> NDArray[Any]:
    """Return a mask, a flat field or a dark image for frames of ``shape`` (n, rows, columns).

    From an npy file, an npz or mat file with one array, or one of the names that its ``kind`` ("mask",
    "flat_field", "dark") goes by, a TIFF or another image. Of an image larger than the
    frames the first rows and columns are taken: a detector of which a quadrant was read out.

    Raises
    ------
    ReadError
        It is none of these, or its shape does not fit.
    """
    array = np.squeeze(_any_array(path, NAMES.get(kind, ())))
    if array.shape in (shape[1:], shape):
        return array
    if array.ndim == 2 and len(shape) == 3 and array.shape[0] >= shape[1] and array.shape[1] >= shape[2]:
        return array[: shape[1], : shape[2]]
    raise ReadError(f"{path} must have the frames' shape {shape[1:]}, or {shape}; it has {array.shape}")


def _any_array(path: Path, names: tuple[str, ...]) -> NDArray[Any]:
    if not path.is_file():
        raise ReadError(f"there is no file {str(path)!r}")
    if _is_tiff(path):
        return Images([path])[0]
    if Matlab().accepts(path):
        from scipy.io import loadmat

        arrays = {name: v for name, v in loadmat(str(path)).items() if not name.startswith("__")}
    elif Matlab73().accepts(path):
        arrays = _matlab73(path)
    elif NumpyArrays().accepts(path):
        arrays = _numpy(path)
    else:
        return Images([path])[0]
    meant = [name for name in arrays if len(arrays) == 1 or name in names]
    if len(meant) != 1:
        raise ReadError(f"one array was expected in {path}, it holds {sorted(arrays)}: save it alone, as npy")
    return np.asarray(arrays[meant[0]])


def _numpy(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file by name; that of an npy file as counts, read piece by piece."""
    try:
        if _begins(path, b"\x93NUMPY"):
            return {"counts": np.load(path, mmap_mode="r", allow_pickle=False)}
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name]) for name in stored.files}
    except BROKEN as error:
        raise ReadError(f"{path} cannot be read as numpy arrays; is it whole? {error}") from error


def _begins(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _is_npz(path: Path) -> bool:
    """Return whether a zip archive holds arrays, or did: one that is cut short lacks its list."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return True
    return bool(names) and all(name.endswith(".npy") for name in names)


class Matlab:
    """A MATLAB file up to version 7."""

    format = "MATLAB arrays"

    def accepts(self, path: Path) -> bool:
        """Return whether the file begins as MATLAB's."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(10) == b"MATLAB 5.0"

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the one scan of the file; frames are (rocking, row, column) as everywhere here."""
        from scipy.io import loadmat

        arrays = {
            name: np.squeeze(values)
            for name, values in loadmat(str(path)).items()
            if isinstance(values, np.ndarray) and not name.startswith("__")
        }
        return [_scan(path, self.format, arrays, given)]


class Matlab73:
    """A MATLAB file of version 7.3: HDF5 behind a header, its axes the other way round than MATLAB's."""

    format = "MATLAB 7.3 arrays"

    def accepts(self, path: Path) -> bool:
        """Return whether the file begins as MATLAB's and is HDF5."""
        return path.is_file() and _begins(path, b"MATLAB 7.3") and h5py.is_hdf5(path)

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the one scan of the file; in MATLAB, too, frames are (rocking, row, column)."""
        return [_scan(path, self.format, _matlab73(path), given)]


def _matlab73(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of numbers with the axes in MATLAB's order, which HDF5 turns around."""
    with opened(path) as file:
        return {
            name: np.squeeze(np.asarray(node[()]).T)
            for name, node in ({} if file is None else file).items()
            if isinstance(node, h5py.Dataset)
            and node.dtype.kind in "iuf"
            and "MATLAB_empty" not in node.attrs
        }


class TiffStack:
    """A TIFF file of many pages, or a folder of images, one a frame, in the order of their names."""

    format = "TIFF stack"

    def accepts(self, path: Path) -> bool:
        """Return whether it is a TIFF file, or a folder that holds TIFF files."""
        if path.is_dir():
            return any(_is_tiff(one) for one in sorted(path.iterdir())[:3])
        return _is_tiff(path)

    def read(self, path: Path, given: Given, frames: Path | None) -> list[MeasuredScan]:
        """Return the one scan of the file or folder."""
        source: Any
        if path.is_dir():
            source = Images([one for one in sorted(path.iterdir()) if _is_tiff(one)])
        else:
            source = _pages(path)
        if len(source.shape) != 3:
            raise ReadError(f"{path} must hold (n, rows, columns) frames; it holds {source.shape!r}")
        return [described(path, self.format, source, given)]


def _is_tiff(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def _pages(path: Path) -> NDArray[Any]:
    from fabio.openimage import openimage

    with openimage(str(path)) as image:
        return np.stack([np.asarray(image.get_frame(page).data) for page in range(image.nframes)])


def _scan(path: Path, kind: str, arrays: Mapping[str, NDArray[Any]], given: Given) -> MeasuredScan:
    left = dict(arrays)
    name = given.dataset or next((one for one in FRAMES if one in left and left[one].ndim == 3), "")
    if name not in left:
        held = {one: values.shape for one, values in arrays.items()}
        raise ReadError(
            f"frames were expected in {path} as one of {list(FRAMES)}, (rocking, row, column); it holds "
            f"{held}: name them (dataset)"
        )
    frames = left.pop(name)
    if frames.ndim != 3 or min(frames.shape) < 2 or frames.dtype.kind not in "iuf":
        raise ReadError(
            f"{name!r} must be numbers, (rocking, row, column); {frames.shape!r} of {frames.dtype} came"
        )
    points, shape = frames.shape[0], frames.shape[1:]
    _refuse_frames_last(name, frames.shape, left)
    mask = _taken(left, MASKS, (shape, frames.shape))
    flat, dark = _taken(left, FLAT_FIELDS, (shape,)), _taken(left, DARKS, (shape,))
    monitor, angles = _taken(left, MONITORS, ((points,),)), _taken(left, ANGLES, ((points,),))
    temperature = _taken(left, TEMPERATURES, ((points,), ()))
    columns = (
        {} if temperature is None else {"Tsample": np.broadcast_to(temperature, (points,)).astype(float)}
    )
    if angles is not None and not given.rocks:
        given = given.completed(Given(angles=tuple(float(angle) for angle in angles)))
    return described(
        path,
        kind,
        frames,
        given,
        columns=columns,
        mask=None if mask is None else mask.astype(bool),
        flat_field=flat,
        dark=dark,
        monitor=None if monitor is None else monitor.astype(float),
        unused=tuple(f"{one} {values.shape}" for one, values in left.items()),
    )


def _refuse_frames_last(name: str, shape: tuple[int, ...], others: Mapping[str, NDArray[Any]]) -> None:
    """Refuse frames whose last axis, and not the first, has as many as there are angles or monitor counts."""
    for one in (*ANGLES, *MONITORS):
        if one in others and others[one].shape == shape[2:] and shape[2] != shape[0]:
            raise ReadError(
                f"{name!r} must be (rocking, row, column); it has the shape {shape!r}, and {one!r} has "
                f"{shape[2]} values: the frames seem to lie along the last axis, store "
                f"numpy.moveaxis({name}, -1, 0)"
            )


def _taken(
    arrays: dict[str, NDArray[Any]], names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]
) -> NDArray[Any] | None:
    """Take the array of one of ``names`` out of ``arrays``, if there is one; another shape is refused."""
    for name in names:
        if name in arrays:
            if arrays[name].shape not in shapes:
                wanted = " or ".join(str(shape) for shape in shapes)
                raise ReadError(f"{name!r} must have the shape {wanted}; it has {arrays[name].shape}")
            return arrays.pop(name)
    return None


def spread_of(gain: NDArray[np.float32]) -> float:
    """Return the standard deviation of a gain over its mean."""
    return float(gain.std(dtype=float) / gain.mean(dtype=float))


def gain_of(flat: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a flat field over its median, and where it is blind: not finite, or below a hundredth."""
    values = np.asarray(flat, dtype=float)
    lit = values[np.isfinite(values) & (values > 0)]
    if not lit.size:
        raise ReadError("the flat field must be positive; it is nowhere")
    gain = values / np.median(lit)
    blind = ~(gain > 0.01)
    return np.where(blind, 1, gain).astype(np.float32), blind


def combined_masks(masks: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the pixels that any of ``masks`` hides, for frames of ``shape``, or raise a ReadError."""
    whole: NDArray[np.bool_] = np.zeros(shape[1:], dtype=bool)
    for mask in masks:
        bad = np.asarray(mask).astype(bool)
        if bad.shape not in (shape[1:], shape):
            raise ReadError(
                f"the mask must have the frames' shape {shape[1:]}, or {shape}; it has {bad.shape}"
            )
        if bad.mean() > 0.9:
            raise ReadError(
                f"the mask hides {bad.mean():.0%} of the pixels: it must be True where a pixel is BAD"
            )
        whole = whole | bad
    return whole.astype(np.uint8)
