"""Volumes as VTK files: ``.vti`` on cubic voxels, ``.vts`` on the slanted ones of the measurement."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from analysis.results.atomic import replacing

Facts = Mapping[str, str | float]
PLAIN = str.maketrans({"Å": "A", "χ": "chi", "²": "^2", "·": ".", "°": " deg", "×": "x", "±": "+-", "−": "-"})
PointData = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Volume:
    """An object with where its voxels lie.

    Attributes
    ----------
    array : ndarray, (n0, n1, n2) complex
        arg = −Q·u.
    support : ndarray, (n0, n1, n2) bool
    basis : ndarray, (3, 3) float64, nm
        Columns: voxel vectors in the laboratory frame; the voxel n//2 lies at its origin.
    q_vector : ndarray, (3,) float64, Å⁻¹
        In the same frame.
    """

    array: NDArray[np.complexfloating]
    support: NDArray[np.bool_]
    basis: NDArray[np.float64]
    q_vector: NDArray[np.float64]


def write_vti(path: Path, volume: Volume, values: PointData, *, facts: Facts | None = None) -> Path:
    """Write a volume on cubic voxels along the laboratory axes as VTK image data; return the path.

    ``values`` are the point data, arrays of the volume's shape by name; coordinates in nm, the origin of the
    object at 0. ``facts`` and the Q vector go into the field data.
    """
    spacing = np.diag(volume.basis)
    if not np.allclose(volume.basis, np.diag(spacing)) or (spacing <= 0).any():
        raise ValueError(
            f"a .vti file needs voxels along the laboratory axes; got the basis {volume.basis!r}: "
            "resample with on_laboratory_axes, or write a .vts file"
        )
    import pyvista

    shape = volume.array.shape
    grid = pyvista.ImageData(
        dimensions=shape, spacing=tuple(spacing), origin=tuple(-spacing * (np.array(shape) // 2))
    )
    return _write(path, ".vti", grid, values, volume, facts)


def write_vts(path: Path, volume: Volume, values: PointData, *, facts: Facts | None = None) -> Path:
    """Write a volume on its own, slanted voxels as a VTK structured grid: nothing is interpolated."""
    import pyvista

    x, y, z = coordinates(volume).reshape(3, *volume.array.shape)
    return _write(path, ".vts", pyvista.StructuredGrid(x, y, z), values, volume, facts)


def write_collection(path: Path, steps: Sequence[tuple[float, Path]]) -> Path:
    """Write a ParaView collection (.pvd) of files with a time each: here the temperature, K."""
    lines = [
        f'    <DataSet timestep="{time:g}" file={quoteattr(file.name)}/>' for time, file in sorted(steps)
    ]
    text = "\n".join(
        ['<?xml version="1.0"?>', '<VTKFile type="Collection" version="0.1">', "  <Collection>", *lines]
        + ["  </Collection>", "</VTKFile>", ""]
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_arrays(folder: Path, stem: str, volume: Volume) -> list[Path]:
    """Write object, support and coordinates as NumPy files, in the order in which Bonsu takes them.

    ``<stem>_object.npy`` (n0, n1, n2) complex64 and ``<stem>_support.npy`` float64 as they are stored;
    ``<stem>_coordinates.npy`` (n0·n1·n2, 3) float64, nm, the first array axis running fastest.
    """
    points = coordinates(volume).reshape(3, *volume.array.shape).transpose(3, 2, 1, 0).reshape(-1, 3)
    arrays: dict[str, NDArray[np.generic]] = {
        "object": np.ascontiguousarray(volume.array, dtype=np.complex64),
        "support": volume.support.astype(np.float64),
        "coordinates": np.ascontiguousarray(points),
    }
    paths = []
    for name, array in arrays.items():
        path = Path(folder) / f"{stem}_{name}.npy"
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, array)
        paths.append(path)
    return paths


def coordinates(volume: Volume) -> NDArray[np.float64]:
    """Return where every voxel lies in the laboratory frame, (3, n0·n1·n2) float64, nm, last axis fastest."""
    shape = np.array(volume.array.shape)
    index = np.indices(tuple(shape)).reshape(3, -1) - shape[:, None] // 2
    return np.asarray(volume.basis @ index)


def _write(
    path: Path,
    suffix: str,
    grid: "pyvista.DataSet",  # type: ignore[name-defined] # noqa: F821
    values: Mapping[str, NDArray[np.generic]],
    volume: Volume,
    facts: Facts | None,
) -> Path:
    path = Path(path)
    if path.suffix != suffix:
        raise ValueError(f"the file must end in {suffix!r}; got {path.name!r}")
    for name, value in values.items():
        grid.point_data[name] = value.ravel(order="F")
    grid.set_active_scalars("amplitude")
    grid.field_data["q_vector"] = volume.q_vector
    for name, fact in (facts or {}).items():
        # VTK takes no letters beyond ASCII, and notes have Å and χ².
        plain = fact.translate(PLAIN).encode("ascii", "replace").decode() if isinstance(fact, str) else fact
        grid.field_data[name] = [plain]
    with replacing(path) as temporary, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written = Path(folder) / f"grid{suffix}"
        grid.save(written)
        written.replace(temporary)
    return path
