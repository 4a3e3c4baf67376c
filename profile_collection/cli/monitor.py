"""Commands that look and change nothing: ``vo2 monitor``, the page that follows a series; ``vo2 doctor``."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import typer
from rich.markup import escape

from profile_collection.cli.common import (
    DataOption,
    ResultsOption,
    TakesMinusOne,
    configured,
    console,
    explained,
)
from profile_collection.session.settings import Settings

monitor_app = typer.Typer()


@monitor_app.command(cls=TakesMinusOne)
def monitor(
    series: Annotated[
        str | None,
        typer.Argument(help="A stored series, by uid or folder; -1 is the newest.", show_default=False),
    ] = None,
    data: DataOption = None,
    results: ResultsOption = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the running monitor.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Print the running monitor's address.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen at; loopback alone is private.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes the last one, or any.", min=0, max=65535)] = 0,
) -> None:
    """Show the series that is being measured, or a stored one, on a web page; it reads only."""
    with explained():
        settings = configured(data, results)
        if stop or status:
            _tell(settings, stop=stop)
        else:
            _serve(settings, series, host, port)


def _tell(settings: Settings, *, stop: bool) -> None:
    from profile_collection.session.monitor_process import monitor_status, stop_monitor

    if stop:
        ended = stop_monitor(settings)
        console.print(f"the monitor of {settings.data} has ended" if ended else "no monitor runs")
        return
    found = monitor_status(settings)
    console.print(found.address if found else "no monitor runs", highlight=False, soft_wrap=True)
    if found is None:
        raise typer.Exit(1)


def _serve(settings: Settings, series: str | None, host: str, port: int) -> None:
    from profile_collection.catalogue.client import ensure_server
    from profile_collection.session.exporting import series_folder
    from profile_collection.session.monitor_process import monitor_status, serve_monitor

    opened = series_folder(settings.results, series) if series else None
    if found := monitor_status(settings):
        place = f"&series={opened.name}" if opened else ""
        console.print(f"a monitor runs already: {found.address}{place}", highlight=False, soft_wrap=True)
        return
    if not ipaddress.ip_address(host).is_loopback:
        console.print(
            f"[yellow]listening at {host}: whoever reaches this machine and has the key sees the series, and "
            "the key travels unencrypted. Put a proxy with TLS in front of it.[/]",
            highlight=False,
            soft_wrap=True,
        )
    if not settings.tiled_uri:
        ensure_server(settings.data)

    def say(address: str) -> None:
        console.print(f"monitor: {address}", highlight=False, soft_wrap=True)

    serve_monitor(settings, host=host, port=port, opened=opened, say=say)


COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


@monitor_app.command()
def doctor(
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Look at everything a series needs, and say what to do; exit 1 where a series cannot be measured."""
    from profile_collection.session.doctor import Finding, examine

    counted = dict.fromkeys(COLOURS, 0)

    def show(found: Finding) -> None:
        counted[found.level] += 1
        level = f"[{COLOURS[found.level]}]{found.level:<4}[/]"
        console.print(f"{level}  {found.subject:<18} {escape(found.said)}", highlight=False, soft_wrap=True)
        if found.remedy:
            console.print(f"      {'':<18} → {escape(found.remedy)}", highlight=False, soft_wrap=True)

    with explained():
        try:
            settings = configured(data, results)
        except ValueError as error:
            show(Finding("settings", "FAIL", str(error), "correct it, then call 'vo2 doctor' again"))
            raise typer.Exit(1) from error
        for found in examine(settings):
            show(found)
    told = ", ".join(f"{count} {level}" for level, count in counted.items())
    console.print(f"{told}" + ("; a series cannot be measured like this" if counted["FAIL"] else ""))
    raise typer.Exit(1 if counted["FAIL"] else 0)
