"""One file of a scan reconstructed on its own: no catalogue, no series; a page, the object and the support.

The file is read and prepared as `vo2 ingest` does, its frames copied into a folder that goes again.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures.one_page import one_page
from analysis.figures.save import save
from analysis.geometry import ScanGeometry, instrument_named
from analysis.phasing.registration import align
from analysis.readers import Given, MeasuredScan, ReadError, read_array, read_given, read_scans
from analysis.results import ScanResult, write_scan
from callbacks.analyse import analyse, phased_again
from callbacks.ingest import Extras, Ready, checked, ingest_documents
from profile_collection.session.exporting import export_scan
from profile_collection.session.settings import Settings
from profile_collection.session.stored_runs import job_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from callbacks.jobs import ScanJob

Progress = Callable[[str, int, int], None]

SUFFIXES = (".png", ".h5", ".npz", ".vti")
"""Of the files that `OneScan.write` writes: the page, and object and support three times."""


@dataclass(frozen=True)
class OneScan:
    """A scan that was reconstructed from one or several seeds.

    Parameters
    ----------
    results
        One a seed. All of one pattern.
    scaled
        Whether the geometry is known; else a voxel has no size, and lengths are in voxels.
    """

    results: tuple[ScanResult, ...]
    scaled: bool = True

    @property
    def best(self) -> ScanResult:
        """That of the lowest χ² among the trusted ones, or among all if none is."""
        trusted = [one for one in self.results if one.trusted]
        return min(trusted or self.results, key=lambda one: one.chi_squared)

    @property
    def agreement(self) -> float | None:
        """The least overlap of two seeds' objects, 0 … 1; None of a single one."""
        pairs = combinations(self.results, 2)
        overlaps = [align(one.object, other.object).overlap for one, other in pairs]
        return min(overlaps, default=None)

    @property
    def words(self) -> tuple[str, ...]:
        """What there is to say of it, a line each: the verdict first, then the seeds, then the notes."""
        best, agreement = self.best, self.agreement
        verdict = "trusted" if best.trusted else f"not trusted: {'; '.join(best.reasons)}"
        said = [f"χ² {best.chi_squared:.4f}, noise ratio {best.noise_ratio:.2f}, {verdict}"]
        if agreement is not None:
            trusted = sum(one.trusted for one in self.results)
            said.append(
                f"{len(self.results)} seeds, {trusted} trusted; the least overlap of two is {agreement:.3f}"
            )
        return (*said, *(f"note: {note}" for note in best.notes))

    def page(self) -> Figure:
        """Return the page that shows it."""
        return one_page(self.best, self.words, scaled=self.scaled)

    def write(self, base: Path | str) -> list[Path]:
        """Write page, object and support to ``base`` with `SUFFIXES`, and return the paths.

        Without geometry page and .npz alone: in the others each voxel has a size.
        """
        base, best = Path(base), self.best
        base.parent.mkdir(parents=True, exist_ok=True)
        page, scan, arrays, volume = (base.with_name(base.name + suffix) for suffix in SUFFIXES)
        save(self.page(), page)
        np.savez_compressed(
            arrays,
            object=best.object,
            support=best.support,
            intensity=best.intensity,
            mask=best.mask,
            not_counts=np.array(best.not_counts, dtype=str),
            voxel_basis_nm=best.voxel_basis if self.scaled else np.full((3, 3), np.nan),
        )
        if not self.scaled:
            return [page, arrays]
        write_scan(scan, best)
        with tempfile.TemporaryDirectory(dir=base.parent) as folder:
            (grid,) = export_scan(best, "vti", Path(folder), 95.0)
            grid.replace(volume)
        return [page, scan, arrays, volume]


def reconstruct_file(
    path: Path | str,
    *,
    seeds: int = 1,
    geometry: Path | str | None = None,
    mask: Path | str | None = None,
    flat_field: Path | str | None = None,
    dark: Path | str | None = None,
    crop: tuple[int, int, int] | None = None,
) -> OneScan:
    """Reconstruct the one scan of a file of any format that is read.

    Parameters
    ----------
    path
        File or folder.
    seeds
        How many seeds of the phasing, from 0.
    geometry
        TOML file with what the file does not say.
    mask, flat_field, dark
        Files with an image of the detector: not 0 where a pixel is bad; what it counts of the same light;
        what it counts without any.
    crop
        Voxels about the peak that are phased; (64, 64, 64) by default.

    Raises
    ------
    ReadError
        Something is missing, does not fit, or the file holds several scans; the message says what to do.
    """
    given = Given() if geometry is None else read_given(Path(geometry))
    scans = read_scans(Path(path), given)
    if len(scans) != 1:
        raise ReadError(f"{path} holds {len(scans)} scans: name one (scan in the TOML file)")
    shape = () if scans[0].frames is None else scans[0].frames.shape
    images = {"mask": mask, "flat_field": flat_field, "dark": dark}
    read: dict[str, Any] = {
        name: read_array(Path(one), shape) for name, one in images.items() if one is not None
    }
    extras = Extras(**read, crop=crop)
    (one,) = ready(scans, extras)
    return reconstruct_ready(one, extras, seeds=range(seeds))


