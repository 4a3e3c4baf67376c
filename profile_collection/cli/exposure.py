"""Command of ``vo2`` about exposure: what a scan would have needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from profile_collection.cli.common import (
    DataOption,
    TakesMinusOne,
    as_path,
    configured,
    console,
    explained,
    progress_bar,
    warn,
    with_options,
)
from profile_collection.cli.files import IngestOptions, ready_file, run_job

if TYPE_CHECKING:
    from analysis.exposure import ExposureConfig, ExposureTable
    from callbacks.jobs import ScanJob
    from profile_collection.session.settings import Settings

exposure_app = typer.Typer()


def parse_fractions(text: str) -> tuple[float, ...]:
    """Return the fractions in a text such as '1/3,0.1,1/30'.

    Raises
    ------
    ValueError
        One of them is none.
    """
    found = []
    for word in text.split(","):
        above, _, below = word.partition("/")
        try:
            found.append(float(above) / float(below or 1))
        except (ValueError, ZeroDivisionError):
            raise ValueError(
                f"fractions of the exposure are written as '1/3,0.1,1/30'; {word.strip()!r} came"
            ) from None
    return tuple(found)


@exposure_app.command(cls=TakesMinusOne)
@with_options(IngestOptions)
def exposure(
    target: Annotated[
        str, typer.Argument(help="File or folder of a scan with its raw frames, or a run's uid.")
    ],
    options: IngestOptions,
    phase_error: Annotated[
        float, typer.Option(help="That the result may have from counting, rad RMS.")
    ] = 0.1,
    fractions: Annotated[
        str, typer.Option(help="Of the exposure, tried beside all counts.")
    ] = "1/3,1/10,1/30",
    seeds: Annotated[int, typer.Option(min=2, help="Thinned copies of each.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the first copy.")] = 0,
    exposed: Annotated[
        float | None, typer.Option(help="Seconds per point of the scan, where its file does not say them.")
    ] = None,
    shortest: Annotated[float, typer.Option(help="Shortest exposure to be proposed, s.")] = 0.1,
    longest: Annotated[
        float | None, typer.Option(help="Longest one, s; that of the scan by default.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Print the phase error that fewer counts of a scan give, and the shortest exposure that suffices."""
    from analysis.exposure import ExposureConfig, ExposureLimits, propose

    with explained():
        config = ExposureConfig(parse_fractions(fractions), seeds)
        settings = configured(data, None, seed=seed, crop=options.crop)
        with progress_bar() as bar:
            table = _tried(target, options, settings, exposed, config, lambda n, of: bar("phasing", n, of))
        _print(table)
        limits = ExposureLimits(shortest, max(shortest, table.seconds) if longest is None else longest)
        found = propose(table, phase_error, limits)
        console.print(found.sentence, highlight=False, soft_wrap=True)
        for line in found.assumed:
            warn(f"assumed: {line}")


def _tried(
    target: str,
    options: IngestOptions,
    settings: Settings,
    exposed: float | None,
    config: ExposureConfig,
    progress: Callable[[int, int], None],
) -> ExposureTable:
    """Try the exposures of a run, or of a file."""
    from callbacks.exposure import exposure_of, exposures_of
    from profile_collection.session import one_scan

    path = as_path(target)
    if path is None or one_scan.is_frame_file(path):
        job = run_job(path, target, options, settings)
        return exposures_of(_timed(job, exposure_of(job), exposed), config=config, progress=progress)
    ready, extras = ready_file(path, options)
    with one_scan.ready_job(ready, extras, seed=settings.seed) as job:
        return exposures_of(_timed(job, ready.scan.exposure, exposed), config=config, progress=progress)


def _timed(job: ScanJob, said: float | None, given: float | None) -> ScanJob:
    """Return a job that says how long a point was exposed: as its file says, or as a person does."""
    from dataclasses import replace

    if said is None and given is None:
        raise ValueError(
            "the exposure of a point is needed, and the file does not say it: give it (--exposed 30)"
        )
    if said is not None and given is not None and abs(said - given) > 1e-6:
        raise ValueError(f"the file says that a point was exposed {said:g} s; leave --exposed {given:g} out")
    seconds = said if given is None else given
    return replace(job, start={**job.start, "scan": {**job.start["scan"], "exposure": seconds}})


def _print(table: ExposureTable) -> None:
    from rich.table import Table

    console.print(
        f"{table.seconds:g} s per point, {table.counts:.3g} counts in the crop, {table.peak:.3g} in the "
        "brightest voxel",
        highlight=False,
    )
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("fraction", "s", "phase error rad", "spread", "overlap", "resolution nm", "trusted"):
        shown.add_column(name, justify="right")
    if table.rows:
        shown.add_row("1", f"{table.seconds:.3g}", f"{table.own_error:.4f} *", "", "1.0000", "", "yes")
    for row in table.rows:
        worst = f"{min(row.overlaps):.4f}" if row.overlaps else ""
        sharp = (
            f"{'' if row.limited else '<'}{row.resolution:.0f}" if row.resolution == row.resolution else ""
        )
        shown.add_row(
            f"{row.fraction:.3g}",
            f"{row.fraction * table.seconds:.3g}",
            f"{row.error:.4f}",
            f"{row.spread:.4f}",
            worst,
            sharp,
            f"{row.trusted} of {row.copies}",
        )
    console.print(shown)
    console.print("* that of the row below times the root of its fraction", highlight=False)
    for line in sorted({failure for row in table.rows for failure in row.failures}):
        warn(f"a copy could not be phased: {line}")
