"""Commands of ``vo2`` about what others are to see: report, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from profile_collection.cli_common import ResultsOption, configured, console, explained

report_app = typer.Typer()

OutputOption = Annotated[Path | None, typer.Option(help="Folder to write into.", show_default=False)]


@report_app.command(context_settings={"ignore_unknown_options": True})
def report(
    series: Annotated[str, typer.Argument(help="Uid or folder of a series; -1 is the newest.")] = "-1",
    output: OutputOption = None,
    results: ResultsOption = None,
) -> None:
    """Draw all figures of a series as PNG and PDF, and one HTML page with them and the tables."""
    from profile_collection.exporting import report_series, series_folder

    with explained():
        folder = series_folder(configured(None, results).results, series)
        with console.status("drawing"):
            written = report_series(folder, output)
    for note in written.notes:
        console.print(f"[yellow]{note}[/]", highlight=False, soft_wrap=True)
    console.print(f"{len(written.figures)} files of figures; page: {written.page}", soft_wrap=True)


@report_app.command(context_settings={"ignore_unknown_options": True})
def export(
    target: Annotated[
        str, typer.Argument(help="A result file (.h5), or uid or folder of a series; -1 is the newest.")
    ] = "-1",
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            help="vti: cubic voxels along the laboratory axes; vts: the measured ones; npy: Bonsu.",
        ),
    ] = "vti",
    percent: Annotated[
        float, typer.Option(help="Isosurface inside which strain and displacement are given.")
    ] = 95.0,
    output: OutputOption = None,
    results: ResultsOption = None,
) -> None:
    """Export amplitude, phase, support, strain and displacement for ParaView, or arrays for Bonsu."""
    from profile_collection.exporting import export_target

    with explained(), console.status("exporting"):
        paths = export_target(configured(None, results).results, target, kind, output, percent)
    for path in paths:
        console.print(str(path), highlight=False, soft_wrap=True)
