"""``vo2 ioc``: the simulated beamline as an EPICS soft IOC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from profile_collection.cli.common import DataOption, ExperimentOption, configured, console, explained

if TYPE_CHECKING:
    from profile_collection.twin.ioc import TwinIoc

ioc_app = typer.Typer()


@ioc_app.command()
def ioc(
    quick: Annotated[
        bool, typer.Option("--quick", help="A small detector region.", show_default=False)
    ] = False,
    experiment: ExperimentOption = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Simulated durations at true pace.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of the simulation.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Before every name, 'VO2:' by default.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Of Channel Access, on loopback; 15064 by default.")
    ] = None,
    heartbeat: Annotated[
        float, typer.Option(help="Seconds without a session's heartbeat until an open shutter is closed.")
    ] = 5.0,
    list_pvs: Annotated[bool, typer.Option("--list-pvs", help="Print every name and end.")] = False,
    data: DataOption = None,
) -> None:
    """Serve the simulated beamline over Channel Access, until interrupted."""
    from profile_collection.session.simulation import make_twin
    from profile_collection.session.startup_checks import process_variables
    from profile_collection.twin.ioc import TwinIoc, prepare_server, serve

    with explained():
        settings = configured(
            data,
            None,
            quick=quick or None,
            experiment=experiment,
            realtime=realtime or None,
            seed=seed,
            pv_prefix=prefix,
            ca_port=port,
        )
        names = process_variables(settings)
        if names.channel_access is None:
            raise ValueError(
                "the soft IOC needs a section [channel_access] in its file of names; leave VO2_PV_FILE away"
            )
        access = names.channel_access
        prepare_server(access)
        served = TwinIoc(make_twin(settings), names, settings.data, heartbeat_timeout=heartbeat)
        if list_pvs:
            for name in sorted(served.database.records):
                console.print(name, highlight=False, soft_wrap=True)
            return
        _describe(served, settings.pv_prefix)
        where = f"{access.address}:{access.port}"
        ready = f"serving at {where}; measure with: VO2_DEVICES=epics vo2 series --quick  (Ctrl-C ends)"
        serve(served, access, on_ready=lambda: console.print(ready, highlight=False, soft_wrap=True))


def _describe(served: TwinIoc, prefix: str) -> None:
    """Print how many records each device has."""
    from collections import Counter

    from rich.table import Table

    devices = Counter(name.removeprefix(prefix).split(":")[0] for name in served.database.records)
    table = Table("device", "records", "for example", box=None)
    for device, count in sorted(devices.items()):
        example = next(name for name in served.database.records if name.startswith(f"{prefix}{device}:"))
        table.add_row(device, str(count), example)
    console.print(table)
