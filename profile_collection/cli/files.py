"""Commands of ``vo2`` about files of scans: inspect them, take them in as one series, reconstruct one."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callbacks.jobs import parse_crop
from profile_collection.cli.common import (
    DataOption,
    OverwriteOption,
    ResultsOption,
    TakesMinusOne,
    as_path,
    configured,
    console,
    explained,
    opened,
    output_file,
    progress_bar,
    warn,
    with_options,
)

if TYPE_CHECKING:
    from analysis import Reconstruction
    from analysis.readers import Given, MeasuredScan
    from callbacks.ingest import Extras, Ready
    from callbacks.jobs import ScanJob
    from profile_collection.session.one_scan import OneScan
    from profile_collection.session.settings import Settings

    Progress = Callable[[str, int, int], None]

files_app = typer.Typer()

Files = Annotated[list[Path], typer.Argument(help="Files or folders of scans.")]


def numbers(text: str | None, what: str, count: int | None = None) -> tuple[float, ...] | None:
    """Return the numbers in a text with commas between, None where there is none.

    Raises
    ------
    ValueError
        One of them is no number, or there are not ``count``.
    """
    if text is None:
        return None
    try:
        found = tuple(float(word) for word in text.replace(";", ",").split(",") if word.strip())
    except ValueError as error:
        raise ValueError(f"{what} must be numbers with commas between; {text!r} came") from error
    if not found or (count is not None and len(found) != count):
        raise ValueError(f"{what} must be {count or 'some'} numbers with commas between; {text!r} came")
    return found


def angles(text: str | None) -> dict[str, float]:
    """Return circles and their angles, as in 'delta=32.17,gamma=12.63'."""
    found = {}
    for word in (text or "").split(","):
        name, equals, value = word.partition("=")
        if not word.strip():
            continue
        if not equals:
            raise ValueError(f"circles are given as 'delta=32.17,gamma=12.63'; {text!r} came")
        (found[name.strip()],) = numbers(value, f"the angle of {name}", 1) or (0.0,)
    return found


def lattice(text: str | None) -> float | dict[str, float] | None:
    """Return the lattice as `Given` takes it: one number, or six by name."""
    found = numbers(text, "the lattice")
    if found is None or len(found) == 1:
        return None if found is None else found[0]
    if len(found) != 6:
        raise ValueError(f"the lattice must be one number or six; {len(found)} came")
    return dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), found, strict=True))


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """What a person says of the scans in files; options of ``vo2 inspect`` and ``vo2 ingest``."""

    geometry: Annotated[Path | None, typer.Option(help="TOML file with what the files do not say.")] = None
    frames: Annotated[
        Path | None, typer.Option(help="Folder of the frames, if they do not lie beside the file.")
    ] = None
    scan: Annotated[str | None, typer.Option(help="Scans of the file, with commas between, as '54,55'.")] = (
        None
    )
    instrument: Annotated[
        str | None, typer.Option(help="'i16', '34idc' or 'id01': how its circles turn.")
    ] = None
    energy: Annotated[float | None, typer.Option(help="keV.")] = None
    distance: Annotated[float | None, typer.Option(help="Sample to detector, mm.")] = None
    pixel_size: Annotated[float | None, typer.Option(help="mm.")] = None
    centre: Annotated[
        str | None, typer.Option(help="'row,column' of the direct beam with the arm at zero.")
    ] = None
    axis: Annotated[str | None, typer.Option(help="The circle that was scanned.")] = None
    start: Annotated[float | None, typer.Option(help="First rocking angle, degrees.")] = None
    step: Annotated[float | None, typer.Option(help="Degrees from one frame to the next.")] = None
    circles: Annotated[
        str | None, typer.Option(help="Circles that stood still, as 'delta=32.17,gamma=12.63'.")
    ] = None
    lattice: Annotated[str | None, typer.Option(help="Cubic constant in Å, or 'a,b,c,alpha,beta,gamma'.")] = (
        None
    )
    reflection: Annotated[str | None, typer.Option(help="'h,k,l'.")] = None
    dataset: Annotated[str | None, typer.Option(help="Array or detector that holds the frames.")] = None

    def given(self) -> Given:
        """Return all of it as the readers take it: the TOML file, and the options over it."""
        from analysis.readers import Given, read_given

        reflection = numbers(self.reflection, "the reflection", 3)
        said = Given(
            instrument=self.instrument,
            energy=self.energy,
            distance=self.distance,
            pixel_size=self.pixel_size,
            centre=numbers(self.centre, "the centre", 2),  # type: ignore[arg-type]
            axis=self.axis,
            start=self.start,
            step=self.step,
            positions=angles(self.circles),
            lattice=lattice(self.lattice),
            reflection=None if reflection is None else tuple(int(index) for index in reflection),  # type: ignore[arg-type]
            dataset=self.dataset,
        )
        return said if self.geometry is None else read_given(self.geometry).completed(said)

    def scans(self, files: Sequence[Path], given: Given) -> list[MeasuredScan]:
        """Return the scans of all files, those that ``scan`` names where a file holds several."""
        from analysis.readers import Given, read_scans

        words = [None] if self.scan is None else [word.strip() for word in self.scan.split(",")]
        return [
            scan
            for path in files
            for name in words
            if name != ""
            for scan in read_scans(path, given.completed(Given(scan=name)), self.frames)
        ]


@files_app.command(cls=TakesMinusOne)
@with_options(FileOptions)
def inspect(files: Files, options: FileOptions) -> None:
    """Print what files of scans hold, what is missing and how to give it; nothing is stored."""
    from rich.table import Table

    from analysis.readers import describe

    with explained():
        for one in options.scans(files, options.given()):
            table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
            for what, value in describe(one):
                table.add_row(f"[bold]{what}[/]", value)
            console.print(table)
            console.print()


@dataclass(frozen=True, kw_only=True)
class IngestOptions(FileOptions):
    """What a person gives beside the files, for all scans of a series; further options of ``vo2 ingest``."""

    temperature: Annotated[
        str | None, typer.Option(help="K, one for all scans or one for each in the order of time.")
    ] = None
    mask: Annotated[Path | None, typer.Option(help="Array, not 0 where a pixel is bad; 2D, or 3D.")] = None
    flat_field: Annotated[
        Path | None,
        typer.Option(help="What each pixel counts of the same light: a gain in the model, counts stay raw."),
    ] = None
    dark: Annotated[
        Path | None,
        typer.Option(help="Counts without light, of a frame's exposure; pixels of 1 or more are masked."),
    ] = None
    crop: Annotated[str | None, typer.Option(help="Voxels about the peak that are phased.")] = None

    @property
    def crop_shape(self) -> tuple[int, int, int] | None:
        """The crop in voxels, None where none is given."""
        return None if self.crop is None else parse_crop(self.crop)

    def refuse(self, why: str, but: Sequence[str] = ()) -> None:
        """Raise a ValueError that names the options that were given, those in ``but`` left out."""
        given = [one.name for one in fields(self) if getattr(self, one.name) is not None]
        if unused := [f"--{name.replace('_', '-')}" for name in given if name not in but]:
            raise ValueError(f"{why}; {', '.join(unused)} would not be used: leave it out")

    @property
    def beside(self) -> dict[str, Path]:
        """The files with an image of the detector, by what they are."""
        paths = {"mask": self.mask, "flat_field": self.flat_field, "dark": self.dark}
        return {name: path for name, path in paths.items() if path is not None}

    def extras(self, scans: Sequence[MeasuredScan], given: Given) -> Extras:
        """Return it as ingestion takes it; images are cut or refused by the frames of the scans."""
        from analysis.readers import read_array
        from callbacks.ingest import Extras

        shape = next((one.frames.shape for one in scans if one.frames is not None), ())
        images: dict[str, Any] = {name: read_array(path, shape, name) for name, path in self.beside.items()}
        if "mask" in images:
            images["mask"] = images["mask"].astype(bool)
        kelvin = numbers(self.temperature, "temperatures")
        return Extras(
            **images,
            temperatures=kelvin or ((given.temperature,) if given.temperature else ()),
            crop=self.crop_shape,
        )


@files_app.command(cls=TakesMinusOne)
@with_options(IngestOptions)
def ingest(
    files: Files,
    options: IngestOptions,
    name: Annotated[
        str | None, typer.Option(help="Of the sample; that of the first file by default.")
    ] = None,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Take scans of other beamlines in as one series and analyse it; 'vo2 inspect' says what a file lacks."""
    from callbacks.live import LiveView
    from profile_collection.session import stored_runs

    with explained():
        settings, given = configured(data, results), options.given()
        _ = options.crop_shape  # a crop that cannot be read is refused before any file is
        scans = options.scans(files, given)
        extras = options.extras(scans, given)
        with opened(settings) as catalogue, progress_bar() as progress:
            found = stored_runs.ingest(
                catalogue,
                settings,
                LiveView(console),
                scans,
                name=name or next((one.name or one.path.stem for one in scans), ""),
                extras=extras,
                given=given.said | {what: str(path) for what, path in options.beside.items()},
                progress=progress,
            )
    console.print(f"series {found.series_uid}, {len(found.summaries)} of {len(scans)} scans analysed")
    if not found.summaries or any(summary.error for summary in found.summaries):
        raise typer.Exit(1)
    console.print(f"results: {settings.results / found.series_uid}")


