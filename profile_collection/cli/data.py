"""Commands of ``vo2`` about stored data: replay, recover, clean."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from profile_collection.cli.common import (
    DataOption,
    OverwriteOption,
    ResultsOption,
    TakesMinusOne,
    configured,
    console,
    explained,
    opened,
    output_folder,
    series_or_run,
)

if TYPE_CHECKING:
    from callbacks.catalogue import Catalogue
    from profile_collection.session.settings import Settings

data_app = typer.Typer()

OutputOption = Annotated[Path | None, typer.Option(help="Where to write.", show_default=False)]


@data_app.command(cls=TakesMinusOne)
def replay(
    which: Annotated[str, typer.Argument(help="Uid of a series or of a run; -1 is the last series.")] = "-1",
    pending: Annotated[bool, typer.Option("--pending", help="Analyse all that is not analysed yet.")] = False,
    output: OutputOption = None,
    overwrite: OverwriteOption = False,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Send stored runs through the live path again; results go to results/<series>/replay."""
    from callbacks.live import LiveView
    from profile_collection.session import stored_runs

    with explained():
        settings = configured(data, results)
        goal, view = output_folder(output, overwrite=overwrite), LiveView(console)
        with opened(settings) as catalogue:
            if pending:
                count = stored_runs.analyse_pending(catalogue, settings, view)
                console.print(f"{count} scans were waiting")
                return
            order = stored_runs.replay(catalogue, settings, view, series_or_run(which), goal)
    for point in order:
        console.print(f"{point.temperature:g} K  O {point.value:.6f} ± {point.error:.6f}", highlight=False)


@data_app.command()
def recover(
    uid: Annotated[
        str | None, typer.Argument(help="Uid of the run, or its beginning.", show_default=False)
    ] = None,
    backup: Annotated[
        bool, typer.Option("--backup", help="Store all runs that the catalogue missed while it was down.")
    ] = False,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Complete a run from its frame file after a session was killed, or store the runs kept in the backup."""
    with explained():
        settings = configured(data, results)
        if (uid is None) != backup:
            raise ValueError("give the uid of a run, or --backup alone for the runs the catalogue missed")
        with opened(settings) as catalogue:
            if uid is None:
                _store_kept(catalogue, settings)
            else:
                _recover_run(catalogue, settings, uid)


def _recover_run(catalogue: Catalogue, settings: Settings, uid: str) -> None:
    from profile_collection.session.stored_runs import recover_run

    found = recover_run(catalogue, settings, uid)
    state = "complete" if found.complete else "not complete: measure it again as the next attempt"
    console.print(f"{found.uid}: {found.before} points in the catalogue before, {found.after} now; {state}")


def _store_kept(catalogue: Catalogue, settings: Settings) -> None:
    from profile_collection.session.storage import store_kept

    words = {
        "stored": "stored now",
        "known": "was in the catalogue already",
        "unfinished": "never ended; complete it: vo2 recover {uid}",
        "failed": "not stored: {reason}",
    }
    found = store_kept(catalogue, settings)
    for one in found:
        console.print(f"{one.uid}: {words[one.outcome].format(uid=one.uid[:8], reason=one.reason)}")
    if not found:
        console.print("nothing is kept: the catalogue has every run")
    if any(one.outcome == "failed" for one in found):
        raise typer.Exit(1)


@data_app.command()
def clean(
    keep: Annotated[int, typer.Option(help="Newest simulated series to keep.")],
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """List old simulated series with frames and results; delete them with --yes. Measured data stays."""
    from profile_collection.session.stored_runs import old_series, remove

    with explained():
        settings = configured(data, results)
        with opened(settings) as catalogue:
            found = old_series(catalogue, settings, keep)
            for one in found:
                begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.begun))
                console.print(f"{one.uid}  begun {begun}  {len(one.raw)} runs  {one.size / 1e6:.1f} MB")
            if not found:
                console.print("nothing to delete")
            elif yes:
                remove(catalogue, found)
                console.print(f"{len(found)} series deleted")
            else:
                console.print("nothing was deleted; add --yes to delete what is listed")
