"""Commands of ``vo2`` about files of other beamlines: inspect them, take them in as one series."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callbacks.jobs import parse_crop
from profile_collection.cli.common import (
    DataOption,
    ResultsOption,
    TakesMinusOne,
    configured,
    console,
    explained,
    opened,
)

if TYPE_CHECKING:
    from analysis.readers import Given, MeasuredScan

files_app = typer.Typer()

Files = Annotated[list[Path], typer.Argument(help="Files or folders of scans.")]
Geometry = Annotated[Path | None, typer.Option(help="TOML file with what the files do not say.")]
Frames = Annotated[
    Path | None, typer.Option(help="Folder of the frames, if they do not lie beside the file.")
]
Scans = Annotated[str | None, typer.Option(help="Scans of the file, with commas between, as '54,55'.")]
Instrument = Annotated[str | None, typer.Option(help="'i16', '34idc' or 'id01': how its circles turn.")]
Energy = Annotated[float | None, typer.Option(help="keV.")]
Distance = Annotated[float | None, typer.Option(help="Sample to detector, mm.")]
PixelSize = Annotated[float | None, typer.Option(help="mm.")]
Centre = Annotated[str | None, typer.Option(help="'row,column' of the direct beam with the arm at zero.")]
Axis = Annotated[str | None, typer.Option(help="The circle that was scanned.")]
Start = Annotated[float | None, typer.Option(help="First rocking angle, degrees.")]
Step = Annotated[float | None, typer.Option(help="Degrees from one frame to the next.")]
Circles = Annotated[str | None, typer.Option(help="Circles that stood still, as 'delta=32.17,gamma=12.63'.")]
Lattice = Annotated[str | None, typer.Option(help="Cubic constant in Å, or 'a,b,c,alpha,beta,gamma'.")]
Reflection = Annotated[str | None, typer.Option(help="'h,k,l'.")]
DatasetName = Annotated[
    str | None, typer.Option("--dataset", help="Array or detector that holds the frames.")
]


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


def given_of(geometry: Path | None, **options: Any) -> Given:
    """Return what a person says: the TOML file, and the options over it."""
    from analysis.readers import Given, read_given

    lattice = numbers(options.pop("lattice"), "the lattice")
    if lattice is not None and len(lattice) not in (1, 6):
        raise ValueError(f"the lattice must be one number or six; {len(lattice)} came")
    named: Any = None if lattice is None else lattice[0]
    if lattice is not None and len(lattice) == 6:
        named = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), lattice, strict=True))
    reflection = numbers(options.pop("reflection"), "the reflection", 3)
    said = Given(
        positions=angles(options.pop("circles")),
        centre=numbers(options.pop("centre"), "the centre", 2),  # type: ignore[arg-type]
        lattice=named,
        reflection=None if reflection is None else tuple(int(index) for index in reflection),  # type: ignore[arg-type]
        **options,
    )
    return said if geometry is None else read_given(geometry).completed(said)


def found_scans(
    files: Sequence[Path], given: Given, frames: Path | None, which: str | None
) -> list[MeasuredScan]:
    """Return the scans of all files, those that ``which`` names where a file holds several."""
    from analysis.readers import Given, read_scans

    names = [None] if which is None else [word.strip() for word in which.split(",") if word.strip()]
    return [
        scan
        for path in files
        for name in names
        for scan in read_scans(path, given.completed(Given(scan=name)), frames)
    ]


@files_app.command(cls=TakesMinusOne)
def inspect(
    files: Files,
    geometry: Geometry = None,
    frames: Frames = None,
    scan: Scans = None,
    instrument: Instrument = None,
    energy: Energy = None,
    distance: Distance = None,
    pixel_size: PixelSize = None,
    centre: Centre = None,
    axis: Axis = None,
    start: Start = None,
    step: Step = None,
    circles: Circles = None,
    lattice: Lattice = None,
    reflection: Reflection = None,
    dataset: DatasetName = None,
) -> None:
    """Print what files of scans hold, what is missing and how to give it; nothing is stored."""
    from rich.table import Table

    from analysis.readers import describe

    with explained():
        given = given_of(
            geometry,
            instrument=instrument,
            energy=energy,
            distance=distance,
            pixel_size=pixel_size,
            centre=centre,
            axis=axis,
            start=start,
            step=step,
            circles=circles,
            lattice=lattice,
            reflection=reflection,
            dataset=dataset,
        )
        for one in found_scans(files, given, frames, scan):
            table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
            for what, value in describe(one):
                table.add_row(f"[bold]{what}[/]", value)
            console.print(table)
            console.print()


@files_app.command(cls=TakesMinusOne)
def ingest(
    files: Files,
    name: Annotated[
        str | None, typer.Option(help="Of the sample; that of the first file by default.")
    ] = None,
    geometry: Geometry = None,
    frames: Frames = None,
    scan: Scans = None,
    temperature: Annotated[
        str | None, typer.Option(help="K, one for all scans or one for each in the order of time.")
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="Array, not 0 where a pixel is bad; 2D, or 3D.")] = None,
    flat_field: Annotated[
        Path | None,
        typer.Option(help="What each pixel counts of the same light: a gain in the model, counts stay raw."),
    ] = None,
    dark: Annotated[
        Path | None,
        typer.Option(help="Counts without light, of a frame's exposure; pixels of 1 or more are masked."),
    ] = None,
    crop: Annotated[str | None, typer.Option(help="Voxels about the peak that are phased.")] = None,
    instrument: Instrument = None,
    energy: Energy = None,
    distance: Distance = None,
    pixel_size: PixelSize = None,
    centre: Centre = None,
    axis: Axis = None,
    start: Start = None,
    step: Step = None,
    circles: Circles = None,
    lattice: Lattice = None,
    reflection: Reflection = None,
    dataset: DatasetName = None,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Take scans of other beamlines in as one series and analyse it; 'vo2 inspect' says what a file lacks."""
    from analysis.readers import read_array
    from callbacks.ingest import Extras
    from callbacks.live import LiveView
    from profile_collection.session import stored_runs

    with explained():
        settings = configured(data, results)
        shape_phased = None if crop is None else parse_crop(crop)
        given = given_of(
            geometry,
            instrument=instrument,
            energy=energy,
            distance=distance,
            pixel_size=pixel_size,
            centre=centre,
            axis=axis,
            start=start,
            step=step,
            circles=circles,
            lattice=lattice,
            reflection=reflection,
            dataset=dataset,
        )
        kelvin = numbers(temperature, "temperatures") or ((given.temperature,) if given.temperature else ())
        scans = found_scans(files, given, frames, scan)
        shape = next((one.frames.shape for one in scans if one.frames is not None), ())
        bad = None if mask is None else read_array(mask, shape).astype(bool)
        extras = Extras(
            mask=bad,
            flat_field=None if flat_field is None else read_array(flat_field, shape),
            dark=None if dark is None else read_array(dark, shape),
            temperatures=kelvin,
            crop=shape_phased,
        )
        with opened(settings) as catalogue, _bar() as progress:
            found = stored_runs.ingest(
                catalogue,
                settings,
                LiveView(console),
                scans,
                name=name or scans[0].name or scans[0].path.stem,
                extras=extras,
                given=given.said | _files(mask=mask, flat_field=flat_field, dark=dark),
                progress=progress,
            )
    console.print(f"series {found.series_uid}, {len(found.summaries)} of {len(scans)} scans analysed")
    if not found.summaries or any(summary.error for summary in found.summaries):
        raise typer.Exit(1)
    console.print(f"results: {settings.results / found.series_uid}")


def _files(**paths: Path | None) -> dict[str, str]:
    return {name: str(path) for name, path in paths.items() if path is not None}


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar a file while frames are copied."""
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done)

        yield show
