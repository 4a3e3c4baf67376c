"""Command ``vo2 faults``: the fault campaign."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from profile_collection.cli_common import console, explained

faults_app = typer.Typer()


@faults_app.command()
def faults(
    count: Annotated[int, typer.Option(help="Faults in all.")] = 200,
    seed: Annotated[int, typer.Option(help="Of faults and simulation.")] = 0,
    folder: Annotated[Path, typer.Option(help="Where everything goes; a second call goes on.")] = Path(
        "campaign"
    ),
    minutes: Annotated[float | None, typer.Option(help="Stop after this time; call again to go on.")] = None,
) -> None:
    """Random faults over quick series of real processes, judged against the simulation's truth."""
    from profile_collection.campaign.campaign import run_campaign

    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    with explained():
        sound = run_campaign(folder.resolve(), count, seed, say=_say, deadline=deadline)
    raise typer.Exit(0 if sound else 1)


def _say(line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)
