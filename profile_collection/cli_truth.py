"""The command of ``vo2`` that may read the simulation's truth."""

from __future__ import annotations

from typing import Annotated

import typer

from profile_collection.cli_common import DataOption, ResultsOption, configured, console, explained

truth_app = typer.Typer()


@truth_app.command(context_settings={"ignore_unknown_options": True})
def truth(
    series: Annotated[str, typer.Argument(help="Uid or folder of a simulated series; -1 is the newest.")],
    ceiling: Annotated[
        bool, typer.Option(help="Also what a start from the truth reaches; some seconds a scan, once.")
    ] = True,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Compare a simulated series' results with the simulation's truth; exit 1 where a requirement fails.

    What 'vo2 reconstruct --crop 20nm' wrote into results/<series>/wide is judged by its rutile.
    """
    from profile_collection.exporting import series_folder
    from profile_collection.truth import (
        ceilings,
        compare_rutile,
        compare_with_truth,
        rutile_lines,
        rutile_verdicts,
        table_lines,
        verdict_lines,
        verdicts,
    )

    with explained():
        settings = configured(data, results)
        found = series_folder(settings.results, series)
        kept = settings.data / "truth" / found.name
        with console.status("comparing with the truth") as status:
            best = None
            if ceiling:
                best = ceilings(found, kept, progress=lambda label: status.update(f"{label} from the truth"))
            status.update("comparing with the truth")
            report = compare_with_truth(found, kept, ceilings=best)
            wide = compare_rutile(found, kept)
    judged = (*verdicts(report), *rutile_verdicts(wide))
    for line in (*table_lines(report), *rutile_lines(wide), "", *verdict_lines(judged)):
        console.print(line, highlight=False, soft_wrap=True)
    if not all(verdict.passed for verdict in judged):
        raise typer.Exit(1)
