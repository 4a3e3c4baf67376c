"""The program ``vo2``: a thin layer over this package; heavy imports wait until they are needed."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from profile_collection.cli.benchmark import benchmark_app
from profile_collection.cli.checks import checks_app
from profile_collection.cli.common import (
    DataOption,
    ExperimentOption,
    ResultsOption,
    configured,
    console,
    explained,
    series_or_run,
)
from profile_collection.cli.data import data_app
from profile_collection.cli.exposure import exposure_app
from profile_collection.cli.files import files_app
from profile_collection.cli.ioc import ioc_app
from profile_collection.cli.monitor import monitor_app
from profile_collection.cli.results import results_app
from profile_collection.session.settings import Settings

if TYPE_CHECKING:
    from bluesky.utils import MsgGenerator

    from profile_collection.session.session import Session
    from vo2_plans import AdaptiveSettings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Live Bragg coherent diffraction imaging of the structural phase transition in a VO2 nanocrystal.",
)
app.add_typer(data_app)
app.add_typer(files_app)
app.add_typer(exposure_app)
app.add_typer(checks_app)
app.add_typer(ioc_app)
app.add_typer(results_app)
app.add_typer(monitor_app)
app.add_typer(benchmark_app, name="benchmark")

QuickOption = Annotated[
    bool, typer.Option("--quick", help="Three temperatures on a small detector region.", show_default=False)
]
TemperaturesOption = Annotated[
    str | None, typer.Option(help="K, in the order of measurement, for example '320,335,350'.")
]
EtaStart = Annotated[float | None, typer.Option(help="First eta of the rocking curve, degrees.")]
EtaStop = Annotated[float | None, typer.Option(help="Last eta, degrees.")]
EtaStep = Annotated[float | None, typer.Option(help="Step of eta, degrees.")]
Exposure = Annotated[float | None, typer.Option(help="Seconds per point.")]


AdaptiveOption = Annotated[
    str | None,
    typer.Option(
        help="Choose temperatures from the results: 'start,stop,min_step,max_step,hours' (K and h), the last "
        "ones optional.",
        show_default=False,
    ),
]
GuardOption = Annotated[
    str,
    typer.Option(
        help="Look at each scan once it is measured: 'flag' says what is wrong with it, 'mend' also measures "
        "it once more, about the peak, over a longer window, or with less beam.",
        show_default=False,
    ),
]
BranchesOption = Annotated[
    str, typer.Option(help="Of --adaptive: 'heating', 'heating,cooling' or 'heating,heating'.")
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        help="'trusted' ends each scan when its early results are trusted, agree, and cover the crop.",
        show_default=False,
    ),
]
RestOption = Annotated[
    bool, typer.Option("--rest", help="Of --until: measure the rest of each scan nevertheless.")
]
UndersampledOption = Annotated[
    bool,
    typer.Option(
        "--undersampled", help="Measure a crystal too coarsely sampled to be phased.", show_default=False
    ),
]


@app.command()
def series(
    quick: QuickOption = False,
    experiment: ExperimentOption = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Simulated durations at true pace.")] = False,
    temperatures: TemperaturesOption = None,
    eta_start: EtaStart = None,
    eta_stop: EtaStop = None,
    eta_step: EtaStep = None,
    exposure: Exposure = None,
    resume: Annotated[
        str | None,
        typer.Option(help="Go on with the series of this uid; -1 is the last.", show_default=False),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the simulation and the phasing.")] = None,
    adaptive: AdaptiveOption = None,
    branches: BranchesOption = "heating",
    guard: GuardOption = "",
    until: UntilOption = None,
    rest: RestOption = False,
    undersampled: UndersampledOption = False,
    monitor: Annotated[
        bool, typer.Option("--monitor", help="Also start the monitor, and print its address.")
    ] = False,
    data: DataOption = None,
    results: ResultsOption = None,
) -> None:
    """Measure a temperature series and analyse it meanwhile: RE(temperature_series()) in IPython."""
    from profile_collection.session.simulation import changed_window, described
    from profile_collection.session.unattended import run_unattended

    with explained():
        settings = configured(
            data,
            results,
            quick=quick or None,
            experiment=experiment,
            realtime=realtime or None,
            seed=seed,
            monitor=monitor or None,
        )
        asked = parse_temperatures(temperatures)
        stored = None if resume is None else series_or_run(resume)
        window = changed_window(described(settings), eta_start, eta_stop, eta_step, exposure)
        chosen = None if adaptive is None else parse_adaptive(adaptive, branches)
        if chosen is not None and (asked is not None or stored is not None):
            raise ValueError("--adaptive chooses the temperatures: leave --temperatures and --resume out")
        if guard and (chosen is not None or stored is not None):
            raise ValueError("--guard belongs to a new series of given temperatures: leave it out here")

        def plan(session: Session) -> MsgGenerator[Any]:
            if chosen is not None:
                return session.adaptive_temperature_series(
                    chosen, window, until=until, rest=rest, undersampled=undersampled
                )
            return session.temperature_series(
                asked,
                window,
                until=until,
                rest=rest,
                guard=guard,
                undersampled=undersampled,
                resume=stored,
            )

        code = run_unattended(settings, plan)
    raise typer.Exit(code)


@app.command()
def dry_run(
    quick: QuickOption = False,
    experiment: ExperimentOption = None,
    temperatures: TemperaturesOption = None,
    eta_start: EtaStart = None,
    eta_stop: EtaStop = None,
    eta_step: EtaStep = None,
    exposure: Exposure = None,
    adaptive: AdaptiveOption = None,
    branches: BranchesOption = "heating",
    until: UntilOption = None,
    rest: RestOption = False,
    undersampled: UndersampledOption = False,
    data: DataOption = None,
) -> None:
    """Print what a temperature series would do and how long it would take; nothing moves."""
    import vo2_plans
    from profile_collection.devices.simulated.beamline import make_simulated
    from profile_collection.session.simulation import changed_window, described, twin_config, window_of
    from profile_collection.twin import Twin

    with explained():
        settings = configured(data, None, quick=quick or None, experiment=experiment)
        known, twin = described(settings), Twin(twin_config(settings))
        beamline = make_simulated(twin, settings.data, experiment=known.document())
        window = changed_window(known, eta_start, eta_stop, eta_step, exposure) or window_of(known)
        asked = parse_temperatures(temperatures)
        if adaptive is not None:
            chosen = parse_adaptive(adaptive, branches)
            console.print(vo2_plans.adaptive_text(chosen, beamline, window), highlight=False, soft_wrap=True)
            plan = vo2_plans.adaptive_temperature_series(
                beamline, chosen, window, until=until, rest=rest, undersampled=undersampled
            )
        else:
            kelvin = known.temperatures if asked is None else asked
            plan = vo2_plans.temperature_series(
                beamline, kelvin, window, until=until, rest=rest, undersampled=undersampled
            )
        console.print(vo2_plans.dry_run(plan).text(), highlight=False, soft_wrap=True)
        for need in vo2_plans.window_needs(beamline.metadata(), window):
            console.print(need.text, highlight=False, soft_wrap=True)


@app.command()
def serve(
    data: DataOption = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the running server.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say whether one runs, and where.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen at; loopback alone is private.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.", min=0, max=65535)] = 0,
) -> None:
    """Serve the catalogue in the foreground; sessions start one of their own where none runs."""
    with explained():
        _serve(configured(data, None), stop=stop, status=status, host=host, port=port)


def _serve(settings: Settings, *, stop: bool, status: bool, host: str, port: int) -> None:
    from profile_collection.catalogue import client
    from profile_collection.catalogue.server_process import serve as serve_forever

    if stop:
        stopped = client.stop_server(settings.data)
        console.print(
            f"the server of {settings.data} has ended" if stopped else f"no server of {settings.data} runs"
        )
        return
    if status:
        found = client.status(settings.data)
        if found is None:
            console.print(f"no server of {settings.data} runs")
            raise typer.Exit(1)
        console.print(f"{settings.data} is served at {found.uri} by process {found.pid} since {found.since}")
        return
    if not ipaddress.ip_address(host).is_loopback:
        console.print(
            f"[yellow]listening at {host}: whoever reaches this machine and has the key in "
            f"{settings.private / 'server.json'} reads and writes the catalogue, and the key travels "
            "unencrypted. Put a proxy with TLS in front of it.[/]",
            highlight=False,
            soft_wrap=True,
        )
    serve_forever(settings.data, host=host, port=port)


@app.command()
def train(
    folder: Annotated[
        Path, typer.Argument(help="Receives weights, checkpoint, log and curve; resumes if not empty.")
    ],
    steps: Annotated[int | None, typer.Option(help="Optimisation steps.")] = None,
    batch: Annotated[int | None, typer.Option(help="Patterns per step.")] = None,
    architecture: Annotated[str, typer.Option(help="'refined' or 'paper'.")] = "refined",
    threads: Annotated[int | None, typer.Option(help="Threads of torch.")] = None,
) -> None:
    """Train the phasing network; a second call with the same folder continues."""
    from analysis.phasing.network.commands import train_network

    given = {"steps": steps, "batch": batch, "threads": threads}
    with explained():
        train_network(
            folder, architecture=architecture, **{name: value for name, value in given.items() if value}
        )


def parse_temperatures(text: str | None) -> list[float] | None:
    """Return the temperatures named in `text`, K, None where none are.

    Raises
    ------
    ValueError
        One of them is no number.
    """
    from vo2_plans import setpoints

    return None if text is None else setpoints(text)


def parse_adaptive(text: str, branches: str) -> AdaptiveSettings:
    """Return what 'start,stop,min_step,max_step,hours' asks for; what is left out is the usual.

    Raises
    ------
    ValueError
        It is anything else.
    """
    from vo2_plans import AdaptiveSettings

    names = ("start", "stop", "min_step", "max_step", "hours")
    try:
        numbers = [float(word) for word in text.split(",")]
        if not 2 <= len(numbers) <= len(names):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"--adaptive needs 'start,stop' or more of 'start,stop,min_step,max_step,hours'; got {text!r}"
        ) from None
    return AdaptiveSettings(**dict(zip(names, numbers, strict=False)), branches=branches)
