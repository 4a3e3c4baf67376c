"""Commands of ``vo2`` that check the whole: against the simulation's truth, and under faults.

``vo2 truth`` is the command that may read the simulation's truth; ``vo2 faults`` is the fault campaign.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from profile_collection.cli.common import (
    DataOption,
    ResultsOption,
    TakesMinusOne,
    configured,
    console,
    explained,
)

checks_app = typer.Typer()


@checks_app.command(cls=TakesMinusOne)
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
    from profile_collection.checks.truth import (
        ceilings,
        compare_rutile,
        compare_with_truth,
        rutile_lines,
        rutile_verdicts,
        table_lines,
        verdict_lines,
        verdicts,
    )
    from profile_collection.session.exporting import series_folder

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


@checks_app.command()
def faults(
    count: Annotated[int, typer.Option(help="Faults in all.")] = 200,
    seed: Annotated[int, typer.Option(help="Of faults and simulation.")] = 0,
    folder: Annotated[Path, typer.Option(help="Where everything goes; a second call goes on.")] = Path(
        "campaign"
    ),
    minutes: Annotated[float | None, typer.Option(help="Stop after this time; call again to go on.")] = None,
) -> None:
    """Random faults over quick series of real processes, judged against the simulation's truth."""
    from profile_collection.checks.campaign.campaign import run_campaign

    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    with explained():
        sound = run_campaign(folder.resolve(), count, seed, say=_say, deadline=deadline)
    raise typer.Exit(0 if sound else 1)


def _say(line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)