def ready(scans: Sequence[MeasuredScan], extras: Extras | None = None) -> list[Ready]:
    """Check scans; one without geometry is taken all the same, in voxels, and its notes say so."""
    return checked([_with_geometry(scan) for scan in scans], extras or Extras())


def reconstruct_ready(
    one: Ready,
    extras: Extras | None = None,
    *,
    seeds: Sequence[int] = (0,),
    progress: Progress = lambda what, done, of: None,
) -> OneScan:
    """Reconstruct a scan that was checked.

    Parameters
    ----------
    one
        From `ready`.
    extras
        What was given beside the file.
    seeds
        Of the phasing.
    progress
        Called with a word, and how many of how many are done.
    """
    with ready_job(one, extras, seed=seeds[0], progress=progress) as job:
        found = reconstruct_job(job, seeds=seeds, progress=progress)
    return replace(found, scaled=LENGTHLESS not in " ".join(one.notes))


@contextlib.contextmanager
def ready_job(
    one: Ready,
    extras: Extras | None = None,
    *,
    seed: int = 0,
    progress: Progress = lambda what, done, of: None,
) -> Iterator[ScanJob]:
    """Give the job of a scan that was checked; its frames are copied into a folder that goes again.

    Parameters are those of `reconstruct_ready`.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder) / "data", results=Path(folder) / "results", seed=seed)
        documents = list(
            ingest_documents(
                [one],
                settings.frames,
                name=one.scan.name or one.scan.path.stem,
                extras=extras,
                progress=lambda what, done, of: progress("reading frames", done, of),
            )
        )
        yield job_of(documents, settings, Path(folder))


def reconstruct_job(
    job: ScanJob, *, seeds: Sequence[int] = (0,), progress: Progress = lambda what, done, of: None
) -> OneScan:
    """Reconstruct a stored run, or that of a frame file; parameters as for `reconstruct_ready`."""
    progress("phasing", 0, len(seeds))
    results = [analyse(replace(job, seed=seeds[0]))]
    progress("phasing", 1, len(seeds))
    for count, seed in enumerate(seeds[1:], start=2):
        results.append(phased_again(results[0], seed))
        progress("phasing", count, len(seeds))
    return OneScan(tuple(results))


def is_frame_file(path: Path) -> bool:
    """Return whether a file is a frame file of this beamline: it alone says all that a run does."""
    import h5py

    if not (path.is_file() and h5py.is_hdf5(path)):
        return False
    with h5py.File(path, "r", locking=False) as file:
        return "entry" in file and "start" in file["entry"].attrs


LENGTHLESS = "lengths, d and strain mean nothing"


def _with_geometry(scan: MeasuredScan) -> MeasuredScan:
    """Return a scan that can be prepared: one without geometry gets that of a detector square to the beam.

    What phasing needs is the same whatever the lengths are; the notes say that they mean nothing.
    """
    if scan.geometry is not None or scan.frames is None or scan.refusal:
        return scan
    points, rows, columns = (int(size) for size in scan.frames.shape)
    angles = scan.angles if len(scan.angles) == points else np.asarray(0.01 * np.arange(points), np.float64)
    arm = instrument_named("Diamond I16").detector_directions({"delta": 30.0, "gam": 0.0})
    geometry = ScanGeometry(
        energy=9.0,
        distance=1000.0,
        pixel_size=0.055,
        arm=arm,
        axis=np.array([0.0, 0.0, -1.0]),
        centre=((rows - 1) / 2, (columns - 1) / 2),
        shape=(rows, columns),
        roi=(0, rows, 0, columns),
    )
    lacking = f"{LENGTHLESS}, for the file lacks {'; '.join(scan.missing)}"
    return replace(
        scan,
        geometry=geometry,
        angles=angles,
        axis=scan.axis or "rocking",
        reflection=None,
        cell=None,
        missing=(),
        notes=(*scan.notes, lacking),
    )
