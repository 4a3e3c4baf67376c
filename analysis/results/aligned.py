"""The objects of a series in one gauge on one grid, kept so that a view need not align them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from analysis.results.atomic import replacing
from analysis.results.series import SeriesResult

ALIGNED = "aligned.h5"
FORMAT = "vo2-bcdi aligned 1"


@dataclass(frozen=True, eq=False)
class AlignedObjects:
    """A series' objects, comparable voxel by voxel; row i belongs to scan i.

    Attributes
    ----------
    run_uids : tuple of str
    objects : ndarray, (n, n0, n1, n2) complex64
        arg(object) = −Q·u.
    basis : ndarray, (3, 3) float64, nm
        Voxel vectors of the grid, as columns.
    q_axis : int
        Array axis that lies along Q.
    q_vector : ndarray, (3,) float64, Å⁻¹
    support : ndarray, (n0, n1, n2) bool
        Of the reference.
    """

    run_uids: tuple[str, ...]
    objects: NDArray[np.complex64]
    basis: NDArray[np.float64]
    q_axis: int
    q_vector: NDArray[np.float64]
    support: NDArray[np.bool_]

    @classmethod
    def of(cls, series: SeriesResult) -> AlignedObjects:
        """Return the aligned objects of an analysed series."""
        return cls(
            run_uids=series.scans.run_uids,
            objects=series.gauge.aligned,
            basis=series.gauge.basis,
            q_axis=series.gauge.q_axis,
            q_vector=series.gauge.q_vector,
            support=series.gauge.support,
        )

    def row(self, run_uid: str) -> int:
        """Return the row of a scan.

        Raises
        ------
        LookupError
            It is not among them.
        """
        if run_uid not in self.run_uids:
            raise LookupError(
                f"the scan {run_uid!r} is required among the aligned objects; they hold {self.run_uids!r}: "
                "analyse the series again"
            )
        return self.run_uids.index(run_uid)


def write_aligned(folder: Path, aligned: AlignedObjects) -> Path:
    """Write ``aligned.h5`` into a series' folder, whole or not at all, and return its path."""
    path = Path(folder) / ALIGNED
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["creator"] = FORMAT
        file["run_uids"] = list(aligned.run_uids)
        file["objects"] = aligned.objects
        file["support"] = aligned.support.astype(np.uint8)
        file["voxel_basis"], file["voxel_basis"].attrs["units"] = aligned.basis, "nm"
        file["q_vector"], file["q_vector"].attrs["units"] = aligned.q_vector, "1/angstrom"
        file["q_axis"] = aligned.q_axis
    return path


def read_aligned(folder: Path) -> AlignedObjects:
    """Return what `write_aligned` stored in a series' folder.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, or another program's.
    """
    path = Path(folder) / ALIGNED
    if not path.is_file():
        raise FileNotFoundError(f"{ALIGNED} is required in {str(folder)!r}: analyse the series first")
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("creator") != FORMAT:
                raise ValueError(f"it is by {file.attrs.get('creator')!r}")
            return AlignedObjects(
                run_uids=tuple(uid.decode() for uid in file["run_uids"][()]),
                objects=file["objects"][()],
                basis=file["voxel_basis"][()],
                q_axis=int(file["q_axis"][()]),
                q_vector=file["q_vector"][()],
                support=file["support"][()].astype(bool),
            )
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"a file of {FORMAT!r} is required; {str(path)!r} is damaged or none ({error}): remove it and "
            "analyse the series again"
        ) from error