@files_app.command(cls=TakesMinusOne)
@with_options(IngestOptions)
def reconstruct(
    target: Annotated[
        str, typer.Argument(help="File or folder of a scan, an npz file with 'intensity', or a run's uid.")
    ],
    options: IngestOptions,
    output: Annotated[
        Path | None, typer.Option(help="Name of what is written, or its folder.", show_default=False)
    ] = None,
    overwrite: OverwriteOption = False,
    seed: Annotated[int, typer.Option(help="Of the phasing; the first of several.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="How many: they show how sure the object is.")] = 1,
    data: DataOption = None,
) -> None:
    """Reconstruct one scan: a page that shows it, object and support. Of an npz the array 'intensity'."""
    from profile_collection.session.one_scan import SUFFIXES

    with explained():
        settings = configured(data, None, seed=seed, crop=options.crop)
        path = as_path(target)
        if path is not None and options.geometry is None and _holds_pattern(path):
            usual = path.with_name(f"{path.stem}_object.npz")
            if seeds > 1:
                raise ValueError("a pattern ('intensity' of an npz file) is phased from one --seed")
            options.refuse("a pattern ('intensity' of an npz file) is phased as it is")
            _reconstruct_array(path, output_file(output, usual, overwrite=overwrite), seed)
            return
        stem, phased = _found(path, target, options, settings)
        goal = output_file(output, Path(f"{stem}.h5"), overwrite=overwrite)
        base = goal.with_suffix("")
        present = [base.with_name(base.name + one) for one in SUFFIXES]
        if not overwrite and (there := [str(one) for one in present if one.exists()]):
            raise ValueError(f"{there[0]!r} is there already; add --overwrite, or give another --output")
        with progress_bar() as progress:
            done = phased(range(seed, seed + seeds), progress)
        for line in done.words:
            warn(line) if line.startswith("note") or "not trusted" in line else console.print(line)
        console.print(f"written to {', '.join(str(one) for one in done.write(base))}", soft_wrap=True)


def _found(
    path: Path | None, target: str, options: IngestOptions, settings: Settings
) -> tuple[str, Callable[[range, Progress], OneScan]]:
    """Return what the files of a result are called, and how to reconstruct it: a run, or any file.

    All that can be refused is refused here, before anything is phased.
    """
    from profile_collection.session import one_scan

    if path is None or one_scan.is_frame_file(path):
        job = run_job(path, target, options, settings)
        return job.stem, lambda seeds, progress: one_scan.reconstruct_job(job, seeds=seeds, progress=progress)
    ready, extras = ready_file(path, options)
    return path.stem, lambda seeds, progress: one_scan.reconstruct_ready(
        ready, extras, seeds=seeds, progress=progress
    )


def run_job(path: Path | None, target: str, options: IngestOptions, settings: Settings) -> ScanJob:
    """Return the job of a stored run, or of a frame file of this beamline."""
    from profile_collection.session import stored_runs

    options.refuse("a run is phased as it was measured", but=("crop",))
    if path is not None:
        return stored_runs.file_job(path, settings)
    with opened(settings) as catalogue:
        return stored_runs.stored_job(catalogue, settings, target, Path())


def ready_file(path: Path, options: IngestOptions) -> tuple[Ready, Extras]:
    """Return the one scan of a file of another beamline, checked, and what was given beside it."""
    from analysis.readers import ReadError
    from profile_collection.session import one_scan

    scans = options.scans([path], given := options.given())
    if len(scans) != 1:
        raise ReadError(
            f"{path} holds {len(scans)} scans: name one with --scan, or take all with 'vo2 ingest'"
        )
    extras = options.extras(scans, given)
    (ready,) = one_scan.ready([scans[0]], extras)
    return ready, extras


def _holds_pattern(path: Path) -> bool:
    """Return whether a file is to be phased as it is: an npz file with 'intensity', or a broken one."""
    import numpy as np

    if path.suffix.lower() != ".npz":
        return False
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return "intensity" in stored
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        return True


NOT_COUNTS = "not_counts"
"""Array of words that `OneScan.write` leaves beside counts that it normalised with the monitor."""


def _reconstruct_array(path: Path, goal: Path, seed: int) -> None:
    with console.status("reconstructing"):
        found = _phased(path, goal, seed)
    verdict = "trusted" if found.trusted else f"not trusted: {'; '.join(found.reasons)}"
    console.print(f"χ² {found.chi_squared:.4f}, {verdict}; written to {goal}")


def _phased(path: Path, output: Path, seed: int) -> Reconstruction:
    """Phase ``intensity`` (and ``mask``, where there is one) of an npz file; write ``object`` to `output`.

    What else the file holds is named.

    Raises
    ------
    ValueError
        There is no such array.
    """
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("intensity", "mask", NOT_COUNTS) if name in stored}
            names = sorted(stored)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"an npz file of numbers was expected, {path} is none or is cut short ({error}): write it again"
        ) from error
    if unused := sorted(set(names) - arrays.keys()):
        warn(f"{path} also holds {unused}, which are not used: 'intensity' and 'mask' are")
    intensity, mask = arrays["intensity"], arrays.get("mask")
    from analysis import reconstruct
    from analysis.phasing.pattern import checked_mask
    from analysis.preprocessing import hidden_voxels

    if intensity.ndim == 3 and (mask is None or mask.shape == intensity.shape):
        mask = None if mask is None else checked_mask(mask, intensity.shape)
        mask, notes = hidden_voxels(intensity, mask)
        intensity = np.where(mask, 0, intensity)
        for note in notes:
            warn(note)
    said = arrays.get(NOT_COUNTS)  # of a file that 'vo2 reconstruct' wrote: the monitor made its fractions
    found = reconstruct(
        intensity, mask, seed=seed, not_counts=None if said is None else [str(one) for one in said]
    )
    np.savez_compressed(output, object=found.object, support=found.support)
    return found
